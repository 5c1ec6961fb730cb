"""An ordeal: a log is used while what it needs runs out, and compared with a model all the time."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

import chanlog

from .cast import open_log
from .ledger import Violation
from .squeezes import Squeeze

__all__ = ["Ordeal"]

Model = dict[str, tuple[int, list[Any], int]]
"""Name of a channel: (start offset, payloads from 0 on, position of its cursor)."""
Act = tuple[str, Callable[[], object], Model]
"""What it is, how it is done, and what is there when it has been."""

NAMES = ("a", "b", "c")
_POLICIES = ("os", "always", "interval")


class Ordeal:
    """One log in one thread. Everything is drawn from one seed.

    An act that raises has happened once or not at all; with ``DiskFull`` not at all. What can be
    read is compared with the model after each.
    """

    def __init__(self, squeeze: Squeeze, draw: Random, failed: Counter[str]) -> None:
        self._squeeze = squeeze
        self._draw = draw
        self._failed = failed
        self._path = squeeze.home / "log"
        self._sync = draw.choice(_POLICIES)
        self._model: Model = {}
        self._log: chanlog.Log | None = None

    def run(self) -> None:
        """Some acts with all there is, some with little, some with all again."""
        before = _descriptors()
        for _ in range(self._draw.randrange(1, 4)):
            for _ in range(self._draw.randrange(30)):
                self._do(*self._act(), look=False)
            level = self._draw.randrange(self._squeeze.levels)
            if self._squeeze.narrow:
                for _ in range(self._draw.randrange(1, 12)):
                    self._do(*self._act(), level=level)
            else:
                with self._squeeze.at(level):
                    for _ in range(self._draw.randrange(1, 12)):
                        self._do(*self._act(), scarce=True)
            # There is room again: the same log goes on.
            while self._log is None:
                self._do(*self._act())
            self._do(*self._publish(self._log))
        for _ in range(3):
            self._do("close", self._close, self._model)
            self._do("open", self._open, self._model)
        self._do("close", self._close, self._model)
        problems = chanlog.verify(self._path).problems
        if problems:
            raise Violation(f"verify: {problems}")
        gc.collect()
        if _descriptors() > before:
            raise Violation(f"{_descriptors() - before} descriptors are left open")

    # Doing and comparing.

    def _do(
        self,
        what: str,
        act: Callable[[], object],
        after: Model,
        *,
        scarce: bool = False,
        level: int | None = None,
        look: bool = True,
    ) -> None:
        error: BaseException | None = None
        if level is not None:
            self._squeeze.tighten(level)
        try:
            act()
        except (OSError, MemoryError, chanlog.ChanlogError) as raised:
            # Without its traceback, which would hold on to all that the call has opened.
            error = raised.with_traceback(None)
        if level is not None:
            self._squeeze.loosen()
        if error is None:
            self._model = after
        elif not (scarce or level is not None) or not self._squeeze.expects(error):
            raise Violation(f"{what} raised {error!r}") from error
        else:
            self._failed[what] += 1
        if self._log is None or not look:
            return
        found = _read(self._log)
        if error is not None and not isinstance(error, chanlog.DiskFull) and found == _seen(after):
            # Once or not at all: it was once.
            self._model = after
        if found != _seen(self._model):
            difference = _difference(found, _seen(self._model))
            raise Violation(f"after {what} ({error!r}): {difference}")

    def _act(self) -> Act:
        log, draw = self._log, self._draw
        if log is None:
            return "open", self._open, self._model
        acts = (
            self._publish, self._publish, self._publish, self._many, self._many, self._large,
            self._frame, self._trim, self._fork, self._delete,
        )  # fmt: skip
        place = draw.randrange(len(acts) + 5)
        if place < len(acts):
            return acts[place](log)
        if place == len(acts):
            return "close", self._close, self._model
        if place == len(acts) + 1:
            return "sync", log.sync, self._model
        return "compact", log.compact, self._model

    def _open(self) -> None:
        self._log = open_log(self._path, self._sync)

    def _close(self) -> None:
        log, self._log = self._log, None
        assert log is not None
        log.close()

    # What is done.

    def _channel(self) -> tuple[str, Model]:
        after = deepcopy(self._model)
        name = self._draw.choice(NAMES)
        after.setdefault(name, (0, [], 0))
        return name, after

    def _publish(self, log: chanlog.Log) -> Act:
        name, after = self._channel()
        data = ["x" * int(3000 * self._draw.random() ** 2), len(after[name][1])]
        after[name][1].append(data)
        durable = self._draw.random() < 0.2
        return "publish", lambda: log.channel(name).publish(data, durable=durable), after

    def _many(self, log: chanlog.Log) -> Act:
        name, after = self._channel()
        items = ["y" * self._draw.randrange(700) for _ in range(self._draw.randrange(1, 40))]
        after[name][1].extend(items)
        return "publish many", lambda: log.channel(name).publish_many(items), after

    def _large(self, log: chanlog.Log) -> Act:
        name, after = self._channel()
        data = "z" * self._draw.choice((33_000, 70_000, 150_000))
        after[name][1].append(data)
        durable = self._draw.random() < 0.5
        return "publish large", lambda: log.channel(name).publish(data, durable=durable), after

    def _frame(self, log: chanlog.Log) -> Act:
        name, after = self._channel()
        other, _ = self._channel()
        after.setdefault(other, (0, [], 0))
        start, data, _ = after[name]
        committed = len(data)
        text = "f" * self._draw.randrange(2000)

        def write() -> None:
            with log.atomic() as frame:
                if committed:
                    frame.commit(log.channel(name).cursor("c"), committed - 1)
                frame.publish(name, text)
                frame.publish(other, text)

        data.append(text)
        after[name] = (start, data, committed)
        after[other][1].append(text)
        return "frame", write, after

    def _trim(self, log: chanlog.Log) -> Act:
        name, after = self._channel()
        start, data, position = after[name]
        if not data:
            return self._publish(log)
        before = self._draw.randrange(start, len(data) + 1)
        after[name] = (before, data, position)
        return "trim", lambda: log.channel(name).trim(before), after

    def _delete(self, log: chanlog.Log) -> Act:
        after = deepcopy(self._model)
        if not after:
            return self._publish(log)
        name = self._draw.choice(sorted(after))
        del after[name]
        return "delete", lambda: log.channel(name).delete(), after

    def _fork(self, log: chanlog.Log) -> Act:
        name, after = self._channel()
        start, data, _ = after[name]
        if not data or "fork" in after:
            return self._publish(log)
        after["fork"] = (start, list(data), 0)
        return "fork", lambda: log.channel(name).fork("fork"), after


def _seen(model: Model) -> Model:
    """What can be read of it."""
    return {
        name: (start, data[start:], max(start, position) if position else 0)
        for name, (start, data, position) in model.items()
    }


def _read(log: chanlog.Log) -> Model:
    found: Model = {}
    for name in log.channels():
        info = log.channel(name).info()
        data = list(log.channel(name).replay().data())
        position = info.cursors.get("c")
        found[name] = (
            info.start_offset, data, max(info.start_offset, position) if position else 0
        )  # fmt: skip
    return found


def _difference(found: Model, expected: Model) -> str:
    """Where the two are not the same, without the payloads."""
    said = []
    for name in sorted({*found, *expected}):
        one, other = found.get(name), expected.get(name)
        if one != other:
            said += [
                f"{name!r} {what}: " + ("nothing" if it is None else _short(*it))
                for what, it in (("is", one), ("should be", other))
            ]
    return "; ".join(said)


def _short(start: int, data: list[Any], position: int) -> str:
    return f"{len(data)} from {start}, cursor at {position}, the last {str(data[-1:])[:40]}"


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))

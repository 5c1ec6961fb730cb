"""Judging what came of a scenario, by the set of logs that are possible after each step.

A step that succeeded has happened, one that raised has happened once or not at all. So each error
doubles what is possible, and everything that is seen later halves it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import chanlog

from .running import AFTER, Facts, Outcome, Scenario, open_log
from .steps import (
    Chan,
    Close,
    Commit,
    Look,
    Open,
    Produce,
    Publish,
    Read,
    Step,
    SyncQuietly,
    Upkeep,
    World,
    look,
)

__all__ = ["Judge"]

# What may be raised by a call that meets a fault: chanlog's own, or the system's.
_OWN = frozenset(("LogFailed", "DiskFull", "LogPermission"))
_SYSTEM = frozenset(("OSError", "PermissionError", "InterruptedError", "BlockingIOError"))
# What may be raised because an earlier step has not happened.
_CONSEQUENCES = frozenset(
    ("ChannelNotFound", "UnknownOffset", "OffsetTrimmed", "ChannelExists", "ChannelDeleted")
)


class Judge:
    """Takes the outcomes of one run in order, then looks at what is left on the disk."""

    def __init__(self, scenario: Scenario, path: Path, number: int | None) -> None:
        self._scenario = scenario
        self._path = path
        self._number = number
        self._worlds = [scenario.told()]
        # What was durable in the model when it last was.
        self._floor = scenario.told()
        self._refused = False
        self._last = -1
        self.problems: list[str] = []

    def take(self, outcome: Outcome) -> None:
        """Judge one outcome."""
        step = AFTER if outcome.index < 0 else self._scenario.steps[outcome.index]
        self._last = max(self._last, outcome.index)
        if outcome.error is not None:
            self._raised(step, outcome, outcome.error)
        else:
            self._returned(step, outcome)

    def cut_off(self) -> None:
        """The process died in the step behind the last outcome: it has happened or not."""
        if self._last + 1 < len(self._scenario.steps):
            self._maybe(self._scenario.steps[self._last + 1])

    def _complain(self, step: Step, what: str) -> None:
        self.problems.append(f"{step}: {what}")

    def _returned(self, step: Step, outcome: Outcome) -> None:
        if outcome.failed_before:
            if isinstance(step, Look | Read):
                self._seen_of_failed(step, outcome.value)
            elif not isinstance(step, Close | SyncQuietly | Upkeep | Commit | Produce):
                self._complain(step, "a failed log has accepted it")
            return
        after: list[World] = []
        said: list[Any] = []
        for world in self._worlds:
            changed, value = _told(step, world)
            said.append(value)
            if value == outcome.value and changed not in after:
                after.append(changed)
        if not after:
            self._complain(step, f"it returned {outcome.value!r}, and should have one of {said!r}")
            return
        self._worlds = after
        always = self._scenario.options.get("sync") == "always"
        if step.durable or (always and not isinstance(step, Open)):
            self._floor = after[0]

    def _raised(self, step: Step, outcome: Outcome, error: Facts) -> None:
        refused, self._refused = self._refused, True
        self._check_error(step, error, refused)
        if isinstance(step, SyncQuietly | Upkeep):
            self._complain(step, f"the background has raised {error}")
        if step is AFTER and not outcome.failed_before:
            self._complain(step, f"the log does not go on: {error}")
        if outcome.failed_before:
            if error.kinds[0] != "LogFailed" and not isinstance(step, Look | Read):
                self._complain(step, f"a failed log has raised {error}")
        elif error.kinds[0] == "DiskFull":
            if outcome.failed_after:
                self._complain(step, "the log is failed, and it raised DiskFull")
        elif error.kinds[0] not in _CONSEQUENCES:
            self._maybe(step)
        if outcome.unseen is not None:
            self._check_error(step, outcome.unseen, refused)
        elif outcome.seen is not None and outcome.failed_after:
            self._seen_of_failed(step, outcome.seen)
        elif outcome.seen is not None:
            self._seen(step, outcome.seen)

    def _maybe(self, step: Step) -> None:
        for world in list(self._worlds):
            changed, _ = _told(step, world)
            if changed not in self._worlds:
                self._worlds.append(changed)

    def _check_error(self, step: Step, error: Facts, refused: bool) -> None:
        kind = error.kinds[0]
        if refused and kind in _CONSEQUENCES:
            return
        if kind not in _OWN and kind not in _SYSTEM:
            self._complain(step, f"it raised {error}")
        elif self._number is not None and error.number != self._number:
            self._complain(step, f"it raised {error} for another reason")
        elif kind != "LogFailed" and str(self._path.parents[1]) not in error.text:
            self._complain(step, f"{error} does not say which file")

    def _seen(self, step: Step, seen: Any) -> None:
        matching = [world for world in self._worlds if _view(world) == seen]
        if not matching:
            self._complain(step, f"after an error {seen!r} is seen, and {self._worlds!r} possible")
        elif self._scenario.options.get("sync") != "always":
            # Under that policy what is not seen now may still come.
            self._worlds = matching

    def _seen_of_failed(self, step: Step, seen: Any) -> None:
        """A failed log shows what was durable, and nothing that was never published."""
        if isinstance(step, Read):
            return
        for name, (start, _, _, _, data) in seen.items():
            chans = [world[name] for world in self._worlds if name in world]
            if not any(data == chan.data[start : start + len(data)] for chan in chans):
                self._complain(step, f"the failed log shows {data!r} in {name!r}")
        for name, chan in self._floor.items():
            count = len(chan.data)
            now = [world.get(name, Chan()).data[:count] for world in self._worlds]
            if now != [chan.data] * len(now):
                # It was deleted since.
                continue
            if name not in seen or seen[name][0] + len(seen[name][4]) < count:
                self._complain(step, f"the failed log hides what was durable in {name!r}")

    # The disk, after all is over.

    def finish(self, *, torn: bool = False) -> None:
        """Open what is left, without a fault, and judge it. ``torn`` says that a write may have
        been left unfinished."""
        try:
            self._finish(torn)
        except Exception as error:
            self.problems.append(f"opening it again: {type(error).__name__}: {error}")

    def _finish(self, torn: bool) -> None:
        with open_log(self._path, self._scenario) as log:
            seen = look(log)
            matching = [world for world in self._worlds if _view(world) == seen]
            if not matching:
                self.problems.append(
                    f"opened again it shows {seen!r}, and {list(map(_view, self._worlds))!r} "
                    "are possible"
                )
                return
            if log.recovery.damage or (log.recovery.torn and not torn):
                self.problems.append(f"opened again it tells of {log.recovery!r}")
            world = matching[0]
            self._go_on(log, world)
        left = [name for name in os.listdir(self._path) if name.endswith(".tmp")]
        if left:
            self.problems.append(f"{left} is left")
        with open_log(self._path, self._scenario) as log:
            if look(log) != _view(world) or not log.recovery.clean:
                self.problems.append(f"opened a second time it is not as it was: {log.recovery!r}")
        found = chanlog.verify(self._path)
        if found.problems:
            self.problems.append(f"verify finds {found.problems!r}")

    def _go_on(self, log: Any, world: World) -> None:
        """What was published is not published again, and each channel goes on where it ended."""
        for name, chan in list(world.items()):
            for sequence in range(len(chan.sent)):
                step = Produce(name, sequence, "a retry")
                if step.do(log) != chan.sent[sequence]:
                    self.problems.append(f"a retry of sequence {sequence} is published twice")
            if not chan.ended:
                step = Publish(name, "and on")
                if step.do(log) != step.tell(world):
                    self.problems.append(f"{name!r} does not go on at {len(chan.data)}")
        if Publish("new", "at last", durable=True).do(log) != len(world.get("new", Chan()).data):
            self.problems.append("a new channel does not begin at its start")
        Publish("new", "at last").tell(world)


def _view(world: World) -> dict[str, Any]:
    return {name: chan.seen() for name, chan in world.items()}


def _told(step: Step, world: World) -> tuple[World, Any]:
    """The model after a step and what the log should say; as before if it is not possible."""
    changed = dict(world)
    try:
        return changed, step.tell(changed)
    except KeyError:
        return dict(world), KeyError

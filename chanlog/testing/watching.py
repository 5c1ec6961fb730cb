"""What a test does with its log: what it leaves open, and what stood in its channels last."""

from __future__ import annotations

import functools
import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Self

from ..errors import ChanlogError, EndOfChannel
from ..interface import Channel, Log
from ..message import Message
from ..options import NAME_BYTES_MAX
from .faults import Faults
from .harness import Harness

__all__ = ["Watch", "channel_name"]

_PACKAGE = str(Path(__file__).resolve().parents[1])
_CHANNELS_SHOWN = 20
_DATA_SHOWN = 160
_LINES_SHOWN = 60


def channel_name(test: str) -> str:
    """A channel name for a test: as it is called, as far as a channel may be called so."""
    name = "".join(character if character.isprintable() else "?" for character in test)
    return name.encode()[:NAME_BYTES_MAX].decode(errors="ignore")


class Watch:
    """Watches the handles that are opened while the context is open, through any log of the kind
    that ``log`` is.

    It is the class of its channels that is made to tell, so what the test gets is the real thing.
    Nothing is kept alive by it. For one test at a time.
    """

    def __init__(self, harness: Harness, log: Log, faults: Faults | None = None) -> None:
        self.failed = False
        self.faults = faults
        self.left: list[str] = []
        self._harness = harness
        self._log = log
        self._open: dict[int, tuple[weakref.ref[Any], str]] = {}
        self._groups: set[tuple[str, str]] = set()
        self._replaced: list[tuple[type, str, Callable[..., Any] | None]] = []

    def __enter__(self) -> Self:
        kind = type(self._log.channel("any"))
        for method in ("subscribe", "cursor", "group"):
            self._replace(kind, method, functools.partial(self._opening, method))
        return self

    def __exit__(self, *_: object) -> None:
        while self._replaced:
            kind, method, original = self._replaced.pop()
            if original is None:
                delattr(kind, method)
            else:
                setattr(kind, method, original)

    def look(self) -> list[str]:
        """What the test has left behind, if it passed: one line each."""
        if not self.failed:
            self.left = [*self._still_open(), *self._unacknowledged()]
        return self.left

    # Handles.

    def _replace(self, kind: type, method: str, make: Callable[..., Callable[..., Any]]) -> None:
        # One that is inherited stays what it is for others.
        self._replaced.append((kind, method, kind.__dict__.get(method)))
        setattr(kind, method, make(getattr(kind, method)))

    def _opening(self, method: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def opening(channel: Channel, *args: Any, **options: Any) -> Any:
            handle = original(channel, *args, **options)
            what = {"subscribe": "a subscription to", "cursor": "a cursor of"}.get(method)
            if what is None:
                self._groups.add((channel.name, handle.name))
                what = f"a consumer of the group {handle.name!r} of"
            self._remember(handle, f"{what} {channel.name!r}, opened at {_caller()}")
            return handle

        return opening

    def _remember(self, handle: Any, text: str) -> None:
        kind = type(handle)
        if (kind, "close") not in [(known, method) for known, method, _ in self._replaced]:
            self._replace(kind, "close", self._closing)
        try:
            reference = weakref.ref(handle, functools.partial(self._gone, id(handle)))
        except TypeError:
            # A handle that cannot be watched without being kept.
            return
        self._open[id(handle)] = reference, text

    def _gone(self, identity: int, reference: weakref.ref[Any]) -> None:
        known = self._open.get(identity)
        if known is not None and known[0] is reference:
            self._open.pop(identity, None)

    def _closing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def closing(handle: Any) -> Any:
            self._open.pop(id(handle), None)
            return original(handle)

        return closing

    def _still_open(self) -> Iterator[str]:
        if self._open:
            # What only a cycle holds, such as an exception that was caught, is held by nobody.
            gc.collect()
        for _, text in list(self._open.values()):
            yield f"{text}, is still held and not closed"

    def _unacknowledged(self) -> Iterator[str]:
        for channel, group in sorted(self._groups):
            try:
                info = self._newest().channel(channel).info().groups.get(group)
            except ChanlogError:
                # Deleted, or closed by the test: there is nobody left to be waited for.
                continue
            if info is not None and info.pending:
                yield (
                    f"{info.pending} unacknowledged message{'s' * (info.pending > 1)} "
                    f"of the group {group!r} of {channel!r}"
                )

    # What is told of a failure.

    def trace(self) -> str:
        """The seed of the faults and what has happened, the oldest left out where it is long."""
        assert self.faults is not None
        head, *lines = self.faults.report().splitlines()
        left_out = len(lines) - _LINES_SHOWN
        if left_out > 0:
            lines = [f"({left_out} before these)", *lines[left_out:]]
        return "\n".join([head, *lines])

    def last_messages(self, count: int) -> str:
        """The last ``count`` messages of each channel, as text."""
        lines: list[str] = []
        try:
            log = self._newest()
            names = list(islice(log.channels(), _CHANNELS_SHOWN + 1))
            for name in names[:_CHANNELS_SHOWN]:
                lines += self._last_of(log.channel(name), count)
            if len(names) > _CHANNELS_SHOWN:
                lines.append("and more channels")
        except ChanlogError as error:
            lines.append(f"cannot be read: {error}")
        return "\n".join(lines) or "there are no channels"

    def _last_of(self, channel: Channel, count: int) -> Iterator[str]:
        info = channel.info()
        ended = ", ended" if info.ended else ""
        yield f"{channel.name}: {info.count} message{'s' * (info.count != 1)}{ended}"
        with channel.subscribe(last=count) as reader:
            try:
                while (message := reader.get(timeout=0)) is not None:
                    yield f"    {_shown(message)}"
            except EndOfChannel:
                pass

    def _newest(self) -> Log:
        if self.faults is not None:
            # Not the log that fails: a look from outside changes nothing in its trace.
            return self.faults.inner
        handles = self._harness.handles
        return handles[-1] if handles else self._log


def _caller() -> str:
    """The file and line outside of chanlog from which a handle was opened."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _shown(message: Message) -> str:
    facts = [
        f"{name}={value!r}"
        for name in ("type", "key", "sender", "headers")
        if (value := getattr(message, name)) is not None
    ]
    data = repr(message.data)
    if len(data) > _DATA_SHOWN:
        data = f"{data[:_DATA_SHOWN]}... ({len(data):,} characters)"
    return " ".join([f"{message.offset}", data, *facts])

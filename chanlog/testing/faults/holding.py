"""What is published and not yet seen: messages that are held back from readers for a while."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from time import monotonic
from typing import Any

from ...channels.waking import TaskWaiter, ThreadWaiter
from ...host import Timer

__all__ = ["Hold", "Holds", "Pause", "RealTimer"]

Waiter = ThreadWaiter | TaskWaiter


class RealTimer(Timer):
    """The time of this machine, where no clock is moved by hand."""

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return monotonic()

    @contextmanager
    def alarm(self, when: float, wake: Callable[[], object]) -> Iterator[None]:
        """Call ``wake`` when it is time, unless the block has been left before."""
        timer = threading.Timer(max(0.0, when - monotonic()), wake)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def queue(self) -> Queue[Any]:
        """Nobody here waits for one."""
        raise NotImplementedError


class Hold:
    """Readers do not see ``offset``, nor what is behind it, until it is ``due`` or ``behind`` more
    messages were published to other channels."""

    __slots__ = ("behind", "due", "offset", "over", "waiters")

    def __init__(self, offset: int, due: float | None, behind: int | None) -> None:
        self.offset = offset
        self.due = due
        self.behind = behind
        self.over = False
        self.waiters: set[Waiter] = set()

    def end(self) -> None:
        """Let readers see it."""
        self.over = True
        for waiter in list(self.waiters):
            waiter.wake()


class Holds:
    """Everything that is held back, by channel. From any thread."""

    def __init__(self, timer: Timer) -> None:
        self.timer = timer
        self._lock = threading.Lock()
        self._holds: dict[str, list[Hold]] = {}

    def add(
        self, channel: str, offset: int, *, seconds: float | None = None, behind: int | None = None
    ) -> None:
        """Hold ``offset`` of a channel back."""
        due = None if seconds is None else self.timer.now() + seconds
        with self._lock:
            self._holds.setdefault(channel, []).append(Hold(offset, due, behind))

    def published(self, channel: str) -> None:
        """Something was published to ``channel``: what waits for others may be seen now."""
        if not self._holds:
            return
        over = []
        with self._lock:
            for name, holds in self._holds.items():
                for hold in holds:
                    if name != channel and hold.behind is not None and not hold.over:
                        hold.behind -= 1
                        if hold.behind == 0:
                            over.append(hold)
        for hold in over:
            hold.end()

    def at(self, channel: str, offset: int) -> Hold | None:
        """What keeps readers of ``channel`` from ``offset``, if anything does."""
        if not self._holds:
            return None
        with self._lock:
            now = self.timer.now()
            holds = [
                hold
                for hold in self._holds.get(channel, ())
                if not hold.over and (hold.due is None or hold.due > now)
            ]
            if holds:
                self._holds[channel] = holds
            else:
                self._holds.pop(channel, None)
        return next((hold for hold in holds if hold.offset <= offset), None)

    def end(self) -> None:
        """Nothing is held back any more."""
        with self._lock:
            holds = [hold for holds in self._holds.values() for hold in holds]
            self._holds = {}
        for hold in holds:
            hold.end()


class Pause:
    """How one reader waits for what is held back, or for time to pass."""

    __slots__ = ("_closed", "_timer", "_waiter")

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._waiter: Waiter | None = None
        self._closed = False

    def rest(self, hold: Hold | None, until: float | None) -> None:
        """Wait until ``hold`` is over, until then, or until it is closed."""
        waiter = ThreadWaiter(None)
        with self._waiting(waiter, hold, until):
            waiter.wait(None)

    async def arest(self, hold: Hold | None, until: float | None) -> None:
        """``rest`` without blocking the event loop."""
        waiter = TaskWaiter(asyncio.get_running_loop(), None)
        with self._waiting(waiter, hold, until):
            await waiter.future

    @contextmanager
    def _waiting(self, waiter: Waiter, hold: Hold | None, until: float | None) -> Iterator[None]:
        times = [t for t in (until, hold.due if hold else None) if t is not None]
        self._waiter = waiter
        if hold is not None:
            hold.waiters.add(waiter)
        if self._closed or (hold is not None and hold.over):
            waiter.wake()
        try:
            if times:
                with self._timer.alarm(min(times), waiter.wake):
                    yield
            else:
                yield
        finally:
            self._waiter = None
            if hold is not None:
                hold.waiters.discard(waiter)

    def close(self) -> None:
        """Wait no more, now and later."""
        self._closed = True
        waiter = self._waiter
        if waiter is not None:
            waiter.wake()

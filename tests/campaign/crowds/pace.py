"""How a crowd of threads and tasks shares one process: at a bounded load, and still on request."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Pace"]


class Pace:
    """Lets actors take steps, so many that the process uses ``share`` of a core, and none at all
    while somebody looks at it.

    An actor calls ``begin`` (or ``abegin``) before a step and ``done`` after it. ``still`` waits
    until nobody is in a step, and keeps everybody out meanwhile. After ``stop`` both ``begin``
    return False.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._condition = threading.Condition()
        self._inside = 0
        self._closed = False
        self._stopped = threading.Event()
        self._pause = 0.001
        self._seen = (time.monotonic(), time.process_time())
        self.steps = 0

    @property
    def stopped(self) -> bool:
        """Whether the crowd is to go home."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Nobody begins another step."""
        with self._condition:
            self._stopped.set()
            self._condition.notify_all()

    def _enter(self) -> bool:
        with self._condition:
            if self._closed:
                return False
            self._inside += 1
            return True

    def begin(self) -> bool:
        """Wait for one's turn; returns whether to go on at all."""
        self._stopped.wait(self._pause)
        while not self.stopped:
            if self._enter():
                return True
            with self._condition:
                self._condition.wait_for(lambda: not self._closed or self.stopped)
        return False

    async def abegin(self) -> bool:
        """``begin`` for a task."""
        await asyncio.sleep(self._pause)
        while not self.stopped:
            if self._enter():
                return True
            await asyncio.sleep(0.005)
        return False

    def done(self) -> None:
        """A step is over."""
        with self._condition:
            self.steps += 1
            self._inside -= 1
            self._condition.notify_all()

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nobody is in a step inside this block."""
        with self._condition:
            self._closed = True
            self._condition.wait_for(lambda: not self._inside or self.stopped)
        try:
            yield
        finally:
            with self._condition:
                self._closed = False
                self._condition.notify_all()

    def adjust(self) -> None:
        """Look at the load since the last time, and make the pauses longer or shorter."""
        wall, used = time.monotonic(), time.process_time()
        share = (used - self._seen[1]) / max(1e-3, wall - self._seen[0])
        self._seen = (wall, used)
        factor = min(2.0, max(0.5, share / self._share))
        self._pause = min(1.0, max(0.0002, self._pause * factor))

"""An event loop that waits through the scheduler, and whose time is that of the schedule."""

from __future__ import annotations

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import Coroutine
from typing import Any

from .scheduler import Lock, running

__all__ = ["Loop", "run"]


class Loop(BaseEventLoop):
    """What ``asyncio`` needs of a loop without any file: it sleeps on a bell."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self
        self._bell = Lock()
        self._bell.acquire()

    def time(self) -> float:
        """The time of the schedule."""
        scheduler = running()
        return scheduler.now if scheduler is not None else 1000.0

    def select(self, timeout: float | None) -> list[Any]:
        """Sleep until somebody rings."""
        if timeout != 0:
            self._bell.acquire(timeout=-1 if timeout is None else timeout)
        elif self._bell.locked():
            return []
        else:
            self._bell.acquire()
        return []

    def _process_events(self, events: list[Any]) -> None:
        """There are no files."""

    def _write_to_self(self) -> None:
        if self._bell.locked():
            self._bell.release()


def run(loop: Loop, work: Coroutine[Any, Any, Any]) -> Any:
    """Run ``work`` in ``loop``, in this thread, and close the loop."""
    asyncio.set_event_loop(None)
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()

"""The time of those who wait with a timeout, where it is not the machine's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from queue import Queue
from typing import Any

__all__ = ["Timer"]


class Timer(ABC):
    """Time-outs that pass when somebody says so.

    A log asks a timer only in the moment in which it has to wait; without one it waits on the
    machine's clock.
    """

    @abstractmethod
    def now(self) -> float:
        """Seconds since some moment; never goes backward."""

    @abstractmethod
    def alarm(self, when: float, wake: Callable[[], object]) -> AbstractContextManager[object]:
        """Call ``wake`` as soon as it is ``when``, at once if it is, unless the block has been
        left before. From any thread, in any thread."""

    @abstractmethod
    def queue(self) -> Queue[Any]:
        """A queue whose ``get(timeout=...)`` waits for so many seconds of this timer."""

"""A race without a second thread: what another one does just before a lock is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Meanwhile:
    """A lock that lets ``work`` be done just before it is taken for the ``at``-th time."""

    def __init__(self, lock: Any, work: Callable[[], object], at: int = 0) -> None:
        self.lock = lock
        self.left = at
        self.work: Callable[[], object] | None = work

    @property
    def done(self) -> bool:
        """Whether it has come to that."""
        return self.work is None

    def __enter__(self) -> None:
        if self.work is not None:
            if self.left == 0:
                work, self.work = self.work, None
                work()
            self.left -= 1
        self.lock.__enter__()

    def __exit__(self, *error: object) -> None:
        self.lock.__exit__(*error)

    def locked(self) -> bool:
        return bool(self.lock.locked())

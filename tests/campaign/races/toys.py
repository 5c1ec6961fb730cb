"""Programs with a planted race each, to show that the scheduler finds what it is there to find.

Beside each stands the same program without it. All are a mailbox: one thread puts, one takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .exploring import Scenario
from .points import Points
from .scheduler import Ending, Lock

__all__ = ["POINTS", "RIGHT", "WRONG"]

POINTS = Points("races/toys.py")


class Mailbox:
    """Right: what is looked at and what is noted is looked at and noted under one lock."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.items: list[int] = []
        self.waiting: list[Lock] = []
        self.taken = 0

    def done(self) -> None:
        """There is nothing to clear up."""

    def put(self, item: int) -> None:
        with self.lock:
            self.items.append(item)
            woken, self.waiting = self.waiting, []
        for bell in woken:
            bell.release()

    def take(self) -> int:
        while True:
            with self.lock:
                if self.items:
                    return self.items.pop()
                bell = Lock()
                bell.acquire()
                self.waiting.append(bell)
            bell.acquire()


class LooksBefore(Mailbox):
    """Looks, and then registers: what is put in between wakes nobody."""

    def take(self) -> int:
        while not self.items:
            bell = Lock()
            bell.acquire()
            with self.lock:
                self.waiting.append(bell)
            bell.acquire()
        with self.lock:
            return self.items.pop()


class WakesBefore(Mailbox):
    """Wakes, and then puts: who was woken sees nothing, and waits again for good."""

    def put(self, item: int) -> None:
        with self.lock:
            woken, self.waiting = self.waiting, []
        for bell in woken:
            bell.release()
        with self.lock:
            self.items.append(item)


class TrustsTheBell(Mailbox):
    """Takes it that whoever was woken finds something, though another may have been quicker."""

    def take(self) -> int:
        with self.lock:
            if self.items:
                return self.items.pop()
            bell = Lock()
            bell.acquire()
            self.waiting.append(bell)
        bell.acquire()
        with self.lock:
            return self.items.pop()


class CountsAlone(Mailbox):
    """Counts what was taken without the lock: of two at once one is forgotten."""

    def take(self) -> int:
        item = super().take()
        taken = self.taken
        self.taken = taken + 1
        return item


class CountsTogether(Mailbox):
    """The same, with it."""

    def take(self) -> int:
        item = super().take()
        with self.lock:
            self.taken += 1
        return item


class LocksCrosswise(Mailbox):
    """Takes two locks, and the other thread takes them the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.other = Lock()

    def put(self, item: int) -> None:
        with self.other:
            with self.lock:
                self.items.append(item)

    def take(self) -> int:
        with self.lock:
            with self.other:
                return len(self.items)


def _scenario(make: type[Mailbox], threads: list[Callable[[Mailbox], Any]]) -> Scenario:
    def check(box: Mailbox, endings: list[Ending]) -> None:
        taken = [ending.result() for ending in endings]
        if isinstance(box, CountsAlone | CountsTogether):
            assert box.taken == len(taken) - taken.count(None)

    return Scenario(make.__name__, make, threads, check)


def put(box: Mailbox) -> None:
    box.put(1)


def put_two(box: Mailbox) -> None:
    box.put(1)
    box.put(2)


def take(box: Mailbox) -> int:
    return box.take()


RIGHT = (
    _scenario(Mailbox, [put, take]),
    _scenario(Mailbox, [put_two, take, take]),
    _scenario(CountsTogether, [put_two, take, take]),
)
WRONG = (
    _scenario(LooksBefore, [put, take]),
    _scenario(WakesBefore, [put, take]),
    _scenario(TrustsTheBell, [put_two, take, take]),
    _scenario(CountsAlone, [put_two, take, take]),
    _scenario(LocksCrosswise, [put, take]),
)

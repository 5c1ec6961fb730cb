"""The ledger: what was begun and what was acknowledged, in memory that outlives who writes it."""

from __future__ import annotations

from mmap import mmap

__all__ = ["Ledger", "Tally", "Violation"]


class Violation(Exception):
    """A promise was broken."""


class Ledger:
    """Numbers of 64 bits in memory that this process shares with its children.

    Setting one is a single store, so a kill leaves the old number or the new one. ``mode`` says
    what is held against what is found: after a ``kill`` an operation that was acknowledged is
    there, and the one behind it wholly or not at all; after a power cut, ``power``, all that was
    durable is there, and nothing that was not begun.
    """

    def __init__(self, mode: str = "kill", slots: int = 512) -> None:
        self.mode = mode
        self.slots = memoryview(mmap(-1, 8 * slots)).cast("Q")
        self.frozen: list[int] | None = None
        self.tallies: list[Tally] = []
        self._used = 0

    def slot(self) -> int:
        """The place of a number that nobody has yet."""
        self._used += 1
        return self._used - 1

    def freeze(self) -> None:
        """From here on nothing that is promised counts: the power is about to be cut.

        While it is, the system may say that something is durable which never will be. XFS, shut
        down in the middle of an fsync, forgets that there was something to wait for.
        """
        self.frozen = list(self.slots)

    def thaw(self) -> None:
        """It has been checked, and settled."""
        self.frozen = None

    def tally(self, what: str) -> Tally:
        """A new tally; ``what`` names it where something is wrong."""
        self.tallies.append(Tally(self, what))
        return self.tallies[-1]


class Slot:
    """A number of a tally; each is set by one thread only."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._place = "_" + name

    def __get__(self, tally: Tally, owner: type) -> int:
        return tally.ledger.slots[getattr(tally, self._place)]

    def __set__(self, tally: Tally, value: int) -> None:
        tally.ledger.slots[getattr(tally, self._place)] = value


class Tally:
    """How far one thing has come, counted in operations that happen one after the other.

    ``begun`` is the count once the call that is under way has happened, ``done`` the count that
    was acknowledged. ``durable`` was acknowledged by a durable call, ``synced`` lies below a
    ``log.sync()``, ``promised`` below a ``durable_offset``; ``seen`` has been seen by a reader.
    """

    begun = Slot()
    done = Slot()
    durable = Slot()
    synced = Slot()
    promised = Slot()
    seen = Slot()

    def __init__(self, ledger: Ledger, what: str) -> None:
        self.ledger = ledger
        self.what = what
        for name in ("begun", "done", "durable", "synced", "promised", "seen"):
            setattr(self, "_" + name, ledger.slot())

    @property
    def least(self) -> int:
        """How much must be there."""
        if self.ledger.mode == "kill":
            return max(self.done, self.seen)
        slots = self.ledger.frozen or self.ledger.slots
        return max(slots[place] for place in (self._durable, self._synced, self._promised))

    def judge(self, found: int) -> int:
        """Hold ``found`` against what was promised, and return it. Raises ``Violation``."""
        if found < self.least:
            raise Violation(f"{self.what}: {found} found, {self.least} promised ({self._facts()})")
        if found > self.begun:
            raise Violation(f"{self.what}: {found} found, {self.begun} begun ({self._facts()})")
        if self.ledger.mode == "kill" and found not in (self.done, self.begun):
            raise Violation(f"{self.what}: a part of a call, {found} ({self._facts()})")
        return found

    def possible(self) -> list[int]:
        """Every count that ``judge`` lets pass."""
        if self.ledger.mode == "kill":
            return sorted({self.done, self.begun})
        return list(range(self.least, self.begun + 1))

    def settle(self, found: int) -> None:
        """What was found is what there is, and must never be less again."""
        self.begun = self.done = self.durable = self.synced = self.promised = self.seen = found

    def _facts(self) -> str:
        return (
            f"begun {self.begun}, done {self.done}, durable {self.durable}, synced {self.synced}, "
            f"promised {self.promised}, seen {self.seen}"
        )

"""What a consumer group is at, folded from the events that its companion channel keeps.

An event is a list, and sets what it says outright, so that folding one twice does no harm:

=========  ======================================================================================
delivered  ``[0, offset, count, deliveries, due]``: leased until ``due``; an extended lease is the
           same again with a later one. ``count`` is 1, or how many messages a gap stands for
acked      ``[1, offset]``
returned   ``[2, offset, due, delay]``: given back, and to be delivered again from ``due`` on
dead       ``[3, offset, how many are dead by then]``
snapshot   ``[4, next, dead, [[offset, deliveries, due, delay or nil], ...], [[start, stop], ...]]``
=========  ======================================================================================

Times are nanoseconds since 1970.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any

from sortedcontainers import SortedDict, SortedList, SortedSet

from ..errors import FormatError
from ..group import GroupInfo

__all__ = ["ACKED", "DEAD", "DELIVERED", "RETURNED", "SNAPSHOT", "Entry", "GroupState"]

DELIVERED, ACKED, RETURNED, DEAD, SNAPSHOT = range(5)

# The key of a message that was delivered before the log was opened, until somebody asks.
_UNREAD: Any = object()
_STALE_MAX = 64


class Entry:
    """A message that was delivered and is not done with. ``delay_ns`` is ``None`` while it is
    leased, and the delay with which it was given back afterwards."""

    __slots__ = ("delay_ns", "deliveries", "due_ns", "key")

    def __init__(self, deliveries: int, due_ns: int, delay_ns: int | None, key: Any) -> None:
        self.deliveries = deliveries
        self.due_ns = due_ns
        self.delay_ns = delay_ns
        self.key = key


class GroupState:
    """What has become of each message. Not thread-safe, and in no order any more once a signal
    has interrupted a change of it: then it is folded anew.

    All below ``next`` was looked at: what is in ``entries`` was delivered, what is in ``passed``
    was passed over for its key, and all the rest is done with. ``lines`` has for each key the
    offsets that are not done with, in order, since somebody has asked for that order; then
    ``free`` are those of ``passed`` that are first in their line.
    """

    __slots__ = ("_due", "_start", "dead", "entries", "free", "lines", "next", "passed", "ready")

    def __init__(self) -> None:
        self.next = 0
        self.dead = 0
        self.entries: SortedDict[int, Entry] = SortedDict()
        self.passed: SortedList[int] = SortedList()
        self.free: SortedSet[int] = SortedSet()
        self.ready: SortedSet[int] = SortedSet()
        self.lines: dict[str, deque[int]] | None = None
        self._due: list[tuple[int, int]] = []
        self._start = 0

    # Folding.

    def fold(self, event: Any, start: int) -> None:
        """Take in an event that was stored; ``start`` is where the channel begins by now."""
        try:
            kind = event[0]
            if kind == DELIVERED:
                _, offset, count, deliveries, due_ns = event
                self.delivered(offset, count, deliveries, due_ns, _UNREAD, start)
            elif kind == ACKED:
                self.done(event[1])
            elif kind == RETURNED:
                self.returned(*event[1:])
            elif kind == DEAD:
                self.done(event[1])
                self.dead = event[2]
            elif kind == SNAPSHOT:
                self._restore(*event[1:])
            else:
                raise ValueError(kind)
        except (LookupError, TypeError, ValueError) as error:
            raise FormatError(f"a group was kept as {event!r}, which says nothing") from error

    def delivered(
        self, offset: int, count: int, deliveries: int, due_ns: int, key: Any, start: int
    ) -> None:
        """The message at ``offset`` is leased until ``due_ns``."""
        if offset >= self.next:
            if offset > self.next:
                self.passed.update(range(max(self.next, start), offset))
            self.next = offset + count
            if self.lines is not None and key is not None:
                self.lines.setdefault(key, deque()).append(offset)
        entry = self.entries.get(offset)
        if entry is None:
            self.passed.discard(offset)
            self.free.discard(offset)
            entry = self.entries[offset] = Entry(deliveries, due_ns, None, key)
        entry.deliveries = deliveries
        self._schedule(offset, entry, due_ns, None)

    def returned(self, offset: int, due_ns: int, delay_ns: int) -> None:
        """The message at ``offset`` was given back, to be delivered again from ``due_ns`` on."""
        entry = self.entries.get(offset)
        if entry is not None:
            self._schedule(offset, entry, due_ns, delay_ns)

    def done(self, offset: int) -> None:
        """The message at ``offset`` is done with."""
        entry = self.entries.pop(offset, None)
        if entry is None:
            return
        self.ready.discard(offset)
        if self.lines is not None and entry.key is not None:
            line = self.lines[entry.key]
            line.remove(offset)
            self._call(entry.key, line)

    def pass_over(self, offset: int, key: str) -> None:
        """The message at ``offset``, which is the next, has to wait for others of its key."""
        assert self.lines is not None
        self.lines[key].append(offset)
        self.passed.add(offset)
        self.next = offset + 1

    def forget(self, start: int) -> None:
        """Everything below ``start`` was trimmed away: nobody can handle it."""
        if start <= self._start:
            return
        self._start = start
        self.next = max(self.next, start)
        for offset in list(self.entries.irange(None, start, (True, False))):
            self.done(offset)
        if not self.passed or self.passed[0] >= start:
            return
        del self.passed[: self.passed.bisect_left(start)]
        del self.free[: self.free.bisect_left(start)]
        for key, line in list((self.lines or {}).items()):
            while line and line[0] < start:
                line.popleft()
            self._call(key, line)

    def _call(self, key: str, line: deque[int]) -> None:
        """Whoever is first in a line now may be delivered."""
        assert self.lines is not None
        if not line:
            del self.lines[key]
        elif line[0] not in self.entries:
            self.free.add(line[0])

    def _schedule(self, offset: int, entry: Entry, due_ns: int, delay_ns: int | None) -> None:
        entry.due_ns, entry.delay_ns = due_ns, delay_ns
        self.ready.discard(offset)
        heappush(self._due, (due_ns, offset))
        if len(self._due) > 2 * len(self.entries) + _STALE_MAX:
            self._reschedule()

    def _reschedule(self) -> None:
        self._due = [(entry.due_ns, offset) for offset, entry in self.entries.items()]
        heapify(self._due)

    # As a whole.

    def snapshot(self) -> list[Any]:
        """The event that says all there is to know."""
        entries = [
            [offset, entry.deliveries, entry.due_ns, entry.delay_ns]
            for offset, entry in self.entries.items()
        ]
        return [SNAPSHOT, self.next, self.dead, entries, list(_runs(self.passed))]

    def _restore(self, next: int, dead: int, entries: list[Any], runs: list[Any]) -> None:
        self.next, self.dead = next, dead
        self.entries.clear()
        self.passed.clear()
        for offset, deliveries, due_ns, delay_ns in entries:
            self.entries[offset] = Entry(deliveries, due_ns, delay_ns, _UNREAD)
        for start, stop in runs:
            self.passed.update(range(start, stop))
        self._reschedule()

    def reopen(self, now_ns: int) -> None:
        """The log was opened: nobody has a lease any more. What was given back waits for no
        longer than it was to wait then, whatever the clock says now."""
        for entry in self.entries.values():
            if entry.delay_ns is None:
                entry.due_ns = now_ns
            else:
                entry.due_ns = min(entry.due_ns, now_ns + entry.delay_ns)
        self._reschedule()

    def line_up(self, key_of: Callable[[int], str | None]) -> None:
        """Keep the order of keys from now on; asks for the key of what was met before."""
        lines: dict[str, deque[int]] = {}
        self.free.clear()
        for offset in sorted([*self.entries, *self.passed]):
            entry = self.entries.get(offset)
            key = key_of(offset) if entry is None or entry.key is _UNREAD else entry.key
            if entry is not None:
                entry.key = key
            if key is None:
                if entry is None:
                    self.free.add(offset)
                continue
            line = lines.setdefault(key, deque())
            line.append(offset)
            if entry is None and len(line) == 1:
                self.free.add(offset)
        self.lines = lines

    # Looking.

    def choose(self, now_ns: int, by_key: bool) -> int | None:
        """Which of those that were met already is to be delivered now."""
        self.next_due(now_ns)
        for offset in self.ready:
            if not by_key or self._leads(offset):
                found: int = offset
                return found
        pool = self.passed if self.lines is None else self.free
        return pool[0] if pool else None

    def _leads(self, offset: int) -> bool:
        key = self.entries[offset].key
        return key is None or self.lines is None or self.lines[key][0] == offset

    def next_due(self, now_ns: int) -> int | None:
        """When the next is due that is not yet; those that are become ``ready``."""
        due = self._due
        while due:
            due_ns, offset = due[0]
            entry = self.entries.get(offset)
            if entry is not None and entry.due_ns == due_ns:
                if due_ns > now_ns:
                    return due_ns
                self.ready.add(offset)
            heappop(due)
        return None

    def is_done(self, end: int) -> bool:
        """Whether everything below ``end`` is done with."""
        return self.next >= end and not self.entries and not self.passed

    def info(self, name: str, end: int, now_ns: int) -> GroupInfo:
        """The numbers, for a channel that ends at ``end``."""
        leased = sum(
            entry.delay_ns is None and entry.due_ns > now_ns for entry in self.entries.values()
        )
        position = self.next
        if self.entries:
            position = min(position, self.entries.keys()[0])
        if self.passed:
            position = min(position, self.passed[0])
        return GroupInfo(
            name=name,
            position=position,
            pending=leased,
            waiting=len(self.entries) - leased,
            lag=max(0, end - self.next) + len(self.passed),
            dead=self.dead,
        )


def _runs(offsets: SortedList[int]) -> Iterator[list[int]]:
    """Ascending offsets as [start, stop) each."""
    start = stop = -1
    for offset in offsets:
        if offset != stop:
            if start >= 0:
                yield [start, stop]
            start = offset
        stop = offset + 1
    if start >= 0:
        yield [start, stop]

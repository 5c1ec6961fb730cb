"""Reading a channel: where its batches are, decoded in runs.

A ``Reader`` is only an offset into the log. What it remembers beside that is a hint, which it
checks before use: the segment may have been rewritten since.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest
from operator import attrgetter
from weakref import ref

from ..errors import CorruptionError, OffsetTrimmed
from ..format.batch import HEADER, HEADER_BYTES, MESSAGES, Header, read_header
from ..format.body import messages
from ..format.segment import Entry
from ..message import Message
from .clustered import (
    ClusteredSegment,
    Segment,
    behind,
    offset_before,
    offset_behind,
    stretch_of,
)
from .refusals import sealed
from .run import Run
from .segment import RawSegment
from .state import ChannelState
from .store import Store
from .syncing import confirm

__all__ = ["Reader", "first_offset_since"]

RUN_COUNT_MAX = 256
_read_header = HEADER.unpack_from


class Reader:
    """Reads one channel in order of offsets. For one thread at a time; takes no lock."""

    __slots__ = (
        "_below", "_number", "_place", "_segment", "_since", "_source", "_store", "state",
    )  # fmt: skip

    def __init__(self, store: Store, state: ChannelState) -> None:
        self._store = store
        self.state = state
        # Weakly: a reader that has nothing to do for long must not keep the file, and the
        # descriptor, of a segment that was rewritten since.
        self._segment: ref[Segment] | None = None
        # Whose messages they are, this channel's or a fork parent's, and up to which offset.
        self._source = 0
        self._below = 0
        # In a raw segment an index into its positions, in a clustered one a position.
        self._place = 0
        # The number of the segment that was found last, and the offset that was looked for.
        self._number = 0
        self._since = 1 << 63

    def run(self, offset: int, stop: int, stretch: int = 1) -> Run:
        """Batches from the one that holds ``offset``, below ``stop`` (which is above it).

        At least one message; of a raw segment at most ``RUN_COUNT_MAX`` messages or one larger
        batch, of a clustered one at most ``stretch`` batches. Where the log holds nothing for
        ``offset`` the run is a gap. Raises ``OffsetTrimmed``, ``ChannelDeleted``, and with
        ``on_corruption="raise"`` ``CorruptionError``.
        """
        for _ in range(_TRIES_MAX):
            self.check(offset)
            hint = self._segment
            segment = hint() if hint is not None else None
            try:
                if segment is None or segment.retired or offset >= self._below:
                    segment, after = self._locate(offset)
                    if segment is None:
                        # It may have been trimmed while we looked for it.
                        self.check(offset)
                        return Run(None, [], offset, min(stop, after), channel=self.state.name)
                run = self._take(segment, offset, min(stop, self._below), stretch)
            except FileNotFoundError:
                # It was rewritten: by this process, or by the owner if that is another one.
                self._store.relist()
                run = None
            if run is not None:
                return run
            self._segment = None
        raise CorruptionError(
            f"offset {offset} of {self.state.name!r} should be in one place, and is in another: "
            "checksums are right, and what they cover contradicts itself; see `chanlog verify`",
            path=self._store.folder.path,
            start=0,
            stop=0,
            channel=self.state.name,
            first_offset=offset,
            stop_offset=offset + 1,
        )

    def newest(self, offset: int) -> Message | None:
        """The message at ``offset`` if it is the last one that was published and lies by itself in
        the active segment; ``None`` is no answer. For whoever keeps up: a small part of a run."""
        state = self.state
        segment, positions = state.segment, state.positions
        if segment is None or not positions or state.deleted:
            return None
        # Whatever another thread does between two of these looks, this header tells.
        position = positions[-1]
        if not segment.trusted <= position < segment.tail:
            return None
        (_, kind, flags, salt, length, _, id, count, base, time_ns, _) = _read_header(
            segment.map, position
        )
        if (base, id, kind, salt, count) != (offset, state.id, MESSAGES, segment.salt, 1):
            return None
        return messages(segment.map, position, length, flags, 1, base, time_ns)[0]

    def check(self, offset: int) -> None:
        """Raise if ``offset`` cannot be read any more."""
        state = self.state
        if offset < state.start_offset:
            confirm(self._store)
            # A delete says so first, and then moves the start behind everything.
            if state.deleted:
                raise sealed(state)
            raise OffsetTrimmed(
                f"offset {offset} of {state.name!r} was trimmed; the first that can be read is "
                f"{state.start_offset}",
                channel=state.name,
                offset=offset,
                start_offset=state.start_offset,
            )
        if state.deleted:
            confirm(self._store)
            raise sealed(state)

    def _take(self, segment: Segment, offset: int, stop: int, stretch: int) -> Run | None:
        """The run at the hint, or ``None`` if the hint does not lead to ``offset``."""
        if isinstance(segment, RawSegment):
            return self._take_raw(segment, offset, stop)
        return self._take_clustered(segment, offset, stop, stretch)

    def _take_raw(self, segment: RawSegment, offset: int, stop: int) -> Run | None:
        positions = segment.positions(self._source)
        place = self._place
        if place >= len(positions):
            return None
        mapped = segment.map
        position = positions[place]
        if position < segment.trusted and not segment.are_right(
            positions[place : place + RUN_COUNT_MAX], self._source
        ):
            return self._take_untrusted(segment, positions, offset, stop)
        header = _read_header(mapped, position)
        base, count = header[8], header[7]
        end = base + count
        if not base <= offset < end:
            return None
        # Offsets only grow, so if the last of n batches is n - 1 offsets on, each has one message.
        last = min(len(positions), place + RUN_COUNT_MAX, place + stop - base)
        header = _read_header(mapped, positions[last - 1])
        if header[7] == 1 and header[8] - base == last - 1 - place:
            taken = positions[place:last]
            self._place = last
            return Run(mapped, taken, offset, base + last - place, raw=True, single=True)
        taken = positions[place : place + 1]
        for position in positions[place + 1 : last]:
            header = _read_header(mapped, position)
            if header[8] != end or end >= stop or count >= RUN_COUNT_MAX:
                break
            taken.append(position)
            end += header[7]
            count += header[7]
        self._place = place + len(taken) - (end > stop)
        return Run(mapped, taken, offset, min(stop, end), raw=True)

    def _take_untrusted(
        self, segment: RawSegment, positions: array[int], offset: int, stop: int
    ) -> Run | None:
        """One batch of a stretch that the catalog knows of, and in which some are damaged."""
        position = positions[self._place]
        base, end = segment.base_offset(position), segment.end_offset(position)
        if not base <= offset < end:
            return None
        stop = min(stop, end)
        if not segment.is_right(position, self._source):
            self._refuse(segment, position, offset, end)
            return Run(None, [], offset, stop, channel=self.state.name)
        self._place += end <= stop
        return Run(segment.map, [position], offset, stop, raw=True)

    def _refuse(self, segment: RawSegment, position: int, first: int, stop: int) -> None:
        """Raise for a damaged batch, unless the log may go on without it."""
        if self._store.options.on_corruption == "raise":
            header = read_header(segment.map, position, segment.tail, segment.salt)
            length = HEADER_BYTES if header is None else header.length
            raise CorruptionError(
                f"{segment.name}, position {position}: messages {first} to {stop} of "
                f"{self.state.name!r} are damaged; nothing was changed. Restore the file from a "
                'copy, or open with on_corruption="gap" to go on without them',
                path=self._store.path_of(segment.name),
                start=position,
                stop=position + length,
                channel=self.state.name,
                first_offset=first,
                stop_offset=stop,
            )

    def _take_clustered(
        self, segment: ClusteredSegment, offset: int, stop: int, stretch: int
    ) -> Run | None:
        entry = segment.index.find(self._source)
        if entry is None or not entry.base <= offset < entry.end:
            return None
        position = self._place
        while position < entry.stop:
            header = self._verified(segment, entry, position, offset)
            base = header.start if isinstance(header, Run) else header.base
            if base > offset and position == self._place != entry.position:
                # The hint is ahead: the reader went back, or was interrupted before it went on.
                return None
            if isinstance(header, Run):
                if header.stop > offset:
                    self._place = position
                    return Run(None, [], offset, min(header.stop, stop), channel=self.state.name)
                position = behind(segment, entry, position)
                continue
            if header.base > offset:
                # Only a gap can lie between two batches of one segment.
                self._place = position
                return Run(None, [], offset, min(stop, header.base), channel=self.state.name)
            end = header.base + header.count
            if offset < end:
                taken, position, end = stretch_of(segment, entry, position, stop, stretch)
                self._place = position if end <= stop else taken[-1]
                return Run(segment.map, taken, offset, min(stop, end))
            position += header.length
        return None

    def _verified(
        self, segment: ClusteredSegment, entry: Entry, position: int, offset: int
    ) -> Header | Run:
        """The header at ``position``, or the gap it has become if the log may go on without, or
        if ``offset`` lies behind it."""
        try:
            return segment.verify(position, entry.stop, entry.channel)
        except CorruptionError as error:
            error.channel = self.state.name
            if error.first_offset is None or error.stop_offset is None:
                # Of a damaged header not even the length is known: the gap goes on to whatever
                # can be read next.
                error.stop = behind(segment, entry, position)
                error.first_offset = offset_before(segment, entry, position)
                error.stop_offset = offset_behind(segment, entry, error.stop)
            if self._store.options.on_corruption == "raise" and offset < error.stop_offset:
                raise
            return Run(None, [], error.first_offset, error.stop_offset, channel=self.state.name)

    def _locate(self, offset: int) -> tuple[Segment | None, int]:
        """The segment that holds ``offset``, with the hint set to it; or ``None`` and the offset
        at which the gap ends."""
        source, self._below = self._lineage(offset)
        goes_on = source == self._source and offset >= self._since
        self._source = source
        segment, after = self._ahead(offset) if goes_on else self._back(offset)
        if segment is None:
            return None, after
        if isinstance(segment, RawSegment):
            positions = segment.positions(source)
            low = self._first_right(segment, positions, offset)
            place = bisect_right(positions, offset, lo=low, key=segment.base_offset) - 1
            if offset >= segment.end_offset(positions[place]):
                return None, min(after, segment.base_offset(positions[place + 1]))
            self._place = place
        else:
            entry = segment.index.find(source)
            assert entry is not None
            self._place = segment.place_of(entry, offset)
        self._segment = ref(segment)
        self._number, self._since = segment.first, offset
        return segment, after

    def _back(self, offset: int) -> tuple[Segment | None, int]:
        """The segment with ``offset``; or where the gap ends. Who comes from nowhere most often
        wants what is new; what is old is found by bisection."""
        after = self._below
        segments = self._store.segments
        for place in range(len(segments) - 1, -1, -1):
            if place == len(segments) - _LOOKED_THROUGH:
                with suppress(CorruptionError):
                    return self._bisect(segments[: place + 1], offset, after)
                # It has looked into older ones too, whose damage is nothing to who reads here.
            span = self._span(segments[place], offset)
            if span is None:
                continue
            if span[0] <= offset:
                return (segments[place] if offset < span[1] else None), after
            after = min(after, span[0])
        return None, after

    def _bisect(
        self, segments: Sequence[Segment], offset: int, after: int
    ) -> tuple[Segment | None, int]:
        """The same among ``segments``, each of which may have nothing of the source."""
        low, high = 0, len(segments)
        while low < high:
            middle = place = (low + high) // 2
            span = self._span(segments[place], offset)
            while span is None and place > low:
                place -= 1
                span = self._span(segments[place], offset)
            if span is None or offset >= span[1]:
                low = middle + 1
            elif span[0] <= offset:
                return segments[place], after
            else:
                high, after = place, min(after, span[0])
        return None, after

    def _ahead(self, offset: int) -> tuple[Segment | None, int]:
        """The same from the last one on, which is the quick way for who reads on: there may be
        thousands of segments."""
        segments = self._store.segments
        place = bisect_right(segments, self._number, key=attrgetter("first"))
        for number in range(max(0, place - 1), len(segments)):
            span = self._span(segments[number], offset)
            if span is not None and offset < span[1]:
                if span[0] <= offset:
                    return segments[number], self._below
                return None, min(self._below, span[0])
        return None, self._below

    def _span(self, segment: Segment, offset: int) -> tuple[int, int] | None:
        """(base, end) of the offsets that ``segment`` has of the source, if any. What lies before
        may be left out if ``offset`` does not."""
        if isinstance(segment, ClusteredSegment):
            try:
                entry = segment.index.find(self._source)
            except CorruptionError as error:
                error.channel = self.state.name
                if self._store.options.on_corruption == "raise":
                    raise
                return None
            return (entry.base, entry.end) if entry is not None else None
        positions = segment.positions(self._source)
        if not positions:
            return None
        low = self._first_right(segment, positions, offset)
        if low == len(positions):
            return None
        return segment.base_offset(positions[low]), segment.end_offset(positions[-1])

    def _first_right(self, segment: RawSegment, positions: array[int], offset: int) -> int:
        """The index from which on all headers are right, such that ``offset`` is not before it.

        Positions that come from the catalog alone have their headers verified first, once.
        """
        if positions[0] >= segment.trusted or self._source in segment.checked:
            return 0
        place = bisect_left(positions, segment.trusted)
        if place < len(positions) and segment.base_offset(positions[place]) <= offset:
            return place
        with self._store.lock:
            known = positions[:place]
            right = [p for p in known if segment.has_right_header(p, self._source)]
            found = array("I", _in_order(segment, right))
            if found != known:
                wrong = next(p for p, q in zip_longest(known, found) if p != q)
                self._refuse(segment, wrong, offset, self.state.end_offset)
                positions[:place] = found
            segment.checked.add(self._source)
        return 0

    def _lineage(self, offset: int) -> tuple[int, int]:
        """(id of the channel that published ``offset``, the offset up to which that holds).

        A fork has the messages below its fork offset from its parent, which may have been deleted
        since but is kept for this.
        """
        state = self.state
        below = 1 << 63
        while state.parent is not None and offset < state.parent[1]:
            below = min(below, state.parent[1])
            parent = self._store.parent_of(state)
            if parent is None:
                break
            state = parent
        return state.id, below


# How many segments are looked through from the newest on before the others are bisected.
_LOOKED_THROUGH = 4

# A hint can be stale once, and a segment can be rewritten while it is being located; each try
# begins from what is true then.
_TRIES_MAX = 100


def _in_order(segment: RawSegment, positions: list[int]) -> list[int]:
    """Those of ``positions`` with different offsets, in the order of offsets: what was written in
    the wrong place is right all the same, and what was written twice counts once."""
    found: list[int] = []
    end = 0
    for position in sorted(positions, key=segment.base_offset):
        if segment.base_offset(position) >= end:
            found.append(position)
            end = segment.end_offset(position)
    return found


def first_offset_since(store: Store, state: ChannelState, time_ns: int) -> int:
    """The offset of the first message published at or after ``time_ns``; the end if none was.

    Times never decrease within a log, so this is a bisection. A gap is as old as what follows it.
    """
    low, high = state.start_offset, state.end_offset
    while low < high:
        middle = (low + high) // 2
        behind = middle
        while behind < high:
            run = Reader(store, state).run(behind, behind + 1 if behind == middle else high)
            if run.buffer is not None:
                break
            behind = run.stop
        if behind < high and run.messages()[0].time_ns < time_ns:
            low = behind + 1
        else:
            high = middle
    return low

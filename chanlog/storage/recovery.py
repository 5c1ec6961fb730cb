"""Opening a log after whatever happened to it: what is right, what is torn, what is damaged."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CorruptionError, FormatError
from ..format.batch import HEADER_BYTES, MESSAGES, ROLLED, Header, read_header
from ..format.names import raw_name, temporary, torn_name
from ..format.segment import SEGMENT_HEADER_BYTES
from .applying import apply, inside, name_lost, set_at_once
from .clustered import ClusteredSegment
from .scanning import (
    batch_at,
    batches_of_any_salt,
    inside_damaged_frame,
    last_nonzero,
    next_batch,
)
from .segment import POSITION_BITS, RawSegment, ends, log_position
from .state import ChannelState
from .store import Store
from .sweeping import sweep

__all__ = ["Damage", "Recovery", "SegmentMissing", "TornTail", "recover"]

_COPY_BYTES = 1 << 20
_MISSING_MAX = 1000


@dataclass(frozen=True, slots=True)
class TornTail:
    """An unfinished tail: bytes ``start`` to ``stop`` of ``path``, kept as ``kept_as``."""

    path: Path | None
    start: int
    stop: int
    kept_as: Path | None


@dataclass(frozen=True, slots=True)
class Damage:
    """Durable bytes that are damaged, and the messages in them where that is known."""

    path: Path | None
    start: int
    stop: int
    channel: str | None
    first_offset: int | None
    stop_offset: int | None


@dataclass(slots=True)
class Recovery:
    """What opening a log has found. ``clean``: the owner had closed it, and nothing was wrong."""

    clean: bool = False
    torn: list[TornTail] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    catalog_rebuilt: bool = False
    scanned_bytes: int = 0


class SegmentMissing(CorruptionError):
    """A file that was durable is not there."""


def recover(
    store: Store,
    raws: list[RawSegment],
    clustered: list[ClusteredSegment],
    starts: dict[int, int],
    durable: int,
    report: Recovery,
) -> int:
    """Apply the segments in order: raw ones from the position that ``starts`` has for their first
    number, clustered ones if it has any.

    Together there is one segment for each number. ``durable`` is the log position that is known to
    have been durable; every batch says more. Takes those out of ``raws`` that were never durable
    as a whole. Returns the log position below which all was durable, as far as anything tells.
    """
    recoverer = Recoverer(store, raws, clustered, durable, report)
    recoverer.run(starts)
    return recoverer.durable


class Recoverer:
    """One pass over the segments of a log that is being opened by one thread."""

    def __init__(
        self,
        store: Store,
        raws: list[RawSegment],
        clustered: list[ClusteredSegment],
        durable: int,
        report: Recovery,
    ) -> None:
        self._store = store
        self._raws = raws
        self._clustered = clustered
        self.durable = durable
        self._report = report
        self._looked_ahead = False

    def run(self, starts: dict[int, int]) -> None:
        """Walk all of them; stop where a torn tail was cut."""
        places = {segment.first: place for place, segment in enumerate(self._raws)}
        clustered = {segment.first: segment for segment in self._clustered}
        spans = [segment.span for segment in self._clustered]
        spans += [(number, number) for number in places]
        last = 0
        for first, stop in sorted(spans):
            place = places.get(first, -1)
            if first > last + 1:
                if place >= 0 and self._is_torn(place, last + 1):
                    self._cut_all(place)
                    return
                self._missing(last + 1, first - 1)
            last = max(last, stop)
            if place < 0:
                if first in starts:
                    self._take_in(clustered[first])
            elif not self._raw(place, starts.get(first)):
                return
        if self.durable > log_position(last + 1, SEGMENT_HEADER_BYTES):
            self._missing(last + 1, self.durable >> POSITION_BITS)

    def _take_in(self, segment: ClusteredSegment) -> None:
        """Apply a clustered segment; what is damaged is raised, or noted if the log is to go on."""
        try:
            _, damage = apply_clustered(self._store, segment)
        except CorruptionError as error:
            if self._store.options.on_corruption == "raise":
                raise
            damage = [error]
        self._report.damage += [
            Damage(found.path, found.start, found.stop, None, None, None) for found in damage
        ]

    def _is_torn(self, place: int, number: int) -> bool:
        """Whether nothing in segment ``number``, at or before ``place``, was ever durable."""
        self._look_ahead(place, self._raws[place].tail)
        return self.durable <= log_position(number, SEGMENT_HEADER_BYTES)

    def _raw(self, place: int, start: int | None) -> bool:
        """Walk one raw segment, if it is to be; returns whether the log goes on behind it."""
        segment = self._raws[place]
        if not segment.salt:
            # The header is stored before the first batch, but a power cut may keep any of both.
            if self._is_torn(place, segment.first):
                self._cut_all(place)
                return False
            self._beheaded(segment)
            if not segment.salt:
                return True
        return start is None or self._segment(place, segment, start)

    def _beheaded(self, segment: RawSegment) -> None:
        """The header was durable and is damaged: raise, or note it and go on with what follows."""
        self._damaged(segment, 0, SEGMENT_HEADER_BYTES)
        found = next(batches_of_any_salt(segment.map, SEGMENT_HEADER_BYTES, segment.size), None)
        if found is not None:
            segment.salt = found[1].salt
        else:
            self._damaged(segment, SEGMENT_HEADER_BYTES, segment.size)
            segment.tail = segment.size

    def _missing(self, first: int, last: int) -> None:
        """A whole file is gone: raise, or note it if the log is to go on."""
        store = self._store
        # A mark that is nonsense may speak of any number.
        for number in range(first, min(last + 1, first + _MISSING_MAX)):
            name = raw_name(number)
            if store.options.on_corruption == "raise":
                raise SegmentMissing(
                    f"{name}, or the clustered segment made from it, was durable and is not there; "
                    "nothing was changed. Restore the file from a copy, or open with "
                    'on_corruption="gap" to go on without its messages',
                    path=store.path_of(name),
                    start=0,
                    stop=0,
                    channel=None,
                    first_offset=None,
                    stop_offset=None,
                )
            self._report.damage.append(Damage(store.path_of(name), 0, 0, None, None, None))

    def _segment(self, place: int, segment: RawSegment, position: int) -> bool:
        """Walk one segment. Returns whether the log goes on behind it."""
        last = place == len(self._raws) - 1
        while True:
            start = position
            if not self._report.damage:
                position, mark = sweep(self._store, segment, position)
                self.durable = max(self.durable, mark)
            header = batch_at(segment.map, position, segment.size, segment.salt)
            if header is not None and self._is_misplaced(segment, position, header):
                header = None
            if header is not None:
                self.durable = max(self.durable, header.mark)
                self._apply(segment, position, header)
                position += header.length
            segment.tail = position
            self._report.scanned_bytes += position - start
            if header is not None:
                if header.kind == ROLLED:
                    return True
                continue
            if last and self._is_end(segment, position):
                return True
            resumed = self._broken(place, segment, position)
            if resumed is None:
                return False
            if resumed == segment.size:
                return True
            position = resumed

    def _is_misplaced(self, segment: RawSegment, position: int, header: Header) -> bool:
        """Whether a right batch cannot have been written here: a sector of the same file was
        written in the wrong place."""
        if header.mark > log_position(segment.first, position):
            return True
        if header.kind == ROLLED and not ends(segment.first, position, header):
            return True
        if not self._report.damage or header.kind != MESSAGES:
            return False
        positions = segment.positions(header.channel)
        place = bisect_left(positions, header.base, key=segment.base_offset)
        stop = header.base + header.count
        return (place > 0 and segment.end_offset(positions[place - 1]) > header.base) or (
            place < len(positions) and segment.base_offset(positions[place]) < stop
        )

    def _is_end(self, segment: RawSegment, position: int) -> bool:
        if last_nonzero(segment.map, position, segment.size) > position:
            return False
        return log_position(segment.first, position) >= self.durable

    def _apply(self, segment: RawSegment, position: int, header: Header) -> None:
        store = self._store
        store.time_ns = max(store.time_ns, header.time_ns)
        for inner_position, inner in inside(segment.map, position, header):
            if self._report.damage and inner.kind == MESSAGES:
                name_lost(store.table, inner.channel, inner.base, inner.time_ns, segment.first)
            try:
                reveal = apply(store.table, segment, inner_position, inner, segment.map)
                if self._report.damage and inner.kind == MESSAGES:
                    _put_in_order(segment, inner.channel)
            except FormatError:
                # Its checksums are right, and it is nonsense all the same.
                self._damaged(segment, inner_position, inner_position + inner.length)
                continue
            if reveal is not None:
                reveal.state.end_offset = reveal.state.next_offset
                reveal.state.ended = reveal.state.sealed

    def _broken(self, place: int, segment: RawSegment, position: int) -> int | None:
        """Something at ``position`` is not a batch. Returns where to go on, or ``None`` if this
        was the tail, now cut."""
        self._look_ahead(place, position)
        if log_position(segment.first, position) >= self.durable:
            self._cut_one(segment, position)
            self._cut_all(place + 1)
            return None
        if inside_damaged_frame(segment.map, position, segment.size, segment.salt):
            # What is right inside of it is good; what is not is met there, and named.
            return position + HEADER_BYTES
        stop = next_batch(segment.map, position + 1, segment.size, segment.salt)
        if stop is None:
            stop = max(last_nonzero(segment.map, position, segment.size), position)
            if segment.first == self.durable >> POSITION_BITS:
                # It may have been cut short.
                stop = max(stop, self.durable - log_position(segment.first, 0))
            # Where all is zero or gone, a batch is missing at least.
            stop = max(stop, position + HEADER_BYTES)
            resumed = segment.size
        else:
            resumed = stop
        self._damaged(segment, position, stop)
        if resumed == segment.size:
            segment.tail = min(stop, segment.size)
        return resumed

    def _look_ahead(self, place: int, position: int) -> None:
        """Learn from all that can still be read behind ``position`` what was durable."""
        if self._looked_ahead:
            return
        self._looked_ahead = True
        for other in self._raws[place:]:
            if not other.salt:
                self._look_into(other)
                continue
            start = position if other is self._raws[place] else other.tail
            at = next_batch(other.map, start, other.size, other.salt)
            while at is not None:
                header = batch_at(other.map, at, other.size, other.salt)
                assert header is not None
                self.durable = max(self.durable, header.mark)
                at = next_batch(other.map, at + header.length, other.size, other.salt)

    def _look_into(self, segment: RawSegment) -> None:
        """The same for a segment without its header, where a payload may look like a batch: only
        what speaks of this very segment counts."""
        for _, header in batches_of_any_salt(segment.map, SEGMENT_HEADER_BYTES, segment.size):
            if header.mark >> POSITION_BITS == segment.first:
                self.durable = max(self.durable, header.mark)

    def _damaged(self, segment: RawSegment, start: int, stop: int) -> None:
        """Raise for damage below the durable mark, or note it if the log is to go on."""
        store = self._store
        channel = first_offset = stop_offset = None
        header = read_header(segment.map, start, segment.size, segment.salt)
        if header is not None and header.kind == MESSAGES:
            first_offset, stop_offset = header.base, header.base + header.count
            state = store.table.find_id(header.channel)
            if state is not None:
                channel = state.name
                if store.options.on_corruption == "gap" and state.next_offset == header.base:
                    # Its offsets were given out, and must not be given out again.
                    store.table.touch(state, segment.first)
                    state.next_offset = state.end_offset = stop_offset
        path = store.path_of(segment.name)
        if store.options.on_corruption == "raise":
            who = f", channel {channel!r}" if channel is not None else ""
            raise CorruptionError(
                f"{segment.name}, bytes {start} to {stop}{who}: durable data is damaged; nothing "
                "was changed. Restore the file from a copy, or open with "
                'on_corruption="gap" to go on without these messages',
                path=path,
                start=start,
                stop=stop,
                channel=channel,
                first_offset=first_offset,
                stop_offset=stop_offset,
            )
        segment.damaged = True
        self._report.damage.append(Damage(path, start, stop, channel, first_offset, stop_offset))

    def _cut_all(self, place: int) -> None:
        """Keep aside and remove this and all later segments."""
        for segment in self._raws[place:]:
            self._cut_one(segment, 0)
        del self._raws[place:]

    def _cut_one(self, segment: RawSegment, position: int) -> None:
        """Keep aside and cut what is behind ``position``; all of it means the file."""
        store = self._store
        stop = last_nonzero(segment.map, position, segment.size)
        header = read_header(segment.map, position, segment.size, segment.salt)
        if header is not None:
            stop = max(stop, position + header.length)
        if position == 0 and stop <= SEGMENT_HEADER_BYTES:
            # Created and never written to: nothing is lost with it.
            stop = 0
        kept_as = None
        assert segment.file is not None
        if not store.read_only:
            if stop > position:
                kept_as = self._keep(segment, position, stop)
            if position == 0:
                store.folder.remove(segment.name)
            else:
                # Cutting and growing again leaves zeros, so that nothing old comes back to life.
                segment.file.truncate(position)
                segment.file.truncate(segment.size)
            store.folder_dirty = True
        if position == 0:
            segment.file.close()
        if stop > position:
            self._report.torn.append(
                TornTail(
                    store.path_of(segment.name),
                    position,
                    stop,
                    store.path_of(kept_as) if kept_as else None,
                )
            )

    def _keep(self, segment: RawSegment, start: int, stop: int) -> str:
        """Copy the bytes into a file of their own, durably, before they are cut; returns its name.

        What was kept before stays: an opening that was interrupted while it cut had copied all
        that was there, and what is left of it now may be less.
        """
        folder = self._store.folder
        names = folder.names()
        place = 0
        while torn_name(segment.name, start, place) in names:
            place += 1
        if place:
            last = torn_name(segment.name, start, place - 1)
            if self._holds(last, segment, start, stop):
                folder.sync()
                return last
        name = torn_name(segment.name, start, place)
        file = folder.create(temporary(name))
        try:
            for at in range(start, stop, _COPY_BYTES):
                file.write(at - start, segment.map[at : min(at + _COPY_BYTES, stop)])
            file.sync()
        finally:
            file.close()
        folder.rename(temporary(name), name)
        folder.sync()
        return name

    def _holds(self, name: str, segment: RawSegment, start: int, stop: int) -> bool:
        """Whether a file holds just these bytes."""
        file = self._store.folder.open(name, writable=False)
        try:
            return file.size() == stop - start and all(
                file.read(at - start, _COPY_BYTES) == segment.map[at : min(at + _COPY_BYTES, stop)]
                for at in range(start, stop, _COPY_BYTES)
            )
        finally:
            file.close()


def _put_in_order(segment: RawSegment, channel: int) -> None:
    """Move the last batch of a channel to where its offsets belong, if damage has swapped it with
    a later one: both are right, and only the order in the file is not. One that is there twice
    counts once."""
    positions = segment.positions(channel)
    if not positions:
        return
    last = positions.pop()
    base = segment.base_offset(last)
    place = bisect_left(positions, base, key=segment.base_offset)
    if place == len(positions):
        positions.append(last)
        return
    if segment.base_offset(positions[place]) != base:
        positions.insert(place, last)
    # Readers tell what was scanned from what was not by position, where offsets grow with it.
    segment.trusted = segment.size


def apply_clustered(
    store: Store, segment: ClusteredSegment
) -> tuple[list[Any], list[CorruptionError]]:
    """Bring the table up to date with a clustered segment that the catalog does not know.

    Returns whom to wake, and the damage that it went on behind. Raises ``CorruptionError`` for
    the first of it unless the log may go on without.
    """
    waiters: list[Any] = []
    told: dict[ChannelState, None] = {}
    index = segment.index
    damage = [] if segment.sound else [segment.damaged(0, segment.size, "its index is made anew")]
    for position, found in segment.controls():
        if isinstance(found, CorruptionError):
            if store.options.on_corruption == "raise":
                raise found
            damage.append(found)
            continue
        store.time_ns = max(store.time_ns, found.time_ns)
        try:
            reveal = apply(store.table, None, position, found, segment.map)
        except FormatError as error:
            nonsense = segment.damaged(position, position + found.length, str(error))
            if store.options.on_corruption == "raise":
                raise nonsense from None
            damage.append(nonsense)
            continue
        if reveal is not None:
            told[reveal.state] = None
    for entry in index:
        if damage:
            name_lost(store.table, entry.channel, entry.base, entry.time_first_ns, -1)
        state: ChannelState | None = store.table.find_id(entry.channel)
        if state is not None and state.next_offset < entry.end:
            store.table.touch(state, -1)
            if state.listeners is not None:
                waiters += state.listeners.skipped(entry.end)
            state.next_offset = entry.end
            told[state] = None
        if state is not None:
            state.time_ns = max(state.time_ns, entry.time_last_ns)
        store.time_ns = max(store.time_ns, entry.time_last_ns)
    # Frames may be among it, and an end that may not show before the messages do.
    states = list(told)
    set_at_once(
        states * 2,
        ["end_offset"] * len(states) + ["ended"] * len(states),
        [state.next_offset for state in states] + [state.sealed for state in states],
    )
    return waiters, damage

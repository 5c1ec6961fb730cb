"""Opening a log after whatever happened to it: what is right, what is torn, what is damaged."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CorruptionError
from ..format.batch import HEADER_BYTES, MESSAGES, ROLLED, Header, read_header
from ..format.names import torn_name
from ..format.segment import SEGMENT_HEADER_BYTES
from .applying import apply, inside
from .scanning import batch_at, inside_damaged_frame, last_nonzero, next_batch, walk
from .segment import POSITION_BITS, RawSegment, log_position
from .store import Store

__all__ = ["Damage", "Recovery", "TornTail", "recover"]

_COPY_BYTES = 1 << 20


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

    clean: bool = True
    torn: list[TornTail] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    catalog_rebuilt: bool = False
    scanned_bytes: int = 0


def recover(
    store: Store, raws: list[RawSegment], starts: dict[int, int], durable: int, report: Recovery
) -> None:
    """Apply the raw segments from the position ``starts`` says for each, in order.

    ``durable`` is the log position that is known to have been durable; every batch says more.
    """
    Recoverer(store, raws, durable, report).run(starts)


class Recoverer:
    """One pass over the raw segments of a log that is being opened by one thread."""

    def __init__(
        self, store: Store, raws: list[RawSegment], durable: int, report: Recovery
    ) -> None:
        self._store = store
        self._raws = raws
        self._durable = durable
        self._report = report
        self._looked_ahead = False

    def run(self, starts: dict[int, int]) -> None:
        """Walk all of them; stop where a torn tail was cut."""
        for place, segment in enumerate(self._raws):
            start = starts.get(segment.first)
            if start is None:
                continue
            if not self._segment(place, segment, start):
                return

    def _segment(self, place: int, segment: RawSegment, position: int) -> bool:
        """Walk one segment. Returns whether the log goes on behind it."""
        start = position
        last = place == len(self._raws) - 1
        while True:
            rolled = False
            for at, header in walk(segment.map, position, segment.size, segment.salt):
                self._durable = max(self._durable, header.mark)
                rolled = header.kind == ROLLED
                self._apply(segment, at, header)
                position = at + header.length
                if rolled:
                    break
            segment.tail = position
            self._report.scanned_bytes += position - start
            start = position
            if rolled or (last and self._is_end(segment, position)):
                return True
            resumed = self._broken(place, segment, position)
            if resumed is None:
                return False
            if resumed == segment.size:
                return True
            position = start = resumed

    def _is_end(self, segment: RawSegment, position: int) -> bool:
        if last_nonzero(segment.map, position, segment.size) > position:
            return False
        return log_position(segment.first, position) >= self._durable

    def _apply(self, segment: RawSegment, position: int, header: Header) -> None:
        store = self._store
        store.time_ns = max(store.time_ns, header.time_ns)
        for inner_position, inner in inside(segment.map, position, header):
            if self._report.damage and inner.kind == MESSAGES:
                self._name(segment, inner)
            reveal = apply(store.table, segment, inner_position, inner, segment.map)
            if reveal is not None:
                reveal.state.end_offset = reveal.state.next_offset
                reveal.state.ended = reveal.state.sealed

    def _name(self, segment: RawSegment, header: Header) -> None:
        """Give a name to a channel whose own was lost to damage, so that it can be read."""
        table = self._store.table
        if header.channel in table.removed or table.find_id(header.channel) is not None:
            return
        state = table.address(f"unnamed-{header.channel}")
        if not state.id:
            table.add(state, header.channel)
            state.touched = segment.first
            state.created_ns = header.time_ns
            state.start_offset = state.next_offset = header.base

    def _broken(self, place: int, segment: RawSegment, position: int) -> int | None:
        """Something at ``position`` is not a batch. Returns where to go on, or ``None`` if this
        was the tail, now cut."""
        self._look_ahead(place, segment, position)
        if log_position(segment.first, position) >= self._durable:
            self._cut(place, segment, position)
            return None
        if inside_damaged_frame(segment.map, position, segment.size, segment.salt):
            # What is right inside of it is good; what is not is met there, and named.
            return position + HEADER_BYTES
        stop = next_batch(segment.map, position + 1, segment.size, segment.salt)
        if stop is None:
            stop = max(last_nonzero(segment.map, position, segment.size), position)
            if segment.first == self._durable >> POSITION_BITS:
                # It may have been cut short.
                stop = max(stop, self._durable - log_position(segment.first, 0))
            resumed = segment.size
        else:
            resumed = stop
        self._damaged(segment, position, stop)
        if resumed == segment.size:
            segment.tail = min(stop, segment.size)
        return resumed

    def _look_ahead(self, place: int, segment: RawSegment, position: int) -> None:
        """Learn from all that can still be read behind ``position`` what was durable."""
        if self._looked_ahead:
            return
        self._looked_ahead = True
        for other in self._raws[place:]:
            at: int | None = position if other is segment else other.tail
            while at is not None:
                at = next_batch(other.map, at, other.size, other.salt)
                if at is None:
                    break
                header = batch_at(other.map, at, other.size, other.salt)
                assert header is not None
                self._durable = max(self._durable, header.mark)
                at += header.length

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
        self._report.clean = False
        self._report.damage.append(Damage(path, start, stop, channel, first_offset, stop_offset))

    def _cut(self, place: int, segment: RawSegment, position: int) -> None:
        """Keep aside and cut what is behind ``position``, in this and in all later segments."""
        self._report.clean = False
        segment.tail = position
        self._cut_one(segment, position)
        for later in self._raws[place + 1 :]:
            later.tail = 0
            self._cut_one(later, 0)
        del self._raws[place + 1 :]

    def _cut_one(self, segment: RawSegment, position: int) -> None:
        store = self._store
        stop = last_nonzero(segment.map, position, segment.size)
        header = read_header(segment.map, position, segment.size, segment.salt)
        if header is not None:
            stop = max(stop, position + header.length)
        if position == 0 and stop <= SEGMENT_HEADER_BYTES:
            # Created and never written to: nothing is lost with it.
            stop = 0
        kept_as = None
        if not store.read_only:
            if stop > position:
                kept_as = torn_name(segment.name, position)
                self._keep(segment, position, stop, kept_as)
            assert segment.file is not None
            if position == 0:
                segment.file.close()
                store.folder.remove(segment.name)
            else:
                # Cutting and growing again leaves zeros, so that nothing old comes back to life.
                segment.file.truncate(position)
                segment.file.truncate(segment.size)
            store.folder_dirty = True
        if stop > position:
            self._report.torn.append(
                TornTail(
                    store.path_of(segment.name),
                    position,
                    stop,
                    store.path_of(kept_as) if kept_as else None,
                )
            )

    def _keep(self, segment: RawSegment, start: int, stop: int, name: str) -> None:
        """Copy the bytes into a file of their own, durably, before they are cut."""
        folder = self._store.folder
        folder.remove(name)
        file = folder.create(name)
        try:
            for at in range(start, stop, _COPY_BYTES):
                file.write(at - start, segment.map[at : min(at + _COPY_BYTES, stop)])
            file.sync()
        finally:
            file.close()
        folder.sync()

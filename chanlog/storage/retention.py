"""Retention: deciding what is dead. Compaction gives its room back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from ..errors import ChannelDeleted, CorruptionError, OffsetTrimmed
from ..format.batch import HEADER, TRIMMED
from ..format.body import payload_bytes, payload_sizes
from ..format.records import encode_record
from .clustered import ClusteredSegment, Segment
from .clustering import keep_of
from .companions import Joined, companions, deletion
from .reading import first_offset_since
from .segment import RawSegment
from .state import ChannelState
from .store import Draft, Store
from .syncing import submit

__all__ = ["apply_retention", "dead_bytes", "size_of", "trim", "trim_to_size"]

_read_header = HEADER.unpack_from


def apply_retention(store: Store) -> None:
    """Trim and delete what the retention of each channel, or of the log, no longer keeps."""
    default = store.options.retention.as_record()
    if not default and not store.table.retained:
        return
    with store.lock:
        now = max(store.time_ns, store.clock())
        states = store.table.states()
    while True:
        with store.lock:
            some = list(islice(states, _STATES_AT_ONCE))
        if not some:
            return
        for state in some:
            limits = state.retention if state.retention is not None else default
            if limits and not state.deleted and not state.is_companion:
                # What is damaged is kept: whoever reads it is told. And somebody else may have
                # deleted or trimmed the channel meanwhile.
                with suppress(CorruptionError, ChannelDeleted, OffsetTrimmed):
                    _apply(store, state, limits, now)


_STATES_AT_ONCE = 256


def _apply(store: Store, state: ChannelState, limits: dict[str, int], now: int) -> None:
    if _is_expired(state, limits, now):
        _delete(store, state, limits, now)
        return
    before = state.start_offset
    if "age_ns" in limits:
        before = max(before, first_offset_since(store, state, now - limits["age_ns"]))
    if "count" in limits:
        before = max(before, state.end_offset - limits["count"])
    if "bytes" in limits:
        before = max(before, _offset_of_last_bytes(store, state, limits["bytes"]))
    if before > state.start_offset:
        trim(store, state, before)


def _is_expired(state: ChannelState, limits: dict[str, int], now: int) -> bool:
    if now >= limits.get("expires_ns", 1 << 63):
        return True
    listeners = state.listeners
    if listeners is not None and listeners.count():
        return False
    return now - max(state.time_ns, state.committed_ns) >= limits.get("ttl_ns", 1 << 63)


def _delete(store: Store, state: ChannelState, limits: dict[str, int], now: int) -> None:
    def check() -> None:
        # Somebody may have published since it was looked at, or be at work on what was.
        if not _is_expired(state, limits, now):
            raise Spared
        groups = companions(store.table, state).values()
        if any(not _is_expired(group, limits, now) for group in groups):
            raise Spared

    with store.lock:
        drafts = deletion(store.table, state, check)
    try:
        submit(store, drafts)
    except (Joined, Spared, ChannelDeleted):
        return


class Spared(Exception):
    """The channel is in use again."""


def trim(store: Store, state: ChannelState, before: int) -> None:
    """Forget the messages of a channel below ``before``."""
    with suppress(ChannelDeleted):
        submit(store, [Draft(state, TRIMMED, encode_record(state.time_ns), base=before)])


def _offset_of_last_bytes(store: Store, state: ChannelState, bytes_max: int) -> int:
    """The highest offset such that payloads of ``bytes_max`` or more are stored from there on;
    what a fork has inherited counts as its own."""
    left = bytes_max
    before = state.end_offset
    for id, below in _sources(store, state):
        for base, sizes in _sizes_backward(store, id, below):
            for place in range(len(sizes) - 1, -1, -1):
                before = base + place
                left -= sizes[place]
                if left <= 0 or before <= state.start_offset:
                    return before
    return before


def _sources(store: Store, state: ChannelState) -> Iterator[tuple[int, int]]:
    """Whose messages a channel has, and up to which offset: its own, then its ancestors'."""
    below = 1 << 63
    source: ChannelState | None = state
    while source is not None:
        yield source.id, below
        if source.parent is not None:
            below = min(below, source.parent[1])
        source = store.parent_of(source)


def _sizes_backward(store: Store, id: int, below: int) -> Iterator[tuple[int, list[int]]]:
    """(base offset, payload sizes) of the batches of a channel below an offset, the last first."""
    for segment in reversed(store.segments):
        for position in _backward(segment, id):
            fields = _read_header(segment.map, position)
            flags, length, count, base = fields[2], fields[4], fields[7], fields[8]
            if base < below:
                packed = payload_bytes(segment.map, position, length, flags)
                yield base, payload_sizes(packed, count)[: below - base]


def _backward(segment: Segment, id: int) -> Iterable[int]:
    """The positions of the batches of a channel in one segment, the last first.

    Damaged ones are left out, so that nothing is forgotten for what they say.
    """
    if isinstance(segment, RawSegment):
        return (p for p in reversed(segment.positions(id)) if segment.is_right(p, id))
    places: list[int] = []
    with suppress(CorruptionError):
        entry = segment.index.find(id)
        if entry is not None:
            places.extend(position for position, _ in segment.walk(entry))
    return reversed(places)


def trim_to_size(store: Store) -> None:
    """Forget the oldest sealed segments while the log is larger than its ``log_bytes_max``."""
    bytes_max = store.options.log_bytes_max
    if bytes_max is None:
        return
    segments = [segment for segment in store.segments if segment.first not in store.damaged]
    total = sum(size_of(segment) for segment in segments)
    for segment in segments[:-1]:
        if total <= bytes_max:
            return
        total -= size_of(segment)
        for id, end in _ends(segment):
            with store.lock:
                state = store.table.find_id(id)
            if state is None or state.is_companion:
                continue
            if not state.deleted and end > state.start_offset:
                trim(store, state, min(end, state.end_offset))


def _ends(segment: Segment) -> list[tuple[int, int]]:
    if isinstance(segment, ClusteredSegment):
        return [(entry.channel, entry.end) for entry in segment.index]
    return [
        (id, segment.end_offset(positions[-1]))
        for id in segment.channels()
        if (positions := segment.positions(id)) and segment.is_right(positions[-1], id)
    ]


def size_of(segment: Segment) -> int:
    """How many bytes of batches a segment holds."""
    return segment.tail if isinstance(segment, RawSegment) else segment.size


def dead_bytes(store: Store, segment: ClusteredSegment) -> int:
    """How many bytes of a clustered segment nobody can read any more."""
    dead = 0
    for entry in segment.index:
        keep = keep_of(store, entry.channel)
        if keep is None or entry.end <= keep.low or entry.base >= keep.high:
            dead += entry.stop - entry.position
        elif entry.base < keep.low:
            share = (keep.low - entry.base) / (entry.end - entry.base)
            dead += int(share * (entry.stop - entry.position))
    return dead

"""The control records of a segment, and how to write them anew where some were lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from ..errors import CorruptionError
from ..format.batch import (
    CONFIGURED,
    CREATED,
    CURSOR,
    DELETED,
    ENDED,
    MESSAGES,
    PRODUCER,
    TRIMMED,
    Header,
)
from ..format.payload import pack
from ..format.records import encode_record
from ..format.segment import SEGMENT_HEADER_BYTES
from .applying import inside
from .clustered import ClusteredSegment, Segment, behind
from .scanning import batch_at, next_batch
from .segment import RawSegment
from .state import ChannelState
from .store import Store

__all__ = ["Record", "batches_of", "control_records", "is_whole", "producer_records", "restored"]


class Record(NamedTuple):
    """A control record to be written."""

    kind: int
    body: bytes
    channel: int
    base: int
    time_ns: int


def control_records(
    segment: Segment, holes: list[int] | None = None
) -> Iterator[tuple[int, Header]]:
    """The control records of a segment, in order; to ``holes`` is added where something else was
    that is damaged."""
    if holes is None:
        holes = []
    if isinstance(segment, RawSegment):
        yield from _raw_control_records(segment, holes)
        return
    for position, found in segment.controls():
        if isinstance(found, Header):
            yield position, found
        else:
            holes.append(position)


def _raw_control_records(segment: RawSegment, holes: list[int]) -> Iterator[tuple[int, Header]]:
    position: int | None = SEGMENT_HEADER_BYTES
    mapped, stop = segment.map, segment.tail
    while position is not None and position < stop:
        if position >= segment.trusted and not segment.damaged:
            header = segment.header(position)
            if header.kind == MESSAGES and header.salt == segment.salt:
                position += header.length
                continue
        found = batch_at(mapped, position, stop, segment.salt)
        if found is None:
            holes.append(position)
            position = next_batch(mapped, position + 1, stop, segment.salt)
            continue
        for inner_position, inner in inside(mapped, position, found):
            if inner.kind in _CONTROL:
                yield inner_position, inner
        position += found.length


_CONTROL = frozenset((CREATED, CONFIGURED, ENDED, DELETED, TRIMMED, CURSOR, PRODUCER))


def batches_of(segment: Segment, id: int) -> Iterable[int]:
    """Where the batches of a channel are, damaged ones included as far as they can be found."""
    if isinstance(segment, RawSegment):
        return segment.positions(id)
    return _batches_of(segment, id)


def _batches_of(segment: ClusteredSegment, id: int) -> Iterator[int]:
    entry = segment.index.find(id)
    if entry is None:
        return
    position = entry.position
    while position < entry.stop:
        yield position
        position = behind(segment, entry, position)


def is_whole(segment: Segment) -> bool:
    """Whether every batch of messages is right, as far as nobody who opened the log has said."""
    if isinstance(segment, RawSegment):
        return not segment.damaged
    try:
        for entry in segment.index:
            for position in _batches_of(segment, entry.channel):
                segment.verify(position, entry.stop, entry.channel)
    except CorruptionError:
        return False
    return segment.sound


def restored(store: Store) -> Iterator[Record]:
    """What makes every channel what it is, whatever other records say or no longer say.

    Where records or messages were lost to damage, nobody can tell which, and the catalog may be
    the only one to know what they said. So all is written, and offsets that were given out are
    never given out again, whatever becomes of the catalog.
    """
    hidden: list[Record] = []
    with store.lock:
        states = store.table.states()
    while True:
        with store.lock:
            some = [record for state in islice(states, _AT_ONCE) for record in _of(store, state)]
        if not some:
            break
        yield from (record for record in some if record.kind != DELETED)
        hidden += (record for record in some if record.kind == DELETED)
    # Not before the forks that they are kept for.
    yield from hidden


_AT_ONCE = 256


def _of(store: Store, state: ChannelState) -> Iterator[Record]:
    parent, at = state.parent or (0, 0)
    id, now = state.id, store.time_ns
    created = encode_record(state.name, state.retention, parent, at)
    yield Record(CREATED, created, id, 0, state.created_ns)
    yield Record(CONFIGURED, pack(state.retention), id, state.next_offset, now)
    if state.deleted:
        yield Record(DELETED, b"", id, 0, now)
        return
    if state.start_offset:
        yield Record(TRIMMED, encode_record(state.time_ns), id, state.start_offset, now)
    for name, position in state.cursors.items():
        yield Record(CURSOR, encode_record(name), id, position, state.committed_ns)
    yield from producer_records(state, now)
    if state.sealed:
        yield Record(ENDED, b"", id, state.next_offset, now)


def producer_records(state: ChannelState, time_ns: int) -> Iterator[Record]:
    """The state of a channel's producers now. Call with the store's lock held."""
    for producer in state.producers.values():
        body = encode_record(producer.name, producer.id, producer.epoch, producer.runs)
        yield Record(PRODUCER, body, state.id, producer.sequence, time_ns)

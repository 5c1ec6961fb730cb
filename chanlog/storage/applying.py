"""What a batch does to the table of channels: one code for writing, opening and following."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..format.batch import (
    CONFIGURED,
    CREATED,
    CURSOR,
    DELETED,
    ENDED,
    FRAME,
    HEADER,
    HEADER_BYTES,
    MESSAGES,
    PRODUCER,
    SEQUENCED,
    TRIMMED,
    Header,
)
from ..format.body import read_meta
from ..format.records import (
    decode_configured,
    decode_created,
    decode_cursor,
    decode_producer,
    decode_trimmed,
)
from ..host import Buffer
from .segment import RawSegment, log_position
from .state import ChannelState, Listeners, ProducerState
from .table import ChannelTable

__all__ = ["Reveal", "apply", "inside", "name_lost", "show", "wake"]


class Reveal(NamedTuple):
    """What readers may see once it is durable: messages up to ``end``, or an end, or a delete."""

    state: ChannelState
    kind: int
    end: int
    type: str | None
    sender: str | None


def inside(buffer: Buffer | bytes, position: int, header: Header) -> Iterator[tuple[int, Header]]:
    """The batch at ``position`` itself, or those inside of it if it is a frame."""
    if header.kind != FRAME:
        yield position, header
        return
    stop = position + header.length
    position += HEADER_BYTES
    while position < stop:
        header = Header._make(HEADER.unpack_from(buffer, position))
        yield position, header
        position += header.length


def apply(
    table: ChannelTable,
    segment: RawSegment | None,
    position: int,
    header: Header,
    buffer: Buffer | bytes,
) -> Reveal | None:
    """Bring ``table`` up to date with one batch, which is not a frame; twice does no harm.

    ``segment`` is the raw segment to index messages in; ``None`` for control records alone.
    Batches of channels that are gone are passed over. Call with the store's lock held.
    """
    if header.kind == CREATED:
        return _create(table, segment, position, header, _body(buffer, position, header))
    state = table.find_id(header.channel)
    if state is None:
        return None
    if header.kind == MESSAGES:
        if segment is None:
            return None
        return _index(table, state, segment, position, header, buffer)
    table.touch(state, segment.first if segment is not None else -1)
    return _change(table, state, header, _body(buffer, position, header))


def _body(buffer: Buffer | bytes, position: int, header: Header) -> bytes:
    return buffer[position + HEADER_BYTES : position + header.length]


def _index(
    table: ChannelTable,
    state: ChannelState,
    segment: RawSegment,
    position: int,
    header: Header,
    buffer: Buffer | bytes,
) -> Reveal | None:
    # First: what is nonsense is not to be found again.
    meta = read_meta(buffer, position, header.length, header.flags)
    positions = segment.writable_positions(state.id)
    if not positions or positions[-1] < position:
        positions.append(position)
    end = header.base + header.count
    if header.flags & SEQUENCED:
        # Before the next offset moves: whatever has the message, a catalog that is being written
        # or what a signal interrupts, has its sequence too.
        producer = state.producer_by_id(meta[5])
        if producer is not None:
            table.touch(state, segment.first)
            producer.note(meta[7], header.base, header.count)
    if end <= state.next_offset:
        return None
    table.touch(state, segment.first)
    state.segment = segment
    state.positions = positions
    state.next_offset = end
    state.time_ns = header.time_ns
    return Reveal(state, MESSAGES, end, meta[1], meta[4])


def _create(
    table: ChannelTable, segment: RawSegment | None, position: int, header: Header, body: bytes
) -> Reveal | None:
    table.next_id = max(table.next_id, header.channel + 1)
    reveal = None
    if header.channel in table.removed:
        return None
    name, retention, parent, fork_offset = decode_created(body)
    state = table.find_id(header.channel)
    if state is None:
        state = table.address(name)
        if state.id > header.channel:
            # From a segment that a crash brought back: the name has gone to a newer channel since.
            return None
        if state.id and state.id != header.channel:
            # Its delete was lost to damage.
            _delete(table, state)
            state = table.address(name)
        state.start_offset = header.base
        state.next_offset = fork_offset
        state.end_offset = header.base
        state.created_ns = state.time_ns = header.time_ns
        state.retention = retention
        state.parent = (parent, fork_offset) if parent else None
        state.touched = segment.first if segment is not None else -1
        table.retained |= retention is not None
        table.add(state, header.channel)
        if parent:
            if segment is not None:
                state.forked_at = log_position(segment.first, position)
            # What it has inherited is seen when the fork is.
            reveal = Reveal(state, MESSAGES, fork_offset, None, None)
    if parent:
        origin = table.find_id(parent)
        if origin is not None and state.id not in origin.children:
            table.touch(origin, state.touched)
            origin.children.append(state.id)
    return reveal


def _change(table: ChannelTable, state: ChannelState, header: Header, body: bytes) -> Reveal | None:
    if header.kind == TRIMMED:
        state.start_offset = max(state.start_offset, header.base)
        # Compaction may have dropped every message that told of these offsets, and of the time.
        state.time_ns = max(state.time_ns, decode_trimmed(body))
        _reach(state, header.base)
        table.deaths += 1
    elif header.kind == CONFIGURED:
        state.retention = decode_configured(body)
        table.retained |= state.retention is not None
        _reach(state, header.base)
    elif header.kind == ENDED:
        state.sealed = True
        _reach(state, header.base)
        return Reveal(state, ENDED, header.base, None, None)
    elif header.kind == DELETED:
        _delete(table, state)
        return Reveal(state, DELETED, 0, None, None)
    elif header.kind == CURSOR:
        name, gone = decode_cursor(body)
        if gone:
            state.cursors.pop(name, None)
        else:
            state.cursors[name] = header.base
            state.committed_ns = header.time_ns
    elif header.kind == PRODUCER:
        name, id, epoch, runs = decode_producer(body)
        producer = state.producers.get(name)
        if producer is None or producer.sequence <= header.base:
            producer = state.producers[name] = ProducerState(name, id, epoch)
            producer.sequence = header.base
            producer.runs = runs
        producer.epoch = max(producer.epoch, epoch)
    return None


def _reach(state: ChannelState, end: int) -> None:
    """All offsets below ``end`` were given out, also those whose messages are lost."""
    if end > state.next_offset:
        state.next_offset = end
        state.end_offset = max(state.end_offset, end)


def name_lost(table: ChannelTable, id: int, base: int, time_ns: int, segment: int) -> None:
    """Give a name to a channel whose own was lost to damage, so that its messages from ``base``
    on can be read; what was before them may be lost as well. Does nothing to one that is known,
    or known to be gone."""
    if id in table.removed or table.find_id(id) is not None:
        return
    state = table.address(f"unnamed-{id}")
    if not state.id:
        table.add(state, id)
        state.touched = segment
        state.created_ns = time_ns
        state.next_offset = state.end_offset = base


def _delete(table: ChannelTable, state: ChannelState) -> None:
    if not state.deleted:
        state.sealed = True
        table.deaths += 1
        table.hide(state)
        state.deleted = True
        # Whatever of it somebody has decoded already lies below: one comparison tells both.
        state.start_offset = 1 << 63
    # Also when it is done again: a signal may have come before it.
    _release(table, state)


def _release(table: ChannelTable, state: ChannelState) -> None:
    """Forget a deleted channel, and the deleted ones it was forked from, unless a fork needs it."""
    released: ChannelState | None = state
    while released is not None and released.deleted and not released.children:
        state = released
        origin = table.find_id(state.parent[0]) if state.parent is not None else None
        if origin is not None and state.id in origin.children:
            table.touch(origin, state.touched)
            origin.children.remove(state.id)
        # Last: as long as it is known, what a signal interrupts is done again.
        table.remove(state)
        released = origin


def show(reveals: Iterable[Reveal]) -> list[Any]:
    """Let readers see what has happened, all of it at once, and return whom to wake. With the
    lock held, which readers do not take."""
    waiters: list[Any] = []
    states: list[ChannelState] = []
    fields: list[str] = []
    values: list[int | bool] = []
    changed: list[Listeners] = []
    for reveal in reveals:
        state = reveal.state
        listeners = state.listeners
        if reveal.kind == MESSAGES:
            # The listeners count it before readers see it: who sees the end may rely on them.
            if listeners is not None:
                waiters += listeners.published(reveal.type, reveal.sender, reveal.end) or ()
            states.append(state)
            fields.append("end_offset")
            values.append(max(state.end_offset, reveal.end))
            continue
        if reveal.kind != DELETED:
            states.append(state)
            fields.append("ended")
            values.append(True)
        if listeners is not None:
            changed.append(listeners)
    set_at_once(states, fields, values)
    for listeners in changed:
        waiters += listeners.changed() or ()
    return waiters


def set_at_once(
    states: Iterable[ChannelState], fields: Iterable[str], values: Iterable[int | bool]
) -> None:
    """Set a field of each state, all in one step of C: no other thread runs in between, so
    whoever reads without the lock sees either none or all of a frame."""
    deque(map(setattr, states, fields, values), maxlen=0)


def wake(waiters: Iterable[Any] | None) -> None:
    """Wake all of them, without any lock held."""
    for waiter in waiters or ():
        waiter.wake()

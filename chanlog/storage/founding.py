"""The first messages of a channel, the short way: the record that creates it and the batch, as one
frame.

A service that has a channel for each workflow makes one for every few messages, and then half of
its time went into being general: drafts, a plan, and reading again what was just written. What is
done here is what ``Store.write`` does; a test compares their bytes and what they leave behind, and
``python -m benchmarks channels`` would miss it.
"""

from __future__ import annotations

from typing import Any

from ..format.batch import CREATED, FRAME, HEADER_BYTES, MESSAGES, encode
from ..format.records import encode_record
from .applying import wake
from .refusals import unexpected
from .segment import RawSegment
from .state import ChannelState
from .store import Store

__all__ = ["found"]


def found(
    store: Store,
    state: ChannelState,
    body: bytes,
    flags: int,
    count: int,
    type: str | None,
    sender: str | None,
    expect: int | None,
) -> bool:
    """Create the channel and append a batch to it, at offset 0, visible at once, not synced.

    Returns ``False`` if somebody else has created it: then nothing was written. Not under the
    policy ``always``, and for a body that with its frame is no larger than a frame can be.
    """
    record = encode_record(state.name, None, 0, 0)
    length = 3 * HEADER_BYTES + len(record) + len(body)
    waiters: list[Any] | None = None
    try:
        with store.lock:
            if state.id:
                return False
            if expect:
                raise unexpected(state, expect)
            active = store.active
            if active.tail + length > active.limit:
                active = store.make_room(length)
            now = store.time_ns = max(store.time_ns, store.clock())
            id = store.table.next_id
            salt, mark = active.salt, store.durable
            created = encode(CREATED, record, salt=salt, channel=id, time_ns=now, mark=mark)
            messages = encode(
                MESSAGES, body, salt=salt, channel=id, time_ns=now, mark=mark, flags=flags,
                count=count,
            )  # fmt: skip
            content = encode(
                FRAME, created + messages, salt=salt, channel=0, time_ns=now, mark=mark
            )
            position = active.tail
            try:
                active.map[position : position + length] = content
                # It has happened: whatever interrupts from here on, ``_complete`` does the rest.
                state.created_ns = state.time_ns = now
                state.touched = active.first
                store.table.add(state, id)
                positions = active.writable_positions(id)
                positions.append(position + HEADER_BYTES + len(created))
                active.tail = position + length
                store.appends += 1
                state.segment, state.positions = active, positions
                state.next_offset = count
                # The listeners count it before readers see it: who sees the end may rely on them.
                if state.listeners is not None:
                    waiters = state.listeners.published(type, sender, count)
                state.end_offset = count
                if not store.dirty:
                    store.dirty = True
                    store.on_dirty()
            except BaseException:
                waiters = _complete(store, active, position, content)
                raise
        wake(waiters)
    except BaseException:
        wake(waiters)
        raise
    return True


def _complete(store: Store, active: RawSegment, position: int, content: bytes) -> list[Any] | None:
    """If an exception came when the bytes were in place it has happened: do the rest of it, and
    return whom to wake. Every step can be repeated."""
    if active.map[position : position + len(content)] != content:
        return None
    return store.take_in(active, position, len(content), again=True)

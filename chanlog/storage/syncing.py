"""Group commit: one sync for all appends that wait for it.

Whoever needs durability first becomes the leader and syncs for everybody who has appended by
then; the others wait for the leader and usually find their own append covered.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from threading import Lock
from typing import Any

from ..format.batch import body_checksum
from .applying import show, wake
from .segment import RawSegment, log_position
from .state import ChannelState
from .store import Draft, Store

__all__ = [
    "append_durably",
    "awaits_show",
    "commit",
    "confirm",
    "durable_end",
    "submit",
    "sync_all",
    "sync_folder",
    "telling_position",
]


class Place:
    """One thread in the row of those who wait for a sync."""

    __slots__ = ("leads", "lock", "ticket")

    def __init__(self, ticket: int) -> None:
        self.ticket = ticket
        self.leads = False
        self.lock = Lock()
        self.lock.acquire()


def commit(store: Store, ticket: int) -> None:
    """Return when everything below the log position ``ticket`` is durable.

    Blocks the thread for a sync or two. Raises ``LogFailed`` if the sync failed, now or before.

    Each waits on a lock of its own, so that the leader wakes all whom its sync has covered at
    once, and one of the others to lead next; queueing up on ``leading`` would let them through
    one thread switch at a time.
    """
    while store.durable < ticket:
        place = _queue_up(store, ticket)
        if place is not None:
            try:
                # If a signal has hit the leader while it handed over, nobody leads: look again.
                leads = not place.lock.acquire(timeout=_LEADER_SECONDS_MAX) or place.leads
            except BaseException:
                _leave(store, place)
                raise
            if not leads:
                continue
        try:
            with store.leading:
                if store.durable < ticket:
                    _lead(store)
        finally:
            _hand_over(store)


_LEADER_SECONDS_MAX = 1.0


def _queue_up(store: Store, ticket: int) -> Place | None:
    """A place in the row, or ``None`` for whoever is to lead."""
    with store.row_lock:
        if store.row is None:
            store.row = []
            return None
        place = Place(ticket)
        store.row.append(place)
        return place


def _hand_over(store: Store) -> None:
    """Let those go who are covered, and the first of the others lead."""
    with store.row_lock:
        row = store.row or []
        covered = [place for place in row if place.ticket <= store.durable]
        rest = [place for place in row if place.ticket > store.durable]
        leader = rest.pop(0) if rest else None
        store.row = rest if leader is not None else None
    if leader is not None:
        # First, so that the next sync starts at once.
        leader.leads = True
        leader.lock.release()
    for place in covered:
        place.lock.release()


def _leave(store: Store, place: Place) -> None:
    """Give up a place; whoever was made leader meanwhile passes that on."""
    with store.row_lock:
        if store.row is not None and place in store.row:
            store.row.remove(place)
            return
    if place.leads:
        _hand_over(store)


def append_durably(
    store: Store,
    state: ChannelState,
    body: bytes,
    flags: int,
    count: int,
    type: str | None,
    sender: str | None,
    expect: int | None,
) -> tuple[int, int]:
    """Append a batch that is about to be synced: its base offset, and the log position to commit.

    The caller must commit it, or see to it that the background does.
    """
    checksum = body_checksum(body, 0, len(body))
    offset = store.append(state, body, checksum, flags, count, type, sender, expect, soon=True)
    return offset, store.end_position


def submit(store: Store, drafts: Sequence[Draft], *, durable: bool = False) -> list[int]:
    """Append, and wait for what the sync policy or ``durable`` asks; returns the base offsets."""
    bases, ticket = store.write(drafts, durable=durable)
    if durable or store.deferred:
        commit(store, ticket)
    return bases


def sync_all(store: Store) -> None:
    """Return when everything appended before the call is durable."""
    commit(store, store.end_position)
    if store.failed is not None:
        store.check_writable()


def telling_position(store: Store, *, messages: bool = False) -> int:
    """The log position that must be durable before what can be seen now may be told.

    Under ``always`` nobody is told what power may still take. Messages and ends show only when
    they are durable; that a channel exists, was trimmed or deleted, or where a cursor stands shows
    at once, and whoever asks for it waits for the sync, which is rarely needed. With ``messages``
    for what is said of messages that do not show yet, as when a write is refused for them.
    """
    if not store.deferred or store.closed or store.failed is not None or store.read_only:
        return 0
    return store.end_position if messages else store.changed


def awaits_show(store: Store, state: ChannelState) -> bool:
    """Whether something of a channel shows already whose messages, if it was in a frame with them,
    show only once they are durable. Call with the lock held."""
    if not store.deferred or store.closed or store.failed is not None:
        return False
    if store.changed <= store.durable:
        return False
    return state.next_offset != state.end_offset or state.sealed != state.ended


def confirm(store: Store, *, messages: bool = False) -> None:
    """Return when what the caller has seen may be told. Not with the store's lock held. Raises
    ``LogFailed`` if the sync fails now."""
    commit(store, telling_position(store, messages=messages))


def sync_folder(store: Store) -> None:
    """Make the names of the files durable, for whoever keeps the log up.

    A failure fails the log: the next sync of the folder would be a retry of this one, and may
    succeed although the name of a segment that is in use is lost. Raises ``LogFailed``.
    """
    if store.failed is not None:
        store.check_writable()
    try:
        store.folder.sync()
    except OSError as error:
        raise store.fail(error) from error


def _lead(store: Store) -> None:
    """Sync all there is. Call with ``leading`` held."""
    with store.lock:
        if store.failed is not None:
            store.check_writable()
        active = store.active
        ticket = store.end_position
        rolled = _unsynced(store)
        folder_dirty, store.folder_dirty = store.folder_dirty, False
        store.dirty = False
    try:
        for segment in (*rolled, active):
            if segment.file is not None:
                segment.file.sync()
        if folder_dirty:
            store.folder.sync()
    except OSError as error:
        # What the kernel has done with the unsynced pages is unknown, and asking it again may
        # be answered with success: never retry.
        raise store.fail(error) from error
    except BaseException:
        with store.lock:
            store.folder_dirty |= folder_dirty
            store.dirty = True
        store.on_dirty()
        raise
    # The commit point: from here on it is durable.
    store.syncs += 1
    try:
        _tell(store, ticket)
        _close(rolled)
    except BaseException:
        # A signal: nobody else will tell what is durable now, or wake those who were taken.
        _tell(store, ticket)
        with store.lock:
            waiters = store.everybody()
        wake(waiters)
        raise


def _unsynced(store: Store) -> list[RawSegment]:
    """The segments that were sealed and not synced yet: those whose file is still open."""
    found: list[RawSegment] = []
    for segment in reversed(store.segments):
        if not isinstance(segment, RawSegment) or segment.file is None:
            break
        if segment is not store.active:
            found.append(segment)
    return found[::-1]


def _close(rolled: list[RawSegment]) -> None:
    for segment in rolled:
        # Whoever has clustered it may close it at the same time.
        file = segment.file
        if file is not None:
            segment.file = None
            file.close()


def _tell(store: Store, ticket: int) -> None:
    """Show what is durable up to ``ticket``, then say that it is.

    In this order, for whoever finds that what it wrote is durable returns at once, and reads it.
    """
    waiters: list[Any] = []
    with store.lock:
        durable = max(store.durable, ticket)
        if store.unseen:
            count = sum(1 for position, _ in store.unseen if position <= durable)
            waiters = show(reveal for _, reveal in store.unseen[:count])
            del store.unseen[:count]
        store.durable = durable
    wake(waiters)


def durable_end(store: Store, state: ChannelState, end: int) -> int:
    """The offset below which a channel, whose end offset is ``end``, is durable."""
    if state.forked_at >= store.durable:
        return 0
    id = state.id
    for segment in store.segments:
        if not isinstance(segment, RawSegment):
            continue
        stop = store.durable - log_position(segment.first, 0)
        if segment.tail <= stop:
            continue
        positions = segment.positions(id)
        place = bisect_left(positions, stop)
        if place < len(positions):
            return min(end, segment.base_offset(positions[place]))
    return end

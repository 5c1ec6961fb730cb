"""Group commit: one sync for all appends that wait for it.

Whoever needs durability first becomes the leader and syncs for everybody who has appended by
then; the others wait for the leader and usually find their own append covered.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from .applying import show, wake
from .segment import RawSegment, log_position
from .store import Draft, Store

__all__ = ["commit", "durable_end", "submit", "sync_all"]


def commit(store: Store, ticket: int) -> None:
    """Return when everything below the log position ``ticket`` is durable.

    Blocks the thread for a sync or two. Raises ``LogFailed`` if the sync failed, now or before.
    """
    while store.durable < ticket:
        with store.leading:
            if store.durable < ticket:
                _lead(store)


def submit(store: Store, drafts: Sequence[Draft], *, durable: bool = False) -> list[int]:
    """Append, and wait for what the sync policy or ``durable`` asks; returns the base offsets."""
    bases, ticket = store.write(drafts, durable=durable)
    if durable or store.deferred:
        commit(store, ticket)
    return bases


def sync_all(store: Store) -> None:
    """Return when everything appended before the call is durable."""
    with store.lock:
        ticket = log_position(store.active.first, store.active.tail)
    commit(store, ticket)
    if store.failed is not None:
        store.check_writable()


def _lead(store: Store) -> None:
    """Sync all there is. Call with ``leading`` held."""
    with store.lock:
        if store.failed is not None:
            store.check_writable()
        active = store.active
        ticket = log_position(active.first, active.tail)
        rolled = store.unsynced
        store.unsynced = []
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
            store.unsynced = rolled + store.unsynced
            store.folder_dirty |= folder_dirty
            store.dirty = True
        store.on_dirty()
        raise
    # The commit point: from here on it is durable.
    store.durable = max(store.durable, ticket)
    store.syncs += 1
    _close(rolled)
    if store.unseen:
        _show_durable(store)


def _close(rolled: list[RawSegment]) -> None:
    for segment in rolled:
        if segment.file is not None:
            segment.file.close()
            segment.file = None


def _show_durable(store: Store) -> None:
    waiters: list[Any] = []
    with store.lock:
        durable = store.durable
        count = sum(1 for ticket, _ in store.unseen if ticket <= durable)
        for _, reveal in store.unseen[:count]:
            waiters += show(reveal)
        del store.unseen[:count]
    wake(waiters)


def durable_end(store: Store, id: int, end: int) -> int:
    """The offset below which the channel ``id``, whose end offset is ``end``, is durable."""
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

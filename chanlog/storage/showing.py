"""Letting readers see what has happened: all of a frame, or nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ..format.batch import CREATED, DELETED, MESSAGES
from .applying import Reveal, apply, inside
from .segment import RawSegment, log_position
from .state import ChannelState

if TYPE_CHECKING:
    from .store import Store

__all__ = ["Showing", "show", "take_in"]


def show(reveals: Sequence[Reveal]) -> list[Any]:
    """Let readers see it, and return whom to wake. With the lock held.

    The end offset of a channel moves once, whatever the number of batches it has here.
    """
    waiters: list[Any] = []
    ends: dict[ChannelState, int] = {}
    for state, kind, end, type, sender in reveals:
        if kind == MESSAGES:
            # The listeners count it before readers see it: who sees the end may rely on them.
            if state.listeners is not None:
                waiters += state.listeners.published(type, sender, end) or ()
            ends[state] = max(end, ends.get(state, state.end_offset))
    for state, end in ends.items():
        state.end_offset = end
    for state, kind, _, _, _ in reveals:
        if kind != MESSAGES:
            if kind != DELETED:
                state.ended = True
            if state.listeners is not None:
                waiters += state.listeners.changed() or ()
    return waiters


class Showing:
    """The time in which several channels change, with the lock held.

    Readers take no lock, so one could see a part. But whoever does looks at the rest later, and
    from the first change to the last is sent to ``Store.look``, which waits for the lock.
    """

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> None:
        # By whom: a signal's handler may look in the middle of it and must not wait for itself.
        self._store.showing = get_ident()
        self._store.halted = True

    def __exit__(self, kind: object, *_: object) -> None:
        store = self._store
        # What a signal has interrupted is done again, and is not to be seen before.
        if kind is None:
            store.halted = (
                store.read_only or store.closed or store.forked or store.failed is not None
            )
            store.showing = 0


def take_in(
    store: Store, active: RawSegment, position: int, length: int, *, again: bool = False
) -> list[Any]:
    """Apply what was stored at ``position``, and return whom to wake. With the lock held. Doing it
    again completes what was interrupted."""
    with Showing(store):
        active.tail = position + length
        store.appends += 1
        waiters: list[Any] = []
        reveals: list[Reveal] = []
        ticket = log_position(active.first, active.tail)
        deaths = store.table.deaths
        for place, header in inside(active.map, position, active.header(position)):
            reveal = apply(store.table, active, place, header, active.map)
            if reveal is None and again:
                state = store.table.find_id(header.channel)
                if state is not None:
                    reveal = Reveal(state, MESSAGES, state.next_offset, None, None)
            if reveal is not None and again and reveal.state.listeners is not None:
                waiters += reveal.state.listeners.skipped(reveal.state.next_offset)
            if reveal is None or header.kind in (CREATED, DELETED):
                store.changed = ticket
            if reveal is not None:
                reveals.append(reveal)
        if store.deferred:
            store.unseen += [(ticket, reveal) for reveal in reveals]
        else:
            waiters += show(reveals)
        if store.table.deaths != deaths:
            store.on_death()
        if not store.dirty:
            store.dirty = True
            store.on_dirty()
    return waiters

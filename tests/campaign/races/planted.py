"""Races planted in chanlog itself, to show that the scenarios find them there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

from chanlog.channels.subscription import EmbeddedSubscription
from chanlog.storage import clustering, syncing
from chanlog.storage.clustered import ClusteredSegment
from chanlog.storage.segment import RawSegment, log_position
from chanlog.storage.store import Store

__all__ = ["PLANTED", "Planted"]


class Planted(NamedTuple):
    """A race: what puts it in place, and the scenario that has to find it."""

    scenario: str
    plant: Callable[[], contextlib.AbstractContextManager[Any]]


def register_without_the_lock(self: Any, waiter: Any) -> bool:
    """Looks first and registers after, so that a publish in between wakes nobody."""
    state = self._state
    if state.end_offset > self._offset or state.ended or state.deleted or self._closed:
        return False
    self._waiter = waiter
    with self._store.lock:
        self._listeners().waiting[waiter] = None
    return True


def register_and_then_say_so(self: Any, waiter: Any) -> bool:
    """Looks whether it was closed before whoever closes could find the waiter."""
    state = self._state
    with self._store.lock:
        if state.end_offset > self._offset or state.ended or state.deleted or self._closed:
            return False
        self._waiter = waiter
        self._listeners().waiting[waiter] = None
    return True


def hand_over_to_nobody(store: Any) -> None:
    """Lets those go who are covered and forgets the others."""
    with store.row_lock:
        row = store.row or []
        store.row = None
    for place in row:
        if place.ticket <= store.durable:
            place.lock.release()


def end_in_two_looks(self: Any) -> int:
    """Reads which segment is the active one, and then its tail, of another one perhaps."""
    number = self.active.first
    return log_position(number, self.active.tail)


def retire_after_removal(store: Any, segments: list[Any], span: Any) -> None:
    """Takes the old segment away before the new one is in its place."""
    new = () if span is None else (ClusteredSegment(store.folder, *span, store.opened),)
    with store.lock:
        place = store.segments.index(segments[0])
        rest = store.segments[place + len(segments) :]
        store.segments = (*store.segments[:place], *rest)
    for segment in segments:
        segment.retired = True
        if isinstance(segment, RawSegment) and segment.file is not None:
            segment.file.close()
            segment.file = None
    with store.lock:
        store.segments = (*store.segments[:place], *new, *rest)
    for segment in segments:
        store.folder.remove(segment.name)


def close_in_place(self: Any) -> None:
    """Empties the buffer while another thread takes a message out of it."""
    self._closed = True
    self._buffer.clear()
    if self._waiter is not None:
        self._waiter.wake()


def _replaced(owner: Any, name: str, by: Any) -> Callable[[], Any]:
    return lambda: mock.patch.object(owner, name, by)


PLANTED = {
    "register without the lock": Planted(
        "publish, get", _replaced(EmbeddedSubscription, "_register", register_without_the_lock)
    ),
    "register and then say so": Planted(
        "close, get", _replaced(EmbeddedSubscription, "_register", register_and_then_say_so)
    ),
    "hand over to nobody": Planted(
        "durable, durable, durable", _replaced(syncing, "_hand_over", hand_over_to_nobody)
    ),
    "end in two looks": Planted(
        "durable, publish, rolling", _replaced(Store, "end_position", property(end_in_two_looks))
    ),
    "retire after removal": Planted(
        "cluster, replay", _replaced(clustering, "_install", retire_after_removal)
    ),
    "close in place": Planted(
        "close, follow", _replaced(EmbeddedSubscription, "close", close_in_place)
    ),
}

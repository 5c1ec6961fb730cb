"""The order in which a message comes to be: bytes, index, end offset, durability, wake."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import pytest

import chanlog

from .worlds import open_log


def publish(log: chanlog.Log, channel: chanlog.Channel) -> None:
    channel.publish("second")


def publish_durably(log: chanlog.Log, channel: chanlog.Channel) -> None:
    channel.publish("second", durable=True)


def publish_a_frame(log: chanlog.Log, channel: chanlog.Channel) -> None:
    with log.atomic() as frame:
        frame.publish("a", "second")
        frame.publish("b", "second")


WAYS = pytest.mark.parametrize("way", [publish, publish_durably, publish_a_frame])


class Watched:
    """In place of the map of the active segment, for one store into it; ``look`` is called
    before."""

    def __init__(self, active: Any, look: Callable[[], None]) -> None:
        self._active = active
        self._buffer = active.map
        self._look = look

    def __setitem__(self, place: slice, content: bytes) -> None:
        self._look()
        self._active.map = self._buffer
        self._buffer[place] = content


class WatchedPositions(array):
    """Where a channel's batches are; ``look`` is called before there is one more."""

    look: Callable[[], None]

    def append(self, position: int) -> None:
        self.look()
        super().append(position)


@pytest.fixture(params=["os", "always"])
def log(request, tmp_path):
    with open_log(tmp_path / "log", sync=request.param) as log:
        yield log


@pytest.fixture
def channel(log):
    """A handle that has published before: the first message of one takes the longer way."""
    channel = log.channel("a")
    channel.publish("first")
    return channel


def looker(channel: Any) -> tuple[Callable[[], None], list[Any]]:
    """Looks from outside, without a lock, whether there is a second message."""
    reader = channel.subscribe(after=0)
    state = channel.state
    seen: list[Any] = []

    def look() -> None:
        seen.append((state.end_offset, reader.ready))

    return look, seen


@WAYS
def test_nothing_shows_before_the_index_has_it(log, channel, way):
    look, seen = looker(channel)
    state = channel.state
    positions = WatchedPositions("I", state.positions)
    positions.look = look
    state.positions = state.segment.index[state.id] = positions
    way(log, channel)
    assert seen == [(1, False)]
    look()
    assert seen[-1] == (2, True)


@WAYS
def test_nothing_shows_before_its_bytes_are_there(log, channel, way):
    look, seen = looker(channel)
    active = log._store.active
    active.map = Watched(active, look)
    way(log, channel)
    assert seen == [(1, False)]
    look()
    assert seen[-1] == (2, True)


@WAYS
def test_whoever_is_woken_can_read_it(log, channel, way):
    """And under the policy always it is durable by then."""
    store = log._store
    reader = channel.subscribe(after=0)
    waiter = Waiter(lambda: (reader.get(timeout=0), store.durable == store.end_position))
    with store.lock:
        reader._listeners().waiting[waiter] = None
    way(log, channel)
    with store.lock:
        reader._listeners().forget(waiter)
    ((message, is_durable),) = waiter.seen
    assert message is not None
    assert message.data == "second"
    assert is_durable or not store.deferred


def test_many_show_at_once(log, channel):
    """Also where they are too many for one batch."""
    many = [b"x" * 100] * 3000
    state = channel.state
    waiter = Waiter(lambda: state.end_offset)
    reader = channel.subscribe(after=0)
    with log._store.lock:
        reader._listeners().waiting[waiter] = None
    assert channel.publish_many(many) == range(1, 3001)
    with log._store.lock:
        reader._listeners().forget(waiter)
    assert set(waiter.seen) == {3001}


class Waiter:
    """Somebody who waits, and looks when woken."""

    filter = None
    is_dead = False

    def __init__(self, look: Callable[[], Any]) -> None:
        self.look = look
        self.woken = False
        self.seen: list[Any] = []

    def wake(self) -> None:
        self.woken = True
        self.seen.append(self.look())

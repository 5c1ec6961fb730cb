"""A frame, and many at once, show all together, also to readers that take no lock.

The end offsets of its channels moved one after the other, and those of many batches of one channel
batch by batch. Who looked in between saw a part: of 3,000 that were published at once 1,024, or the
bill without what it was for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from chanlog.channels.waking import ChannelListeners
from chanlog.storage.state import ChannelState

from ..support import LIMIT, spawn, until
from .worlds import open_log


class Lock:
    """The lock of a log; counts who has come to it from another thread than the writer's."""

    def __init__(self, lock: Any) -> None:
        self.acquire = self._acquire
        self.release = lock.release
        self.locked = lock.locked
        self.arrived = 0
        self._lock = lock
        self._writer = threading.get_ident()

    def _acquire(self, *arguments: Any, **options: Any) -> bool:
        if threading.get_ident() != self._writer:
            self.arrived += 1
        return self._lock.acquire(*arguments, **options)

    def __enter__(self) -> None:
        self._acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.fixture(params=["os", "always"])
def log(request, tmp_path):
    with open_log(tmp_path / "log", sync=request.param) as log:
        for name in ("a", "b", "c"):
            log.channel(name).publish(0)
            reader = log.channel(name).subscribe()
            with log._store.lock:
                # Something to be told of each message, and where each step can be seen.
                reader._listeners()
        log._store.lock = Lock(log._store.lock)
        yield log


def looked_at_each_step(
    log: Any, monkeypatch: Any, look: Callable[[], Any], work: Callable[[], Any]
) -> list[Any]:
    """What ``look`` has seen from another thread at each step in which something was shown."""
    looks = []

    def step() -> None:
        arrived = log._store.lock.arrived
        looks.append(spawn(look))
        # It has seen something, or it waits until all can be seen.
        until(lambda: looks[-1].done() or log._store.lock.arrived > arrived)

    slot = ChannelState.__dict__["end_offset"]

    def moved(state, end):
        slot.__set__(state, end)
        step()

    monkeypatch.setattr(ChannelState, "end_offset", property(slot.__get__, moved))
    for name in ("published", "changed"):
        original = getattr(ChannelListeners, name)

        def stepping(self, *arguments, original=original):
            step()
            found = original(self, *arguments)
            step()
            return found

        monkeypatch.setattr(ChannelListeners, name, stepping)
    work()
    monkeypatch.undo()
    assert looks
    return [future.result(LIMIT) for future in looks]


@pytest.mark.parametrize("order", ["abc", "cba"])
def test_a_frame(log, monkeypatch, order):
    """Whoever has seen one of its messages sees the others."""
    readers = [log.channel(name).subscribe(after=0) for name in order]

    def look():
        return [reader._take() is not None for reader in readers]

    def work():
        with log.atomic() as frame:
            for name in "abc":
                frame.publish(name, 1)

    for seen in looked_at_each_step(log, monkeypatch, look, work):
        first = seen.index(True) if True in seen else len(seen)
        assert all(seen[first:]), seen
        for reader in readers:
            reader.seek(1)


def test_a_frame_and_its_replay(log, monkeypatch):
    channels = [log.channel(name) for name in "abc"]

    def look():
        return [len(list(channel.replay())) for channel in channels]

    def work():
        with log.atomic() as frame:
            for name in "abc":
                frame.publish(name, 1)

    for seen in looked_at_each_step(log, monkeypatch, look, work):
        assert seen == sorted(seen), seen


def test_a_frame_with_a_cursor(log, monkeypatch):
    """Whoever sees that it was handled sees what came of it."""
    cursor = log.channel("a").cursor("c")
    out = log.channel("b")

    def look():
        return cursor.position(), len(list(out.replay()))

    def work():
        with log.atomic() as frame:
            frame.commit(cursor, 0)
            frame.publish("b", "out")

    for position, count in looked_at_each_step(log, monkeypatch, look, work):
        assert count > position, (position, count)


def test_many_at_once(log, monkeypatch):
    channel = log.channel("a")
    state = channel.state

    def work():
        channel.publish_many(range(3000))

    for end in looked_at_each_step(log, monkeypatch, lambda: state.end_offset, work):
        assert end in (1, 3001)


def test_many_and_an_end(log, monkeypatch):
    """An end shows after the messages before it."""
    channel = log.channel("a")
    state = channel.state

    def work():
        with log.atomic() as frame:
            frame.publish("a", 1)
            frame.end("a")

    seen = looked_at_each_step(log, monkeypatch, lambda: (state.ended, state.end_offset), work)
    assert all(end == 2 for ended, end in seen if ended)

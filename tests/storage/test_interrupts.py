"""Ctrl-C in the middle of anything: it has happened once or not at all, and the log goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

import chanlog
from chanlog.channels.waking import ThreadWaiter
from chanlog.host import MemoryFolder

from .interrupts import everywhere
from .worlds import folder_of, open_image

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="traces single opcodes the way Python 3.11 does"
)


class World:
    """A log in memory with two messages, and somebody who waits for the third."""

    def __init__(self, fill: int, **options: Any) -> None:
        self.folder = MemoryFolder()
        self.log = open_image(self.folder, **options)
        self.channel = self.log.channel("a", sender="me")
        self.channel.publish("first", type="t")
        self.channel.publish("second", type="t")
        if fill:
            store = self.log._store
            rest = store.active.size - 48 - store.active.tail - fill
            self.log.channel("filler").publish(b"x" * (rest - 48 - 3))
        self.subscription = self.channel.subscribe(after=1)
        self.waiter = ThreadWaiter(None)
        assert self.subscription._register(self.waiter)

    def copy(self) -> Any:
        """The log as another process would find it."""
        files = {}
        for name in self.folder.names():
            file = self.folder.open(name, writable=False)
            files[name] = file.read(0, file.size())
        return open_image(folder_of(files))


def settled(world: World, where: str) -> list[Any]:
    """Check that the log works and is whole; returns the payloads behind the first two."""
    channel = world.channel
    world.log.sync()
    seen = channel.info().end_offset
    if seen > 2 or channel.info().ended:
        assert world.waiter.woken, where
    if not channel.info().ended:
        world.log._store.lock.acquire(timeout=1)
        world.log._store.lock.release()
        assert channel.publish("next") == seen, where
        assert world.waiter.woken, where
    messages = list(channel.replay())
    assert [m.offset for m in messages] == list(range(len(messages))), where
    with world.copy() as copy:
        assert list(copy.channel("a").replay()) == messages, where
        assert copy.recovery.torn == [], where
        assert copy.channel("a").info().ended == channel.info().ended
    found = [message.data for message in messages]
    assert found[:2] == ["first", "second"]
    world.log.close()
    return [data for data in found[2:] if data != "next"]


OPTIONS = {"interval": {}, "always": {"sync": "always"}}


@pytest.mark.parametrize("fill", [0, 20])
@pytest.mark.parametrize("sync", ["interval", "always"])
def test_publish(fill, sync):
    """A waiter that had been taken out and not yet woken slept on beside its message."""

    def check(world: World, result: Any, where: str) -> None:
        assert settled(world, where) in (["third"], []), where
        assert result in (None, 2)

    places = everywhere(
        lambda: World(fill, **OPTIONS[sync]),
        lambda world: world.channel.publish("third", type="t"),
        check,
    )
    assert places > 10


@pytest.mark.parametrize("fill", [0, 20])
def test_publish_many(fill):
    def check(world: World, result: Any, where: str) -> None:
        assert settled(world, where) in ([3, 4, 5], []), where

    assert everywhere(
        lambda: World(fill), lambda world: world.channel.publish_many([3, 4, 5]), check
    )


def frame(world: World) -> None:
    with world.log.atomic() as frame:
        frame.publish("a", "third")
        frame.publish("new", "x")
        frame.commit(world.channel.cursor("c"), 1)


@pytest.mark.parametrize("fill", [0, 20])
@pytest.mark.parametrize("sync", ["interval", "always"])
def test_a_frame(fill, sync):
    def check(world: World, result: Any, where: str) -> None:
        log = world.log
        log.sync()
        other = [message.data for message in log.channel("new").replay()]
        cursors = dict(world.channel.info().cursors)
        found = settled(world, where)
        assert (found, other, cursors) in ((["third"], ["x"], {"c": 2}), ([], [], {})), where

    assert everywhere(lambda: World(fill, **OPTIONS[sync]), frame, check)


@pytest.mark.parametrize(
    "work",
    [
        lambda world: world.channel.end(),
        lambda world: world.channel.cursor("c").commit(1),
        lambda world: world.channel.trim(1),
        lambda world: world.log.channel("b").publish("first of its channel"),
        lambda world: world.channel.fork("f", at=1),
        lambda world: world.channel.producer("p", epoch=1).publish("third"),
    ],
    ids=["end", "commit", "trim", "create", "fork", "producer"],
)
def test_control(work: Callable[[World], Any]):
    def check(world: World, result: Any, where: str) -> None:
        if world.channel.info().start_offset == 1:
            world.log.close()
            return
        assert settled(world, where) in (["third"], []), where

    assert everywhere(lambda: World(0), work, check)


def reading(filled: bool) -> Any:
    log = chanlog.open(background=False)
    channel = log.channel("a")
    channel.publish_many(range(5))
    channel.publish("five")
    subscription = channel.subscribe()
    if filled:
        subscription.get()
    return log, subscription


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("way", ["get", "next"])
def test_get(filled, way):
    """What had been taken out of the buffer and not yet returned was lost."""

    def work(world: Any) -> Any:
        return world[1].get() if way == "get" else next(world[1])

    def check(world: Any, result: Any, where: str) -> None:
        log, subscription = world
        found = [0] if filled else []
        if result is not None:
            found.append(result.data)
        while (message := subscription.get(timeout=0)) is not None:
            found.append(message.data)
        assert found == [0, 1, 2, 3, 4, "five"], where
        log.close()

    everywhere(lambda: reading(filled), work, check)


def test_waiting():
    """Whoever is interrupted while he waits is forgotten, and gets what comes when he asks."""

    def prepare() -> Any:
        log = chanlog.open(background=False)
        subscription = log.channel("a").subscribe()
        return log, subscription

    def check(world: Any, result: Any, where: str) -> None:
        log, subscription = world
        assert result is None
        log.channel("a").publish(1)
        assert log.statistics().waiters == 0, where
        assert subscription.get(timeout=0).data == 1
        log.close()

    assert everywhere(prepare, lambda world: world[1].get(timeout=1e-9), check)

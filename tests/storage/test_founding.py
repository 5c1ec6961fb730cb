"""A channel made with its first messages: the short way and the general one are the same."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import chanlog
from chanlog.channels.waking import ThreadWaiter
from chanlog.format.batch import MESSAGES
from chanlog.host import MemoryFolder
from chanlog.storage.founding import found
from chanlog.storage.state import ChannelState
from chanlog.storage.store import Draft, Store
from chanlog.storage.table import ChannelTable

from .interrupts import everywhere
from .test_appending import BODIES, Plain
from .worlds import contents, files_of, fixed_host, folder_of, open_image, open_log


def short(store: Any, state: ChannelState, flags: int, count: int, body: bytes) -> None:
    assert found(store, state, body, flags, count, None, None, 0)


def general(store: Any, state: ChannelState, flags: int, count: int, body: bytes) -> None:
    store.write([Draft(state, MESSAGES, body, flags, count, 0, 0)])


def raising_once(call: Callable[..., Any]) -> Callable[..., Any]:
    """``call``, but that a signal comes before it the first time."""
    calls = []

    def called(*arguments: Any) -> Any:
        calls.append(call)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return call(*arguments)

    return called


def left_behind(path: Path, write: Callable[..., None]) -> Any:
    """The files, what can be read, and all that is known of each channel."""
    host = fixed_host()
    with open_log(path, host=type(host)(clock=Plain(), random_bytes=host.random_bytes)) as log:
        for number, (flags, count, body) in enumerate(BODIES * 3):
            write(log._store, log.channel(f"c{number}").state, flags, count, body)
        store, table = log._store, log._store.table
        states = [
            {name: getattr(state, name) for name in ChannelState.__slots__ if name[0] != "_"}
            for state in table.changed.values()
        ]
        for state in states:
            state["segment"] = state["segment"].first
        known = (table.count, table.next_id, list(table.live), store.appends, store.time_ns)
        return files_of(path), contents(log), states, known


def test_the_same_bytes(tmp_path: Path) -> None:
    """Whoever reads the file cannot tell who wrote it, nor whoever asks the log."""
    one = left_behind(tmp_path / "one", short)
    two = left_behind(tmp_path / "two", general)
    assert sum(name.endswith(".log") for name in one[0]) > 2
    assert one == two


def test_somebody_else_was_faster(tmp_path: Path) -> None:
    """Two threads publish the first message at once: the second one made the channel again."""
    with open_log(tmp_path / "log") as log:
        late = log.channel("a")
        state = late.state
        assert not state.id
        log.channel("a").publish("first")
        tail = log._store.active.tail
        assert not found(log._store, state, b"\xc0", 0, 1, None, None, None)
        assert log._store.active.tail == tail
        assert late.publish("second") == 1
        assert late.publish_many(["third"]) == range(2, 3)
        assert list(log.channel("a").replay().data()) == ["first", "second", "third"]


def test_who_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every publish that waits for nothing; what is to be durable, or large, goes the other way."""
    written = []
    write = Store.write
    monkeypatch.setattr(Store, "write", lambda *a, **k: written.append(a) or write(*a, **k))
    with open_image(MemoryFolder()) as log:
        assert log.channel("a").publish("x") == 0
        assert log.channel("b").publish_many("xy") == range(2)
        assert asyncio.run(log.channel("c").apublish("x")) == 0
        assert asyncio.run(log.channel("d").apublish_many("xy")) == range(2)
        assert log.channel("e").publish("x", type="t", key="k", headers={"h": 1}) == 0
        assert written == []
        assert log.channel("f").publish("x", durable=True) == 0
        assert log.channel("g").publish_many("xy", durable=True) == range(2)
        assert log.channel("h").publish(b"x" * 40_000) == 0
        assert log.channel("i").publish_many(range(2_000)) == range(2_000)
        assert len(written) == 4
        assert list(log.channel("b").replay().data()) == ["x", "y"]
        (message,) = log.channel("e").replay()
        assert (message.type, message.key, message.headers) == ("t", "k", {"h": 1})


def test_what_is_expected(tmp_path: Path) -> None:
    """A channel that does not exist ends at 0."""
    with open_log(tmp_path / "log") as log:
        for publish in (log.channel("a").publish, log.channel("a").publish_many):
            with pytest.raises(chanlog.UnexpectedOffset):
                publish("x", expect=1)
        assert list(log.channels()) == []
        assert log.channel("a").publish("x", expect=0) == 0


def test_a_log_that_accepts_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    channel = log.channel("a")
    assert not channel.info().exists
    log.close()
    with pytest.raises(chanlog.LogClosed):
        channel.publish("x")
    with open_log(tmp_path / "log") as again:
        assert list(again.channels()) == []


@pytest.mark.parametrize("stored", [False, True])
def test_an_exception_halfway(stored: bool) -> None:
    """It comes before the bytes are in place, and nothing has happened; or after, and all has."""
    log = open_image(MemoryFolder())
    channel = log.channel("a")
    subscription = channel.subscribe()
    waiter = ThreadWaiter(None)
    assert subscription._register(waiter)
    store = log._store

    class Map:
        """Takes a signal instead of the bytes."""

        def __init__(self, real: Any) -> None:
            self.real = real

        def __getitem__(self, place: slice) -> Any:
            return self.real[place]

        def __setitem__(self, place: slice, content: bytes) -> None:
            raise KeyboardInterrupt

    log.channel("b").publish("there is a segment")
    active = store.active
    real = active.map
    with pytest.MonkeyPatch.context() as patch:
        if stored:
            patch.setattr(ChannelTable, "add", raising_once(ChannelTable.add))
        else:
            patch.setattr(active, "map", Map(real))
        with pytest.raises(KeyboardInterrupt):
            channel.publish("x")
    assert active.map is real
    assert list(log.channels()) == (["a", "b"] if stored else ["b"])
    assert list(channel.replay().data()) == ["x"] * stored
    assert waiter.woken is stored
    assert channel.publish("next") == stored
    log.close()


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="traces single opcodes the way Python 3.11 does"
)
@pytest.mark.parametrize("many", [False, True])
def test_interrupted(many: bool) -> None:
    """A channel that is half there: with its record and not its message, or counted twice."""

    class World:
        def __init__(self) -> None:
            self.folder = MemoryFolder()
            self.log = open_image(self.folder)
            self.channel = self.log.channel("a")
            self.subscription = self.channel.subscribe()
            self.waiter = ThreadWaiter(None)
            assert self.subscription._register(self.waiter)

    def publish(world: World) -> None:
        if many:
            world.channel.publish_many(["x", "y"])
        else:
            world.channel.publish("x")

    outcomes = set()

    def check(world: World, result: Any, where: str) -> None:
        log = world.log
        expected = ["x", "y"] if many else ["x"]
        happened = list(log.channels()) == ["a"]
        outcomes.add(happened)
        # A signal that comes while the table takes it in leaves the count to the next opening.
        assert list(world.channel.replay().data()) == (expected if happened else []), where
        assert world.waiter.woken or not happened, where
        names = world.folder.names()
        files = {}
        for name in names:
            file = world.folder.open(name, writable=False)
            files[name] = file.read(0, file.size())
        with open_image(folder_of(files)) as copy:
            assert contents(copy).keys() == contents(log).keys(), where
            assert copy.statistics().channels == happened
            assert copy.recovery.torn == [], where
        assert world.channel.publish("next") == len(expected) * happened, where
        assert log.channel("b").publish("another") == 0
        log.close()

    assert everywhere(World, publish, check) > 20
    assert outcomes == {False, True}

"""A signal at one named step, without tracing: what had begun is completed, or has not happened.

``test_interrupts`` tries every place there is, where the interpreter lets it; these are the ones
that matter most, on every version.
"""

from __future__ import annotations

from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest

import chanlog
from chanlog.channels.waking import ThreadWaiter
from chanlog.host import MemoryFolder
from chanlog.storage import syncing
from chanlog.storage.maintenance import maintain

from ..meanwhile import Meanwhile
from ..support import LIMIT, datas, spawn, until
from .test_syncing import Disk
from .worlds import open_image, open_log


class SignalMap(mmap):
    """A map with a signal ``before`` or ``behind`` the next store into it."""

    when = ""

    def __setitem__(self, key: Any, value: Any) -> None:
        when, self.when = self.when, ""
        if when == "before":
            raise KeyboardInterrupt
        super().__setitem__(key, value)
        if when == "behind":
            raise KeyboardInterrupt


def signal_at_store(log: Any, when: str) -> None:
    active = log._store.active
    signalling = SignalMap(-1, len(active.map))
    signalling[:] = active.map[:]
    active.file._map = active.map = signalling
    signalling.when = when


def once(error: BaseException) -> Callable[[], None]:
    """Raises the first time it is called."""
    errors = [error]

    def call(*_: object) -> None:
        if errors:
            raise errors.pop()

    return call


def signal_at_wake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal before the next waiter is woken."""
    wake = ThreadWaiter.wake
    signal = once(KeyboardInterrupt())

    def signalled(self: ThreadWaiter) -> None:
        signal()
        wake(self)

    monkeypatch.setattr(ThreadWaiter, "wake", signalled)


@pytest.fixture
def log():
    with open_image(MemoryFolder()) as log:
        yield log


def waiting_on(channel: chanlog.Channel) -> ThreadWaiter:
    waiter = ThreadWaiter(None)
    assert channel.subscribe(live=True)._register(waiter)
    return waiter


# Appending.


@pytest.mark.parametrize("when", ["before", "behind"])
@pytest.mark.parametrize("how", ["publish", "publish_many", "end"])
def test_a_signal_at_the_store(log, when, how):
    """Once the bytes are in the map a reader in another process may have seen them, so it has
    happened, index, offsets and wake-up included; before that nothing has."""
    channel = log.channel("a")
    channel.publish("first")
    waiter = waiting_on(channel)
    signal_at_store(log, when)
    with pytest.raises(KeyboardInterrupt):
        if how == "publish":
            channel.publish("second")
        elif how == "end":
            channel.end()
        else:
            with log.atomic() as frame:
                frame.publish("a", "second")
                frame.commit(channel.cursor("c"), 0)
    happened = when == "behind"
    assert waiter.woken == happened
    if how == "end":
        assert channel.info().ended == happened
        return
    assert datas(channel.replay()) == ["first", "second"][: 1 + happened]
    assert dict(channel.info().cursors) == ({"c": 1} if happened and how != "publish" else {})
    assert channel.publish("next") == 1 + happened


def test_a_signal_while_listeners_are_told(log):
    """The offset is given out only with the message, and whoever waits is woken."""
    channel = log.channel("a")
    channel.publish("first")
    waiter = waiting_on(channel)
    listeners = channel.state.listeners
    published = type(listeners).published
    type(listeners).published = once(KeyboardInterrupt())
    try:
        with pytest.raises(KeyboardInterrupt):
            channel.publish("second")
    finally:
        type(listeners).published = published
    assert waiter.woken
    assert datas(channel.replay()) == ["first", "second"]


def test_a_signal_with_nobody_listening(log):
    channel = log.channel("a")
    channel.publish("first")
    log._store.dirty = False
    log._store.on_dirty = once(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        channel.publish("second")
    assert log._store.dirty
    assert channel.publish("third") == 2
    assert datas(channel.replay()) == ["first", "second", "third"]


@pytest.mark.parametrize("how", ["publish", "publish_many"])
def test_a_signal_before_the_waiters_are_woken(log, monkeypatch, how):
    """They had been taken out already, and slept on beside their message."""
    channel = log.channel("a")
    channel.publish("first")
    waiters = [waiting_on(channel), waiting_on(channel)]
    signal_at_wake(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        if how == "publish":
            channel.publish("second")
        else:
            channel.publish_many(range(2000))
    assert all(waiter.woken for waiter in waiters)


# Deleting.


def test_a_signal_before_a_deleted_channel_is_forgotten(log, monkeypatch):
    """The channel was marked as deleted and not removed, which nothing did any more: the next
    catalog kept it as it had been, and after opening again it was there."""
    folder = log._store.folder
    folder.durable = True
    log.channel("a").publish("x")
    log.close()
    log = open_image(folder)
    table = log._store.table
    remove = table.remove
    signal = once(KeyboardInterrupt())

    def signalled(state: Any) -> None:
        signal()
        remove(state)

    monkeypatch.setattr(type(table), "remove", lambda self, state: signalled(state))
    with pytest.raises(KeyboardInterrupt):
        log.channel("a").delete()
    assert list(log.channels()) == []
    log.close()
    with open_image(folder) as log:
        assert list(log.channels()) == []


def test_a_signal_behind_a_delete(log):
    """The channel is gone already, and there is nothing left to complete."""
    channel = log.channel("a")
    channel.publish("x")
    log._store.on_death = once(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        channel.delete()
    assert list(log.channels()) == []
    assert log._store.table.count == 0
    assert log.channel("a").publish("another") == 0


# Waiting.


@pytest.mark.parametrize("behind", [False, True])
def test_a_signal_while_a_channel_gets_its_listeners(log, behind):
    """The channel had listeners and was not in the list of those that somebody listens to, and
    never came into it: closing the log woke nobody there."""
    store = log._store
    channel = log.channel("a")

    class Listening(WeakSet):
        add_signalled = staticmethod(once(KeyboardInterrupt()))

        def add(self, item: Any) -> None:
            if behind:
                super().add(item)
            self.add_signalled()
            super().add(item)

    store.listening = Listening()
    with pytest.raises(KeyboardInterrupt):
        channel.subscribe(types={"t"})
    assert log.statistics().waiters == 0
    assert store.everybody() == []
    waiting = spawn(channel.subscribe().get)
    until(lambda: log.statistics().waiters == 1)
    log.close()
    with pytest.raises(chanlog.LogClosed):
        waiting.result(LIMIT)


# Syncing.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_a_signal_in_the_sync(path):
    """The sync was not done, and it was not failed either: the next one does it, folder and all,
    and the background is told that there is something to do."""
    disk = Disk()
    with open_log(path, host=disk.host()) as log:
        store = log._store
        told = []
        channel = log.channel("a")
        channel.publish("x")
        store.on_dirty = lambda: told.append(store.dirty)
        folder_syncs = disk.folder_syncs
        disk.failing = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            log.sync()
        assert told == [True]
        assert channel.info().durable_offset == 0
        disk.failing = None
        log.sync()
        assert channel.info().durable_offset == 1
        assert disk.folder_syncs == folder_syncs + 1


def test_a_signal_in_a_durable_publish(path):
    """It has happened, is not durable, and the background is told to see to it."""
    disk = Disk()
    with open_log(path, host=disk.host()) as log:
        channel = log.channel("a")
        channel.publish("first", durable=True)
        told = []
        log._store.on_dirty = lambda: told.append(True)
        disk.failing = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            channel.publish("second", durable=True)
        disk.failing = None
        assert told
        assert (channel.info().end_offset, channel.info().durable_offset) == (2, 1)


def test_a_signal_behind_the_sync(path, monkeypatch):
    """What is durable is shown, and everybody is woken, for nobody else will do it: under the
    policy ``always`` the messages stayed invisible until the next publish."""
    with open_log(path, sync="always") as log:
        channel = log.channel("a")
        channel.publish("first")
        waiters = [waiting_on(channel), waiting_on(channel)]
        signal_at_wake(monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            channel.publish("second")
        assert datas(channel.replay()) == ["first", "second"]
        assert all(waiter.woken for waiter in waiters)


def test_a_signal_while_a_synced_file_is_closed(path, monkeypatch):
    """The other files stay open, and whatever rewrites their segments closes them."""
    with open_log(path) as log:
        channel = log.channel("a")
        for number in range(3):
            channel.publish(number)
            log._store.roll()
        files = [segment.file for segment in log._store.segments[:-1]]
        monkeypatch.setattr(type(files[0]), "close", once(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            log.sync()
        monkeypatch.undo()
        assert channel.info().durable_offset == 3
        segments = log._store.segments
        assert any(segment.file is not None for segment in segments[:-1])
        maintain(log._store)
        assert all(segment.file is None for segment in segments[:-1])
        assert datas(channel.replay()) == [0, 1, 2]


def test_a_file_that_upkeep_closes_while_the_leader_does(path, monkeypatch):
    """Upkeep may come to a segment as soon as it is durable, before the leader has closed its
    file."""
    with open_log(path) as log:
        channel = log.channel("a")
        for number in range(2):
            channel.publish(number)
            log._store.roll()
        segments = log._store.segments
        kind = type(segments[0].file)
        close = kind.close
        works = [lambda: maintain(log._store)]

        def closing(self: Any) -> None:
            if works:
                works.pop()()
            close(self)

        monkeypatch.setattr(kind, "close", closing)
        log.sync()
        assert not works
        assert all(segment.file is None for segment in segments[:-1])
        assert datas(channel.replay()) == [0, 1]


class SignalledLock:
    """A lock whose wait for ``acquire`` is ended by a signal, after ``meanwhile``."""

    def __init__(self, meanwhile: Callable[[SignalledLock], object]) -> None:
        self.meanwhile = meanwhile
        self.released = False

    def acquire(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return True
        self.meanwhile(self)
        raise KeyboardInterrupt

    def release(self) -> None:
        self.released = True


@pytest.mark.parametrize("when", ["waiting", "leads", "covered"])
def test_a_signal_while_waiting_for_the_leader(path, monkeypatch, when):
    """Whoever leaves the row takes nobody's turn with him: if he was to lead next, the one behind
    him does."""
    disk = Disk()
    with open_log(path, host=disk.host()) as log:
        store = log._store
        channel = log.channel("a")
        channel.publish("first")
        disk.hold()
        leading = spawn(log.sync)
        assert disk.held.wait(LIMIT)
        channel.publish("second")
        behind: list[Any] = []

        def meanwhile(_: Any) -> None:
            monkeypatch.undo()
            if when == "waiting":
                return
            if when == "leads":
                behind.append(spawn(log.sync))
                until(lambda: len(store.row or ()) == 2)
            else:
                store.row[0].ticket = 0
            disk.go.set()
            leading.result(LIMIT)

        monkeypatch.setattr(syncing, "Lock", lambda: SignalledLock(meanwhile))
        with pytest.raises(KeyboardInterrupt):
            log.sync()
        assert store.row == ([] if when == "waiting" else None) or behind
        disk.go.set()
        leading.result(LIMIT)
        for future in behind:
            future.result(LIMIT)
            assert channel.info().durable_offset == 2
        assert store.row is None
        log.sync()
        assert channel.info().durable_offset == 2


def test_what_became_durable_before_it_was_ones_turn_to_lead(path):
    """Between asking whether a sync is needed and leading one, somebody else has done it."""
    disk = Disk()
    with open_log(path, host=disk.host()) as log:
        channel = log.channel("a")
        channel.publish("x")
        log._store.row_lock = Meanwhile(log._store.row_lock, log.sync)
        log.sync()
        assert log._store.row_lock.done
        assert disk.count() == 1
        assert channel.info().durable_offset == 1

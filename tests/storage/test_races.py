"""What happens between a look and the lock, and what the store refuses."""

from __future__ import annotations

import errno
from collections import deque
from typing import Any

import pytest

import chanlog
from chanlog.channels import channel as channels
from chanlog.host import MemoryFolder
from chanlog.storage import retention
from chanlog.storage import store as stores
from chanlog.storage.maintenance import maintain
from chanlog.storage.snapshot import write_catalog

from ..meanwhile import Meanwhile
from ..support import host_with, replayed
from .test_syncing import Disk, SyncFile
from .worlds import fixed_host, folder_of, open_image, open_log


@pytest.fixture
def log() -> Any:
    with open_image(MemoryFolder()) as log:
        yield log


def meanwhile(log: Any, work: Any, at: int = 0) -> Meanwhile:
    log._store.lock = Meanwhile(log._store.lock, work, at)
    return log._store.lock


def test_a_parent_that_is_deleted_while_it_is_forked(log):
    """The fork would have inherited what nobody may read any more."""
    channel = log.channel("a")
    channel.publish("x")
    fork = channel._forking
    lock = None

    def forking(*arguments: Any) -> Any:
        nonlocal lock
        found = fork(*arguments)
        lock = meanwhile(log, log.channel("a").delete)
        return found

    type(channel)._forking, honest = (lambda self, *a: forking(*a)), type(channel)._forking
    try:
        with pytest.raises(chanlog.ChannelDeleted):
            channel.fork("fork", at=1)
    finally:
        type(channel)._forking = honest
    assert lock.done
    assert list(log.channels()) == []


def test_a_channel_that_is_deleted_while_its_replay_is_made(log, monkeypatch):
    """A delete moves the start behind every offset, so that the replay was empty instead of
    refused."""
    channel = log.channel("a")
    channel.publish("x")
    check_offset = channels.check_offset

    def overtaken(*arguments: Any) -> int:
        log.channel("a").delete()
        return check_offset(*arguments)

    monkeypatch.setattr(channels, "check_offset", overtaken)
    with pytest.raises(chanlog.ChannelDeleted):
        channel.replay(0)


def test_a_channel_that_is_deleted_while_it_is_asked_about(log):
    """The answer was of a channel that is no more, and of its start, which lies behind all."""
    channel = log.channel("a")
    channel.publish("x")
    lock = meanwhile(log, log.channel("a").delete)
    with pytest.raises(chanlog.ChannelDeleted):
        channel.info()
    assert lock.done


def test_a_retry_that_is_overtaken_by_the_first_try(log, face):
    """The sequence was new when it was planned, and is not when it is written: it is planned anew,
    and finds the offset that it has."""
    producer = log.channel("a").producer("p", epoch=1)
    lock = meanwhile(log, lambda: producer.publish("x", sequence=0), at=1)
    assert face(producer).publish("x", sequence=0) == 0
    assert lock.done
    assert replayed(log.channel("a")) == ["x"]


def test_a_delete_that_a_signal_has_cut_off(log):
    """The channel is marked first, then its start is moved, and a signal may come in between: its
    messages were read as if nothing had happened."""
    channel = log.channel("a")
    channel.publish("x")
    reader, replay = channel.subscribe(), channel.replay()
    channel.state.deleted = True
    with pytest.raises(chanlog.ChannelDeleted):
        reader.get(timeout=0)
    with pytest.raises(chanlog.ChannelDeleted):
        list(replay)


class ClosedMeanwhile(deque[Any]):
    """The buffer of a reader that another thread closes when somebody has looked into it."""

    reader: chanlog.Subscription

    def __bool__(self) -> bool:
        self.reader.close()
        return True


@pytest.mark.parametrize("way", ["get", "for"])
def test_a_reader_that_is_closed_while_it_takes_a_message(log, way):
    """It had seen a message in its buffer, and found the buffer of a closed reader, which is
    empty: ``IndexError``."""
    channel = log.channel("a")
    channel.publish_many(["x", "y"])
    reader = channel.subscribe()
    assert reader.get().data == "x"
    buffer = ClosedMeanwhile(reader._buffer)
    buffer.reader, reader._buffer = reader, buffer
    if way == "get":
        with pytest.raises(chanlog.HandleClosed):
            reader.get()
    else:
        assert list(reader) == []


@pytest.mark.parametrize("what", ["publish", "delete"])
def test_an_idle_channel_that_changes_as_it_expires(what, clock):
    """Retention had decided to delete it, and somebody published: the message was acknowledged,
    and gone."""
    options = {"retention": chanlog.Retention(ttl=60)}
    with chanlog.open(background=False, host=host_with(clock), **options) as log:
        channel = log.channel("a")
        channel.publish("old")
        clock.advance(100)
        submit = retention.submit
        works = [lambda: channel.publish("new") if what == "publish" else channel.delete()]

        def overtaken(*arguments: Any, **options: Any) -> Any:
            if works:
                works.pop()()
            return submit(*arguments, **options)

        retention.submit = overtaken
        try:
            maintain(log._store)
        finally:
            retention.submit = submit
        assert not works
        if what == "publish":
            assert replayed(channel) == ["old", "new"]
        else:
            assert list(log.channels()) == []


def test_what_a_fork_inherits_ends_where_it_was_forked(log):
    """What the parent has published since is not the fork's, and does not count for its size."""
    parent = log.channel("parent")
    for number in range(4):
        parent.publish(b"%d" % number * 100)
    fork = parent.fork("fork", at=2)
    for _ in range(4):
        parent.publish(b"later" * 100)
    fork.configure(chanlog.Retention(bytes=150))
    maintain(log._store)
    assert fork.info().start_offset == 0
    fork.publish(b"own" * 20)
    maintain(log._store)
    assert fork.info().start_offset == 1
    assert parent.info().start_offset == 0


def test_a_frame_has_a_largest_size(log, monkeypatch):
    """Nothing of it is written, and the log goes on."""
    monkeypatch.setattr(stores, "FRAME_BYTES_MAX", 1000)
    log.channel("a").publish("x")
    with pytest.raises(chanlog.MessageTooLarge) as caught, log.atomic() as frame:
        for _ in range(3):
            frame.publish("a", b"x" * 400)
    assert caught.value.bytes_max == 1000
    assert caught.value.size_bytes == 3 * (400 + 3 + 48) + 48
    assert replayed(log.channel("a")) == ["x"]
    assert log.channel("a").publish("y") == 1


def test_the_first_failure_is_the_one_that_is_told(log):
    """What goes wrong afterwards is a consequence of it, most likely."""
    store = log._store
    first, second = OSError(5, "first"), OSError(5, "second")
    assert store.fail(first).reason is first
    assert store.fail(second).reason is first
    with pytest.raises(chanlog.LogFailed) as caught:
        log.channel("a").publish("x")
    assert caught.value.reason is first


def test_a_sync_of_a_failed_log_is_refused_though_all_is_durable(tmp_path):
    """Somebody else's sync failed after ours was done: to sync is to be told so."""
    with open_log(tmp_path / "log") as log:
        log.channel("a").publish("x", durable=True)
        log._store.fail(OSError(5, "planted"))
        with pytest.raises(chanlog.LogFailed):
            log.sync()


def test_a_handle_of_the_parent_is_refused_in_a_child(log):
    """What ``fork()`` does to a log, without a child: both floors refuse it, with the reason."""
    channel = log.channel("a")
    channel.publish("x")
    reader = channel.subscribe()
    store = log._store
    limit = store.active.limit
    store.forked = store.halted = True
    store.active.limit = -1
    try:
        for attempt in (
            lambda: channel.publish("y"),
            lambda: reader.get(timeout=0),
            lambda: list(channel.replay()),
            log.compact,
            log.sync,
        ):
            with pytest.raises(chanlog.ForkedProcess):
                attempt()
    finally:
        store.forked = store.halted = False
        store.active.limit = limit
    assert channel.publish("y") == 1


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_large_write_that_fails(tmp_path, monkeypatch, code):
    """What is to be durable and large is written through the file. How much of it came through is
    unknown, so the log is failed, and opening cuts it."""
    disk = Disk()
    path = tmp_path / "log"
    with open_log(path, host=disk.host()) as log:
        channel = log.channel("a")
        channel.publish("durable", durable=True)
        write = SyncFile.write

        def half(self: Any, position: int, content: bytes) -> None:
            write(self, position, content[: len(content) // 2])
            raise OSError(code, "planted")

        monkeypatch.setattr(SyncFile, "write", half)
        with pytest.raises(chanlog.LogFailed) as caught:
            channel.publish(b"x" * 40_000, durable=True)
        assert caught.value.reason.errno == code
        monkeypatch.undo()
        with pytest.raises(chanlog.LogFailed):
            channel.publish("more")
        assert replayed(channel, 0, 1) == ["durable"]
    with open_log(path, host=fixed_host()) as log:
        assert replayed(log.channel("a")) == ["durable"]
        assert len(log.recovery.torn) == 1
        assert log.channel("a").publish("next") == 1


def test_a_fork_that_is_deleted_while_the_catalog_is_written():
    """Its parent was deleted before, and lived on for it alone. The new catalog kept what the last
    one had said of the parent: after a crash it was there again, undeleted."""
    folder = MemoryFolder()
    with open_image(folder) as log:
        parent = log.channel("a")
        parent.publish_many(["0", "1"])
        fork = parent.fork("f", at=1)
        write_catalog(log._store)
        parent.delete()
        # When what has changed is known, and nothing of it has been taken down.
        fired = meanwhile(log, fork.delete, at=1)
        write_catalog(log._store)
        assert fired.done
        files = {
            name: folder.open(name, writable=False).read(0, 1 << 20) for name in folder.names()
        }
    with open_image(folder_of(files)) as log:
        assert list(log.channels()) == []
        assert log.channel("a").publish("anew") == 0

"""When what was appended becomes durable, who waits for it, and what happens when it fails."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import chanlog
from chanlog.host import DiskFolder
from chanlog.host.disk import DiskFile

from ..support import LIMIT, datas, drain, gather, spawn, until
from .worlds import contents, files_of, fixed_host, open_log


class Disk:
    """Counts the syncs of segments, and holds or fails them."""

    def __init__(self) -> None:
        self.syncs: list[str] = []
        self.folder_syncs = 0
        self.failing: OSError | None = None
        self.held = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def host(self) -> Any:
        return fixed_host(disk=lambda path: SyncFolder(path, self))

    def hold(self) -> None:
        self.held.clear()
        self.go.clear()

    def sync(self, name: str) -> None:
        self.syncs.append(name)
        self.held.set()
        assert self.go.wait(LIMIT)
        if self.failing is not None:
            raise self.failing

    def count(self, name: str = "0000000001.log") -> int:
        return self.syncs.count(name)


class SyncFolder(DiskFolder):
    def __init__(self, path: Path, disk: Disk) -> None:
        super().__init__(path)
        self.disk = disk

    def create(self, name: str) -> DiskFile:
        return SyncFile(super().create(name), self.disk)

    def open(self, name: str, *, writable: bool) -> DiskFile:
        return SyncFile(super().open(name, writable=writable), self.disk)

    def sync(self) -> None:
        self.disk.folder_syncs += 1
        super().sync()


class SyncFile(DiskFile):
    def __init__(self, file: DiskFile, disk: Disk) -> None:
        self.name = file.name
        self._path = file._path
        self._descriptor, file._descriptor = file._descriptor, -1
        self.disk = disk

    def sync(self) -> None:
        if self.name.endswith(".log"):
            self.disk.sync(self.name)
        super().sync()


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log"


@pytest.mark.parametrize("how", ["durable", "sync", "always", "frame"])
def test_a_failed_sync_fails_the_log(path, disk, how):
    """It is not tried again on that file, nothing more is accepted, and reads go on to what was
    durable."""
    log = open_log(path, host=disk.host(), sync="always" if how == "always" else "os")
    channel = log.channel("a")
    channel.publish("durable", durable=True)
    if how != "always":
        channel.publish("in the page cache")
    subscription = channel.subscribe()
    before = disk.count()
    disk.failing = OSError(5, "planted")
    with pytest.raises(chanlog.LogFailed) as raised:
        if how == "sync":
            log.sync()
        elif how == "frame":
            with log.atomic(durable=True) as frame:
                frame.publish("a", "lost")
        else:
            channel.publish("lost", durable=how == "durable")
    assert raised.value.reason is disk.failing
    disk.failing = None
    for again in (
        lambda: channel.publish("x"),
        lambda: channel.publish("x", durable=True),
        lambda: log.channel("new").publish("x"),
        log.sync,
        channel.end,
        lambda: channel.cursor("c").commit(0),
        log.compact,
    ):
        with pytest.raises(chanlog.LogFailed):
            again()
    assert disk.count() == before + 1
    assert subscription.get(timeout=0).data == "durable"
    with pytest.raises(chanlog.LogFailed):
        subscription.get(timeout=0)
    assert channel.info().durable_offset == 1
    log.close()
    assert disk.count() == before + 1
    with open_log(path) as log:
        assert datas(log.channel("a").replay())[0] == "durable"
        assert not log.recovery.clean


def test_a_failed_sync_wakes_those_who_wait(path, disk):
    log = open_log(path, host=disk.host())
    log.channel("a").publish("durable", durable=True)
    waiting = spawn(log.channel("a").subscribe(after=0).get)
    until(lambda: log.statistics().waiters == 1)
    disk.failing = OSError(28, "planted")
    with pytest.raises(chanlog.LogFailed):
        log.sync() if log._store.durable == 0 else log.channel("a").publish("x", durable=True)
    with pytest.raises(chanlog.LogFailed):
        waiting.result(LIMIT)
    disk.failing = None
    log.close()


def test_a_failed_background_sync_fails_the_log(path, disk):
    log = open_log(path, host=disk.host(), sync="interval", sync_interval=0.001)
    disk.failing = OSError(5, "planted")
    log.channel("a").publish("x")
    until(lambda: log.statistics().failed)
    with pytest.raises(chanlog.LogFailed):
        log.channel("a").publish("y")
    disk.failing = None
    log.close()
    assert disk.count() == 1


def test_always_shows_nothing_before_the_sync(path, disk):
    """Neither the end offset, nor a message, nor a wake-up, nor the end of a channel."""
    with open_log(path, host=disk.host(), sync="always") as log:
        channel = log.channel("a")
        channel.publish("first")
        subscription = channel.subscribe()
        drain(subscription)
        waiting = spawn(channel.subscribe(after=0).get)
        until(lambda: log.statistics().waiters == 1)
        disk.hold()
        publishing = spawn(channel.publish, "second")
        assert disk.held.wait(LIMIT)
        assert channel.info().end_offset == 1
        assert not subscription.ready
        assert subscription.get(timeout=0) is None
        assert log.statistics().waiters == 1
        assert not publishing.done()
        disk.go.set()
        assert publishing.result(LIMIT) == 1
        assert waiting.result(LIMIT).data == "second"
        assert subscription.get(timeout=0).data == "second"
        disk.hold()
        ending = spawn(channel.end)
        assert disk.held.wait(LIMIT)
        assert not channel.info().ended
        # Nothing can follow any more, and why is told when it is durable.
        refused = spawn(channel.publish, "behind the end")
        assert not refused.done()
        disk.go.set()
        with pytest.raises(chanlog.ChannelEnded):
            refused.result(LIMIT)
        assert ending.result(LIMIT) == 2
        assert channel.info().ended


def test_a_fork_is_seen_when_it_is_durable(path, disk):
    """It showed what it inherited while the record that made it was still being synced, and a
    reader of the fork had seen messages that were nowhere after a power cut."""
    with open_log(path, host=disk.host(), sync="always") as log:
        parent = log.channel("parent")
        parent.publish_many(["one", "two"])
        disk.hold()
        forking = spawn(parent.fork, "fork")
        assert disk.held.wait(LIMIT)
        fork = log.channel("fork")
        subscription = fork.subscribe()
        assert not subscription.ready
        assert subscription.get(timeout=0) is None
        waiting = spawn(subscription.get)
        until(lambda: log.statistics().waiters == 1)
        asking = spawn(fork.info)
        assert not any(future.done() for future in (forking, asking, waiting))
        disk.go.set()
        forking.result(LIMIT)
        assert asking.result(LIMIT).exists
        assert waiting.result(LIMIT).data == "one"
        assert subscription.get(timeout=0).data == "two"
        assert fork.info().end_offset == fork.info().durable_offset == 2


def test_of_a_fork_nothing_is_durable_before_it_is(path, disk):
    """Its ``durable_offset`` counted what it had inherited, though a power cut took the fork and
    perhaps its parent's messages with it."""
    with open_log(path, host=disk.host()) as log:
        parent = log.channel("parent")
        parent.publish_many(["one", "two"])
        early = parent.fork("early")
        log.sync()
        late = early.fork("late", at=1)
        assert [c.info().durable_offset for c in (parent, early, late)] == [2, 2, 0]
        late.publish("three", durable=True)
        assert late.info().durable_offset == 2
    with open_log(path) as log:
        assert log.channel("late").info().durable_offset == 2


def test_many_share_a_sync(path, disk):
    """While one syncs the others append, and the next sync is for all of them."""
    with open_log(path, host=disk.host()) as log:
        channel = log.channel("a")
        channel.publish("first", durable=True)
        before = disk.count()
        disk.hold()
        leader = spawn(channel.publish, "leader", durable=True)
        assert disk.held.wait(LIMIT)
        others = [spawn(channel.publish, number, durable=True) for number in range(8)]
        until(lambda: channel.info().end_offset == 10)
        assert not any(future.done() for future in [leader, *others])
        disk.go.set()
        assert sorted(gather([leader, *others])) == list(range(1, 10))
        assert disk.count() <= before + 3
        assert channel.info().durable_offset == 10


def test_a_roll_before_the_sync(path, disk):
    """A segment that was sealed and not synced is synced first, with the folder, and once."""
    with open_log(path, host=disk.host()) as log:
        channel = log.channel("a")
        channel.publish("one")
        log._store.roll()
        channel.publish("two")
        log._store.roll()
        channel.publish("three")
        assert channel.info().durable_offset == 0
        folder_syncs = disk.folder_syncs
        log.sync()
        names = [f"000000000{number}.log" for number in (1, 2, 3)]
        assert disk.syncs == names
        assert disk.folder_syncs == folder_syncs + 1
        assert channel.info().durable_offset == 3
        channel.publish("four", durable=True)
        assert disk.syncs == [*names, names[2]]
        assert disk.folder_syncs == folder_syncs + 1


def test_nothing_to_sync(path, disk):
    with open_log(path, host=disk.host()) as log:
        log.channel("a").publish("x", durable=True)
        before = disk.count()
        for _ in range(3):
            log.sync()
        assert disk.count() == before


def test_the_folder_is_synced_before_a_first_publish_is_durable(path, disk):
    with open_log(path, host=disk.host()) as log:
        log.channel("a").publish("x")
        before = disk.folder_syncs
        log.channel("a").publish("x", durable=True)
        assert disk.folder_syncs == before + 1


def test_what_a_failed_sync_left_is_written_again(path, disk, monkeypatch):
    """After a sync that failed Linux may take the pages for clean, though the disk does not have
    them; what is read afterwards comes from memory. Opening read it, found it right, asked for a
    sync that had nothing to do, and called it durable."""
    with open_log(path) as log:
        channel = log.channel("a")
        channel.publish("durable", durable=True)
        channel.publish("the mark of this one says so")
        start = log._store.durable & 0xFFFFFFFF
        assert start > 0
        copy = files_of(path)
        stop = log._store.active.tail
        before = contents(log)
    (path.parent / "again").mkdir()
    for name, content in copy.items():
        (path.parent / "again" / name).write_bytes(content)
    calls = []
    write, sync = DiskFile.write, DiskFile.sync
    monkeypatch.setattr(
        DiskFile,
        "write",
        lambda file, at, content: (
            calls.append((file.name, at, at + len(content))),
            write(file, at, content),
        ),
    )
    monkeypatch.setattr(
        DiskFile, "sync", lambda file: (calls.append((file.name, "sync")), sync(file))
    )
    with open_log(path.parent / "again") as log:
        (name,) = [name for name in copy if name.endswith(".log")]
        assert calls == [(name, start, stop), (name, "sync")]
        assert contents(log) == before

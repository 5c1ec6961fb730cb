"""The order of the calls to the system: what must be on the disk before what comes next.

A power cut keeps what was synced and any part of the rest, so each rule here is one about syncs.
"""

from __future__ import annotations

import errno
import os
import shutil

import pytest

import chanlog
from chanlog.channels.waking import ChannelListeners
from chanlog.host.disk import DiskFile, DiskFolder

from ..support import LIMIT, spawn
from .test_syncing import Disk
from .worlds import Recorder, open_log, tell


def assert_ordered(calls):
    """A file has its content on the disk before it gets its name, and its name before anything
    is removed or cut; and at the end nothing waits for a sync of the folder."""
    changed: set[str] = set()
    unnamed: list[str] = []
    for place, call in enumerate(calls):
        what, *names = call.split()
        where = f"{place}: {call}"
        if what == "write" or (what in ("truncate", "allocate") and names[0].endswith(".tmp")):
            changed.add(names[0])
        elif what == "sync" and names == ["folder"]:
            unnamed.clear()
        elif what == "sync":
            changed.discard(names[0])
        elif what == "rename":
            assert names[0] not in changed, where
            unnamed.append(names[1])
        elif what == "create":
            # All but segments, which begin empty, get their names when they are whole.
            assert names[0].endswith((".tmp", ".log")) or ".torn-" in names[0], where
            if ".torn-" in names[0]:
                unnamed.append(names[0])
        if what == "truncate" or (what == "remove" and not names[0].endswith(".tmp")):
            kept = [name for name in unnamed if not call.endswith(name)]
            assert not kept, where
            assert not [name for name in changed if ".torn-" in name], where
    assert not unnamed


def recorded(tmp_path, path, work):
    """The calls that ``work`` makes on the log in ``path``."""
    recorder = Recorder(path, tmp_path / f"images-{path.name}")
    recorder.recording = True
    work(recorder)
    recorder.recording = False
    return [call for call, _ in recorder.calls]


def test_a_new_log(tmp_path):
    path = tmp_path / "log"
    path.mkdir()

    def work(recorder):
        open_log(path, host=recorder.host()).close()

    calls = recorded(tmp_path, path, work)
    assert any(call.startswith("rename") for call in calls)
    assert_ordered(calls)


def test_a_compaction(tmp_path):
    path = tmp_path / "log"
    recorder = Recorder(path, tmp_path / "images")
    with open_log(path, host=recorder.host()) as log:
        tell(log)
        recorder.recording = True
        for number in range(5):
            log.channel(f"later-{number}").publish(number)
            log.compact()
        recorder.recording = False
    calls = [call for call, _ in recorder.calls]
    assert sum(call.startswith("rename") for call in calls) > 5
    assert sum(call.startswith("remove") for call in calls) > 3
    assert_ordered(calls)


def test_a_close(tmp_path):
    path = tmp_path / "log"
    recorder = Recorder(path, tmp_path / "images")
    with open_log(path, host=recorder.host()) as log:
        tell(log)
        recorder.recording = True
    recorder.recording = False
    calls = [call for call, _ in recorder.calls]
    assert "rename catalog.tmp catalog" in calls
    assert_ordered(calls)


def test_a_torn_tail(tmp_path):
    path = tmp_path / "log"
    log = open_log(path)
    log.channel("a").publish("whole")
    tail = log._store.active.tail
    log.channel("a").publish("torn")
    dead = tmp_path / "dead"
    shutil.copytree(path, dead)
    log.close()
    with open(dead / "0000000001.log", "r+b") as file:
        file.seek(tail + 50)
        file.write(b"\xff")

    def work(recorder):
        with open_log(dead, host=recorder.host()) as log:
            assert len(log.recovery.torn) == 1

    calls = recorded(tmp_path, dead, work)
    assert any(".torn-" in call for call in calls)
    assert_ordered(calls)


def test_what_a_dead_process_left_is_synced_before_it_counts(tmp_path):
    path = tmp_path / "log"
    log = open_log(path)
    log.channel("a").publish("in the page cache")
    dead = tmp_path / "dead"
    shutil.copytree(path, dead)
    log.close()

    def work(recorder):
        log = open_log(dead, host=recorder.host())
        assert log.channel("a").info().durable_offset == 1
        recorder.recording = False
        log.close()

    calls = recorded(tmp_path, dead, work)
    assert "sync 0000000001.log" in calls
    assert "sync folder" in calls[calls.index("sync 0000000001.log") :]


def test_nothing_old_comes_back_to_life(tmp_path):
    """Behind a torn batch lay a whole one. What is appended in place of the torn one ends exactly
    where that begins, and it must not be read."""
    path, dead = tmp_path / "log", tmp_path / "dead"
    log = open_log(path)
    channel = log.channel("a")
    channel.publish("a")
    tail = log._store.active.tail
    channel.publish("b")
    channel.publish("c")
    shutil.copytree(path, dead)
    log.close()
    with open(dead / "0000000001.log", "r+b") as file:
        file.seek(tail + 48)
        file.write(b"\xff\xff")
    log = open_log(dead)
    assert log.channel("a").publish("B") == 1
    again = tmp_path / "again"
    shutil.copytree(dead, again)
    log.close()
    with open_log(again) as log:
        assert [message.data for message in log.channel("a").replay()] == ["a", "B"]
        assert log.recovery.torn == []


def test_of_a_torn_frame_nothing_is_there(tmp_path):
    """The header and the first of its batches had reached the disk, and the rest had not."""
    path, dead = tmp_path / "log", tmp_path / "dead"
    log = open_log(path)
    log.channel("a").publish("first")
    log.channel("b").publish("first")
    with log.atomic() as frame:
        frame.publish("a", "x" * 300)
        frame.publish("b", "x" * 300)
    tail = log._store.active.tail
    shutil.copytree(path, dead)
    log.close()
    with open(dead / "0000000001.log", "r+b") as file:
        file.seek(tail - 100)
        file.write(bytes(100))
    with open_log(dead) as log:
        for name in ("a", "b"):
            assert [message.data for message in log.channel(name).replay()] == ["first"]
        assert len(log.recovery.torn) == 1


def test_damage_is_told_by_what_single_messages_carry(tmp_path):
    """No frame, no record and no snapshot says what was durable, only the messages behind."""
    path, dead = tmp_path / "log", tmp_path / "dead"
    log = open_log(path)
    channel = log.channel("a")
    channel.publish("first")
    tail = log._store.active.tail
    channel.publish("second", durable=True)
    channel.publish("third")
    shutil.copytree(path, dead)
    log.close()
    with open(dead / "0000000001.log", "r+b") as file:
        file.seek(tail + 50)
        file.write(b"\xff")
    with pytest.raises(chanlog.CorruptionError):
        open_log(dead)


def test_a_delete_outlives_what_it_deletes(tmp_path):
    """The segment that has the channel is not rewritten, since little of it is dead."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.channel("small").publish("x")
        log.channel("large").publish_many([b"y" * 1000] * 30)
        log.compact()
        log.channel("small").delete()
        # Enough for a new catalog, which does not have the channel any more.
        log.channel("large").publish(b"y" * 5000)
        log.compact()
        assert len([name for name in os.listdir(path) if name.endswith(".seg")]) == 2
    (path / "catalog").unlink()
    with open_log(path) as log:
        assert list(log.channels()) == ["large"]


@pytest.fixture
def disk():
    return Disk()


def test_a_sync_covers_what_was_there_when_it_began(tmp_path, disk):
    """And what came meanwhile is synced by the next one, which nobody has to ask for."""
    host = disk.host()
    with open_log(tmp_path / "log", host=host, sync="interval", sync_interval=60) as log:
        channel = log.channel("a")
        channel.publish("before")
        disk.hold()
        syncing = spawn(log.sync)
        assert disk.held.wait(LIMIT)
        channel.publish("meanwhile")
        disk.go.set()
        syncing.result(LIMIT)
        assert channel.info().durable_offset == 1
        assert log._store.dirty


@pytest.mark.parametrize("what", ["fdatasync", "fsync"])
def test_the_host_tells_of_a_failed_sync(tmp_path, monkeypatch, what):
    def fail(descriptor):
        raise OSError(errno.EIO, "planted")

    folder = DiskFolder(tmp_path / "folder")
    folder.make()
    file = folder.create("file")
    monkeypatch.setattr(os, what, fail)
    with pytest.raises(OSError, match="planted"):
        file.sync() if what == "fdatasync" else folder.sync()
    file.close()


def test_what_waits_for_a_sync_that_fails_never_shows(tmp_path, disk):
    with open_log(tmp_path / "log", host=disk.host(), sync="always") as log:
        channel = log.channel("a")
        channel.publish("durable")
        disk.hold()
        publishing = spawn(channel.publish, "lost")
        assert disk.held.wait(LIMIT)
        disk.failing = OSError(5, "planted")
        disk.go.set()
        with pytest.raises(chanlog.LogFailed):
            publishing.result(LIMIT)
        disk.failing = None
        assert channel.state.end_offset == channel.info().end_offset == 1


def test_the_lock_is_kept_until_the_close_is_done(tmp_path, disk):
    path = tmp_path / "log"
    log = open_log(path, host=disk.host())
    log.channel("a").publish("x")
    disk.hold()
    closing = spawn(log.close)
    assert disk.held.wait(LIMIT)
    try:
        with pytest.raises(chanlog.LogLocked):
            open_log(path)
    finally:
        disk.go.set()
    closing.result(LIMIT)
    open_log(path).close()


def test_looking_removes_nothing(tmp_path):
    """What looks left behind may be a file that the owner is just writing."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.channel("a").publish("x")
        log.compact()
        (path / "catalog.tmp").write_bytes(b"the owner is writing this")
        with chanlog.open(path, read_only=True) as outside:
            assert [m.data for m in outside.channel("a").replay()] == ["x"]
        assert (path / "catalog.tmp").exists()


def test_every_store_has_room(tmp_path, monkeypatch):
    """A store where none was reserved ends the process on a full disk. After an opening none is."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.channel("a").publish("x")
    reserved: dict[str, int] = {}
    allocate = DiskFile.allocate

    def noted(self, start, stop):
        allocate(self, start, stop)
        reserved[self.name] = max(reserved.get(self.name, 0), stop)

    monkeypatch.setattr(DiskFile, "allocate", noted)
    with open_log(path) as log:
        for number in range(150):
            segment = log._store.active
            if number % 50 == 0:
                log._store.roll()
            else:
                log.channel("a").publish(b"x" * 900)
            for one in {segment, log._store.active}:
                assert one.tail <= reserved[one.name], one.name


def test_no_signal_leaves_the_lock_behind(monkeypatch):
    """It comes while a reader that gave up is taken off the list of those who wait."""

    def interrupted(self, waiter):
        raise KeyboardInterrupt

    log = chanlog.open(background=False)
    subscription = log.channel("a").subscribe()
    monkeypatch.setattr(ChannelListeners, "forget", interrupted)
    with pytest.raises(KeyboardInterrupt):
        subscription.get(timeout=1e-9)
    monkeypatch.undo()
    held = log._store.lock.locked()
    if held:
        # Or the close would wait for ever.
        log._store.lock.release()
    log.close()
    assert not held


def test_the_rules_can_be_broken():
    calls = ["create x.tmp", "write x.tmp", "rename x.tmp x", "sync folder"]
    with pytest.raises(AssertionError):
        assert_ordered(calls)
    calls.insert(2, "sync x.tmp")
    assert_ordered(calls)
    with pytest.raises(AssertionError):
        assert_ordered(calls[:-1])
    with pytest.raises(AssertionError):
        assert_ordered([*calls[:-1], "remove y", "sync folder"])
    torn = ["create l.torn-9", "write l.torn-9", "sync l.torn-9", "sync folder", "truncate l"]
    assert_ordered(torn)
    for missing in (2, 3):
        with pytest.raises(AssertionError):
            assert_ordered(torn[:missing] + torn[missing + 1 :])

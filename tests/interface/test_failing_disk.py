"""A disk that fails to sync: the log stays failed, and nothing is promised that is not so."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

import chanlog
from chanlog.host import DiskFolder, Host

from ..support import LIMIT, drain, gather, replayed, run, spawn, until, until_waiting


class Switch:
    """Whether syncs fail, and whether they wait."""

    def __init__(self) -> None:
        self.failing = False
        self.syncs = 0
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()


class SwitchedFile:
    """A file whose ``sync`` can be made to fail or to wait."""

    def __init__(self, file, switch):
        self.__dict__.update(_file=file, _switch=switch)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __setattr__(self, name, value):
        setattr(self._file, name, value)

    def sync(self):
        self._switch.arrived.set()
        assert self._switch.gate.wait(LIMIT)
        self._switch.syncs += 1
        if self._switch.failing:
            raise OSError(errno.EIO, "the disk is gone")
        self._file.sync()


class SwitchedFolder(DiskFolder):
    __slots__ = ("switch",)

    def create(self, name):
        return SwitchedFile(super().create(name), self.switch)

    def open(self, name, *, writable):
        return SwitchedFile(super().open(name, writable=writable), self.switch)


@pytest.fixture
def switch():
    return Switch()


@pytest.fixture
def host(switch):
    def disk(path: Path) -> SwitchedFolder:
        folder = SwitchedFolder(path)
        folder.switch = switch
        return folder

    return Host(disk=disk)


def test_a_failed_sync_fails_the_log(disk, host, switch, face):
    log = disk.open(host=host, sync="os")
    channel = log.channel("w")
    channel.publish_many(range(5), durable=True)
    switch.failing = True
    with pytest.raises(chanlog.LogFailed) as caught:
        face(channel).publish("lost?", durable=True)
    assert isinstance(caught.value.reason, OSError)
    assert caught.value.reason.errno == errno.EIO
    assert log.statistics().failed


def test_a_failed_log_stays_failed(disk, host, switch, face):
    """The kernel reports a lost write once; who asks again is told that all is well."""
    log = disk.open(host=host, sync="os")
    channel = log.channel("w")
    cursor, producer = channel.cursor("c"), channel.producer("p")
    channel.publish_many(range(5), durable=True)
    channel.publish("lost?")
    switch.failing = True
    with pytest.raises(chanlog.LogFailed):
        face(log).sync()
    switch.failing = False
    syncs = switch.syncs

    def frame():
        with log.atomic() as frame:
            frame.publish("w", "x")

    for attempt in (
        lambda: face(channel).publish("x"),
        lambda: face(channel).publish_many(["x"], durable=True),
        lambda: face(channel).end(),
        lambda: face(channel).trim(before=2),
        lambda: face(channel).delete(),
        lambda: face(channel).fork("other"),
        lambda: face(cursor).commit(1),
        lambda: face(producer).publish("x"),
        frame,
        lambda: face(log).sync(),
    ):
        with pytest.raises(chanlog.LogFailed):
            attempt()
    assert switch.syncs == syncs
    cursor.close()


def test_what_is_durable_can_still_be_read(disk, host, switch):
    log = disk.open(host=host, sync="os")
    channel = log.channel("w")
    channel.publish_many(range(5), durable=True)
    switch.failing = True
    with pytest.raises(chanlog.LogFailed):
        channel.publish("lost?", durable=True)
    assert channel.info().durable_offset == 5
    assert replayed(channel, 0, 5) == [0, 1, 2, 3, 4]


def test_opening_again_goes_on(disk, host, switch):
    log = disk.open(host=host, sync="os")
    channel = log.channel("w")
    channel.publish_many(range(5), durable=True)
    switch.failing = True
    with pytest.raises(chanlog.LogFailed):
        channel.publish("lost?", durable=True)
    switch.failing = False
    log.close()
    with disk.open() as log:
        channel = log.channel("w")
        assert replayed(channel)[:5] == [0, 1, 2, 3, 4]
        channel.publish("on", durable=True)


def test_a_close_that_cannot_sync_says_so_and_closes(disk, host, switch, face):
    """Whoever closes believes all is safe; the directory must be free all the same."""
    log = disk.open(host=host, sync="os")
    log.channel("w").publish("kept", durable=True)
    log.channel("w").publish("lost?")
    switch.failing = True
    with pytest.raises(chanlog.LogFailed):
        face(log).close()
    switch.failing = False
    with pytest.raises(chanlog.LogClosed):
        log.channel("w").publish("x")
    log.close()
    with disk.open() as log:
        assert replayed(log.channel("w"))[0] == "kept"


def test_the_background_sync_fails_the_log_too(disk, host, switch):
    log = disk.open(host=host, background=True, sync_interval=0.001)
    channel = log.channel("w")
    channel.publish("a", durable=True)
    switch.failing = True
    channel.publish("b")
    until(lambda: log.statistics().failed)
    with pytest.raises(chanlog.LogFailed):
        channel.publish("c")
    log.close()


def test_all_who_wait_for_a_failed_sync_are_told(disk, host, switch):
    log = disk.open(host=host, sync="os")
    channel = log.channel("w")
    channel.publish("a", durable=True)
    switch.arrived.clear()
    switch.gate.clear()
    switch.failing = True
    leader = spawn(channel.publish, "b", durable=True)
    assert switch.arrived.wait(LIMIT)
    others = [spawn(channel.publish, n, durable=True) for n in range(5)]
    others.append(spawn(lambda: run(channel.apublish("task", durable=True))))
    switch.gate.set()
    for future in [leader, *others]:
        with pytest.raises(chanlog.LogFailed):
            future.result(LIMIT)


def test_one_sync_serves_all_who_wait(disk, host, switch):
    """Group commit, made certain: everybody arrives while the first sync is held."""
    log = disk.open(host=host, sync="os")
    channel = log.channel("w")
    channel.publish("a", durable=True)
    switch.arrived.clear()
    switch.gate.clear()
    before = log.statistics().syncs
    leader = spawn(channel.publish, "leader", durable=True)
    assert switch.arrived.wait(LIMIT)
    count = log.statistics().appends
    others = [spawn(channel.publish, n, durable=True) for n in range(20)]
    until(lambda: log.statistics().appends == count + 20)
    switch.gate.set()
    gather([leader, *others])
    assert channel.info().durable_offset == 22
    assert log.statistics().syncs - before <= 3


def test_nobody_is_woken_by_what_is_not_durable_yet(disk, host, switch):
    """Bytes, index, durability where asked, and only then the wake."""
    log = disk.open(host=host, sync="always")
    channel = log.channel("w")
    channel.publish("a")
    with channel.subscribe(live=True) as reader:
        waiting = spawn(reader.get, timeout=LIMIT)
        until_waiting(log)
        switch.arrived.clear()
        switch.gate.clear()
        publishing = spawn(channel.publish, "b")
        assert switch.arrived.wait(LIMIT)
        assert not waiting.done()
        with channel.subscribe(live=True) as other:
            assert drain(other) == []
        switch.gate.set()
        assert publishing.result(LIMIT) == 1
        assert waiting.result(LIMIT).data == "b"


def test_readers_and_writers_go_on_during_a_sync(disk, host, switch):
    """A sync holds up those who wait for it and nobody else."""
    log = disk.open(host=host, sync="os")
    channel, other = log.channel("w"), log.channel("other")
    channel.publish("a", durable=True)
    switch.arrived.clear()
    switch.gate.clear()
    publishing = spawn(channel.publish, "b", durable=True)
    assert switch.arrived.wait(LIMIT)
    assert other.publish("meanwhile") == 0
    assert replayed(other) == ["meanwhile"]
    assert replayed(channel)[:1] == ["a"]
    assert not publishing.done()
    switch.gate.set()
    assert publishing.result(LIMIT) == 1


@pytest.mark.parametrize("taken", [0, 1, 48, 20_000, 69_999])
def test_room_that_was_reserved_and_is_not_given(disk, monkeypatch, tmp_path, face, taken):
    """A large message that is to be durable is written by a call, and the call can be refused for
    want of room although it was reserved: the limit on the size of files was lowered, or the file
    system copies on write. That failed the whole log, with ``DiskFull`` as its reason, which says
    that nothing was written and that one may try again.
    """
    log = disk.open(sync="os", segment_bytes=1 << 20)
    channel = log.channel("w")
    channel.publish("before")
    honest, refusing = os.pwrite, True
    limit = log._store.active.tail + taken

    def pwrite(descriptor, content, position):
        if refusing and position >= limit:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        some = memoryview(content)[: limit - position] if refusing else content
        return honest(descriptor, some, position)

    monkeypatch.setattr(os, "pwrite", pwrite)
    for _ in range(2):
        with pytest.raises(chanlog.DiskFull):
            face(channel).publish(b"x" * 70_000, durable=True)
    shutil.copytree(disk.path, tmp_path / "killed")
    assert replayed(channel) == ["before"]
    refusing = False
    assert face(channel).publish(b"y" * 70_000, durable=True) == 1
    log.close()
    with disk.open() as log:
        assert replayed(log.channel("w")) == ["before", b"y" * 70_000]
    with chanlog.open(tmp_path / "killed") as log:
        assert log.recovery.torn == []
        assert replayed(log.channel("w")) == ["before"]

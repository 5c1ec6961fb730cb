"""A call to the system fails where it did not fail before: nothing is left locked, or half done,
or believed."""

from __future__ import annotations

import errno
import gc
import os

import pytest

import chanlog
from chanlog.storage.syncing import sync_folder

from ..support import datas
from .worlds import open_log


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log"


def refuse(*args, **options):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_close_that_cannot_cut_lets_go(path, monkeypatch):
    """The active segment could not be cut to its length, and the directory stayed locked and its
    files open for as long as the process lived."""
    log = open_log(path)
    log.channel("a").publish("x")
    truncate = os.ftruncate

    def refuse_log(descriptor, size):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".log"):
            refuse()
        truncate(descriptor, size)

    monkeypatch.setattr(os, "ftruncate", refuse_log)
    with pytest.raises(OSError, match=r"0000000001\.log"):
        log.close()
    monkeypatch.undo()
    with open_log(path) as log:
        assert log.recovery.clean
        assert datas(log.channel("a").replay()) == ["x"]


def test_a_close_that_cannot_write_the_catalog_cuts_nothing(path, monkeypatch):
    """What can go wrong goes wrong before anything is cut, a plain ``OSError`` included."""
    log = open_log(path)
    log.channel("a").publish("x")
    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OSError, match="catalog"):
        log.close()
    monkeypatch.undo()
    assert (path / "0000000001.log").stat().st_size == 64 * 1024
    with open_log(path) as log:
        assert not log.recovery.clean
        assert datas(log.channel("a").replay()) == ["x"]


@pytest.mark.parametrize("how", ["catalog", "compact", "close"])
def test_a_failed_sync_of_the_folder_fails_the_log(path, monkeypatch, how):
    """The catalog's name could not be made durable, and the next publish synced the folder again,
    was told that all is well, and believed it: the name of its segment may have been lost with
    the first (G16)."""
    log = open_log(path)
    log.channel("a").publish("durable", durable=True)
    fsync, asked = os.fsync, []

    def fail_once(descriptor):
        asked.append(descriptor)
        if len(asked) == 1:
            refuse()
        fsync(descriptor)

    if how == "compact":
        log.compact()
        log.channel("a").publish("more", durable=True)
    log._store.folder_dirty = False
    monkeypatch.setattr(os, "fsync", fail_once)
    with pytest.raises(chanlog.LogFailed):
        log.close() if how == "close" else log.compact()
    if how != "close":
        with pytest.raises(chanlog.LogFailed):
            log.channel("a").publish("x", durable=True)
        with pytest.raises(chanlog.LogFailed):
            log.compact()
        log.close()
    assert len(asked) == 1
    monkeypatch.undo()
    with open_log(path) as log:
        assert datas(log.channel("a").replay())[0] == "durable"


def test_a_failed_log_does_not_sync_its_folder(path, monkeypatch):
    """Somebody's sync fails while a catalog is being written: its name is not made durable by a
    sync that may succeed although the first did not."""
    log = open_log(path)
    log._store.fail(OSError(errno.EIO, "planted"))
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("it was asked"))
    with pytest.raises(chanlog.LogFailed):
        sync_folder(log._store)
    monkeypatch.undo()
    log.close()


def test_the_upkeep_of_a_failed_log_touches_nothing(path, monkeypatch):
    """A pass that was due anyway went on to rewrite, rename and remove the files of a log that was
    failed, and synced their folder again."""
    log = open_log(path)
    log.channel("a").publish("durable", durable=True)
    log._store.roll()
    log.channel("a").publish("more", durable=True)
    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(chanlog.LogFailed):
        log.channel("a").publish("lost", durable=True)
    monkeypatch.undo()
    before = sorted(os.listdir(path))
    log._upkeep._pass()
    assert sorted(os.listdir(path)) == before
    log.close()


def test_a_closed_log_gives_its_descriptors_back(path):
    """A map holds a descriptor, and the maps of a closed log stayed until the cycles that its parts
    made were collected: a process that opens many in a row could run out of them."""
    gc.collect()
    gc.disable()
    try:
        before = os.listdir("/proc/self/fd")
        for _ in range(3):
            with open_log(path) as log:
                log.channel("a").publish("x")
                log.compact()
                assert datas(log.channel("a").replay())[0] == "x"
            del log
        assert os.listdir("/proc/self/fd") == before
    finally:
        gc.enable()


def test_permission_tells_its_errno(path, monkeypatch):
    """``LogPermission`` is a ``PermissionError``, and had no ``errno``."""
    monkeypatch.setattr(
        os, "listdir", lambda path: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no"))
    )
    with pytest.raises(chanlog.LogPermission) as caught:
        open_log(path)
    assert caught.value.errno == errno.EACCES

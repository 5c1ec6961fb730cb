"""The disk: partial writes, a full file system, and the lock of a directory."""

from __future__ import annotations

import atexit
import errno
import fcntl
import mmap
import os
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest

import chanlog
from chanlog.errors import DiskFull, LogLocked, NotALog
from chanlog.host import DiskFolder
from chanlog.host.process import before_exit

from ..support import finish, python


@pytest.fixture
def folder(tmp_path):
    folder = DiskFolder(tmp_path / "log")
    folder.make()
    yield folder
    folder.unlock()


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_short_writes_are_completed(folder, monkeypatch, most):
    """The system may take less than it was given; a write without a loop lost 48 of 50 records."""
    pwrite = os.pwrite
    calls = []

    def short(descriptor, content, position):
        calls.append(len(content))
        return pwrite(descriptor, memoryview(content)[:most], position)

    monkeypatch.setattr(os, "pwrite", short)
    file = folder.create("f")
    content = bytes(range(256)) * 8
    file.write(7, content)
    file.write(7 + len(content), memoryview(b"end"))
    monkeypatch.undo()
    assert file.read(7, 10_000) == content + b"end"
    assert len(calls) > 2
    file.close()


def test_short_reads_are_completed(folder, monkeypatch):
    file = folder.create("f")
    file.write(0, b"0123456789")
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda d, count, at: pread(d, min(count, 3), at))
    assert file.read(1, 100) == b"123456789"
    monkeypatch.undo()
    file.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_told_apart(folder, monkeypatch, code):
    """Written by ``pwrite``, as a catalog is, no room was an ``OSError`` like any other."""

    def full(*_, **__):
        raise OSError(code, os.strerror(code))

    file = folder.create("f")
    for name, call in (
        ("pwrite", lambda: file.write(0, b"x")),
        ("posix_fallocate", lambda: file.allocate(0, 10)),
        ("ftruncate", lambda: file.truncate(10)),
        ("open", lambda: folder.create("g")),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, full)
            with pytest.raises(DiskFull) as raised:
                call()
            assert raised.value.errno == code
            assert raised.value.path.parent == folder.path
    file.close()


@pytest.mark.parametrize(
    ("start", "stop", "pages"),
    [(0, 1, (0, 1)), (1, 4097, (0, 2)), (5000, 5048, (1, 2)), (8192, 12288, (2, 3))],
)
def test_room_is_reserved_in_pages(folder, monkeypatch, start, stop, pages):
    """On an ext4 with blocks of 1 KiB only the blocks in question were reserved. A store into one
    of them had the system look for the rest of its page, and on a full disk the process died of
    SIGBUS.
    """
    reserved = []
    monkeypatch.setattr(os, "posix_fallocate", lambda _, at, count: reserved.append((at, count)))
    file = folder.create("f")
    file.truncate(16 * mmap.PAGESIZE)
    scale = mmap.PAGESIZE // 4096
    file.allocate(start * scale, stop * scale)
    first, last = pages
    assert reserved == [(first * mmap.PAGESIZE, (last - first) * mmap.PAGESIZE)]
    file.close()


def test_reserving_room_changes_nothing(folder, monkeypatch):
    """Where it can only be reserved by writing zeros, what is in the first page must stay."""

    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    file = folder.create("f")
    file.write(0, b"x" * 5000)
    file.truncate(20_000)
    file.allocate(5000, 9000)
    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    file.allocate(5000, 9000)
    assert file.read(0, 20_000) == b"x" * 5000 + bytes(15_000)
    file.close()


def test_how_far_a_file_reaches(folder, monkeypatch):
    """Opening looked through a map at all of a file, and on a tmpfs that was full a look at the
    hole behind its content ended in SIGBUS."""
    page = mmap.PAGESIZE
    file = folder.create("f")
    assert file.reach() == 0
    file.truncate(64 * page)
    assert file.reach() == 0
    file.write(3 * page, b"x")
    file.write(40 * page, b"x")
    assert 40 * page < file.reach() <= 48 * page
    file.write(64 * page - 1, b"x")
    assert file.reach() == 64 * page

    def unsupported(*_):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    file.truncate(80 * page)
    monkeypatch.setattr(os, "lseek", unsupported)
    assert file.reach() == 80 * page
    file.close()


def test_reserving_room_makes_no_file_longer(folder):
    file = folder.create("f")
    file.truncate(5000)
    file.allocate(100, 5000)
    assert file.size() == 5000
    file.close()


def test_other_errors_are_what_they_are(folder, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "planted")

    file = folder.create("f")
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", broken)
        with pytest.raises(OSError, match="planted") as raised:
            file.write(0, b"x")
        assert not isinstance(raised.value, DiskFull)
    file.close()


def test_the_folders_above_are_synced(tmp_path, monkeypatch):
    """The name of a new directory is in the one above: unsynced, the whole log could be gone.

    The lowest that was there is taken for one whose maker died before he could sync its name.
    """
    synced = []
    fsync = os.fsync

    def note(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    folder = DiskFolder(tmp_path / "a" / "b")
    folder.make()
    assert synced == [str(path) for path in (tmp_path.parent, tmp_path, tmp_path / "a")]
    synced.clear()
    folder.make()
    assert synced == [str(tmp_path / "a")]


def test_a_new_log_is_a_log_after_a_power_cut(tmp_path, monkeypatch):
    """The marker's name was synced with the first sync of a segment, so a segment could be there
    without it, and the directory was refused as no log."""
    order = []
    create, sync = DiskFolder.create, DiskFolder.sync
    monkeypatch.setattr(
        DiskFolder, "create", lambda self, name: order.append(name) or create(self, name)
    )
    monkeypatch.setattr(DiskFolder, "sync", lambda self: order.append("sync") or sync(self))
    with chanlog.open(tmp_path / "log", background=False, sync="os") as log:
        log.channel("a").publish(1)
    assert order[:3] == ["CHANLOG.tmp", "sync", "0000000001.log"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "f").write_text("x")
    with pytest.raises(NotALog):
        DiskFolder(tmp_path / "f").names()


@pytest.fixture
def small(tmp_path):
    """A file system of 256 KB."""
    target = tmp_path / "small"
    target.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(target)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False)
    if not mounted or mounted.returncode:
        pytest.skip("a full disk needs the right to mount one")
    yield target
    # Lazily, for maps of what was closed may still be there.
    subprocess.run(["umount", "-l", str(target)], check=True, capture_output=True)


def test_a_full_disk_loses_nothing(small):
    """Through the map, through the file, and in a frame; and it goes on when there is room."""
    ballast = small / "ballast"
    ballast.write_bytes(bytes(100_000))
    with chanlog.open(small / "log", background=False, sync="os", segment_bytes=1 << 16) as log:
        channel = log.channel("a")
        count = 0
        with pytest.raises(DiskFull):
            while True:
                channel.publish(b"x" * 3000)
                count += 1
        for durable in (False, True):
            with pytest.raises(DiskFull):
                channel.publish(b"x" * 3000, durable=durable)
        assert len(list(channel.replay())) == count
        ballast.unlink()
        assert channel.publish("there is room") == count
    with chanlog.open(small / "log", background=False) as log:
        assert log.channel("a").info().end_offset == count + 1


def test_the_lock_says_who_has_it(folder):
    source = """
import sys
from pathlib import Path
from chanlog.host import DiskFolder
folder = DiskFolder(Path(sys.argv[1]))
folder.lock("lock")
print("locked", flush=True)
sys.stdin.read()
"""
    process = python(source, folder.path)
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(LogLocked) as raised:
        folder.lock("lock")
    assert raised.value.pid == process.pid
    assert str(process.pid) in str(raised.value)
    finish(process, "")
    folder.lock("lock")


def test_the_lock_does_not_live_on_in_a_child(tmp_path):
    """A forked child that outlives its parent shares the parent's lock, unless it lets go."""
    source = """
import os, sys, chanlog
log = chanlog.open(sys.argv[1], background=False)
log.channel("a").publish("from the parent")
if os.fork() == 0:
    print("forked", flush=True)
    os.close(1)
    os.close(2)
    os.read(0, 1)
    os._exit(0)
os._exit(0)
"""
    process = python(source, tmp_path / "log")
    try:
        assert process.stdout.readline() == "forked\n"
        process.wait(30)
        with chanlog.open(tmp_path / "log", background=False) as log:
            assert [m.data for m in log.channel("a").replay()] == ["from the parent"]
    finally:
        with suppress(BrokenPipeError):
            process.communicate("", timeout=30)


def test_a_lock_without_a_number(folder):
    folder.lock("lock")
    (folder.path / "lock").write_text("nonsense")
    with pytest.raises(LogLocked) as raised:
        DiskFolder(folder.path).lock("lock")
    assert raised.value.pid is None


def test_a_file_that_nobody_closed_gives_its_descriptor_back(folder):
    file = folder.create("f")
    descriptor = file._descriptor
    del file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_file_system_without_locks_leaves_nothing_open(folder, monkeypatch):
    """Some network file systems refuse ``flock``: the error is passed on, and the descriptor of
    the lock file is not kept."""
    opened = []
    os_open = os.open
    monkeypatch.setattr(os, "open", lambda *a, **k: opened.append(os_open(*a, **k)) or opened[-1])

    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with pytest.raises(OSError, match="no locks"):
            folder.lock("lock")
    assert len(opened) == 2
    for descriptor in opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    folder.lock("lock")


@pytest.mark.parametrize("locked", [False, True])
def test_another_working_directory(tmp_path, monkeypatch, locked):
    """A log was opened by a relative path, and the process changed its working directory: the next
    segment was to be made in another place, and every publish failed from then on."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    folder = DiskFolder(Path("log"))
    folder.make()
    if locked:
        folder.lock("lock")
    monkeypatch.chdir("elsewhere")
    file = folder.create("one")
    file.close()
    folder.rename("one", "two")
    folder.sync()
    folder.open("two", writable=False).close()
    assert "two" in folder.names()
    assert folder.disk_bytes() < 8192
    assert (tmp_path / "log" / "two").exists()
    folder.remove("two")
    folder.unlock()
    assert not (tmp_path / "log" / "two").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_that_was_moved_while_it_was_locked(folder, tmp_path):
    """Another log was begun where it had been: the owner went on by the path, and replaced the
    segments of the other."""
    folder.lock("lock")
    folder.create("mine").close()
    folder.path.rename(tmp_path / "moved")
    other = DiskFolder(folder.path)
    other.make()
    file = other.create("theirs")
    file.write(0, b"theirs")
    file.close()
    with pytest.raises(FileNotFoundError):
        folder.open("theirs", writable=False)
    folder.remove("theirs")
    folder.create("theirs").close()
    folder.rename("mine", "theirs")
    folder.sync()
    assert set(folder.names()) == {"theirs", "lock"}
    assert (other.path / "theirs").read_bytes() == b"theirs"


def test_a_sync_of_the_folder_needs_no_descriptor(folder, monkeypatch):
    """With none left, the first sync of the folder failed, and with it the log for good."""
    folder.lock("lock")

    def none_left(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", none_left)
    folder.sync()


def test_a_child_lets_go_of_the_lock_once(folder):
    folder.lock("lock")
    folder.forget_lock()
    folder.forget_lock()
    other = DiskFolder(folder.path)
    other.lock("lock")
    other.unlock()


def test_where_threads_have_no_hook_the_end_of_the_process_has(monkeypatch):
    """The hook of ``threading`` is not public, so it may be gone one day: later is better than
    never."""
    ran, hooked = [], []
    monkeypatch.setattr(atexit, "register", hooked.append)
    monkeypatch.delattr(threading, "_register_atexit")
    before_exit(lambda: ran.append(1))
    (hook,) = hooked
    hook()
    assert ran == [1]

"""The system refuses: what a folder and its files say then, and what they do not leave behind."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from chanlog.errors import DiskFull, LogLocked
from chanlog.host import DiskFolder, disk


@pytest.fixture
def folder(tmp_path):
    folder = DiskFolder(tmp_path / "log")
    folder.make()
    yield folder
    folder.unlock()


def refusing(number: int, *, done: object = None):
    """A call that fails; ``done`` is called first."""

    def refuse(*args, **options):
        if done is not None:
            done(*args, **options)
        raise OSError(number, os.strerror(number))

    return refuse


CALLS = {
    "size": ("fstat", lambda file: file.size()),
    "allocate": ("posix_fallocate", lambda file: file.allocate(0, 10)),
    "write": ("pwrite", lambda file: file.write(0, b"x")),
    "read": ("pread", lambda file: file.read(0, 1)),
    "sync": ("fdatasync", lambda file: file.sync()),
    "truncate": ("ftruncate", lambda file: file.truncate(0)),
}


@pytest.mark.parametrize("what", CALLS)
def test_an_error_says_of_which_file_it_is(folder, monkeypatch, what):
    """What works on a descriptor told ``[Errno 5] Input/output error`` and not where."""
    name, call = CALLS[what]
    file = folder.create("f")
    monkeypatch.setattr(os, name, refusing(errno.EIO))
    with pytest.raises(OSError, match=r"Input/output error.*log/f") as caught:
        call(file)
    assert caught.value.errno == errno.EIO
    monkeypatch.undo()
    file.close()


def test_a_map_says_of_which_file_it_is(folder, monkeypatch):
    file = folder.create("f")
    file.truncate(10)
    monkeypatch.setattr(disk, "mmap", refusing(errno.ENOMEM))
    with pytest.raises(OSError, match=r"log/f"):
        file.map(10, writable=True)
    monkeypatch.undo()
    file.close()


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("rename", lambda folder: folder.rename("a", "b")),
        ("unlink", lambda folder: folder.remove("a")),
        ("mkdir", lambda folder: DiskFolder(folder.path / "new").make()),
    ],
)
def test_no_room_for_a_name(folder, monkeypatch, name, call):
    """A directory may be full, too."""
    folder.create("a").close()
    monkeypatch.setattr(os, name, refusing(errno.EDQUOT))
    if name == "mkdir":
        monkeypatch.setattr(disk, "_sync_folder", lambda path: None)
    with pytest.raises(DiskFull) as caught:
        call(folder)
    assert caught.value.errno == errno.EDQUOT


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_room_that_cannot_be_reserved_is_written(folder, monkeypatch, number):
    """Some file systems cannot reserve room, and no log could be opened on them."""
    file = folder.create("f")
    file.write(0, b"there")
    monkeypatch.setattr(os, "posix_fallocate", refusing(number))
    file.allocate(5, 300_005)
    assert file.size() == 300_005
    assert file.read(0, 300_005) == b"there" + bytes(300_000)
    monkeypatch.setattr(os, "pwrite", refusing(errno.ENOSPC))
    with pytest.raises(DiskFull):
        file.allocate(300_005, 300_006)
    file.close()


def test_a_system_that_takes_nothing_is_not_asked_forever(folder, monkeypatch):
    """A write of which nothing is taken was repeated without an end."""
    file = folder.create("f")
    monkeypatch.setattr(os, "pwrite", lambda descriptor, content, position: 0)
    with pytest.raises(OSError, match="takes no more bytes"):
        file.write(0, b"x")
    monkeypatch.undo()
    file.close()


def test_a_close_that_fails_has_closed(folder, monkeypatch):
    """The descriptor is gone whatever the system answers. Who tried again, or believed that it was
    still open, closed another file that has its number by then."""
    file = folder.create("f")
    monkeypatch.setattr(os, "close", refusing(errno.EIO, done=os.close))
    file.close()
    file.close()
    folder.lock("lock")
    folder.unlock()
    folder.unlock()
    folder.lock("lock")


def test_a_bad_descriptor_is_our_own_mistake(folder, monkeypatch):
    file = folder.create("f")
    monkeypatch.setattr(os, "close", refusing(errno.EBADF, done=os.close))
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.close()


def test_a_lock_without_a_pid(folder, monkeypatch):
    """On a full disk the pid may have no room; the lock is what counts, and without it nobody could
    open the log to give room back."""
    monkeypatch.setattr(os, "pwrite", refusing(errno.ENOSPC))
    folder.lock("lock")
    with pytest.raises(LogLocked) as caught:
        DiskFolder(folder.path).lock("lock")
    assert caught.value.pid is None


def test_a_part_of_a_pid_is_not_one(folder, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, content, at: pwrite(file, content[:1], at))
    folder.lock("lock")
    with pytest.raises(LogLocked) as caught:
        DiskFolder(folder.path).lock("lock")
    assert caught.value.pid is None


def test_a_lock_whose_pid_cannot_be_read(folder, monkeypatch):
    """The error of the read came instead of ``LogLocked``, and left a descriptor open."""
    folder.lock("lock")
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "pread", refusing(errno.EIO))
    with pytest.raises(LogLocked) as caught:
        DiskFolder(folder.path).lock("lock")
    assert caught.value.pid is None
    assert os.listdir("/proc/self/fd") == before


def test_a_lock_that_cannot_be_had(folder, monkeypatch):
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    with pytest.raises(OSError, match="log/lock"):
        folder.lock("lock")
    assert os.listdir("/proc/self/fd") == before


def test_a_signal_while_the_lock_is_asked_for(folder, monkeypatch):
    """Ctrl-C left the descriptor open, and with it, for all the process could tell, the lock."""

    def interrupted(descriptor, how):
        honest(descriptor, how)
        raise KeyboardInterrupt

    honest = fcntl.flock
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(fcntl, "flock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.lock("lock")
    assert os.listdir("/proc/self/fd") == before
    monkeypatch.undo()
    folder.lock("lock")


def test_a_full_disk_without_a_lock_file(folder, monkeypatch):
    opened = os.open

    def full(path, flags, *args, **options):
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(DiskFull, match="log/lock"):
        folder.lock("lock")


def test_an_owner_needs_no_descriptor_to_sync(folder, monkeypatch):
    """A process that had run out of descriptors failed its log for good, because the folder was
    opened only when it was to be synced."""
    folder.lock("lock")
    monkeypatch.setattr(os, "open", refusing(errno.EMFILE))
    folder.sync()


def test_an_unlock_that_cannot_cut_unlocks(folder, monkeypatch):
    """A child that was forked a moment ago has the descriptor of the lock too."""
    folder.lock("lock")
    child = os.dup(folder._lock)
    monkeypatch.setattr(os, "ftruncate", refusing(errno.EIO))
    folder.unlock()
    monkeypatch.undo()
    folder.lock("lock")
    os.close(child)


class Syncs:
    """Which directories are synced, and which one cannot be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.failing = ""
        monkeypatch.setattr(disk, "_sync_folder", self)

    def __call__(self, path) -> None:
        if str(path) == self.failing:
            raise OSError(errno.EIO, "planted", str(path))
        self.done.append(str(path))


def test_a_directory_whose_name_was_not_synced(tmp_path, monkeypatch):
    """It was made, its name could not be synced, and the next try found it there and believed that
    it was durable: a power cut took the log and all that was acknowledged."""
    syncs = Syncs(monkeypatch)
    syncs.failing = str(tmp_path)
    folder = DiskFolder(tmp_path / "a")
    with pytest.raises(OSError, match="planted"):
        folder.make()
    assert (tmp_path / "a").exists()
    syncs.failing = ""
    syncs.done.clear()
    folder.make()
    assert syncs.done == [str(tmp_path)]


def test_a_directory_that_somebody_else_makes_just_then(tmp_path, monkeypatch):
    """Two processes that open the same new log must not fail each other; and the one that comes
    second cannot know whether the first has made the name durable."""
    syncs = Syncs(monkeypatch)
    mkdir = os.mkdir

    def overtaken(path):
        mkdir(path)
        mkdir(path)

    monkeypatch.setattr(os, "mkdir", overtaken)
    DiskFolder(tmp_path / "a" / "b").make()
    assert (tmp_path / "a" / "b").is_dir()
    assert syncs.done[-2:] == [str(tmp_path), str(tmp_path / "a")]


def test_a_directory_above_that_may_not_be_read(tmp_path, monkeypatch):
    """It is somebody else's, and was there before."""

    def refuse(path):
        if path == tmp_path.parent:
            raise PermissionError(errno.EACCES, "planted", str(path))

    monkeypatch.setattr(disk, "_sync_folder", refuse)
    DiskFolder(tmp_path / "a").make()
    assert (tmp_path / "a").is_dir()

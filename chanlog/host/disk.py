"""A folder on a disk."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from mmap import ACCESS_READ, ACCESS_WRITE, PAGESIZE, mmap
from pathlib import Path

from ..errors import DiskFull, LogLocked, NotALog
from .folder import Buffer, File, Folder

__all__ = ["DiskFolder"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How a file system says that it cannot reserve room.
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_ZEROS = bytes(64 * 1024)


def _named(error: OSError, path: Path) -> OSError:
    """The error, made to say of which file it is: the system was given a descriptor."""
    error.filename, error.filename2 = os.fspath(path), None
    return error


def _told(error: OSError, path: Path) -> OSError:
    """The same; and ``DiskFull`` where there is no room."""
    if error.errno not in _NO_ROOM:
        return _named(error, path)
    full = DiskFull(
        f"no room for {path}: {os.strerror(error.errno or 0)}; nothing was written, "
        "free some and try again",
        path=path,
    )
    full.errno = error.errno
    return full


def _close(descriptor: int) -> None:
    """Give a descriptor back. It is gone whatever the system answers, and whether what was written
    is safe is the answer of a sync, so there is nothing to do about an error."""
    try:
        os.close(descriptor)
    except OSError as error:
        if error.errno == errno.EBADF:
            raise


class DiskFile(File):
    """A file by its descriptor. ``path`` is what errors say; it is opened as ``place``, in
    ``folder`` if that descriptor of a directory is given."""

    __slots__ = ("_descriptor", "_path", "name")

    def __init__(
        self, path: Path, flags: int, place: str | Path, folder: int | None = None
    ) -> None:
        self.name = path.name
        self._path = path
        try:
            self._descriptor = os.open(place, flags | os.O_CLOEXEC, 0o666, dir_fd=folder)
        except OSError as error:
            raise _told(error, path) from None

    def size(self) -> int:
        try:
            return os.fstat(self._descriptor).st_size
        except OSError as error:
            raise _named(error, self._path) from None

    def allocate(self, start: int, stop: int) -> None:
        # A store faults in a whole page, and where blocks are smaller it needs all of them: there
        # is no way to refuse it but a signal.
        first = start - start % PAGESIZE
        stop = max(stop, min(stop + -stop % PAGESIZE, self.size()))
        try:
            os.posix_fallocate(self._descriptor, first, stop - first)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise _told(error, self._path) from None
        else:
            return
        for position in range(start, stop, len(_ZEROS)):
            self.write(position, _ZEROS[: stop - position])

    def write(self, position: int, content: bytes | memoryview) -> None:
        try:
            written = os.pwrite(self._descriptor, content, position)
            while written < len(content):
                rest = memoryview(content)[written:]
                more = os.pwrite(self._descriptor, rest, position + written)
                if not more:
                    raise OSError(errno.EIO, "the system takes no more bytes")
                written += more
        except OSError as error:
            raise _told(error, self._path) from None

    def read(self, position: int, count: int) -> bytes:
        parts = []
        while count:
            try:
                part = os.pread(self._descriptor, count, position)
            except OSError as error:
                raise _named(error, self._path) from None
            if not part:
                break
            parts.append(part)
            position += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def reach(self) -> int:
        size = self.size()
        position = 0
        try:
            while position < size:
                position = os.lseek(self._descriptor, position, os.SEEK_DATA)
                position = os.lseek(self._descriptor, position, os.SEEK_HOLE)
        except OSError as error:
            # Nothing but a hole is left; or the file system does not tell.
            return position if error.errno == errno.ENXIO else size
        return size

    def sync(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise _named(error, self._path) from None

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise _told(error, self._path) from None

    def map(self, size: int, *, writable: bool) -> Buffer:
        try:
            return mmap(self._descriptor, size, access=ACCESS_WRITE if writable else ACCESS_READ)
        except OSError as error:
            raise _named(error, self._path) from None

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            _close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise _named(error, path) from None
    finally:
        _close(descriptor)


class DiskFolder(Folder):
    """A folder by its path, and from ``lock`` to ``unlock`` by its descriptor: an owner must not
    write into another directory because its own was moved, or because the process has changed
    its working directory. The lock is ``flock``: it also refuses this process a second time."""

    __slots__ = ("_absolute", "_descriptor", "_lock", "durable", "path")

    path: Path

    def __init__(self, path: Path) -> None:
        self.path = path
        self.durable = True
        self._absolute = path.absolute()
        self._lock = -1
        self._descriptor: int | None = None

    def make(self) -> None:
        """Make the directory, and those above it, if they are not there; durably.

        From the top down, each with a sync of the one that it is in. Whoever was killed in between
        has left at most one without: so the lowest that is there is taken for one, too.
        """
        path = self._absolute
        missing = [above for above in (path, *path.parents) if not above.exists()]
        # A directory that may not be read is somebody else's, and was there before.
        with suppress(PermissionError):
            _sync_folder(missing[-1].parent.parent if missing else path.parent)
        for above in reversed(missing):
            try:
                os.mkdir(above)
            except FileExistsError:
                # Somebody else was quicker.
                pass
            except OSError as error:
                raise _told(error, above) from None
            _sync_folder(above.parent)

    def names(self) -> list[str]:
        try:
            # Opened anew: those who list at the same time would share one place in the listing.
            descriptor = self._open(".") if self._descriptor is not None else self._open("")
            try:
                return os.listdir(descriptor)
            finally:
                _close(descriptor)
        except NotADirectoryError:
            raise NotALog(
                f"{self.path} is a file, and a log is a directory", path=self.path
            ) from None
        except OSError as error:
            raise _named(error, self.path) from None

    def _open(self, name: str) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        return os.open(self._place(name), flags, dir_fd=self._descriptor)

    def _place(self, name: str) -> str | Path:
        """How to find ``name``, given the descriptor if there is one."""
        return name if self._descriptor is not None else self._absolute / name

    def create(self, name: str) -> DiskFile:
        return self._file(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)

    def open(self, name: str, *, writable: bool) -> DiskFile:
        return self._file(name, os.O_RDWR if writable else os.O_RDONLY)

    def _file(self, name: str, flags: int) -> DiskFile:
        return DiskFile(self.path / name, flags, self._place(name), self._descriptor)

    def rename(self, name: str, to: str) -> None:
        try:
            os.rename(
                self._place(name),
                self._place(to),
                src_dir_fd=self._descriptor,
                dst_dir_fd=self._descriptor,
            )
        except OSError as error:
            raise _told(error, self.path / to) from None

    def remove(self, name: str) -> None:
        try:
            os.unlink(self._place(name), dir_fd=self._descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _told(error, self.path / name) from None

    def sync(self) -> None:
        if self._descriptor is None:
            _sync_folder(self._absolute)
            return
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise _named(error, self.path) from None

    def lock(self, name: str) -> None:
        # Opened once, and now: a sync must not fail because there is no descriptor left for it.
        folder = self._open("")
        try:
            self._lock = self._take_lock(name, folder)
        except BaseException:
            _close(folder)
            raise
        self._descriptor = folder

    def _take_lock(self, name: str, folder: int) -> int:
        path = self.path / name
        try:
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666, dir_fd=folder)
        except OSError as error:
            raise _told(error, path) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException as error:
            try:
                if isinstance(error, BlockingIOError):
                    raise self._locked(descriptor) from None
                if isinstance(error, OSError):
                    raise _named(error, path) from None
                raise
            finally:
                _close(descriptor)
        # Who has it is a courtesy to those who want it: a full disk can be opened and read.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        return descriptor

    def _locked(self, descriptor: int) -> LogLocked:
        """The error for a lock that somebody else has."""
        text = b""
        with suppress(OSError):
            text = os.pread(descriptor, 32, 0)
        # Without the end of the line it may be a part of a number.
        pid = int(text) if text.endswith(b"\n") and text.strip().isdigit() else None
        owner = f"process {pid}" if pid else "another process"
        if pid == os.getpid():
            owner = f"this process ({pid})"
        return LogLocked(
            f"{self.path} is open in {owner}, and a log has one owner; close it there, or "
            "open it with read_only=True to look at it",
            path=self.path,
            pid=pid,
        )

    def unlock(self) -> None:
        lock, self._lock = self._lock, -1
        folder, self._descriptor = self._descriptor, None
        if lock >= 0:
            # The pid goes first, while the lock still keeps others from writing theirs.
            with suppress(OSError):
                os.ftruncate(lock, 0)
            # Unlocked, and not merely closed: a child that was forked a moment ago has the lock too
            # until it forgets it.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)
            _close(lock)
        if folder is not None:
            _close(folder)

    def forget_lock(self) -> None:
        # The child shares the parent's lock, and would keep it after the parent's death.
        lock, self._lock = self._lock, -1
        if lock >= 0:
            _close(lock)

    def disk_bytes(self) -> int:
        total = 0
        for name in self.names():
            with suppress(FileNotFoundError):
                found = os.stat(self._place(name), dir_fd=self._descriptor)
                total += found.st_blocks * 512
        return total

"""A folder on a disk."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from mmap import ACCESS_READ, ACCESS_WRITE, mmap
from pathlib import Path

from ..errors import DiskFull, LogLocked, NotALog
from .folder import Buffer, File, Folder

__all__ = ["DiskFolder"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _full(error: OSError, path: Path) -> DiskFull | OSError:
    if error.errno not in _NO_ROOM:
        return error
    full = DiskFull(
        f"no room for {path}: {os.strerror(error.errno or 0)}; nothing was written, "
        "free some and try again",
        path=path,
    )
    full.errno = error.errno
    return full


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
            error.filename = str(path)
            raise _full(error, path) from None

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def allocate(self, start: int, stop: int) -> None:
        try:
            os.posix_fallocate(self._descriptor, start, stop - start)
        except OSError as error:
            raise _full(error, self._path) from None

    def write(self, position: int, content: bytes | memoryview) -> None:
        try:
            written = os.pwrite(self._descriptor, content, position)
            while written < len(content):
                rest = memoryview(content)[written:]
                written += os.pwrite(self._descriptor, rest, position + written)
        except OSError as error:
            raise _full(error, self._path) from None

    def read(self, position: int, count: int) -> bytes:
        parts = []
        while count:
            part = os.pread(self._descriptor, count, position)
            if not part:
                break
            parts.append(part)
            position += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise _full(error, self._path) from None

    def map(self, size: int, *, writable: bool) -> Buffer:
        return mmap(self._descriptor, size, access=ACCESS_WRITE if writable else ACCESS_READ)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
        """Make the directory, and those above it, if they are not there; durably."""
        path = self._absolute
        missing = [above for above in (path, *path.parents) if not above.exists()]
        os.makedirs(path, exist_ok=True)
        for above in reversed(missing):
            _sync_folder(above.parent)

    def names(self) -> list[str]:
        try:
            # Opened anew: those who list at the same time would share one place in the listing.
            descriptor = self._open(".") if self._descriptor is not None else self._open("")
            try:
                return os.listdir(descriptor)
            finally:
                os.close(descriptor)
        except NotADirectoryError:
            raise NotALog(
                f"{self.path} is a file, and a log is a directory", path=self.path
            ) from None

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
        os.rename(
            self._place(name),
            self._place(to),
            src_dir_fd=self._descriptor,
            dst_dir_fd=self._descriptor,
        )

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._place(name), dir_fd=self._descriptor)

    def sync(self) -> None:
        if self._descriptor is not None:
            os.fsync(self._descriptor)
        else:
            _sync_folder(self._absolute)

    def lock(self, name: str) -> None:
        # Opened once, and now: a sync must not fail because there is no descriptor left for it.
        folder = self._open("")
        try:
            self._lock = self._take_lock(name, folder)
        except BaseException:
            os.close(folder)
            raise
        self._descriptor = folder

    def _take_lock(self, name: str, folder: int) -> int:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666, dir_fd=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).strip()
            os.close(descriptor)
            pid = int(text) if text.isdigit() else None
            owner = f"process {pid}" if pid else "another process"
            if pid == os.getpid():
                owner = f"this process ({pid})"
            raise LogLocked(
                f"{self.path} is open in {owner}, and a log has one owner; close it there, or "
                "open it with read_only=True to look at it",
                path=self.path,
                pid=pid,
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def unlock(self) -> None:
        if self._lock >= 0:
            # The pid goes first, while the lock still keeps others from writing theirs.
            # Unlocked, and not merely closed: a child that was forked a moment ago has the lock too
            # until it forgets it.
            with suppress(OSError):
                os.ftruncate(self._lock, 0)
                fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = -1
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def forget_lock(self) -> None:
        # The child shares the parent's lock, and would keep it after the parent's death.
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def disk_bytes(self) -> int:
        total = 0
        for name in self.names():
            with suppress(FileNotFoundError):
                found = os.stat(self._place(name), dir_fd=self._descriptor)
                total += found.st_blocks * 512
        return total

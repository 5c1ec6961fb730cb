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
    """A file by its descriptor."""

    __slots__ = ("_descriptor", "_path", "name")

    def __init__(self, path: Path, flags: int) -> None:
        self.name = path.name
        self._path = path
        try:
            self._descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
        except OSError as error:
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
    """A folder by its path. The lock is ``flock``: it also refuses this process a second time."""

    __slots__ = ("_descriptor", "_lock", "durable", "path")

    path: Path

    def __init__(self, path: Path) -> None:
        self.path = path
        self.durable = True
        self._lock = -1
        self._descriptor = -1

    def make(self) -> None:
        """Make the directory, and those above it, if they are not there; durably."""
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        os.makedirs(self.path, exist_ok=True)
        for path in reversed(missing):
            _sync_folder(path.parent)

    def names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except NotADirectoryError:
            raise NotALog(
                f"{self.path} is a file, and a log is a directory", path=self.path
            ) from None

    def create(self, name: str) -> DiskFile:
        return DiskFile(self.path / name, os.O_RDWR | os.O_CREAT | os.O_EXCL)

    def open(self, name: str, *, writable: bool) -> DiskFile:
        return DiskFile(self.path / name, os.O_RDWR if writable else os.O_RDONLY)

    def rename(self, name: str, to: str) -> None:
        os.rename(self.path / name, self.path / to)

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.path / name)

    def sync(self) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(self._descriptor)

    def lock(self, name: str) -> None:
        path = self.path / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
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
        self._lock = descriptor

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
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def forget_lock(self) -> None:
        # The child shares the parent's lock, and would keep it after the parent's death.
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def disk_bytes(self) -> int:
        total = 0
        with os.scandir(self.path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    total += entry.stat().st_blocks * 512
        return total

"""A folder in memory: the same log without a disk."""

from __future__ import annotations

from mmap import MADV_REMOVE, PAGESIZE, mmap

from ..errors import LogLocked
from .folder import Buffer, File, Folder

__all__ = ["MemoryFolder"]


class MemoryFile(File):
    """A file as anonymous memory, of which only the touched pages cost anything.

    Every map of it is the same memory; it grows by copying as long as nobody has mapped it.
    """

    __slots__ = ("_map", "_size", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._size = 0
        self._map = mmap(-1, PAGESIZE)

    def size(self) -> int:
        return self._size

    def _reach(self, stop: int) -> None:
        if stop > len(self._map):
            bigger = mmap(-1, max(stop, 2 * len(self._map)))
            bigger[: self._size] = self._map[: self._size]
            self._map = bigger
        self._size = max(self._size, stop)

    def allocate(self, start: int, stop: int) -> None:
        self._reach(stop)

    def write(self, position: int, content: bytes | memoryview) -> None:
        self._reach(position + len(content))
        self._map[position : position + len(content)] = bytes(content)

    def read(self, position: int, count: int) -> bytes:
        return self._map[position : min(position + count, self._size)]

    def sync(self) -> None:
        """Memory has nothing behind it."""

    def truncate(self, size: int) -> None:
        if size > len(self._map):
            bigger = mmap(-1, size)
            bigger[: self._size] = self._map[: self._size]
            self._map = bigger
        if size < self._size:
            self._clear(size, self._size)
        self._size = size

    def _clear(self, start: int, stop: int) -> None:
        """Growing again shows zeros, as on a disk. Whole pages are given back: to write zeros would
        touch all that was never used."""
        page = -(-start // PAGESIZE) * PAGESIZE
        if page < stop:
            try:
                self._map.madvise(MADV_REMOVE, page, stop - page)
            except OSError:
                pass
            else:
                stop = page
        self._map[start:stop] = bytes(stop - start)

    def map(self, size: int, *, writable: bool) -> Buffer:
        return self._map

    def close(self) -> None:
        """The memory goes when the last map does."""


class MemoryFolder(Folder):
    """Named files in memory, gone with the process."""

    __slots__ = ("_files", "_locked", "durable", "path")

    def __init__(self) -> None:
        self.path = None
        self.durable = False
        self._files: dict[str, MemoryFile] = {}
        self._locked = False

    def make(self) -> None:
        """Memory is always there."""

    def names(self) -> list[str]:
        return list(self._files)

    def create(self, name: str) -> MemoryFile:
        if name in self._files:
            raise FileExistsError(name)
        return self._files.setdefault(name, MemoryFile(name))

    def open(self, name: str, *, writable: bool) -> MemoryFile:
        try:
            return self._files[name]
        except KeyError:
            raise FileNotFoundError(name) from None

    def rename(self, name: str, to: str) -> None:
        file = self._files.pop(name)
        file.name = to
        self._files[to] = file

    def remove(self, name: str) -> None:
        self._files.pop(name, None)

    def sync(self) -> None:
        """Memory has nothing behind it."""

    def lock(self, name: str) -> None:
        if self._locked:
            raise LogLocked("this memory is in use by an open log", path=None, pid=None)
        self._locked = True

    def unlock(self) -> None:
        self._locked = False

    def forget_lock(self) -> None:
        """The child has its own copy of the memory."""

    def disk_bytes(self) -> int:
        return 0

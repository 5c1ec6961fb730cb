"""What a log asks of a folder and of a file, whichever host provides it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from mmap import mmap
from pathlib import Path

__all__ = ["NO_BUFFER", "Buffer", "File", "Folder"]

Buffer = mmap

NO_BUFFER: Buffer = mmap(-1, 1)
"""Memory of nothing, for a segment that is not there."""


class File(ABC):
    """One open file. Not for two threads at once, but for ``sync`` and ``read``."""

    name: str

    @abstractmethod
    def size(self) -> int:
        """Its length in bytes now."""

    def reach(self) -> int:
        """Where its content ends at the latest: behind that, up to its size, are zeros.

        Not to be looked at through a map: on a tmpfs a look at a hole takes room, and where there
        is none it is SIGBUS.
        """
        return self.size()

    @abstractmethod
    def allocate(self, start: int, stop: int) -> None:
        """Reserve room on the disk, so that no later store in this range can fail for want of it.

        Nothing is stored in the range yet: where room cannot be reserved, zeros are written.
        Raises ``DiskFull``.
        """

    @abstractmethod
    def write(self, position: int, content: bytes | memoryview) -> None:
        """Write all of ``content``, however often the system takes only a part of it."""

    @abstractmethod
    def read(self, position: int, count: int) -> bytes:
        """Up to ``count`` bytes; fewer only at the end of the file."""

    @abstractmethod
    def sync(self) -> None:
        """Return when the content and length are on stable storage."""

    @abstractmethod
    def truncate(self, size: int) -> None:
        """Make it ``size`` bytes long."""

    @abstractmethod
    def map(self, size: int, *, writable: bool) -> Buffer:
        """The first ``size`` bytes as memory. The map outlives ``close`` and ``remove``."""

    @abstractmethod
    def close(self) -> None:
        """Give the descriptor back; maps stay."""


class Folder(ABC):
    """One directory, the home of one log."""

    path: Path | None
    durable: bool

    @abstractmethod
    def make(self) -> None:
        """Make the directory if it is not there, and its own name durable."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of its files, in no order."""

    @abstractmethod
    def create(self, name: str) -> File:
        """A new empty file. Raises ``FileExistsError``."""

    @abstractmethod
    def open(self, name: str, *, writable: bool) -> File:
        """A file that is there. Raises ``FileNotFoundError``."""

    @abstractmethod
    def rename(self, name: str, to: str) -> None:
        """Give a file another name at once, replacing what had it."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    @abstractmethod
    def sync(self) -> None:
        """Return when the names of its files are on stable storage."""

    @abstractmethod
    def lock(self, name: str) -> None:
        """Become the owner. Raises ``LogLocked`` with the pid of the process that is."""

    @abstractmethod
    def unlock(self) -> None:
        """Stop being the owner."""

    @abstractmethod
    def forget_lock(self) -> None:
        """In a forked child: let go of the parent's lock without unlocking it."""

    @abstractmethod
    def disk_bytes(self) -> int:
        """How much room its files take."""

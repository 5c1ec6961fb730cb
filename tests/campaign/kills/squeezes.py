"""Squeezes: what a log needs runs out, and is there again."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import chanlog

from .mounts import Disk

__all__ = ["SQUEEZES", "Squeeze"]

_MIB = 1 << 20


class Squeeze(ABC):
    """Something that can be made scarce. ``home`` is where the log has its directory.

    ``level`` says how much is left, from 0 below ``levels``. ``narrow`` ones leave too little for
    the checks as well, so these wait until it is over.
    """

    name: str
    levels: int
    narrow = False
    needs = ""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="chanlog-squeeze-"))

    @abstractmethod
    def tighten(self, level: int) -> None: ...

    @abstractmethod
    def loosen(self) -> None: ...

    def expects(self, error: BaseException) -> bool:
        """Whether a call may end with this."""
        return isinstance(error, chanlog.DiskFull)

    @contextmanager
    def at(self, level: int) -> Iterator[None]:
        """Within the block only so much is left."""
        self.tighten(level)
        try:
            yield
        finally:
            self.loosen()

    def clean(self) -> None:
        """Remove the log, and loosen what a child has left when it died."""
        for path in self.home.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def close(self) -> None:
        """Remove what it has made."""
        shutil.rmtree(self.home, ignore_errors=True)


class Room(Squeeze):
    """A disk with so many free blocks."""

    levels = 48

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.home = disk.path

    @property
    def _ballast(self) -> Path:
        return self.home / "ballast"

    def tighten(self, level: int) -> None:
        slack = self.home / "slack"
        block = os.statvfs(self.home).f_bsize
        _fill(slack, block, level * block)
        _fill(self._ballast, block)
        slack.unlink()

    def loosen(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        self._disk.close()


class FullTmpfs(Room):
    """A tmpfs with so many free pages. Here alone even a look at a hole takes one, and where there
    is none the process dies of SIGBUS."""

    name = "tmpfs"
    needs = "tmpfs"

    def __init__(self) -> None:
        super().__init__(Disk("tmpfs", "size=8m"))


class FullExt4(Room):
    """A small ext4 with so many free blocks."""

    name = "ext4"
    needs = "ext4"

    def __init__(self) -> None:
        super().__init__(Disk("ext4", image_bytes=24 * _MIB))


class Inodes(Squeeze):
    """A disk on which so many files can be made."""

    name = "inodes"
    needs = "tmpfs"
    levels = 4

    def __init__(self) -> None:
        self._disk = Disk("tmpfs", "size=32m,nr_inodes=200")
        self.home = self._disk.path

    def tighten(self, level: int) -> None:
        ballast = self.home / "ballast"
        ballast.mkdir()
        for number in range(os.statvfs(self.home).f_favail - level):
            (ballast / str(number)).touch()

    def loosen(self) -> None:
        shutil.rmtree(self.home / "ballast")

    def close(self) -> None:
        self._disk.close()


class FileSize(Squeeze):
    """No file may be longer than so many KiB (``RLIMIT_FSIZE``)."""

    name = "file size"
    levels = 160

    def tighten(self, level: int) -> None:
        _limit(resource.RLIMIT_FSIZE, level * 1024)

    def loosen(self) -> None:
        _limit(resource.RLIMIT_FSIZE, None)


class Descriptors(Squeeze):
    """So many more files may be open (``RLIMIT_NOFILE``)."""

    name = "descriptors"
    levels = 8
    narrow = True

    def tighten(self, level: int) -> None:
        # The limit is on the number of a descriptor, and the free ones may lie in between.
        free = [os.dup(0) for _ in range(level)]
        highest = max(map(int, os.listdir("/proc/self/fd")))
        _limit(resource.RLIMIT_NOFILE, highest + 1)
        self._plugs: list[int] = []
        with suppress(OSError):
            while True:
                self._plugs.append(os.dup(0))
        for descriptor in free:
            os.close(descriptor)

    def loosen(self) -> None:
        for descriptor in self._plugs:
            os.close(descriptor)
        _limit(resource.RLIMIT_NOFILE, None)

    def expects(self, error: BaseException) -> bool:
        return isinstance(error, OSError) and error.errno == errno.EMFILE


class Memory(Squeeze):
    """So many more times 32 KiB of address space (``RLIMIT_AS``)."""

    name = "memory"
    levels = 16
    narrow = True

    def tighten(self, level: int) -> None:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + level * 32 * 1024)

    def loosen(self) -> None:
        _limit(resource.RLIMIT_AS, None)

    def expects(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError) or (
            isinstance(error, OSError) and error.errno == errno.ENOMEM
        )


def _fill(path: Path, block: int, most: int = 1 << 40) -> None:
    """A file of up to ``most`` bytes, or of all that there is room for."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    size, step = 0, 4 * _MIB
    try:
        while size < most and step >= block:
            step = min(step, most - size)
            try:
                os.posix_fallocate(descriptor, size, step)
                size += step
            except OSError:
                step //= 2
    finally:
        os.close(descriptor)


def _limit(which: int, soft: int | None) -> None:
    hard = resource.getrlimit(which)[1]
    resource.setrlimit(which, (hard if soft is None else soft, hard))


SQUEEZES: tuple[type[Squeeze], ...] = (
    FullTmpfs, FullExt4, Inodes, FileSize, Descriptors, Memory,
)  # fmt: skip

"""``power-ext4`` and ``power-xfs``: a real file system loses its disk, and is mounted again.

The cut is the file system's own way to stop at once (the ``shutdown`` ioctl): what is in memory is
lost. Before it, a random part of the pages may be written back, as the system may at any time.
"""

from __future__ import annotations

import ctypes
import os
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

from ..campaign import Outcome, Progress
from .child import Child
from .house import House, live
from .mounts import Disk, why_not

__all__ = ["power"]

_WRITE_AND_WAIT = 2 | 4
_PAGE_BYTES = 4096


def power(kind: str, count: int, seed: int, progress: Progress) -> Outcome:
    """Cut the power ``count`` times, and check the log after each."""
    reason = why_not(kind)
    if reason:
        return Outcome(skipped=reason)
    draw = Random(seed)
    with Disk(kind) as disk:
        return live(count, progress, lambda number: PoweredHouse(disk, draw, number))


class PoweredHouse(House):
    """Its children lose the disk under their feet."""

    mode = "power"

    def __init__(self, disk: Disk, draw: Random, number: int) -> None:
        super().__init__(disk.path, draw, number)
        self._disk = disk

    def die(self, child: Child, facts: Counter[str]) -> str:
        how = self.draw.choice((2, 2, 2, 1, 0))
        facts[_NAMES[how]] += 1
        if self.draw.random() < 0.5:
            facts["pages written back"] += _write_back(self.path, self.draw)
        self.cast.ledger.slots[self.cast.cut] = 1
        self.cast.ledger.freeze()
        self._disk.cut(how)
        # It goes on for a moment, as if nothing had happened.
        child.wait(0.005 * self.draw.random())
        text = child.kill()
        self._disk.unmount()
        self._disk.mount()
        self.cast.ledger.slots[self.cast.cut] = 0
        return text

    def finish(self) -> str:
        return ""


_NAMES = {2: "cut at once", 1: "cut behind the journal", 0: "cut behind everything"}


def _write_back(path: Path, draw: Random) -> int:
    """Write some pages of the newest segments to the disk, and not those between them."""
    count = 0
    with suppress(FileNotFoundError):
        for name in sorted(name for name in os.listdir(path) if name.endswith(".log"))[-3:]:
            with suppress(FileNotFoundError):
                descriptor = os.open(path / name, os.O_RDONLY)
                try:
                    for page in range(os.fstat(descriptor).st_size // _PAGE_BYTES):
                        if draw.random() < 0.4:
                            start = ctypes.c_int64(page * _PAGE_BYTES)
                            length = ctypes.c_int64(_PAGE_BYTES)
                            _sync_file_range(descriptor, start, length, _WRITE_AND_WAIT)
                            count += 1
                finally:
                    os.close(descriptor)
    return count


_sync_file_range = ctypes.CDLL(None).sync_file_range
power_ext4 = partial(power, "ext4")
power_xfs = partial(power, "xfs")

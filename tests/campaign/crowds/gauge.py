"""What a process holds, seen from outside: memory, descriptors, threads; and when it is flat."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median

__all__ = ["Holding", "flat", "growth", "holding", "tidy"]

MEMORY_SHARE = 0.03
MEMORY_KIB = 3 * 1024


class Holding:
    """What a process holds now. ``anon_kib`` is memory of its own, ``file_kib`` pages of mapped
    files, which the system takes back when it likes, ``shmem_kib`` shared anonymous maps: those
    of logs in memory. Of its descriptors ``segments`` are of files of messages (a map has one of
    its own), ``removed`` of files that are no more, and ``descriptors`` all others."""

    __slots__ = (
        "anon_kib", "descriptors", "file_kib", "removed", "segments", "shmem_kib", "threads",
    )  # fmt: skip

    def __init__(self, pid: int | str = "self") -> None:
        folder = Path("/proc") / str(pid)
        status = dict(
            line.split(":", 1) for line in (folder / "status").read_text().splitlines() if line
        )
        self.anon_kib = int(status["RssAnon"].split()[0])
        self.file_kib = int(status["RssFile"].split()[0])
        self.shmem_kib = int(status["RssShmem"].split()[0])
        self.threads = int(status["Threads"])
        self.descriptors = self.removed = self.segments = 0
        for name in os.listdir(folder / "fd"):
            try:
                target = os.readlink(f"{folder}/fd/{name}")
            except FileNotFoundError:
                continue
            if target.endswith("(deleted)"):
                self.removed += 1
            elif target.endswith((".seg", ".log")):
                self.segments += 1
            else:
                self.descriptors += 1


def tidy() -> None:
    """Collect garbage, and have the C library give back what it keeps for the next allocation, so
    that what is resident afterwards is in use. Elsewhere than with glibc the second is left out,
    and frayed heaps count."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def holding(pid: int | str = "self") -> Holding:
    """Look at a process; raises ``OSError`` where there is no ``/proc`` or no such process."""
    return Holding(pid)


def growth(series: Sequence[float]) -> float:
    """How much the median of the last third lies above that of the middle third."""
    third = len(series) // 3
    return median(series[-third:]) - median(series[third : 2 * third])


def flat(series: Sequence[float], *, share: float = MEMORY_SHARE, more: float = MEMORY_KIB) -> bool:
    """Whether a series has stopped growing.

    The first third is warming up and does not count. Of the other two the medians are compared,
    so that a peak in either does not decide: the last may lie above the middle by ``share`` of
    it and ``more``. What leaks a little in every operation grows on all the way, so the longer a
    run, the smaller the leak that is found: the allowance divided by the operations of a third.
    Fewer than nine values say nothing, and are an error.
    """
    if len(series) < 9:
        raise ValueError(f"{len(series)} values are too few to tell whether they grow")
    third = len(series) // 3
    return growth(series) <= share * median(series[third : 2 * third]) + more

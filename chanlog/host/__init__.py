"""The only door outside: folders, files and maps, locks, clocks, the process itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from time import monotonic, sleep

from .disk import DiskFolder
from .folder import NO_BUFFER, Buffer, File, Folder
from .memory import MemoryFolder
from .timer import Timer

__all__ = [
    "NO_BUFFER",
    "Buffer",
    "DiskFolder",
    "File",
    "Folder",
    "Host",
    "MemoryFolder",
    "PathLike",
    "Timer",
    "monotonic",
    "sleep",
]


@dataclass(frozen=True, slots=True)
class Host:
    """Where a log gets its folder, its time and its randomness from.

    ``clock`` returns nanoseconds since 1970 and may go backward. With a ``timer`` waits with a
    timeout end when it says so. A test passes its own parts.
    """

    clock: Callable[[], int] = time.time_ns
    random_bytes: Callable[[int], bytes] = os.urandom
    disk: Callable[[Path], Folder] = field(default=DiskFolder)
    memory: Callable[[], Folder] = field(default=MemoryFolder)
    timer: Timer | None = None

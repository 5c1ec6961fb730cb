"""The embedded log as a backend of the contract: on disk and in memory."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..interface import Log
from ..log import open as open_log
from .clock import VirtualClock
from .harness import Harness

__all__ = ["DiskHarness", "MemoryHarness"]

# The owner of a log that dies in the middle: it says what was acknowledged, one line each. An
# unbuffered pipe keeps what was written to it when the writer is killed.
_OWNER = """\
import itertools, os, sys
import chanlog
channel = chanlog.open(sys.argv[1]).channel(sys.argv[2])
for number in itertools.count():
    channel.publish(number)
    os.write(1, b"%d\\n" % number)
"""


class MemoryHarness(Harness):
    """A log in memory. It goes with its handle, so each is a new one."""

    profile = "embedded in memory"
    can = frozenset({"clock"})

    def connect(self, **options: Any) -> Log:
        return open_log(**_timed(options, self.clock))

    def reset(self) -> None:
        self.close_handles()


class DiskHarness(Harness):
    """A log in a directory below ``folder``, which is the caller's to remove.

    To crash is to leave the directory as it is, unclosed, and to go on with a copy of it: after
    ``kill -9`` all that a process has stored is in the page cache, where the copy is taken from.
    In the middle of publishing a process of its own is killed.
    """

    profile = "embedded on disk"
    can = frozenset({"reopen", "restart", "crash", "clock"})

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._count = 0
        self.path = folder / "log-0"

    def connect(self, **options: Any) -> Log:
        return open_log(self.path, **_timed(options, self.clock))

    def restart(self) -> None:
        self.close_handles()

    def crash(self) -> None:
        dead = self.path
        self._next()
        shutil.copytree(dead, self.path)
        self.close_handles()
        shutil.rmtree(dead)

    def publish_until_crash(self, name: str, count: int) -> list[int]:
        self.close_handles()
        owner = subprocess.Popen(
            [sys.executable, "-c", _OWNER, str(self.path), name], stdout=subprocess.PIPE
        )
        with owner:
            assert owner.stdout is not None
            try:
                lines = [owner.stdout.readline() for _ in range(count)]
            finally:
                owner.kill()
            lines += owner.stdout.readlines()
        return [int(line) for line in lines]

    def reset(self) -> None:
        self.close_handles()
        self._next()

    def _next(self) -> None:
        self._count += 1
        self.path = self._folder / f"log-{self._count}"


def _timed(options: dict[str, Any], clock: VirtualClock | None) -> dict[str, Any]:
    """The options to open a log with. Upkeep goes by a clock, or is done when it is asked for."""
    timed = {} if clock is None else {"host": clock.host}
    return {"background": clock is not None, **timed, **options}

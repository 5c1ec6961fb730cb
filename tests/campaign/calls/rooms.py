"""Directories for tries."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .running import Scenario
from .scenarios import make

__all__ = ["Room", "room"]


class Room:
    """A directory for tries: each scenario is made once, and copied for each try."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: dict[str, Path] = {}
        self.count = 0

    def fresh(self, scenario: Scenario) -> Path:
        """A copy of the directory of a scenario, as it is before the steps."""
        made = self._made.get(scenario.name)
        if made is None:
            made = self._made[scenario.name] = self._path / scenario.name
            make(scenario, made)
        self.count += 1
        # The same names each time, for the calls are told by them.
        path = self._path / str(self.count) / "in" / "try" / "log"
        path.parent.mkdir(parents=True)
        if made.exists():
            shutil.copytree(made, path)
        return path

    def clear(self, path: Path) -> None:
        """Remove the copy of a try."""
        shutil.rmtree(path.parents[2])


@contextmanager
def room() -> Iterator[Room]:
    """A room that is gone afterwards; in memory where there is such a file system, for here it is
    the calls that count, and not the disk."""
    memory = "/dev/shm"
    where = memory if os.path.isdir(memory) and os.access(memory, os.W_OK) else None
    # What is there already need not be walked by each collection, nor copied by each child.
    gc.freeze()
    try:
        with tempfile.TemporaryDirectory(prefix="chanlog-calls-", dir=where) as path:
            yield Room(Path(path))
    finally:
        gc.unfreeze()

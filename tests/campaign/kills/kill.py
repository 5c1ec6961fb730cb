"""``kill``: a process is killed at a random moment, over and over, and the log must hold.

When a signal arrives is not for a seed to say, so a failure is not tried again by its number: the
directory is kept as it was found.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from random import Random

from ..campaign import Outcome, Progress
from .child import Child
from .follower import Follower
from .house import House, live

__all__ = ["kill"]


def kill(count: int, seed: int, progress: Progress) -> Outcome:
    """Kill ``count`` children, and check the log after each."""
    draw = Random(seed)
    with tempfile.TemporaryDirectory(prefix="chanlog-kill-") as home:
        return live(count, progress, lambda number: KilledHouse(Path(home), draw, number))


class KilledHouse(House):
    """Its children are killed, some while they close the log. Another process watches it all."""

    def __init__(self, home: Path, draw: Random, number: int) -> None:
        super().__init__(home, draw, number)
        self._stopping = self.cast.ledger.slot()
        follower = Follower(self.cast.single, self._stopping)
        seed = draw.getrandbits(32)
        self._follower = self.child(lambda say: follower.run(self.path, seed, say))

    def die(self, child: Child, facts: Counter[str]) -> str:
        slots, closed = self.cast.ledger.slots, self.cast.closed
        before = slots[closed]
        if self.draw.random() < 0.15:
            child.ask()
            child.wait(0.1 * self.draw.random())
        text = child.kill()
        facts["closed before the kill"] += slots[closed] > before
        if self._follower.wait(0):
            text += f"the follower has ended by itself: {self._follower.kill()}"
        return text

    def finish(self) -> str:
        """Let the follower compare what it has seen with what is there."""
        self.cast.ledger.slots[self._stopping] = 1
        text = self._follower.finish()
        return f"the follower: {text}" if self._follower.status else ""

"""``kill``: a process is killed at a random moment, over and over, and the log must hold.

When a signal arrives is not for a seed to say, so a failure is not tried again by its number: the
directory is kept as it was found.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from ..campaign import Outcome, Progress
from .cast import Cast, Plan
from .child import Child, Say
from .follower import Follower

__all__ = ["House", "kill"]

CYCLES_PER_LOG = 20
_POLICIES = ("interval", "always", "os")


def kill(count: int, seed: int, progress: Progress) -> Outcome:
    """Kill ``count`` children, and check the log after each."""
    outcome = Outcome()
    draw = Random(seed)
    facts: Counter[str] = Counter()
    house = House(draw, 0)
    try:
        for cycle in range(count):
            if cycle and cycle % CYCLES_PER_LOG == 0:
                _end(house, outcome, facts, cycle)
                house = House(draw, cycle)
            problem = house.cycle(cycle, facts)
            outcome.tried += 1
            if problem:
                outcome.fail(f"cycle {cycle}: {problem}\n{house.keep()}")
                house.close()
                house = House(draw, cycle)
            if not progress(outcome.tried):
                break
        _end(house, outcome, facts, count)
    finally:
        house.close()
    outcome.facts.update(facts)
    return outcome


def _end(house: House, outcome: Outcome, facts: Counter[str], cycle: int) -> None:
    problem = house.leave()
    if problem:
        outcome.fail(f"before cycle {cycle}: {problem}\n{house.keep()}")
    house.close()
    facts["logs"] += 1


class House:
    """One directory with its cast, its follower, and the children that come and go.

    ``sync`` is one policy for the whole life of a log. ``cast`` may be another than the usual one,
    for a test that plants something.
    """

    def __init__(self, draw: Random, number: int, cast: Cast | None = None) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="chanlog-kill-"))
        self.path = self._home / "log"
        self._draw = draw
        self.sync = _POLICIES[number // CYCLES_PER_LOG % 3]
        self.cast = cast or Cast()
        self._stopping = self.cast.ledger.slot()
        self._follower: Child | None = None
        self._children: list[Child] = []

    def _follow(self) -> None:
        follower = Follower(self.cast.single, self._stopping)
        seed = self._draw.getrandbits(32)
        self._follower = self._child(lambda say: follower.run(self.path, seed, say))

    def _child(self, work: Any) -> Child:
        child = Child(work)
        self._children.append(child)
        return child

    def cycle(self, cycle: int, facts: Counter[str]) -> str:
        """Let a child work, kill it, and check; returns what is wrong."""
        if self._follower is None:
            self._follow()
        assert self._follower is not None
        draw, slots = self._draw, self.cast.ledger.slots
        plan = Plan(cycle, self.sync, draw.getrandbits(32))
        opened, closed = slots[self.cast.opened], slots[self.cast.closed]
        acknowledged = sum(tally.done for tally in self.cast.tallies())
        child = self._child(lambda say: self.cast.play(self.path, plan, say))
        seconds = draw.choice((0.01, 0.06, 0.06, 0.12)) * draw.random()
        if child.wait(seconds):
            return f"the child has ended by itself, {child.kill()}"
        if draw.random() < 0.15:
            child.ask()
            child.wait(0.1 * draw.random())
        text = child.kill()
        self._children.remove(child)
        if text:
            return f"the child says {text}"
        facts["killed while opening"] += slots[self.cast.opened] == opened
        facts["closed before the kill"] += slots[self.cast.closed] > closed
        facts["acknowledged"] += sum(t.done for t in self.cast.tallies()) - acknowledged
        if self._follower.wait(0):
            return f"the follower has ended by itself: {self._follower.kill()}"
        return self._check(draw.choice(("look", "die", "own")), facts)

    def _check(self, how: str, facts: Counter[str]) -> str:
        if not (self.path / "CHANLOG").exists():
            # Killed before there was anything.
            return "" if not any(t.begun for t in self.cast.tallies()) else "the log is gone"

        def check(say: Say) -> None:
            say(json.dumps(self.cast.check(self.path, how)))

        child = self._child(check)
        text = child.finish()
        self._children.remove(child)
        if child.status:
            return f"checked by {how!r}: status {child.status}, {text}"
        facts.update(json.loads(text))
        return ""

    def leave(self) -> str:
        """Check for the last time, and let the follower compare; returns what is wrong."""
        problem = self._check("own", Counter())
        self.cast.ledger.slots[self._stopping] = 1
        if self._follower is not None and not problem:
            text = self._follower.finish()
            if self._follower.status:
                problem = f"the follower: status {self._follower.status}, {text}"
        return problem

    def keep(self) -> str:
        """Put the directory aside, and say where it is."""
        aside = Path(tempfile.mkdtemp(prefix="chanlog-kept-"))
        if self.path.exists():
            shutil.copytree(self.path, aside / "log")
        return f"policy {self.sync!r}; the directory is kept in {aside}; not deterministic by seed"

    def close(self) -> None:
        """End everybody, and remove the directory."""
        for child in self._children:
            child.kill()
        self._children.clear()
        shutil.rmtree(self._home, ignore_errors=True)

"""A house: one log, and the children that use it until they die, one after the other."""

from __future__ import annotations

import json
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from ..campaign import Outcome, Progress
from .cast import Cast, Plan
from .child import Child, Say

__all__ = ["CYCLES_PER_LOG", "POLICIES", "House", "live"]

CYCLES_PER_LOG = 20
POLICIES = ("interval", "always", "os")


class House(ABC):
    """One directory with its cast, and the children that come and go.

    ``sync`` is one policy for the whole life of a log. How a child dies is for a subclass to say.
    """

    mode = "kill"

    def __init__(self, home: Path, draw: Random, number: int) -> None:
        self.home = home
        # A name of its own: a power cut may bring back what was removed.
        self.path = home / f"log-{number}"
        self.draw = draw
        self.sync = POLICIES[number % len(POLICIES)]
        self.cast = Cast(self.mode)
        self._children: list[Child] = []

    @abstractmethod
    def die(self, child: Child, facts: Counter[str]) -> str:
        """Let the child die; returns what it had to say."""

    @abstractmethod
    def finish(self) -> str:
        """After the last check; returns what is wrong."""

    def child(self, work: Callable[[Say], None]) -> Child:
        """A child that is ended when the house is left, at the latest."""
        child = Child(work)
        self._children.append(child)
        return child

    def cycle(self, cycle: int, facts: Counter[str]) -> str:
        """Let a child work, die, and check; returns what is wrong."""
        draw, slots = self.draw, self.cast.ledger.slots
        plan = Plan(cycle, self.sync, draw.getrandbits(32))
        opened = slots[self.cast.opened]
        acknowledged = sum(tally.done for tally in self.cast.ledger.tallies)
        child = self.child(lambda say: self.cast.play(self.path, plan, say))
        if child.wait(draw.choice((0.01, 0.06, 0.06, 0.12)) * draw.random()):
            return f"the child has ended by itself, {child.kill()}"
        text = self.die(child, facts)
        if text:
            return f"the child says {text}"
        facts["died while opening"] += slots[self.cast.opened] == opened
        facts["acknowledged"] += sum(t.done for t in self.cast.ledger.tallies) - acknowledged
        return self._check(draw.choice(("look", "die", "own")), facts)

    def _check(self, how: str, facts: Counter[str]) -> str:
        if how == "look" and not (self.path / "CHANLOG").exists():
            # It died before there was anything to look at; opening makes it.
            how = "die"
        done = sum(tally.done for tally in self.cast.ledger.tallies)

        def check(say: Say) -> None:
            say(json.dumps(self.cast.check(self.path, how)))

        child = self.child(check)
        text = child.finish()
        if child.status:
            return f"checked by {how!r}: status {child.status}, {text}"
        self.cast.ledger.thaw()
        facts.update(json.loads(text))
        found = sum(tally.done for tally in self.cast.ledger.tallies)
        facts["not durable and gone"] += max(0, done - found)
        return ""

    def leave(self) -> str:
        """Check for the last time; returns what is wrong."""
        return self._check("own", Counter()) or self.finish()

    def keep(self) -> str:
        """Put the directory aside, and say where it is."""
        aside = Path(tempfile.mkdtemp(prefix="chanlog-kept-"))
        if self.path.exists():
            shutil.copytree(self.path, aside / "log")
        return f"policy {self.sync!r}; the directory is kept in {aside}"

    def close(self) -> None:
        """End everybody, and remove the directory."""
        for child in self._children:
            child.kill()
        self._children.clear()
        shutil.rmtree(self.path, ignore_errors=True)


def live(count: int, progress: Progress, make: Callable[[int], House]) -> Outcome:
    """So many children in houses that ``make(number)`` makes, each for ``CYCLES_PER_LOG``, so that
    what is recovered was recovered before."""
    outcome = Outcome()
    facts: Counter[str] = Counter()
    # A small count, too, sees each of the policies.
    cycles = min(CYCLES_PER_LOG, -(-count // len(POLICIES)))
    going = True
    while going and outcome.tried < count:
        house = make(facts["logs"])
        facts["logs"] += 1
        try:
            problem = ""
            for _ in range(min(cycles, count - outcome.tried)):
                problem = house.cycle(outcome.tried, facts)
                outcome.tried += 1
                going = progress(outcome.tried)
                if problem or not going:
                    break
            problem = problem or house.leave()
            if problem:
                outcome.fail(f"after {outcome.tried}: {problem}\n{house.keep()}")
        finally:
            house.close()
    outcome.facts.update(facts)
    return outcome

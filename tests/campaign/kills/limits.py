"""``limits``: no room, no inodes, no descriptors, no memory; and what is to be seen of it."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from random import Random

from ..campaign import Outcome, Progress
from .child import Child, Say
from .mounts import why_not
from .ordeal import Ordeal
from .scenarios import SCENARIOS
from .squeezes import SQUEEZES, Squeeze

__all__ = ["limits", "ordeal"]


def limits(count: int, seed: int, progress: Progress) -> Outcome:
    """The scenarios once, and then ordeals, each in a child of its own."""
    outcome = Outcome()
    facts: Counter[str] = Counter()
    skipped = []
    with ExitStack() as stack:
        squeezes = []
        for kind in SQUEEZES:
            if kind.needs and (reason := why_not(kind.needs)):
                skipped.append(f"{kind.name} ({reason})")
                continue
            squeezes.append(kind())
            stack.callback(squeezes[-1].close)
        for scenario in SCENARIOS:
            if outcome.tried == count:
                break
            if scenario.needs and (reason := why_not(scenario.needs)):
                skipped.append(f"{scenario.name} ({reason})")
                continue
            _note(outcome, f"scenario {scenario.name!r}", scenario.run())
            facts["scenarios"] += 1
            outcome.tried += 1
        while outcome.tried < count and progress(outcome.tried):
            squeeze = squeezes[outcome.tried % len(squeezes)]
            one = f"{seed}-{outcome.tried}"
            again = f"ordeal({type(squeeze).__name__}(), {one!r})"
            _note(outcome, again, ordeal(squeeze, one, facts))
            outcome.tried += 1
    outcome.facts.update(facts)
    if skipped:
        outcome.facts["not tried here"] = ", ".join(skipped)
    return outcome


def _note(outcome: Outcome, again: str, problem: str) -> None:
    if problem:
        outcome.fail(f"{again}: {problem}")


def ordeal(squeeze: Squeeze, seed: str, facts: Counter[str]) -> str:
    """One ordeal; returns what is wrong. ``facts`` counts what was refused, and when."""

    def work(say: Say) -> None:
        failed: Counter[str] = Counter()
        Ordeal(squeeze, Random(seed), failed).run()
        say(json.dumps(failed))

    child = Child(work)
    text = child.finish()
    squeeze.clean()
    if child.status:
        return f"status {child.status}, {text}"
    for what, times in json.loads(text).items():
        facts[f"{squeeze.name}: {what}"] += times
    return ""

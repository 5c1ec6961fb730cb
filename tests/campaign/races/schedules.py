"""The campaign ``schedules``: interleavings of the real code, few preemptions first."""

from __future__ import annotations

from collections.abc import Iterator

from ..campaign import Campaign, Outcome, Progress
from .exploring import Scenario, Try, attempt, every, walks
from .points import Points
from .scenarios import SCENARIOS
from .world import POINTS, POINTS_OPCODES, scheduled

__all__ = ["SCHEDULES", "again", "points_of"]

PREEMPTIONS_MAX = 2
# One in so many schedules is a random one with more preemptions.
WALKS_SHARE = 10


def points_of(scenario: Scenario) -> Points:
    """Where the threads of a scenario change places."""
    return POINTS_OPCODES if scenario.opcodes else POINTS


def run(count: int, seed: int, progress: Progress) -> Outcome:
    """Spread ``count`` schedules over the scenarios, so that what is small is tried whole."""
    outcome = Outcome()
    whole = exhausted = random = 0
    with scheduled():
        sizes = {name: _size(scenario) for name, scenario in SCENARIOS.items()}
        left = count - count // WALKS_SHARE
        for place, name in enumerate(sorted(sizes, key=lambda name: sizes[name])):
            scenario = SCENARIOS[name]
            share = left // (len(sizes) - place)
            tries = every(scenario, points_of(scenario), PREEMPTIONS_MAX, share, seed)
            tried = _watch(tries, scenario, outcome, progress)
            left -= tried
            whole += tried < share
            exhausted += tried if tried < share else 0
        places = sorted(SCENARIOS)
        for place, name in enumerate(places):
            scenario = SCENARIOS[name]
            share = (count - outcome.tried) // (len(places) - place)
            tries = walks(scenario, points_of(scenario), share, seed)
            random += _watch(tries, scenario, outcome, progress)
    outcome.facts = {
        "scenarios": len(SCENARIOS),
        "whole to two preemptions": whole,
        "schedules of those": exhausted,
        "random walks": random,
    }
    return outcome


def _size(scenario: Scenario) -> int:
    """Roughly in proportion to how many schedules there are."""
    steps = attempt(scenario, points_of(scenario)).steps
    return (steps * (len(scenario.threads) - 1)) ** 2


def _watch(tries: Iterator[Try], scenario: Scenario, outcome: Outcome, progress: Progress) -> int:
    tried = 0
    for found in tries:
        tried += 1
        outcome.tried += 1
        if found.error is not None:
            outcome.fail(f"{scenario.name}: {found.error!r}; {_command(scenario, found)}")
        if not progress(outcome.tried):
            break
    return tried


def _command(scenario: Scenario, found: Try) -> str:
    plan = " ".join(f"{step}:{to}" for step, to in found.plan)
    return f'again: python -m tests.campaign.races "{scenario.name}" {plan}'


def again(name: str, steps: list[str]) -> bool:
    """Run one schedule once more and print who did what; returns whether it is right now."""
    scenario = SCENARIOS[name]
    plan = tuple((int(step), int(to)) for step, to in (pair.split(":") for pair in steps))
    log: list[tuple[int, str]] = []
    with scheduled():
        found = attempt(scenario, points_of(scenario), plan, log=log)
    for thread, where in log:
        print(f"{'    ' * 6 * thread}{thread} {where}")
    print(repr(found.error) if found.error is not None else "nothing is wrong")
    return found.error is None


SCHEDULES = Campaign(
    "schedules",
    "Threads change places where a plan says: to two preemptions, and random walks",
    "schedules",
    10_000,
    2_000_000,
    run,
)

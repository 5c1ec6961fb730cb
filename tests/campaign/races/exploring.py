"""Which schedules are tried: all with few preemptions, and random ones with more."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from .points import Points
from .scheduler import Decision, Ending, Plan, Scheduler

__all__ = ["Scenario", "Try", "attempt", "every", "walks"]

World = Any


class Scenario(NamedTuple):
    """A few threads that meet. ``prepare`` makes a world, ``threads`` are called with it, each in
    a thread of its own, and ``check(world, endings)`` says with an assertion what is wrong. After
    it ``world.done()`` clears up."""

    name: str
    prepare: Callable[[], World]
    threads: Sequence[Callable[[World], Any]]
    check: Callable[[World, list[Ending]], None]
    interruptible: tuple[int, ...] = ()
    rescued: bool = False
    opcodes: bool = False


class Try(NamedTuple):
    """One schedule that was tried: its plan, what went wrong, and where it could have gone on
    otherwise."""

    plan: Plan
    error: BaseException | None
    decisions: list[Decision]
    steps: int


def attempt(
    scenario: Scenario,
    points: Points,
    plan: Plan = (),
    chooser: Callable[[int, tuple[int, ...]], int] | None = None,
    log: list[tuple[int, str]] | None = None,
) -> Try:
    """Try one schedule in a new world."""
    world = scenario.prepare()
    scheduler = Scheduler(
        points, plan, interruptible=scenario.interruptible, rescued=scenario.rescued,
        chooser=chooser,
    )  # fmt: skip
    scheduler.log = log
    error: BaseException | None = None
    collecting = gc.isenabled()
    gc.disable()
    try:
        works = [lambda work=work: work(world) for work in scenario.threads]
        scenario.check(world, scheduler.run(works))
    except Exception as raised:
        error = raised
    finally:
        world.done()
        if collecting:
            gc.enable()
    return Try(plan, error, scheduler.decisions, scheduler.step)


class _Branch(NamedTuple):
    """A schedule from which others branch off, at any of its decisions."""

    plan: Plan
    decisions: list[Decision]

    def plans(self) -> Iterator[Plan]:
        for decision in self.decisions:
            for choice in decision.ready:
                if choice != decision.taken:
                    yield (*self.plan, (decision.step, choice))

    def __len__(self) -> int:
        return sum(len(decision.ready) - 1 for decision in self.decisions)


def every(
    scenario: Scenario,
    points: Points,
    preemptions_max: int = 2,
    count: int | None = None,
    seed: int = 1,
) -> Iterator[Try]:
    """Try every schedule with up to ``preemptions_max`` preemptions, those with fewer first.

    Where a thread has to give way, whoever could go on does in some schedule; that counts for no
    preemption. With a ``count``, of the last level that fits no more only so many are tried,
    drawn by ``seed``.
    """
    chance = random.Random(seed)
    level: list[_Branch] = []
    tried = 0
    for preemptions in range(preemptions_max + 1):
        if preemptions == 0:
            pending: Iterator[Plan] = iter(((),))
        else:
            total = sum(map(len, level))
            left = total if count is None else max(0, min(count - tried, total))
            pending = _some(level, left, total, chance)
        level = []
        # Those that branch off where a thread had to give way, at no cost.
        free: list[Plan] = []
        while (plan := free.pop() if free else next(pending, None)) is not None:
            found = attempt(scenario, points, plan)
            tried += 1
            yield found
            forced = [decision for decision in found.decisions if decision.forced]
            free += _Branch(plan, forced).plans()
            if preemptions < preemptions_max:
                level.append(_Branch(plan, [d for d in found.decisions if not d.forced]))
            if count is not None and tried >= count:
                return


def _some(level: list[_Branch], count: int, total: int, chance: random.Random) -> Iterator[Plan]:
    """``count`` of all the plans that branch off, in order."""
    chosen = iter(sorted(chance.sample(range(total), count))) if count < total else None
    wanted = next(chosen, -1) if chosen is not None else 0
    number = 0
    for branch in level:
        for plan in branch.plans():
            if chosen is None:
                yield plan
            elif number == wanted:
                yield plan
                wanted = next(chosen, -1)
            number += 1


def walks(scenario: Scenario, points: Points, count: int, seed: int) -> Iterator[Try]:
    """Try ``count`` random schedules with more preemptions; each tells its plan."""
    steps = attempt(scenario, points).steps
    for number in range(count):
        chance = random.Random(f"{scenario.name}/{seed}/{number}")
        # From three preemptions to one at every few points.
        share = min(1.0, 3 * 2 ** chance.randrange(5) / max(steps, 1))
        made: list[tuple[int, int]] = []

        def choose(
            step: int, ready: tuple[int, ...], chance: random.Random = chance,
            share: float = share, made: list[tuple[int, int]] = made,
        ) -> int:  # fmt: skip
            if chance.random() >= share:
                return -1
            to = chance.choice(ready)
            made.append((step, to))
            return to

        found = attempt(scenario, points, chooser=choose)
        yield found._replace(plan=tuple(made))

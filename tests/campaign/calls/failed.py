"""Every call of the host floor fails, in this process."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from ..campaign import Outcome, Progress
from .judging import Judge
from .plausible import faults_of
from .rooms import Room, room
from .running import Scenario, run
from .sampling import sample
from .scenarios import SCENARIOS
from .shim import Call, Calls, Fault

__all__ = ["Point", "bounded", "calls_of", "points", "run_failed", "try_point"]

_SECONDS_MAX = 30


class Point(NamedTuple):
    """One try: which call of which scenario, and what goes wrong."""

    scenario: Scenario
    at: int
    call: Call
    fault: Fault

    @property
    def stratum(self) -> tuple[str, str, str, int]:
        """What a sample has one of at least."""
        return self.scenario.name, self.call.name, self.fault.how, self.fault.number

    def __str__(self) -> str:
        return f"{self.scenario.name}:{self.at}:{self.call.name} {self.call.target}:{self.fault}"


class Hung(BaseException):
    """Nothing came of a try for a long time."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise ``Hung`` here if it takes longer, whatever lock is waited for."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hung(f"nothing came of it in {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def calls_of(scenario: Scenario, room: Room) -> list[Call]:
    """The calls that a scenario makes when all goes well, which is checked."""
    path = room.fresh(scenario)
    calls = Calls()
    judge = Judge(scenario, path, None)
    with calls.installed():
        run(scenario, path, judge.take, calls)
    judge.finish(torn=scenario.spoil is not None)
    room.clear(path)
    assert judge.problems == [], (scenario.name, judge.problems)
    return calls.made


def points(room: Room) -> list[Point]:
    """All there are."""
    return [
        Point(scenario, at, call, fault)
        for scenario in SCENARIOS
        for at, call in enumerate(calls_of(scenario, room))
        for fault in faults_of(call)
    ]


def try_point(point: Point, room: Room) -> list[str]:
    """Try one point; returns what is wrong."""
    path = room.fresh(point.scenario)
    calls = Calls(point.at, point.fault)
    judge = Judge(point.scenario, path, point.fault.number or None)
    before = _descriptors()
    try:
        with bounded(_SECONDS_MAX):
            with calls.installed():
                run(point.scenario, path, judge.take, calls)
            left = _descriptors() - before
            if left:
                # An error that is kept, as that of a failed log is, holds on to where it was.
                gc.collect()
                left = _descriptors() - before
            if left:
                judge.problems.append(f"{left} descriptors are left open")
            if calls.struck != point.call:
                judge.problems.append(f"the fault struck {calls.struck}, not {point.call}")
            torn = point.scenario.spoil is not None or point.call.name == "pwrite"
            judge.finish(torn=torn)
    except Hung as error:
        judge.problems.append(str(error))
    room.clear(path)
    return calls.complaints + judge.problems


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def run_failed(count: int, seed: int, progress: Progress) -> Outcome:
    """Try ``count`` points, or all."""
    outcome = Outcome()
    with room() as place:
        every = points(place)
        chosen = sample(every, count, seed, lambda point: point.stratum)
        outcome.facts["points"] = len(every)
        outcome.facts["kinds"] = len({point.stratum for point in chosen})
        for point in chosen:
            for problem in try_point(point, place)[:1]:
                outcome.fail(f"{point}: {problem}")
            outcome.tried += 1
            if not progress(outcome.tried):
                break
    return outcome

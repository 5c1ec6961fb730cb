"""The campaigns of hostile bytes: the format floor, whole directories, and guided by coverage."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from ..campaign import Outcome, Progress
from .opening import hostile, survive
from .parsing import REFUSALS, targets, trial

__all__ = ["ALLOCATED_MAX", "fuzz_format", "fuzz_guided", "fuzz_open"]

# What reading any of the inputs here may allocate, all of which are smaller than 8 KB; a process
# that has grown by more has met one that makes it.
ALLOCATED_MAX = 128 << 20
_LOOK_EVERY = 2048
# How many inputs a guided process tries; what it has learned is kept for the next one.
_RUNS = 1_000_000


class Growth:
    """How much the process has grown at its peak since it was first looked at."""

    def __init__(self) -> None:
        self._before = _peak_bytes()

    def check(self, outcome: Outcome, number: int, seed: int) -> None:
        """Note it, and fail the outcome once it is too much."""
        grown = _peak_bytes() - self._before
        outcome.facts["grown_mib"] = grown >> 20
        if grown > ALLOCATED_MAX and not any("grown" in what for what in outcome.failures):
            where = f"input {number} of seed {seed}"
            outcome.fail(f"the process has grown by {grown >> 20} MiB before {where}")


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def fuzz_format(count: int, seed: int, progress: Progress) -> Outcome:
    """Parse ``count`` inputs; each is accepted, or refused with the one exception there is."""
    outcome, growth = Outcome(), Growth()
    parsers, accepted = targets(), 0
    for number in range(count):
        name, content = trial(seed, number)
        try:
            parsers[name].parse(content)
            accepted += 1
        except REFUSALS:
            pass
        except Exception as error:
            outcome.fail(
                f"{name}: {type(error).__name__}: {error}; input {number} of seed {seed}: "
                f"{content[:256]!r}"
            )
        outcome.tried += 1
        if number % _LOOK_EVERY == 0:
            growth.check(outcome, number, seed)
            if not progress(number):
                break
    growth.check(outcome, count, seed)
    outcome.facts["accepted"] = accepted
    return outcome


def fuzz_open(count: int, seed: int, progress: Progress) -> Outcome:
    """Open, read, verify and compact ``count`` directories."""
    outcome, growth = Outcome(), Growth()
    opened = 0
    for number in range(count):
        try:
            opened += survive(hostile(seed, number), number)
        except Exception as error:
            outcome.fail(
                f"{type(error).__name__}: {error}; python -m tests.campaign.damage open "
                f"{seed} {number}"
            )
        outcome.tried += 1
        if number % 64 == 0:
            growth.check(outcome, number, seed)
            if not progress(number):
                break
    growth.check(outcome, count, seed)
    outcome.facts["opened"] = opened
    return outcome


def fuzz_guided(count: int, seed: int, progress: Progress) -> Outcome:
    """Let ``atheris`` look for inputs that reach new lines of the format floor.

    It runs in a process of its own, for it never gives back the one it was started in.
    """
    from .guided import available, explore

    outcome = Outcome()
    if not available():
        outcome.skipped = "atheris is not installed; pip install atheris"
        return outcome
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as corpus:
        while outcome.tried < count and progress(outcome.tried):
            runs = min(count - outcome.tried, _RUNS)
            ran, failure = explore(runs, seed + outcome.tried, Path(corpus))
            outcome.tried += ran
            if failure:
                outcome.fail(failure)
                break
    outcome.facts["per_second"] = int(outcome.tried / max(0.001, time.monotonic() - begun))
    return outcome

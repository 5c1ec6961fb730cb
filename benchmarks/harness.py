"""Measure contestants in turn, and make sure that each did the work.

Two cores shared with other work make absolute figures drift within minutes, so the contestants of
a case take turns, every other round in reverse (A B C C B A ...) so that none is always first, the
median of the rounds counts, and a ratio is the median of the ratios within each round, which the
drift leaves alone. Where one thread does the work, its
processor time for each message is told as well: the figure that other work disturbs least.
"""

from __future__ import annotations

import gc
import operator
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, cycle, islice
from typing import Any, NamedTuple

__all__ = [
    "BEST",
    "Case",
    "Claim",
    "Figure",
    "Pace",
    "Sample",
    "WrongResult",
    "busy",
    "check",
    "compare",
    "measure",
    "paced",
    "percentiles",
]

Sample = Mapping[str, float]
"""What one measurement gave, by unit: ``messages/s``, ``p50 us``, ``ms``, ... More is better where
the unit ends in ``/s``, less is better everywhere else."""

BEST = "the best peer"
"""In a claim: whichever store that keeps channels and is not chanlog does best."""


class WrongResult(AssertionError):
    """A contestant lost, doubled or changed what it was given: its speed means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The same work for several contestants; the others are compared with ``yardstick``.

    ``absent`` are those who cannot take part here, and why."""

    workload: str
    name: str
    shape: str
    yardstick: str
    contestants: Mapping[str, Callable[[], Sample]]
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """All rounds of one contestant in one unit. ``ratio`` is its speed over the yardstick's (2 is
    twice as fast, whatever the unit), ``None`` where the yardstick did not take part."""

    workload: str
    case: str
    shape: str
    contestant: str
    unit: str
    values: Sequence[float]
    ratio: float | None

    @property
    def median(self) -> float:
        """The middle of all rounds."""
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A target: the speed of one contestant over that of another, at least ``bound``.

    ``ours`` and ``theirs`` are (case, contestant), and the other may be ``BEST``. With ``cost`` the
    ratio is turned round and must be ``bound`` at most. Without ``theirs`` the bound is a figure in
    ``unit``. ``shapes`` are those it is about, all if empty. ``limit`` says what bounds this
    physically, and ``limit_of`` names the contestant that does nothing but that.
    """

    text: str
    unit: str
    ours: tuple[str, str]
    bound: float
    theirs: tuple[str, str] | None = None
    cost: bool = False
    shapes: str = ""
    limit: str = ""
    limit_of: tuple[str, str] | None = None


def measure(case: Case, runs: int, seconds_max: float = float("inf")) -> list[Figure]:
    """Let the contestants of a case take turns ``runs`` times; no round begins after
    ``seconds_max``."""
    deadline = time.monotonic() + seconds_max
    rounds: dict[str, list[Sample]] = {name: [] for name in case.contestants}
    # What is in memory already must not be walked by the collector on anybody's time.
    gc.collect()
    gc.freeze()
    try:
        for done in range(runs):
            if done and time.monotonic() > deadline:
                break
            for name in list(rounds) if done % 2 == 0 else reversed(rounds):
                gc.collect()
                try:
                    rounds[name].append(case.contestants[name]())
                except Exception as error:
                    error.add_note(f"in {case.workload}, {case.name}, {case.shape}: {name}")
                    raise
    finally:
        gc.unfreeze()
    figures = []
    for name, samples in rounds.items():
        for unit in samples[0]:
            ours = [sample[unit] for sample in samples]
            theirs = [sample[unit] for sample in rounds.get(case.yardstick, ()) if unit in sample]
            figures.append(
                Figure(
                    workload=case.workload,
                    case=case.name,
                    shape=case.shape,
                    contestant=name,
                    unit=unit,
                    values=ours,
                    ratio=compare(ours, theirs, unit),
                )
            )
    return figures


def compare(ours: Sequence[float], theirs: Sequence[float], unit: str) -> float | None:
    """The median of our speed over theirs, round by round; ``None`` without theirs."""
    if not theirs:
        return None
    ratio = float(statistics.median(map(operator.truediv, ours, theirs)))
    return ratio if unit.endswith("/s") else 1 / ratio


class Pace(NamedTuple):
    """How many calls were made, calls a second, and this thread's processor time for each."""

    calls: int
    rate: float
    cpu_ns: float


def paced(call: Callable[[Any], object], items: Sequence[Any], seconds: float) -> Pace:
    """Call ``call`` with the items, over and over, for about ``seconds``.

    The first call is not timed: it may make what all others find. The clock is read between ever
    larger runs of calls, so that reading it costs a fast contestant nothing and a slow one does
    not run on for minutes.
    """
    clock = time.perf_counter
    size = len(items)
    call(items[0])
    done = step = 1
    cpu_ns = time.thread_time_ns()
    started = now = clock()
    while now - started < seconds:
        place = done % size
        some = items[place : place + step]
        for item in some:
            call(item)
        done += len(some)
        step = min(step * 2, 1_024)
        now = clock()
    cpu_ns = time.thread_time_ns() - cpu_ns
    return Pace(done, (done - 1) / (now - started), cpu_ns / (done - 1))


def check(got: Iterable[Any], sent: Sequence[Any], count: int) -> None:
    """Raise unless ``got`` is the first ``count`` items of ``sent``, over and over, all of them."""
    # One more than expected, so that a reader who has too many is seen to have them.
    expected = chain(islice(cycle(sent), count), [None])
    same = list(map(operator.eq, got, expected))
    if len(same) != count:
        raise WrongResult(f"{len(same)} messages were read where {count} were written")
    if not all(same):
        raise WrongResult(f"message {same.index(False)} of {count} is not the one written")


def percentiles(latencies_ns: Sequence[int]) -> Sample:
    """The median and the 99th percentile, in microseconds."""
    ordered = sorted(latencies_ns)
    return {
        "p50 us": ordered[len(ordered) // 2] / 1000,
        "p99 us": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] / 1000,
    }


@contextmanager
def busy(wanted: bool = True) -> Iterator[None]:
    """Beside a thread that computes in Python and never rests, as an agent's process has."""
    if not wanted:
        yield
        return
    resting = threading.Event()

    def compute() -> None:
        number = 0
        while not resting.is_set():
            for _ in range(100):
                number = (number * 31 + 7) % 1_000_003

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    try:
        time.sleep(sys.getswitchinterval())
        yield
    finally:
        resting.set()
        thread.join()

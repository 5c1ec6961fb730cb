"""Crowds of every kind, one after the other, each of another size and mixture by its seed."""

from __future__ import annotations

import contextlib
import gc
import shutil
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random

import chanlog

from ..campaign import Outcome, Progress
from .clock import jumpy_clock
from .dropping import drop_many, kill_loop
from .idle import seconds_beside, work_beside
from .leaving import leave
from .many import channels_come_and_go, lagging, many_channels, many_loops

__all__ = ["CROWDS", "run"]

# The blocks of memory that may be left by anything, such as a table that has grown a step.
BLOCKS = 300


def _log(random: Random, folder: Path) -> chanlog.Log:
    path = folder / "log" if random.random() < 0.5 else None
    sync = random.choice(["always", "interval", "os"])
    return chanlog.open(path, sync=sync, segment_bytes=random.choice([1 << 16, 1 << 20]))


def _idle(random: Random, folder: Path, scale: int) -> None:
    size = random.randrange(1, 60) * scale
    path = folder if random.random() < 0.5 else None
    alone = work_beside(path and path / "alone", 0, 0, 20)
    beside = work_beside(path and path / "beside", size, random.randrange(1000), 20)
    assert alone == beside


def _dropped(random: Random, folder: Path, scale: int) -> None:
    with _log(random, folder) as log:
        assert drop_many(log, scale * random.randrange(1000, 3000)) < BLOCKS


def _loops_die(random: Random, folder: Path, scale: int) -> None:
    with _log(random, folder) as log:
        gone = [kill_loop(random, log) for _ in range(20 * scale)]
        for number in range(3):
            log.channel(f"w-{number}").publish("last", type="t")
        kill_loop(random, log)
        gc.collect()
        # Only what was woken last in each channel may still be there.
        assert sum(loop() is not None for loop in gone) <= 3


def _exits(random: Random, folder: Path, scale: int) -> None:
    leave(random, folder)


def _clock(random: Random, folder: Path, scale: int) -> None:
    jumpy_clock(random, folder / "log", 30 * min(scale, 4))


def _loops(random: Random, folder: Path, scale: int) -> None:
    with _log(random, folder) as log:
        many_loops(
            log, random.randrange(1, 12), random.randrange(1, 12), scale * random.randrange(4, 60)
        )


def _channels(random: Random, folder: Path, scale: int) -> None:
    with _log(random, folder) as log:
        many_channels(log, scale * random.randrange(2, 60), random.randrange(1, 4), random)


def _lagging(random: Random, folder: Path, scale: int) -> None:
    alone, beside = lagging(folder, scale * random.randrange(500, 2000))
    assert beside - alone < 2048


def _come_and_go(random: Random, folder: Path, scale: int) -> None:
    with contextlib.ExitStack() as stack:
        path = folder / "log" if random.random() < 0.5 else None
        log = stack.enter_context(chanlog.open(path, sync="os", background=False))
        channels_come_and_go(log, 200)
        assert max(channels_come_and_go(log, scale * random.randrange(500, 2000))) < BLOCKS


CROWDS: dict[str, Callable[[Random, Path, int], None]] = {
    "idle subscribers beside a publisher": _idle,
    "dropped subscriptions": _dropped,
    "loops that die": _loops_die,
    "an exit with blocked consumers": _exits,
    "a clock that jumps": _clock,
    "many loops on a channel": _loops,
    "many channels with a reader each": _channels,
    "readers that lag by everything": _lagging,
    "channels that come and go": _come_and_go,
}


def run(count: int, seed: int, progress: Progress) -> Outcome:
    """So many crowds, the kinds in turn, and after each ninety a large one of each kind: thousands
    of threads, tasks and channels, and 100,000 cycles.

    ``publish_ratio`` tells how much longer a publish takes beside 1,000 threads and 1,000 tasks
    that wait on other channels than beside nobody. It says more of the processor's caches than of
    the log, and nothing is held to it.
    """
    outcome = Outcome()
    kinds = list(CROWDS)
    while outcome.tried < count and progress(outcome.tried):
        number = outcome.tried
        kind = kinds[number % len(kinds)]
        folder = Path(tempfile.mkdtemp(prefix="chanlog-crowd-"))
        try:
            scale = 50 if number % 99 >= 90 else 1
            CROWDS[kind](Random(f"{seed} {number}"), folder, scale)
        except Exception:
            outcome.fail(f"{kind}: seed {seed}, number {number}: {traceback.format_exc(limit=-4)}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        outcome.tried += 1
    alone = min(seconds_beside(0, 0, 20_000) for _ in range(3))
    beside = min(seconds_beside(1000, 1000, 20_000) for _ in range(3))
    outcome.facts["publish_ratio"] = round(beside / alone, 2)
    return outcome

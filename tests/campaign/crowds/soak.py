"""Everything at once, for as long as one likes, and nothing grows."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import chanlog

from ..campaign import Outcome, Progress
from .actors import STREAMS, TASKS, THREADS, World
from .gauge import flat, growth, holding, tidy
from .pace import Pace

__all__ = ["Soak", "run"]

# Of one core, so that an hour can run beside other work.
SHARE = 0.3
SERIES_MAX = 30
# Beyond the most of the first third: the selector of a loop that was not collected yet, say.
DESCRIPTORS_MORE = 2
# The pass of compaction that is under way holds what it has rewritten; afterwards nobody does.
REMOVED_MAX = 4

_ROOT = Path(__file__).resolve().parents[3]


def run(seconds: int, seed: int, progress: Progress) -> Outcome:
    """A crowd of writers, readers, cursors, frames, producers, forks, trims, deletes, ends, other
    logs and dropped subscriptions, in threads and in tasks, on one log that rolls and compacts all
    the time, followed by another process; every message is checked by whoever reads it.

    What the process holds is sampled while everybody stands still, after a garbage collection,
    and after the heap was trimmed: what is resident then is in use.
    At the end resident memory of its own (files that are mapped do not count, the system has them
    back when it likes), the follower's, and the bytes on the disk have to be ``flat``. Threads
    must at no sample of the last two thirds have been more than in the first, nor descriptors but
    for two; those of segments are as many as there are segments, and files that were removed must
    in half of the samples be kept by four maps at most, which is what compaction has at hand.
    """
    outcome = Outcome()
    if not Path("/proc/self/status").exists():
        outcome.skipped = "there is no /proc here to read memory from"
        return outcome
    with tempfile.TemporaryDirectory(prefix="chanlog-soak-") as folder:
        soak = Soak(Path(folder), seed, SHARE)
        with soak:
            outcome.tried = soak.watch(seconds, progress)
        soak.judge(outcome)
    return outcome


class Soak:
    """One soak in a folder. Inside ``with`` its crowd is at work."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        share: float,
        extra: Iterable[Callable[[World, Random], Callable[[], None]]] = (),
    ) -> None:
        self._path = folder / "log"
        self._folder = folder
        self._seed = seed
        self._extra = tuple(extra)
        self.pace = Pace(share)
        self.wrong: list[str] = []
        self.series: dict[str, list[int]] = {}
        self.seen = 0
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Soak:
        self._log = chanlog.open(self._path, segment_bytes=256 * 1024)
        for name, retention in STREAMS.items():
            self._log.channel(name).configure(retention)
        self._follower = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.follower", str(self._path), *STREAMS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT,
        )  # fmt: skip
        assert self._follower.stdout is not None
        if self._follower.stdout.readline() != "following\n":
            raise RuntimeError("the follower did not start")
        world = World(self._log, self._folder)
        makers = [(make, n) for make, count in THREADS.items() for n in range(count)]
        makers += [(make, 0) for make in self._extra]
        for make, n in makers:
            name = f"{make.__name__} {n}"
            step = make(world, Random(f"{self._seed} {name}"))
            self._start(self._act, name, step)
        self._start(self._run_tasks, world)
        return self

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _act(self, name: str, step: Callable[[], None]) -> None:
        while self.pace.begin():
            try:
                step()
            except BaseException:
                self._found(name)
            finally:
                self.pace.done()

    def _found(self, name: str) -> None:
        self.wrong.append(f"{name}: {traceback.format_exc(limit=-4)}")
        self.pace.stop()

    def _run_tasks(self, world: World) -> None:
        async def act(name: str, step: Callable[[], Any]) -> None:
            while await self.pace.abegin():
                try:
                    await step()
                except BaseException:
                    self._found(name)
                finally:
                    self.pace.done()

        async def main() -> None:
            acts = []
            for make, count in TASKS.items():
                for n in range(count):
                    name = f"{make.__name__} {n}"
                    acts.append(act(name, make(world, Random(f"{self._seed} {name}"))))
            await asyncio.gather(*acts)

        asyncio.run(main())

    def __exit__(self, *_: object) -> None:
        self.pace.stop()
        for thread in self._threads:
            thread.join(60)
            if thread.is_alive():
                self.wrong.append(f"a thread of the crowd hangs: {thread}")
        out, _ = self._follower.communicate(timeout=60)
        for line in out.splitlines():
            if line.startswith("wrong "):
                self.wrong.append(line)
            elif line.startswith("seen "):
                self.seen = int(line.split()[1])
        if self._follower.returncode or not self.seen:
            self.wrong.append(f"the follower saw {self.seen} and left {self._follower.returncode}")
        self._log.close()

    def watch(self, seconds: float, progress: Progress) -> int:
        """Let time pass and take samples; returns how many seconds have passed."""
        begun = time.monotonic()
        interval = min(10.0, seconds / 60)
        wait = threading.Event().wait
        passed = 0.0
        while passed < seconds and not self.pace.stopped and progress(int(passed)):
            wait(interval)
            self.pace.adjust()
            self._sample()
            passed = time.monotonic() - begun
        return int(passed)

    def _sample(self) -> None:
        with self.pace.still():
            if self.pace.stopped:
                return
            tidy()
            self._ask_follower()
            own, other = holding(), holding(self._follower.pid)
            statistics = self._log.statistics()
            for name, value in (
                ("anon_kib", own.anon_kib),
                ("file_kib", own.file_kib),
                ("descriptors", own.descriptors),
                ("mapped_segments", own.segments),
                ("removed_files", own.removed),
                ("threads", own.threads),
                ("follower_anon_kib", other.anon_kib),
                ("follower_descriptors", other.descriptors),
                ("follower_removed_files", other.removed),
                ("disk_kib", statistics.disk_bytes // 1024),
                ("segments", statistics.segments),
                ("channels", statistics.channels),
                ("waiters", statistics.waiters),
                ("steps", self.pace.steps),
            ):
                self.series.setdefault(name, []).append(value)

    def _ask_follower(self) -> None:
        """Have the follower tidy up before it is looked at."""
        stdin, stdout = self._follower.stdin, self._follower.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("tidy\n")
        stdin.flush()
        if stdout.readline() != "tidied\n":
            raise RuntimeError("the follower has died")

    def judge(self, outcome: Outcome) -> None:
        """Say what was found, and the series in short."""
        for what in self.wrong:
            outcome.fail(what)
        if len(self.series.get("steps", ())) < 9:
            if not outcome.failures:
                outcome.fail("too few samples to say anything; give it more time")
            return
        for name, rule in (
            ("anon_kib", {}),
            ("follower_anon_kib", {}),
            # What is retained depends on how fast the crowd is just now.
            ("disk_kib", {"share": 0.25, "more": 2048}),
        ):
            values = self.series[name]
            if not flat(values, **rule):
                outcome.fail(f"{name} grows by {growth(values):,.0f} in a third: {values}")
        for name, more in (
            ("descriptors", DESCRIPTORS_MORE),
            ("follower_descriptors", DESCRIPTORS_MORE),
            ("threads", 0),
        ):
            values = self.series[name]
            third = len(values) // 3
            if max(values[third:]) > max(values[:third]) + more:
                outcome.fail(f"{name} were more and more: {values}")
        for name in ("removed_files", "follower_removed_files"):
            values = self.series[name]
            if median(values[len(values) // 3 :]) > REMOVED_MAX:
                outcome.fail(f"{name} are kept: {values}")
        steps = self.series["steps"]
        outcome.facts["steps"] = steps[-1]
        outcome.facts["followed"] = self.seen
        a_third = max(1, (steps[-1] - steps[0]) // 3)
        allowed = 1024 * (3 * 1024 + 0.03 * median(self.series["anon_kib"]))
        outcome.facts["smallest_leak_bytes_per_step"] = round(allowed / a_third, 1)
        for name, values in self.series.items():
            outcome.facts[name + "_series"] = " ".join(map(str, _thinned(values)))


def _thinned(values: list[int]) -> list[int]:
    """At most so many values, each the median of some."""
    size = -(-len(values) // SERIES_MAX)
    return [int(median(values[n : n + size])) for n in range(0, len(values), size)]

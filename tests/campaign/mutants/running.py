"""Trying mutants: which of them no test notices, and whether somebody has said why."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue

from ..campaign import Outcome, Progress
from .mutating import ROOT, Mutant, mutants_of
from .units import UNITS

__all__ = ["everything", "explained", "run", "verdicts"]

PROCESSES = 2
FEW = 20
SECONDS_MAX = 300.0
SURVIVORS = Path(__file__).parent / "survivors.toml"


def everything() -> list[Mutant]:
    """Every mutant of every unit."""
    return [mutant for file in UNITS for mutant in mutants_of(file)]


def explained() -> dict[tuple[str, str], str]:
    """The mutants that are known to change nothing, by file and key, each with the reason."""
    found = {}
    for file, reasons in tomllib.loads(SURVIVORS.read_text(encoding="utf-8")).items():
        for entry in reasons:
            found[file, entry["mutant"]] = entry["why"]
    return found


def run(count: int, seed: int, progress: Progress) -> Outcome:
    """Try ``count`` mutants, drawn by the seed, or all there are."""
    mutants = everything()
    if count < len(mutants):
        # By what they are and not by where they stand, so that a change of the code leaves the
        # sample as it is but for what has changed.
        mutants = sorted(sorted(mutants, key=lambda mutant: _rank(mutant, seed))[:count])
    reasons = explained()
    outcome = Outcome()
    timeouts = known = 0
    for mutant, verdict in verdicts(mutants):
        outcome.tried += 1
        reason = reasons.get((mutant.file, mutant.key))
        where = f"{mutant.file}:{mutant.line}: {mutant.key}"
        if mutant.place < 0:
            outcome.fail(f"the tests of {mutant.file} do not pass without any change: {verdict}")
        elif verdict == "timeout":
            timeouts += 1
        elif verdict == "survived" and reason is None:
            outcome.fail(
                f"{where} survived; python -m tests.campaign.mutants {mutant.file} "
                f"{mutant.place} tries it again"
            )
        elif verdict == "survived":
            known += 1
        elif reason is not None:
            outcome.facts[f"{where} is explained, and now dies"] = reason
        if not progress(outcome.tried):
            break
    outcome.facts["ended for their time"] = timeouts
    outcome.facts["survivors that are explained"] = known
    return outcome


def _rank(mutant: Mutant, seed: int) -> bytes:
    return sha256(f"{seed} {mutant.file} {mutant.key}".encode()).digest()


def verdicts(mutants: list[Mutant]) -> Iterator[tuple[Mutant, str]]:
    """(mutant, what became of it), as they come; of what fails unchanged, once, with the place
    -1."""
    workers: SimpleQueue[Worker] = SimpleQueue()
    pool = ThreadPoolExecutor(PROCESSES)
    started = [Worker() for _ in range(PROCESSES)]
    for worker in started:
        workers.put(worker)

    def tried(file: str, place: int | None, most: float) -> tuple[str, float]:
        worker = workers.get()
        begun = time.monotonic()
        try:
            return worker(file, place, most), time.monotonic() - begun
        finally:
            workers.put(worker)

    try:
        seconds = dict.fromkeys((mutant.file for mutant in mutants), SECONDS_MAX)
        if len(mutants) > FEW:
            # The tests must pass without a change, and say how long they take. For a few mutants
            # that would take longer than those, and whoever tries them has just run the tests.
            whole = pool.map(lambda file: tried(file, None, SECONDS_MAX), seconds)
            for file, (verdict, took) in zip(list(seconds), whole, strict=True):
                seconds[file] = 20.0 + 5 * took if verdict == "survived" else 0.0
                if verdict != "survived":
                    yield Mutant(file, -1, 0, ""), verdict
        rest = [mutant for mutant in mutants if seconds[mutant.file]]
        futures = [
            pool.submit(tried, mutant.file, mutant.place, seconds[mutant.file]) for mutant in rest
        ]
        for mutant, future in zip(rest, futures, strict=True):
            yield mutant, future.result()[0]
    finally:
        pool.shutdown(cancel_futures=True)
        for worker in started:
            worker.close()


class Worker:
    """A process that forks; see ``worker``. For one thread at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.campaign.mutants.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def __call__(self, file: str, place: int | None, seconds: float) -> str:
        """What becomes of this mutant; without a place, of the module as it is."""
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {"file": file, "place": place, "tests": UNITS[file], "seconds": seconds}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

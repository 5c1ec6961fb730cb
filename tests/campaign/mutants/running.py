"""Trying mutants: which of them no test notices, and whether somebody has said why."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from queue import SimpleQueue

from ..campaign import Outcome, Progress
from .mutating import ROOT, Mutant, called_lines, mutants_of
from .units import UNITS

__all__ = ["everything", "explained", "run", "verdicts"]

PROCESSES = 2
FEW = 20
# Of each test the lines it runs, and its seconds, by its id.
Covering = dict[str, tuple[list[int], float]]
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
    """(mutant, what became of it), one unit after the other; of what fails unchanged, once, with
    the place -1."""
    for file, group in groupby(mutants, key=lambda mutant: mutant.file):
        yield from _verdicts(file, list(group))


def _verdicts(file: str, mutants: list[Mutant]) -> Iterator[tuple[Mutant, str]]:
    started = [Worker(file) for _ in range(min(PROCESSES, len(mutants)))]
    pool = ThreadPoolExecutor(PROCESSES)
    workers: SimpleQueue[Worker] = SimpleQueue()
    for worker in started:
        workers.put(worker)
    called = called_lines(file)
    tests: Covering | None = None

    def tried(mutant: Mutant) -> str:
        chosen = None if tests is None else _choose(tests, mutant, called)
        if mutant.line not in called:
            with closing(Worker(file, mutant.place)) as own:
                return own(None, chosen)[0]
        worker = workers.get()
        try:
            return worker(mutant.place, chosen)[0]
        finally:
            workers.put(worker)

    try:
        if len(mutants) > FEW:
            # The tests must pass without a change, and tell what each of them runs. For a few
            # mutants that would take longer than those, and whoever tries them has just run them.
            verdict, tests = started[0](None, None, tracing=True)
            if verdict != "survived":
                yield Mutant(file, -1, 0, ""), verdict
                return
        yield from zip(mutants, pool.map(tried, mutants), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)
        for worker in started:
            worker.close()


def _choose(tests: Covering, mutant: Mutant, called: set[int]) -> dict[str, float]:
    """The tests that run what was changed, the quickest first, and how long each takes.

    A line in the middle of a statement need not show, and the last one before it that was run is
    looked for instead. What runs when the module is imported is for all tests.
    """
    chosen = list(tests)
    if mutant.line in called:
        run = {line for lines, _ in tests.values() for line in lines}
        line = max((line for line in run if line <= mutant.line), default=0)
        chosen = [test for test in tests if line in tests[test][0]]
    chosen.sort(key=lambda test: tests[test][1])
    return {test: tests[test][1] for test in chosen}


class Worker:
    """A process that forks; see ``worker``. For one thread at a time."""

    def __init__(self, file: str, place: int | None = None) -> None:
        arguments = [file] if place is None else [file, str(place)]
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.campaign.mutants.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._is_changed = place is not None

    def __call__(
        self, place: int | None, tests: dict[str, float] | None, tracing: bool = False
    ) -> tuple[str, Covering]:
        """What becomes of this mutant, or of the module as it is, in all tests or in these."""
        assert self._process.stdin is not None and self._process.stdout is not None
        place = None if self._is_changed else place
        request = {"place": place, "tests": tests, "tracing": tracing}
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            # The tests could not even be collected.
            return "killed", {}
        answer = json.loads(line)
        return answer["verdict"], answer["covered"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

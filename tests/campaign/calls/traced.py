"""The system refuses the calls of a real process, or kills it there; ``strace`` sees to that.

Python is not asked: what it repeats, duplicates or closes on its own account fails as well. A
child is forked and waits, ``strace`` attaches to it, and only then it runs the scenario; what is
not about the directory of the log is left alone. ``strace`` counts the calls of each kind.

Not tried here: an error of ``close`` (``strace`` would leave the file open, which no system does),
short writes (it could only lie about them), and EINTR for good, which Python repeats for good.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..campaign import Outcome as Result
from ..campaign import Progress
from .failed import bounded
from .judging import Judge
from .killed import child, fork, outcomes_of
from .plausible import PLAUSIBLE
from .rooms import Room, room
from .running import Scenario
from .sampling import sample
from .scenarios import SCENARIOS

__all__ = ["CannotTrace", "Injection", "injections", "run_traced", "traced", "try_injection"]

_SECONDS_MAX = 60

# What the calls of the host floor are to the system. Python duplicates descriptors with ``fcntl``.
CALLS: dict[str, tuple[int, ...]] = {
    "openat": PLAUSIBLE["open"],
    "openat with O_CREAT": PLAUSIBLE["create"],
    "newfstatat": PLAUSIBLE["fstat"],
    "fallocate": PLAUSIBLE["posix_fallocate"],
    "pwrite64": PLAUSIBLE["pwrite"],
    "pread64": PLAUSIBLE["pread"],
    "fdatasync": PLAUSIBLE["fdatasync"],
    "fsync": PLAUSIBLE["fsync"],
    "ftruncate": PLAUSIBLE["ftruncate"],
    "mkdir": PLAUSIBLE["mkdir"],
    "getdents64": (errno.EIO, errno.ENOMEM),
    "renameat": PLAUSIBLE["rename"],
    "unlinkat": PLAUSIBLE["unlink"],
    "flock": PLAUSIBLE["flock"],
    "fcntl": (errno.EMFILE, errno.ENOMEM),
    "mmap": PLAUSIBLE["mmap"],
    "close": (),
}


class CannotTrace(Exception):
    """``strace`` is not there, or may not look at other processes."""


class Injection(NamedTuple):
    """One try: the ``when``-th call of that name in a scenario fails with ``number``, ``once`` or
    from then on; 0 kills the process."""

    scenario: Scenario
    call: str
    when: int
    number: int
    once: bool

    @property
    def stratum(self) -> tuple[str, str, int]:
        """What a sample has one of, before it has a second."""
        return self.scenario.name, self.call, self.number

    @property
    def expression(self) -> str:
        """What ``strace`` is told."""
        what = f"error={self.number}" if self.number else "signal=KILL"
        return f"inject={self.call.split()[0]}:{what}:when={self.when}{'' if self.once else '+'}"

    def __str__(self) -> str:
        name = errno.errorcode.get(self.number, "SIGKILL")
        return f"{self.scenario.name}:{self.expression} ({name})"


def traced(scenario: Scenario, path: Path, *expressions: str, to: Path) -> tuple[bytes, int]:
    """Run a scenario under ``strace``, which writes to the file ``to``: what the child has told,
    and how it ended (as ``os.waitstatus_to_exitcode`` tells it)."""
    tracer = shutil.which("strace")
    if tracer is None:
        raise CannotTrace("strace is not installed")
    go_reading, go_writing = os.pipe()
    reading, writing = os.pipe()
    victim = fork()
    if victim == 0:
        with suppress(OSError):
            # Where a process may be looked at by its parents only, let anybody.
            ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)
        os.close(go_writing)
        os.close(reading)
        os.read(go_reading, 1)
        child(scenario, path, None, writing)
    os.close(go_reading)
    os.close(writing)
    names = ["..", "../..", "", "lock", "CHANLOG", "CHANLOG.tmp", "catalog", "catalog.tmp"]
    names += [f"{number:010}.log" for number in range(1, 20)]
    places = [argument for name in names for argument in ("-P", os.path.normpath(path / name))]
    command = [tracer, "-f", "-o", str(to), "-p", str(victim), *places]
    for expression in expressions:
        command += ["-e", expression]
    with (
        open(reading, "rb") as pipe,
        open(go_writing, "wb", buffering=0) as go,
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process,
        bounded(_SECONDS_MAX),
    ):
        assert process.stderr is not None
        said = process.stderr.readline()
        if "attached" in said:
            go.write(b"x")
        told = pipe.read() if "attached" in said else b""
        if "attached" not in said:
            os.kill(victim, 9)
        _, status = os.waitpid(victim, 0)
        process.stderr.read()
    if "attached" not in said:
        raise CannotTrace(said.strip())
    return told, os.waitstatus_to_exitcode(status)


def calls_of(scenario: Scenario, room: Room) -> list[str]:
    """The calls that the system sees when all goes well."""
    path = room.fresh(scenario)
    seen = path.parent / "strace"
    told, status = traced(scenario, path, to=seen)
    judge = Judge(scenario, path, None)
    for outcome in outcomes_of(told):
        judge.take(outcome)
    judge.finish(torn=scenario.spoil is not None)
    assert (judge.problems, status) == ([], 0), (scenario.name, judge.problems, status)
    lines = seen.read_text(errors="replace").splitlines()
    room.clear(path)
    found = []
    for line in lines:
        match = re.match(r"\d+ +(\w+)\(", line)
        if match is not None:
            found.append(match[1] + (" with O_CREAT" if "O_CREAT" in line else ""))
    return found


def injections(room: Room) -> list[Injection]:
    """All there are."""
    found = []
    for scenario in SCENARIOS:
        count: Counter[str] = Counter()
        for call in calls_of(scenario, room):
            name = call.split()[0]
            count[name] += 1
            when = count[name]
            for number in CALLS.get(call, ()):
                found.append(Injection(scenario, call, when, number, True))
                if number != errno.EINTR:
                    found.append(Injection(scenario, call, when, number, False))
            if call in CALLS:
                found.append(Injection(scenario, call, when, 0, True))
    return found


def try_injection(injection: Injection, room: Room) -> list[str]:
    """Try one; returns what is wrong."""
    scenario = injection.scenario
    path = room.fresh(scenario)
    told, status = traced(scenario, path, injection.expression, to=path.parent / "strace")
    judge = Judge(scenario, path, injection.number or None)
    for outcome in outcomes_of(told):
        judge.take(outcome)
    if status != (0 if injection.number else -9):
        judge.problems.append(f"it ended with {status}")
    if injection.number and "(INJECTED)" not in (path.parent / "strace").read_text(
        errors="replace"
    ):
        judge.problems.append("nothing was injected")
    if not injection.number:
        judge.cut_off()
    judge.finish(torn=scenario.spoil is not None or injection.call == "pwrite64")
    room.clear(path)
    return judge.problems


def run_traced(count: int, seed: int, progress: Progress) -> Result:
    """Try ``count`` injections, or all."""
    result = Result()
    with room() as place:
        try:
            every = injections(place)
        except CannotTrace as error:
            result.skipped = str(error)
            return result
        chosen = sample(every, count, seed, lambda injection: injection.stratum)
        result.facts["points"] = len(every)
        result.facts["kinds"] = len({injection.stratum for injection in chosen})
        for injection in chosen:
            for problem in try_injection(injection, place)[:1]:
                result.fail(f"{injection}: {problem}")
            result.tried += 1
            if not progress(result.tried):
                break
    return result

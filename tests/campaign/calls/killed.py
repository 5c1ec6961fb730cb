"""The process dies at every call of the host floor: a child for each, and SIGKILL."""

from __future__ import annotations

import os
import pickle
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..campaign import Outcome as Result
from ..campaign import Progress
from .failed import bounded, calls_of
from .judging import Judge
from .rooms import Room, room
from .running import Outcome, Scenario, run
from .sampling import sample
from .scenarios import SCENARIOS
from .shim import Call, Calls

__all__ = ["Death", "child", "deaths", "outcomes_of", "run_killed", "try_death"]

_SECONDS_MAX = 30


class Death(NamedTuple):
    """One try: which call of which scenario, and whether the process dies ``before`` it, ``after``
    it, or when ``half`` of what it writes is written."""

    scenario: Scenario
    at: int
    call: Call
    moment: str

    @property
    def stratum(self) -> tuple[str, str, str]:
        """What a sample has one of at least."""
        return self.scenario.name, self.call.name, self.moment

    def __str__(self) -> str:
        return f"{self.scenario.name}:{self.at}:{self.call.name} {self.call.target}:{self.moment}"


def deaths(room: Room) -> list[Death]:
    """All there are."""
    return [
        Death(scenario, at, call, moment)
        for scenario in SCENARIOS
        for at, call in enumerate(calls_of(scenario, room))
        for moment in ("before", "half", "after")
        if moment != "half" or call.name == "pwrite"
    ]


def child(scenario: Scenario, path: Path, calls: Calls | None, pipe: int) -> None:
    """The scenario in a child process, which tells of each outcome at once; does not come back."""
    status = 1
    try:

        def tell(outcome: Outcome) -> None:
            content = pickle.dumps(outcome)
            os.write(pipe, len(content).to_bytes(4, "little") + content)

        if calls is None:
            run(scenario, path, tell)
        else:
            with calls.installed():
                run(scenario, path, tell, calls)
        status = 0
    finally:
        os._exit(status)


def outcomes_of(told: bytes) -> Iterator[Outcome]:
    """What a child has told, up to where it died."""
    while len(told) >= 4:
        stop = 4 + int.from_bytes(told[:4], "little")
        if len(told) < stop:
            return
        yield pickle.loads(told[4:stop])
        told = told[stop:]


def fork() -> int:
    """A child process. Other tests may have left threads behind, which are nothing to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def try_death(death: Death, room: Room) -> list[str]:
    """Try one; returns what is wrong."""
    path = room.fresh(death.scenario)
    pid = os.getpid()

    def stop(moment: str) -> None:
        if moment == death.moment and os.getpid() != pid:
            os.kill(os.getpid(), signal.SIGKILL)

    reading, writing = os.pipe()
    victim = fork()
    if victim == 0:
        os.close(reading)
        child(death.scenario, path, Calls(death.at, stop=stop), writing)
    os.close(writing)
    with open(reading, "rb") as pipe, bounded(_SECONDS_MAX):
        told = pipe.read()
        _, status = os.waitpid(victim, 0)
    judge = Judge(death.scenario, path, None)
    if not os.WIFSIGNALED(status):
        judge.problems.append(f"it did not die, but ended with {os.waitstatus_to_exitcode(status)}")
    for outcome in outcomes_of(told):
        judge.take(outcome)
    judge.cut_off()
    judge.finish(torn=death.scenario.spoil is not None or death.moment == "half")
    room.clear(path)
    return judge.problems


def run_killed(count: int, seed: int, progress: Progress) -> Result:
    """Die ``count`` deaths, or all."""
    result = Result()
    with room() as place:
        every = deaths(place)
        chosen = sample(every, count, seed, lambda death: death.stratum)
        result.facts["points"] = len(every)
        result.facts["kinds"] = len({death.stratum for death in chosen})
        for death in chosen:
            for problem in try_death(death, place)[:1]:
                result.fail(f"{death}: {problem}")
            result.tried += 1
            if not progress(result.tried):
                break
    return result

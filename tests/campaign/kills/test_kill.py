"""Real kills, and that their checks can fail."""

from __future__ import annotations

import ctypes
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

import chanlog

from ..campaign import passed
from . import CAMPAIGNS
from .cast import Cast, Plan, open_log
from .child import Child
from .follower import Follower
from .ledger import Ledger, Tally, Violation
from .lives import world
from .workers import Worker

KILL = next(campaign for campaign in CAMPAIGNS if campaign.name == "kill")
LIMIT = 60.0


def test_killed_at_random_moments() -> None:
    outcome = passed(KILL)
    assert int(outcome.facts["acknowledged"]) > 10 * KILL.small
    assert int(outcome.facts["closed before the kill"]) > 0
    assert int(outcome.facts["died while opening"]) > 0


class Played(NamedTuple):
    """A log on which everybody has worked until the kill, and the ledger of it."""

    path: Path
    cast: Cast
    numbers: list[int]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    path = tmp_path_factory.mktemp("played") / "log"
    cast = Cast()
    for cycle, worker in enumerate(cast.workers):
        _play(cast, path, cycle, worker)
    return Played(path, cast, list(cast.ledger.slots))


def _play(cast: Cast, path: Path, cycle: int, worker: Worker) -> None:
    """Let one worker work until it has something to show, and kill it."""
    before = sum(tally.done for tally in cast.ledger.tallies)
    deadline = time.monotonic() + LIMIT
    child = Child(lambda say: cast.play(path, Plan(cycle, "interval", cycle), say, [worker]))
    while not all(tally.done > 2 for tally in cast.tallies_of(worker)):
        assert not child.wait(0.001), child.kill()
        assert time.monotonic() < deadline, f"{worker.name} does nothing"
    assert child.kill() == ""
    assert sum(tally.done for tally in cast.ledger.tallies) > before or not cast.tallies_of(worker)


@pytest.fixture
def again(played: Played, tmp_path: Path) -> Iterator[Played]:
    """The same as it was right after the kill, to be changed."""
    shutil.copytree(played.path, tmp_path / "log")
    for place, number in enumerate(played.numbers):
        played.cast.ledger.slots[place] = number
    yield played._replace(path=tmp_path / "log")


def checked(played: Played, how: str = "own") -> str:
    """What the check says, in a child; nothing if all is right."""
    child = Child(lambda say: str(played.cast.check(played.path, how)) and None)
    text = child.finish()
    assert child.status == (1 if text else 0)
    return text


@pytest.mark.parametrize("how", ["look", "die", "own"])
def test_what_was_played_is_right(again: Played, how: str) -> None:
    assert checked(again, how) == ""
    assert checked(again, "own") == ""


def _more(name: str) -> Callable[[chanlog.Log], object]:
    def publish(log: chanlog.Log) -> object:
        channel = log.channel(name)
        return channel.publish(list(channel.replay().data())[-1])

    return publish


def _half_a_frame(log: chanlog.Log) -> object:
    count = log.channel("frame-0").info().end_offset
    return log.channel("frame-0").publish([count, ""])


SABOTAGE: dict[str, Callable[[chanlog.Log], object]] = {
    "single: out of order": _more("single"),
    "many: out of order": _more("many"),
    "produced: out of order": _more("produced"),
    "task-1: out of order": _more("task-1"),
    "kept: out of order": _more("kept"),
    "relayed: not once": _more("relayed"),
    "frames: some have": _half_a_frame,
    "weaver: ": _more("weave-1"),
    "durable: 0 found": lambda log: log.channel("durable").delete(),
    "start of expected": lambda log: log.channel("expected").trim(
        log.channel("expected").info().end_offset
    ),
    "cursor of durable": lambda log: log.channel("durable").cursor("slow").seek(1),
    "crew of durable": lambda log: log.channel("durable").group("crew").delete(),
    "and the cursor at 1": lambda log: log.channel("single").cursor("relay").seek(1),
    "lives: ": lambda log: log.channel("life-fork-9").publish(0),
}


@pytest.mark.parametrize("says", SABOTAGE)
def test_sabotage_is_found(again: Played, says: str) -> None:
    """Each of the checks is shown one fault that it must find."""
    assert checked(again) == ""
    with open_log(again.path) as log:
        SABOTAGE[says](log)
    assert says in checked(again)


@pytest.mark.parametrize("what", [tally.what for tally in Cast().ledger.tallies])
def test_whatever_is_lost_is_found(again: Played, what: str) -> None:
    """As if one more had been acknowledged than is there."""
    assert checked(again) == ""
    tally = again.cast.tally(what)
    tally.done = tally.begun = tally.done + 1
    assert f"{what}: " in checked(again)


def test_a_follower_finds_what_was_exchanged(again: Played, tmp_path: Path) -> None:
    """Another message at an offset that was seen: as if it had been given away twice."""
    follower = Follower(again.cast.single, 0)
    with chanlog.open(again.path, read_only=True) as log:
        follower._seen = [data[:4] for data in log.channel("single").replay().data()]
        follower._compare(log)
        follower._seen[-1][3] += 1
        with pytest.raises(Violation, match=r"was .*, and is"):
            follower._compare(log)
        follower._seen.append([0, 0, 0, 0])
        with pytest.raises(Violation, match="are left"):
            follower._compare(log)


def _tally(mode: str, **numbers: int) -> Tally:
    tally = Ledger(mode).tally("it")
    for name, number in numbers.items():
        setattr(tally, name, number)
    return tally


@pytest.mark.parametrize(
    ("found", "right"), [(4, False), (5, True), (6, False), (7, False), (8, True), (9, False)]
)
def test_a_kill_leaves_a_call_whole_or_not_at_all(found: int, right: bool) -> None:
    tally = _tally("kill", done=5, begun=8)
    assert (found in tally.possible()) == right
    if right:
        assert tally.judge(found) == found
    else:
        with pytest.raises(Violation):
            tally.judge(found)


@pytest.mark.parametrize("least", ["durable", "synced", "promised"])
@pytest.mark.parametrize(("found", "right"), [(3, False), (4, True), (6, True), (9, False)])
def test_a_power_cut_leaves_what_was_durable(least: str, found: int, right: bool) -> None:
    tally = _tally("power", done=7, begun=8, seen=7, **{least: 4})
    assert (found in tally.possible()) == right
    if not right:
        with pytest.raises(Violation):
            tally.judge(found)


def test_what_was_seen_stays_after_a_kill() -> None:
    with pytest.raises(Violation):
        _tally("kill", done=5, begun=6, seen=6).judge(5)


def test_each_step_of_a_life_can_be_told_from_the_next() -> None:
    assert all(one != other for one, other in pairwise(map(world, range(30))))


def test_a_child_that_dies_tells_why() -> None:
    def work(say: object) -> None:
        raise ValueError("so it is")

    child = Child(work)
    assert "ValueError: so it is" in child.finish()
    assert child.status == 1


def test_a_child_that_crashes_tells_where() -> None:
    child = Child(lambda say: ctypes.string_at(0) and None)
    assert "Segmentation fault" in child.finish()
    assert child.status == -signal.SIGSEGV

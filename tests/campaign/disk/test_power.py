"""The campaigns at CI size, and the checker held to its word: it must find what is planted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from chanlog.storage import recovery, store

from ..campaign import Outcome, Progress, passed
from . import CAMPAIGNS
from .checking import Wrong, check
from .history import History
from .running import chain, cuts, run_recovery, run_states, try_again
from .scenarios import LIVES, World
from .simulated import SimulatedDisk, SimulatedFile, SimulatedFolder

STATES, RECOVERY = CAMPAIGNS


def test_power_states() -> None:
    outcome = passed(STATES)
    assert outcome.tried == STATES.small
    assert int(outcome.facts["lives"]) >= LIVES
    # It is no use to cut the power where nothing can be lost.
    assert int(outcome.facts["states with a torn tail"]) > outcome.tried // 50
    assert int(outcome.facts["states that lost what they might"]) > outcome.tried // 5
    assert int(outcome.facts["states that kept more than they had to"]) > outcome.tried // 5


def test_power_recovery() -> None:
    outcome = passed(RECOVERY)
    assert int(outcome.facts["lives"]) >= LIVES
    for depth in range(2, 6):
        assert int(outcome.facts[f"states at depth {depth}"]) > outcome.tried // 10


@pytest.mark.parametrize("run", [run_states, run_recovery])
def test_the_same_seed_tries_the_same(run: Any) -> None:
    first, second = (run(150, 5, Progress()) for _ in range(2))
    assert first.failures == second.failures == []
    assert first.facts == second.facts
    assert first.tried == second.tried


def few(count: int = 25 * LIVES) -> Outcome:
    return run_states(count, 1, Progress())


def test_systematic_states_and_random_ones_are_tried_at_each_moment() -> None:
    world = World(2, 1)
    whats = set()
    for moment in world.author.disk.moments():
        some = [cut for cut, _ in zip(cuts(moment, world.seed_of(moment)), range(12), strict=False)]
        assert [cut.what for cut in some[:2]] == ["all lost", "all kept"]
        assert sum(cut.what.startswith("random") for cut in some) == 5
        whats.update(cut.what.partition(":")[0].partition(" of ")[0] for cut in some)
    assert len(whats) > 10


# What is planted must be found. Only what the simulated disk itself can do wrong is planted here.


def test_a_sync_that_does_nothing_is_found(monkeypatch) -> None:
    """Then nothing that was acknowledged lasts."""
    monkeypatch.setattr(SimulatedFile, "sync", lambda self: None)
    outcome = few()
    assert outcome.failures
    assert any("what had to last is lost" in failure for failure in outcome.failures)


def test_a_folder_that_is_never_synced_is_found(monkeypatch) -> None:
    monkeypatch.setattr(SimulatedFolder, "sync", lambda self: None)
    assert few().failures


def test_what_is_readable_before_it_is_durable_is_found(monkeypatch) -> None:
    """Under the policy always readers must not see it; here they do."""
    made = store.Store.__init__

    def hasty(self: store.Store, *parts: Any) -> None:
        made(self, *parts)
        self.deferred = False

    monkeypatch.setattr(store.Store, "__init__", hasty)
    outcome = few()
    assert any("always" in failure for failure in outcome.failures)


def test_a_tail_that_is_not_kept_aside_is_found(monkeypatch) -> None:
    monkeypatch.setattr(recovery.Recoverer, "_keep", lambda *parts: "nowhere")
    outcome = few(count=60 * LIVES)
    assert any("nothing tells of it" in f or "nowhere aside" in f for f in outcome.failures)


def test_a_copy_that_the_next_opening_replaces_is_found(monkeypatch) -> None:
    """What openings did once: each wrote over what an interrupted one had kept."""
    keep = recovery.Recoverer._keep

    def careless(self: Any, segment: Any, start: int, stop: int) -> str:
        folder = self._store.folder
        folder.remove(recovery.torn_name(segment.name, start))
        return keep(self, segment, start, stop)

    monkeypatch.setattr(recovery.Recoverer, "_keep", careless)
    with pytest.raises(Wrong, match="nowhere aside"):
        for number in range(LIVES):
            chain(World(number, 1), 0, Counter())


def finished(number: int = 2) -> tuple[World, dict[str, Any], tuple[int, int]]:
    """A life at its end, with all of it on the disk."""
    world = World(number, 1)
    disk = world.author.disk
    moment = disk.moment(disk.step)
    everything = list(moment.systematic())[1]
    units = world.author.history.units
    return world, moment.files(everything), (units, units)


def test_a_message_that_was_changed_or_is_missing_is_found() -> None:
    world, files, bounds = finished()
    history = world.author.history
    now_ns = world.author.clock.now_ns
    assert check(files, history, bounds, now_ns=now_ns, look=True).units == bounds[0]
    messages = history.models["c1"].messages
    message = messages[1]
    for other in (message._replace(data="another"), message._replace(time_ns=1)):
        messages[1] = other
        with pytest.raises(Wrong, match="other messages"):
            check(files, history, bounds, now_ns=now_ns)
    messages[1] = message
    for least, most, text in (
        (bounds[0] + 1, bounds[1] + 1, "what had to last is lost"),
        (0, bounds[1] - 1, "what had not begun is there"),
    ):
        with pytest.raises(Wrong, match=text):
            check(files, history, (least, most), now_ns=now_ns)
    with pytest.raises(Wrong, match="was never there"):
        check(files, History(), (0, 0), now_ns=now_ns)


def test_damage_is_not_taken_for_a_power_cut() -> None:
    world, files, bounds = finished(0)
    disk = SimulatedDisk(files)
    name = next(name for name in files if name.endswith(".log"))
    disk.folder().open(name, writable=True).write(100, b"damaged")
    with pytest.raises(Wrong, match="opening raised CorruptionError"):
        check(disk.files(), world.author.history, bounds, now_ns=world.author.clock.now_ns)


def test_a_failure_names_what_to_try_again(monkeypatch) -> None:
    monkeypatch.setattr(SimulatedFile, "sync", lambda self: None)
    failure = few().failures[0]
    number, seed, step, place = map(int, failure.rpartition("disk ")[2].split())
    with pytest.raises(Wrong) as again:
        try_again(number, seed, step, place)
    assert str(again.value) in failure
    monkeypatch.undo()
    try_again(number, seed, step, place)
    assert chain(World(0, 1), 0, Counter()) > 10

"""Races: the campaigns at their small size, and that what they look for would be found."""

from __future__ import annotations

import contextlib
import sys
from types import SimpleNamespace

import pytest

from chanlog.channels.waking import ChannelListeners
from chanlog.message import Message
from chanlog.storage.store import Store

from .campaign import Progress, passed
from .races import toys
from .races.exploring import attempt, every
from .races.interrupted import judge
from .races.operations import OPERATIONS
from .races.planted import PLANTED
from .races.real_signals import SIGNALS_REAL
from .races.scenarios import SCENARIOS
from .races.schedules import SCHEDULES, points_of
from .races.signals import SIGNALS, allowed_after, interrupt
from .races.switching import SWITCHING
from .races.world import scheduled

traces_opcodes = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="traces single opcodes the way Python 3.11 does"
)


def test_schedules():
    outcome = passed(SCHEDULES)
    assert outcome.tried == SCHEDULES.small


@pytest.mark.parametrize("toy", toys.WRONG, ids=lambda toy: toy.name)
def test_a_race_in_a_toy_is_found(toy):
    assert any(found.error is not None for found in every(toy, toys.POINTS, 2))


@pytest.mark.parametrize("toy", toys.RIGHT[:1], ids=lambda toy: toy.name)
def test_nothing_is_found_in_a_right_one(toy):
    assert [found.error for found in every(toy, toys.POINTS, 2) if found.error is not None] == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_race_planted_in_chanlog_is_found(name):
    planted = PLANTED[name]
    scenario = SCENARIOS[planted.scenario]
    with scheduled(), planted.plant():
        tries = every(scenario, points_of(scenario), 2)
        wrong = next(found for found in tries if found.error is not None)
        # The plan that a failure tells of shows it again.
        assert repr(attempt(scenario, points_of(scenario), wrong.plan).error) == repr(wrong.error)


def test_a_schedule_is_the_same_each_time():
    scenario = SCENARIOS["durable, durable"]
    with scheduled():
        once, again = ([], [])
        plans = [found.plan for found in every(scenario, points_of(scenario), 1)]
        for log in (once, again):
            attempt(scenario, points_of(scenario), plans[-1], log=log)
        assert once == again
        assert plans == [found.plan for found in every(scenario, points_of(scenario), 1)]


@traces_opcodes
def test_signals():
    passed(SIGNALS)


def interrupted_everywhere(name):
    """Interrupt an operation at every place; where that did harm."""
    found = []
    operation = OPERATIONS[name]
    allowed = allowed_after(operation)
    for at in range(1000):
        try:
            if not interrupt(operation, at, allowed):
                return found
        except Exception as error:
            found.append(str(error))
    raise AssertionError("there is no end")


@traces_opcodes
def test_an_append_that_is_not_completed_is_found(monkeypatch):
    """What a signal has interrupted behind the store must be completed by whoever was hit."""
    monkeypatch.setattr(Store, "_settle", lambda *_: None)
    assert interrupted_everywhere("publish")


@traces_opcodes
def test_a_waiter_that_was_taken_and_not_woken_is_found(monkeypatch):
    """Whoever takes the waiters may be hit before he wakes them."""
    monkeypatch.setattr(ChannelListeners, "changed", lambda self: [])
    assert interrupted_everywhere("publish")


def test_real_signals():
    passed(SIGNALS_REAL)


def message(offset, data):
    return Message(offset, 0, data)


@pytest.mark.parametrize(
    ("history", "seen", "acknowledged", "wrong"),
    [
        ([0, 1], [0, 1], [(1, 1)], []),
        ([0, 0], [0, 0], [], ["a message is there twice, or out of order"]),
        ([0, 1], [0], [], ["a reader has seen 1 messages and not 2"]),
        ([0, 1], [0, 1], [(1, 2)], ["2 was acknowledged at 1 and is not there"]),
    ],
)
def test_what_a_signal_has_done_is_judged(history, seen, acknowledged, wrong):
    history = [message(offset, data) for offset, data in enumerate(history)]
    user = SimpleNamespace(
        acknowledged=acknowledged, reader=[], seen=history[: len(seen)], typed=[], seen_typed=[],
        log=SimpleNamespace(statistics=lambda: SimpleNamespace(waiters=0)),
    )  # fmt: skip
    assert judge(user, history, len(history), history) == wrong


def test_switching():
    passed(SWITCHING)


def test_a_store_without_a_lock_is_found(monkeypatch):
    """Two writers that append at once get one offset, or one position."""
    made = Store.__init__

    def unguarded(self, *args):
        made(self, *args)
        self.lock = contextlib.nullcontext()

    monkeypatch.setattr(Store, "__init__", unguarded)
    assert SWITCHING.run(3, 1, Progress()).failures

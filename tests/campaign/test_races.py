"""Races: the campaigns at their small size, and that what they look for would be found."""

from __future__ import annotations

import pytest

from .campaign import passed
from .races import toys
from .races.exploring import attempt, every
from .races.planted import PLANTED
from .races.scenarios import SCENARIOS
from .races.schedules import SCHEDULES, points_of
from .races.world import scheduled


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

"""The double finds three bugs that a naive fake lets pass; the apps that have none pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import chanlog
from chanlog.testing.faults import Faults

from .agent import CarefulAgent, CarelessAgent, supervise
from .naive import NaiveLog
from .shop import CarefulShop, CarefulTill, CarelessShop, CarelessTill


def orders_arrive_once(log: Any, shop: type[Any]) -> None:
    """The story of a shop: each order is there, once."""
    place = shop(log).place
    for number in range(5):
        place(number, 10 * number)
    found = [order["order"] for order in log.channel("orders").replay().data()]
    assert found == [0, 1, 2, 3, 4]


def orders_are_charged_once(log: Any, till: type[Any]) -> None:
    """The story of a till: each order is charged for, once."""
    for number in range(5):
        log.channel("orders").publish({"order": number, "amount": 10 * number})
    works = till(log)
    works.work()
    assert works.charged == [0, 1, 2, 3, 4]


def every_step_is_done(log: Any, agent: type[Any]) -> None:
    """The story of an agent: each step has its result, whoever dies."""
    for step in ("look", "think", "act"):
        log.channel("steps").publish(step)
    supervise(agent, log)
    results = list(log.channel("results").replay().data())
    assert list(dict.fromkeys(results)) == ["LOOK", "THINK", "ACT"]


Story = Callable[[Any, type[Any]], None]

STORIES: list[tuple[Story, type[Any], type[Any], Callable[[Faults], None]]] = [
    (
        orders_arrive_once, CarelessShop, CarefulShop,
        lambda faults: faults.on("publish", channel="orders", nth=3).lose_ack(),
    ),
    (
        orders_are_charged_once, CarelessTill, CarefulTill,
        lambda faults: (
            faults.on("commit", nth=2).lose_commit(), faults.on("get", nth=3).redeliver()
        ),
    ),
    (
        every_step_is_done, CarelessAgent, CarefulAgent,
        lambda faults: faults.on("publish", channel="results", nth=2).disconnect(),
    ),
]  # fmt: skip

NAMES = [story.__name__ for story, *_ in STORIES]


@pytest.fixture(params=["redis", "nats"])
def faults(request: pytest.FixtureRequest) -> Iterator[Faults]:
    with chanlog.open() as log:
        yield Faults(log, profile=request.param, seed=1)


@pytest.mark.parametrize(("story", "careless", "careful", "_"), STORIES, ids=NAMES)
def test_a_naive_fake_lets_all_of_them_pass(story, careless, careful, _):
    story(NaiveLog(), careless)
    story(NaiveLog(), careful)


@pytest.mark.parametrize(("story", "careless", "careful", "_"), STORIES, ids=NAMES)
def test_so_does_a_log_that_never_fails(faults, story, careless, careful, _):
    story(faults.log, careless)


@pytest.mark.parametrize(("story", "careless", "careful", "fault"), STORIES, ids=NAMES)
def test_the_double_finds_the_careless_one(faults, story, careless, careful, fault):
    fault(faults)
    with pytest.raises(AssertionError):
        story(faults.log, careless)


@pytest.mark.parametrize(("story", "careless", "careful", "fault"), STORIES, ids=NAMES)
def test_the_careful_one_passes(faults, story, careless, careful, fault):
    fault(faults)
    story(faults.log, careful)
    assert "[" in faults.report(), "the fault never happened"


@pytest.mark.parametrize(
    ("story", "careful", "mix"),
    [
        (orders_arrive_once, CarefulShop, {"lose_ack": 0.2, "disconnect": 0.2}),
        (orders_are_charged_once, CarefulTill, {"redeliver": 0.3, "lose_commit": 0.3}),
    ],
    ids=NAMES[:2],
)
@pytest.mark.parametrize("seed", range(20))
def test_the_careful_ones_survive_whatever_comes(story, careful, mix, seed):
    with chanlog.open() as log:
        faults = Faults(log, profile="redis", seed=seed)
        faults.mix(**mix)
        try:
            story(faults.log, careful)
        except AssertionError as error:
            raise AssertionError(faults.report()) from error


real = pytest.mark.parametrize(
    "chanlog_backend", ["embedded", "redis", "nats"], indirect=True, scope="session"
)


@real
@pytest.mark.parametrize(("story", "careless", "careful", "_"), STORIES, ids=NAMES)
def test_the_careful_one_passes_on_the_real_engine(chanlog_log, story, careless, careful, _):
    story(chanlog_log, careful)


@real
@pytest.mark.parametrize(("story", "careless", "careful", "fault"), STORIES, ids=NAMES)
def test_and_with_the_fault_on_the_real_engine(
    chanlog_log, chanlog_faults, story, careless, careful, fault
):
    """The fault is the double's, and all behind it the server's: the guard that works here is the
    engine's own."""
    fault(chanlog_faults)
    story(chanlog_log, careful)
    assert "[" in chanlog_faults.report(), "the fault never happened"

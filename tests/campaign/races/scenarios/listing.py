"""A listing is sorted and has whatever was there all the time."""

from __future__ import annotations

from typing import Any

from chanlog.storage.snapshot import write_catalog

from ..exploring import Scenario
from ..scheduler import Ending
from ..world import World
from .compacting import catalog

__all__ = ["SCENARIOS"]


def several() -> World:
    """Channels that are cold and others that are not, listed two at a time."""
    world = World()
    for name in ("b", "d"):
        world.log.channel(name).publish(name)
    world.store.roll()
    write_catalog(world.store)
    for name in ("c", "e"):
        world.log.channel(name).publish(name)
    return world


def names(world: World) -> list[str]:
    """All of them, a few at a time."""
    found: list[str] = []
    after = None
    while True:
        with world.store.lock:
            some = world.store.table.names("", after, 2)
        if not some:
            return found
        found += some
        after = some[-1]


def listed(world: World) -> list[str]:
    return list(world.log.channels())


def create(world: World) -> Any:
    return world.log.channel("bb").publish("x")


def delete(world: World) -> Any:
    return world.log.channel("b").delete()


def check(*, gone: str = "", new: str = "") -> Any:
    stable = {"a", "b", "c", "d", "e"} - {gone}

    def check(world: World, endings: list[Ending]) -> None:
        endings[0].result()
        found = endings[1].result()
        assert found == sorted(set(found)), found
        assert stable <= set(found) <= stable | {gone, new} - {""}, found
        after = sorted(stable | {new} - {""})
        assert list(world.log.channels()) == after
        assert names(world) == after
        assert world.log.statistics().channels == len(after)
        world.whole()

    return check


SCENARIOS = (
    Scenario("create, list", several, [create, names], check(new="bb")),
    Scenario("delete, list", several, [delete, names], check(gone="b")),
    Scenario("catalog, list", several, [catalog, listed], check()),
)

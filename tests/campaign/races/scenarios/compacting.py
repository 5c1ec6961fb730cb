"""Compaction moves what is being read, and the catalog is written while everything goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import chanlog
from chanlog.storage import clustered as segments
from chanlog.storage.clustering import cluster
from chanlog.storage.maintenance import compact
from chanlog.storage.snapshot import write_catalog

from ..exploring import Scenario
from ..scheduler import Ending
from ..world import World
from .appending import outcome

__all__ = ["SCENARIOS"]


def sealed() -> World:
    """A world whose messages lie in a sealed segment, and one in the active one."""
    world = World()
    world.store.roll()
    world.channel.publish("x")
    return world


def reading() -> World:
    """The same with a reader that stands in the middle."""
    world = sealed()
    world.extra.reader = world.channel.subscribe()
    # Not through the reader's buffer: it is to find its place in the log once more.
    world.extra.reader._reader.run(0, 1)
    return world


def clustered() -> World:
    """A world whose messages lie in a clustered segment."""
    world = sealed()
    compact(world.store)
    return world


def squeeze(world: World) -> None:
    compact(world.store)


def rewrite(world: World) -> None:
    """The heart of a compaction alone: one segment is rewritten, and put in place of the other."""
    with world.store.maintaining:
        cluster(world.store, [world.store.segments[0]])


def replay(world: World) -> Any:
    return [message.data for message in world.channel.replay()]


def replay_data(world: World) -> Any:
    return list(world.channel.replay().data())


def drain(world: World) -> Any:
    found = []
    while (message := world.extra.reader.get(timeout=0)) is not None:
        found.append(message.data)
    return found


def check_all(world: World, endings: list[Ending]) -> None:
    endings[0].result()
    for ending in endings[1:]:
        assert ending.result() == [0, 1, "x"]
    world.whole()


def publish(world: World) -> Any:
    return world.channel.publish("y")


def check_published(world: World, endings: list[Ending]) -> None:
    endings[0].result()
    assert endings[1].result() == 3
    assert world.seen() == [0, 1, "x", "y"]
    world.whole()


# Beside what dies.


def trim(world: World) -> Any:
    return world.channel.trim(before=2)


def replay_or_error(world: World) -> Any:
    """What was read, and which error ended it."""
    found: list[Any] = []
    try:
        for message in world.channel.replay():
            found.append(message.data)
    except chanlog.ChanlogError as error:
        found.append(type(error))
    return found


def check_trimmed(world: World, endings: list[Ending]) -> None:
    for ending in endings[:-1]:
        ending.result()
    found = endings[-1].result()
    trimmed = chanlog.OffsetTrimmed
    assert found in ([0, 1, "x"], [trimmed], [0, trimmed], [0, 1, trimmed], ["x"]), found
    assert world.seen() == ["x"]
    world.whole()


def delete(world: World) -> Any:
    return world.channel.delete()


def check_deleted(world: World, endings: list[Ending]) -> None:
    for ending in endings[:-1]:
        ending.result()
    found = endings[-1].result()
    deleted = chanlog.ChannelDeleted
    assert found in ([0, 1, "x"], [deleted], [0, deleted], [0, 1, deleted]), found
    world.channel = world.log.channel("a")
    assert world.seen() == []
    world.whole()


def fork(world: World) -> Any:
    return [message.data for message in world.channel.fork("f", at=2).replay()]


def check_forked(world: World, endings: list[Ending]) -> None:
    """A fork keeps what it was made from, though it is trimmed and compacted at once."""
    for ending in endings[:-1]:
        ending.result()
    found = endings[-1].result()
    assert found in ([0, 1], chanlog.OffsetTrimmed, [])
    if found != chanlog.OffsetTrimmed:
        assert world.seen("f") == found
    world.whole()


# The number of maps is bounded.


class Crowded(World):
    """A world in which one segment only is mapped at a time."""

    def __init__(self) -> None:
        super().__init__()
        for payload in ("x", "y"):
            self.store.roll()
            self.log.channel("b").publish(payload)
            self.channel.publish(payload)
        compact(self.store)
        self.extra.bound = mock.patch.object(segments, "_MAPPED_MAX", 1)
        self.extra.bound.start()


def check_crowded(world: World, endings: list[Ending]) -> None:
    world.extra.bound.stop()
    for ending in endings:
        assert ending.result() == [0, 1, "x", "y"]
    world.whole()


# The catalog.


def catalogued() -> World:
    """A world with a catalog, in which a channel has gone cold."""
    world = World()
    world.log.channel("cold").publish("c")
    world.store.roll()
    write_catalog(world.store)
    return world


def catalog(world: World) -> None:
    with world.store.maintaining:
        write_catalog(world.store)


def create(world: World) -> Any:
    return world.log.channel("new").publish("n")


def publish_cold(world: World) -> Any:
    return world.log.channel("cold").publish("d")


def delete_cold(world: World) -> Any:
    return world.log.channel("cold").delete()


def delete_and_create_cold(world: World) -> Any:
    world.log.channel("cold").delete()
    return world.log.channel("cold").publish("again")


def commit(world: World) -> Any:
    return world.channel.cursor("c").commit(1)


def produce(world: World) -> Any:
    return world.channel.producer("p").publish("p")


def check_catalog(*, cold: list[Any], new: list[Any], a: list[Any]) -> Any:
    def check(world: World, endings: list[Ending]) -> None:
        for ending in endings:
            ending.result()
        assert (world.seen("cold"), world.seen("new"), world.seen()) == (cold, new, a)
        names = ["a", *(["cold"] if cold else []), *(["new"] if new else [])]
        assert list(world.log.channels()) == names
        assert world.log.statistics().channels == len(names)
        # What is cold or not must not matter: write another, and look again.
        catalog(world)
        assert list(world.log.channels()) == names
        world.whole()

    return check


def scenario(
    name: str, prepare: Callable[[], World], threads: list[Callable[[World], Any]], check: Any
) -> Scenario:
    return Scenario(name, prepare, threads, check)


PLAIN: dict[str, list[Any]] = {"cold": ["c"], "new": [], "a": [0, 1]}
SCENARIOS = (
    scenario("cluster, replay", sealed, [rewrite, replay], check_all),
    scenario("cluster, read on", reading, [rewrite, drain], check_all),
    scenario("cluster, publish", sealed, [rewrite, publish], check_published),
    scenario("trim, replay", sealed, [trim, replay_or_error], check_trimmed),
    scenario("trim, replay what is clustered", clustered, [trim, replay_or_error], check_trimmed),
    scenario("delete, replay", sealed, [delete, replay_or_error], check_deleted),
    scenario("compact, replay", sealed, [squeeze, replay], check_all),
    scenario("compact, replay what is clustered", clustered, [squeeze, replay_data], check_all),
    scenario("compact, publish", sealed, [squeeze, publish], check_published),
    scenario("compact, trim, replay", sealed, [squeeze, trim, replay_or_error], check_trimmed),
    scenario("compact, delete, replay", sealed, [squeeze, delete, replay_or_error], check_deleted),
    scenario("compact, trim, fork", sealed, [squeeze, trim, outcome(fork)], check_forked),
    scenario("unmap, replay, replay", Crowded, [replay, replay], check_crowded),
    scenario(
        "catalog, publish", catalogued, [catalog, publish],
        check_catalog(**PLAIN | {"a": [0, 1, "y"]}),
    ),
    scenario(
        "catalog, create", catalogued, [catalog, create], check_catalog(**PLAIN | {"new": ["n"]})
    ),
    scenario(
        "catalog, publish to a cold one", catalogued, [catalog, publish_cold],
        check_catalog(**PLAIN | {"cold": ["c", "d"]}),
    ),
    scenario(
        "catalog, delete", catalogued, [catalog, delete_cold], check_catalog(**PLAIN | {"cold": []})
    ),
    scenario(
        "catalog, delete and create", catalogued, [catalog, delete_and_create_cold],
        check_catalog(**PLAIN | {"cold": ["again"]}),
    ),
    scenario("catalog, commit", catalogued, [catalog, commit], check_catalog(**PLAIN)),
    scenario(
        "catalog, produce", catalogued, [catalog, produce],
        check_catalog(**PLAIN | {"a": [0, 1, "p"]}),
    ),
)  # fmt: skip

"""Writers that meet: each message, cursor and end lands once, in one order for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chanlog

from ..exploring import Scenario
from ..scheduler import Ending
from ..world import World

__all__ = ["SCENARIOS"]


def full() -> World:
    """A world whose segment has no room for one more message."""
    world = World()
    world.fill()
    return world


def publish(payload: str) -> Callable[[World], int]:
    return lambda world: world.channel.publish(payload)


def publish_many(world: World) -> list[int]:
    return list(world.channel.publish_many(["m", "n"]))


def check_two(world: World, endings: list[Ending]) -> None:
    offsets = {"x": endings[0].result(), "y": endings[1].result()}
    assert sorted(offsets.values()) == [2, 3]
    assert world.seen()[2:] == sorted(offsets, key=lambda payload: offsets[payload])
    world.whole()


def check_many(world: World, endings: list[Ending]) -> None:
    single, many = endings[0].result(), endings[1].result()
    assert (single, many) in ((2, [3, 4]), (4, [2, 3]))
    assert world.seen()[2:] == (["x", "m", "n"] if single == 2 else ["m", "n", "x"])
    world.whole()


# Rolling beside a reader.


def replay(world: World) -> list[Any]:
    return [message.data for message in world.channel.replay()]


def check_replayed(world: World, endings: list[Ending]) -> None:
    assert endings[0].result() == 2
    assert endings[1].result() in ([0, 1], [0, 1, "x"])
    assert endings[1].result() == world.seen()[: len(endings[1].result())]
    world.whole()


def roll(world: World) -> None:
    world.store.roll()


def check_rolled(world: World, endings: list[Ending]) -> None:
    assert endings[0].result() == 2
    endings[1].result()
    assert world.seen() == [0, 1, "x"]
    world.whole()


# Channels that are created, ended and forked.


def create(payload: str) -> Callable[[World], int]:
    return lambda world: world.log.channel("new").publish(payload)


def check_created(world: World, endings: list[Ending]) -> None:
    assert sorted(ending.result() for ending in endings) == [0, 1]
    assert sorted(world.seen("new")) == ["x", "y"]
    assert world.log.statistics().channels == 2
    world.whole()


def outcome(work: Callable[[World], Any]) -> Callable[[World], Any]:
    """What ``work`` returns, or the type of its error."""

    def body(world: World) -> Any:
        try:
            return work(world)
        except chanlog.ChanlogError as error:
            return type(error)

    return body


def end(world: World) -> int:
    return world.channel.end()


def check_ended(world: World, endings: list[Ending]) -> None:
    published, ended = endings[0].result(), endings[1].result()
    assert (published, ended) in ((2, 3), (chanlog.ChannelEnded, 2))
    assert world.seen() == [0, 1, "x"][:ended]
    world.whole()


def delete(world: World) -> None:
    world.channel.delete()


def check_deleted(world: World, endings: list[Ending]) -> None:
    assert endings[0].result() in (2, chanlog.ChannelDeleted)
    endings[1].result()
    assert list(world.log.channels()) == []
    world.channel = world.log.channel("a")
    world.whole()


def fork(world: World) -> int:
    return world.channel.fork("f").info().end_offset


def trim(world: World) -> int:
    return world.channel.trim(before=1)


def check_forked(world: World, endings: list[Ending]) -> None:
    endings[0].result()
    end = endings[1].result()
    assert end in (2, 3)
    data = world.seen("f")
    assert data == [0, 1, "x"][end - len(data) : end]
    world.whole()


# Cursors and frames.


def commit(offset: int) -> Callable[[World], Any]:
    return outcome(lambda world: world.channel.cursor("c").commit(offset))


def frame(world: World) -> list[int]:
    with world.log.atomic() as frame:
        frame.publish("a", "x")
        frame.publish("b", "y")
        frame.commit(world.channel.cursor("c"), 1)
    return list(frame.offsets)


def check_commits(world: World, endings: list[Ending]) -> None:
    low, high = endings[0].result(), endings[1].result()
    assert high is None
    assert low in (None, chanlog.CommitBehind)
    assert world.channel.info().cursors == {"c": 2}
    world.whole()


def check_frame(world: World, endings: list[Ending]) -> None:
    assert endings[0].result() in (None, chanlog.CommitBehind)
    assert endings[1].result() == [2, 0]
    assert world.channel.info().cursors == {"c": 2}
    assert (world.seen(), world.seen("b")) == ([0, 1, "x"], ["y"])
    world.whole()


def look_at_both(world: World) -> tuple[int, int]:
    """How much of the frame is there: the second channel first."""
    second = world.log.channel("b").info().end_offset
    return world.channel.info().end_offset, second


def check_halves(world: World, endings: list[Ending]) -> None:
    assert endings[0].result() == [2, 0]
    assert endings[1].result() in ((2, 0), (3, 0), (3, 1))
    world.whole()


# Optimistic concurrency, and idempotence.


def expecting(payload: str) -> Callable[[World], Any]:
    return outcome(lambda world: world.channel.publish(payload, expect=2))


def check_expected(world: World, endings: list[Ending]) -> None:
    found = [ending.result() for ending in endings]
    assert found in ([2, chanlog.UnexpectedOffset], [chanlog.UnexpectedOffset, 2])
    assert world.seen()[2:] == (["x"] if found[0] == 2 else ["y"])
    world.whole()


def produce(world: World) -> int:
    return world.channel.producer("p").publish("x", sequence=0)


def check_produced(world: World, endings: list[Ending]) -> None:
    assert [ending.result() for ending in endings] == [2, 2]
    assert world.seen() == [0, 1, "x"]
    world.whole()


def produce_in(epoch: int) -> Callable[[World], Any]:
    return outcome(lambda world: world.channel.producer("p", epoch=epoch).publish(epoch))


def check_fenced(world: World, endings: list[Ending]) -> None:
    older, newer = endings[0].result(), endings[1].result()
    assert newer in (2, 3)
    assert older in (2, chanlog.ProducerFenced)
    assert world.seen()[2:] == ([1, 2] if older == 2 else [2])
    world.whole()


SCENARIOS = (
    Scenario("publish, publish", World, [publish("x"), publish("y")], check_two),
    Scenario("publish, publish many", World, [publish("x"), publish_many], check_many),
    Scenario("publish, publish, rolling", full, [publish("x"), publish("y")], check_two),
    Scenario("publish, replay, rolling", full, [publish("x"), replay], check_replayed),
    Scenario("publish, roll", World, [publish("x"), roll], check_rolled),
    Scenario("create, create", World, [create("x"), create("y")], check_created),
    Scenario("publish, end", World, [outcome(publish("x")), end], check_ended),
    Scenario("publish, delete", World, [outcome(publish("x")), delete], check_deleted),
    Scenario("publish, fork", World, [publish("x"), fork], check_forked),
    Scenario("trim, fork", World, [trim, fork], check_forked),
    Scenario("commit, commit", World, [commit(0), commit(1)], check_commits),
    Scenario("commit, frame", World, [commit(0), frame], check_frame),
    Scenario("frame, look", World, [frame, look_at_both], check_halves),
    Scenario("expect, expect", World, [expecting("x"), expecting("y")], check_expected),
    Scenario("retry, retry", World, [produce, produce], check_produced),
    Scenario("epoch, epoch", World, [produce_in(1), produce_in(2)], check_fenced),
    Scenario(
        "publish, publish, by opcode", World, [publish("x"), publish("y")], check_two, opcodes=True
    ),
)

"""Whoever waits is woken by what comes, and by nothing else is anything lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import chanlog

from ..exploring import Scenario
from ..looping import Loop, run
from ..scheduler import Ending
from ..world import World

__all__ = ["SCENARIOS"]


def world(**subscribing: Any) -> Callable[[], World]:
    """A world with a subscription that has read all there is."""

    def prepare() -> World:
        world = World()
        world.extra.reader = world.channel.subscribe(after=1, **subscribing)
        return world

    return prepare


def publish(world: World) -> int:
    return world.channel.publish("x", type="t")


def get(world: World) -> Any:
    return world.extra.reader.get()


def payloads(endings: list[Ending]) -> list[Any]:
    return [ending.result().data for ending in endings]


def check_one(world: World, endings: list[Ending]) -> None:
    assert endings[0].result() == 2
    assert payloads(endings[1:]) == ["x"] * (len(endings) - 1)
    world.whole()


# Two readers, and a second writer.


def get_other(world: World) -> Any:
    return world.channel.subscribe(after=1).get()


def get_two(world: World) -> list[Any]:
    return [world.extra.reader.get().data, world.extra.reader.get().data]


def publish_typed(type: str) -> Callable[[World], int]:
    return lambda world: world.channel.publish(type, type=type)


def check_two(world: World, endings: list[Ending]) -> None:
    offsets = [ending.result() for ending in endings[:2]]
    assert sorted(offsets) == [2, 3]
    wanted = ["t", "u"] if offsets == [2, 3] else ["u", "t"]
    assert endings[2].result() == wanted
    world.whole()


def check_typed(world: World, endings: list[Ending]) -> None:
    assert sorted(ending.result() for ending in endings[:2]) == [2, 3]
    assert endings[2].result().data == "t"
    world.whole()


# The first message of a channel.


def prepare_new() -> World:
    world = World()
    world.extra.reader = world.log.channel("new").subscribe()
    return world


def publish_new(world: World) -> int:
    return world.log.channel("new").publish("x")


def check_new(world: World, endings: list[Ending]) -> None:
    assert endings[0].result() == 0
    assert endings[1].result().data == "x"
    world.whole()


# Asking without waiting, and waiting for a while.


def ask(world: World) -> tuple[bool, Any]:
    reader = world.extra.reader
    return reader.ready, reader.get(timeout=0)


def check_ready(world: World, endings: list[Ending]) -> None:
    ready, message = endings[1].result()
    assert message is not None or not ready, "ready, and nothing there"
    rest = [] if message is None else [message]
    while (more := world.extra.reader.get(timeout=0)) is not None:
        rest.append(more)
    assert [found.data for found in rest] == ["x"]
    world.whole()


def get_briefly(world: World) -> Any:
    return world.extra.reader.get(timeout=0.1)


def check_briefly(world: World, endings: list[Ending]) -> None:
    message = endings[1].result() or world.extra.reader.get(timeout=0)
    assert message.data == "x"
    assert world.extra.reader.get(timeout=0) is None
    world.whole()


# What ends a wait without a message.


def close_reader(world: World) -> None:
    world.extra.reader.close()


def get_or_error(world: World) -> Any:
    """What came, or which error."""
    try:
        return world.extra.reader.get().data
    except chanlog.ChanlogError as error:
        return type(error)


def check_closed(world: World, endings: list[Ending]) -> None:
    assert endings[0].result() == 2
    assert endings[2].result() in ("x", chanlog.HandleClosed)
    world.whole()


def check_closed_alone(world: World, endings: list[Ending]) -> None:
    endings[0].result()
    assert endings[1].result() is chanlog.HandleClosed
    world.whole()


def follow_buffered(world: World) -> list[Any]:
    """Follow a reader that has decoded more than it has given out."""
    return [message.data for message in world.extra.reader]


def prepare_buffered() -> World:
    world = World(messages=4)
    world.extra.reader = world.channel.subscribe()
    world.extra.reader.get()
    return world


def check_cut_short(world: World, endings: list[Ending]) -> None:
    endings[0].result()
    found = endings[1].result()
    assert found == [1, 2, 3][: len(found)]
    assert world.extra.reader.ready
    try:
        raise AssertionError(f"closed, and gives {world.extra.reader.get(timeout=0)}")
    except chanlog.HandleClosed:
        world.whole()


def publish_and_end(world: World) -> tuple[int, int]:
    return world.channel.publish("x"), world.channel.end()


def follow(world: World) -> list[Any]:
    return [message.data for message in world.extra.reader]


def check_ended(world: World, endings: list[Ending]) -> None:
    assert endings[0].result() == (2, 3)
    for ending in endings[1:]:
        assert ending.result() == ["x"]
    world.whole()


def delete(world: World) -> None:
    world.channel.delete()


def check_deleted(world: World, endings: list[Ending]) -> None:
    endings[0].result()
    assert endings[1].result() is chanlog.ChannelDeleted
    assert not any(state.listeners.waiting for state in world.store.listening)


# Tasks.


def prepare_task() -> World:
    world = World()
    world.extra.loop = Loop()
    world.extra.reader = world.channel.subscribe(after=1)
    return world


def aget(world: World) -> Any:
    return run(world.extra.loop, world.extra.reader.aget())


def aget_briefly(world: World) -> Any:
    return run(world.extra.loop, world.extra.reader.aget(timeout=0.1))


def aget_cancelled(world: World) -> Any:
    async def body() -> Any:
        task = asyncio.current_task()
        world.extra.loop.call_soon(lambda: world.extra.loop.call_soon(task.cancel))
        return await world.extra.reader.aget()

    try:
        return run(world.extra.loop, body())
    except asyncio.CancelledError:
        return None


def aget_by_two(world: World) -> Any:
    async def body() -> Any:
        other = world.channel.subscribe(after=1)
        first, second = await asyncio.gather(world.extra.reader.aget(), other.aget())
        assert first == second
        return first

    return run(world.extra.loop, body())


def scenario(
    name: str,
    threads: list[Callable[[World], Any]],
    check: Callable[[World, list[Ending]], None],
    prepare: Callable[[], World] | None = None,
) -> Scenario:
    return Scenario(name, prepare or world(), threads, check)


TYPED = world(types={"t"})
SCENARIOS = (
    scenario("publish, get", [publish, get], check_one),
    scenario("publish, get, get", [publish, get, get_other], check_one),
    scenario("publish, publish, get", [publish_typed("t"), publish_typed("u"), get_two], check_two),
    scenario(
        "publish, publish, get of a type", [publish_typed("u"), publish_typed("t"), get],
        check_typed, TYPED,
    ),
    scenario("first publish, get", [publish_new, get], check_new, prepare_new),
    scenario("publish, ready", [publish, ask], check_ready),
    scenario("publish, ready of a type", [publish, ask], check_ready, TYPED),
    scenario("publish, get for a while", [publish, get_briefly], check_briefly),
    scenario("publish, close, get", [publish, close_reader, get_or_error], check_closed),
    scenario("close, get", [close_reader, get_or_error], check_closed_alone),
    scenario("close, follow", [close_reader, follow_buffered], check_cut_short, prepare_buffered),
    scenario("publish and end, follow", [publish_and_end, follow], check_ended),
    scenario("delete, get", [delete, get_or_error], check_deleted),
    scenario("publish, aget", [publish, aget], check_one, prepare_task),
    scenario("publish, aget for a while", [publish, aget_briefly], check_briefly, prepare_task),
    scenario("publish, aget and cancel", [publish, aget_cancelled], check_briefly, prepare_task),
    scenario("publish, two agets", [publish, aget_by_two], check_one, prepare_task),
    scenario("publish, get, by opcode", [publish, get], check_one)._replace(opcodes=True),
)  # fmt: skip

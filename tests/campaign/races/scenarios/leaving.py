"""Closing and forking in the middle of anything."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import chanlog
from chanlog.storage.maintenance import compact

from ....storage.worlds import folder_of, open_image
from .. import scheduler
from ..exploring import Scenario
from ..scheduler import Ending
from ..world import World, files_of
from .compacting import sealed

__all__ = ["SCENARIOS"]


def close(world: World) -> None:
    world.log.close()


def closed_or(work: Callable[[World], Any]) -> Callable[[World], Any]:
    """What ``work`` returns, or ``LogClosed``."""

    def body(world: World) -> Any:
        try:
            return work(world)
        except chanlog.LogClosed:
            return chanlog.LogClosed

    return body


def publish(world: World) -> int:
    return world.channel.publish("y")


def publish_durably(world: World) -> int:
    return world.channel.publish("y", durable=True)


def get(world: World) -> Any:
    return world.channel.subscribe(after=world.extra.end - 1).get()


def replay(world: World) -> list[Any]:
    return [message.data for message in world.channel.replay()]


def commit(world: World) -> None:
    world.channel.cursor("c").commit(1)


def squeeze(world: World) -> None:
    compact(world.store)


def listed(world: World) -> list[str]:
    return list(world.log.channels())


def prepare(**options: Any) -> Callable[[], World]:
    def make() -> World:
        world = World(**options)
        world.extra.end = 2
        return world

    return make


def check(*wanted: Any, grows: bool = False) -> Callable[[World, list[Ending]], None]:
    """What the other thread may come to, and that opening again shows all there was."""

    def check(world: World, endings: list[Ending]) -> None:
        endings[0].result()
        for ending in endings[1:]:
            found = ending.result()
            assert found is chanlog.LogClosed or found in wanted, found
        store = world.store
        for lock in (store.lock, store.leading, store.maintaining, store.row_lock):
            assert not lock.locked(), "a lock is still held"
        assert not store.row, "somebody stands in the row for a sync"
        assert not any(state.listeners.waiting for state in store.listening)
        with open_image(folder_of(files_of(world.folder))) as log:
            assert log.recovery.torn == []
            data = [message.data for message in log.channel("a").replay()]
            acknowledged = [0, 1, *["y"] * (grows and endings[1].result() == 2)]
            assert data in (acknowledged, [*acknowledged, "x"]), data

    return check


def check_commit(world: World, endings: list[Ending]) -> None:
    check(None)(world, endings)
    with open_image(folder_of(files_of(world.folder))) as log:
        done = endings[1].result() is None
        assert log.channel("a").info().cursors == ({"c": 2} if done else {})


# The child of a fork.


def fork(world: World) -> int:
    """Fork here, and in the child find every handle refused, though nobody there will ever let go
    of a lock. Returns the child's exit status."""
    # The child must come to no point: those it could change places with are not there.
    trace = sys.gettrace()
    sys.settrace(None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid:
        sys.settrace(trace)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 70
    try:
        scheduler.leave()
        status = _refused(world)
    finally:
        os._exit(status)


def _refused(world: World) -> int:
    """The number of the call that was not refused, or 0."""
    calls: list[Callable[[], Any]] = [
        lambda: world.channel.publish("z"),
        lambda: world.channel.publish("z", durable=True),
        world.log.sync,
        world.channel.info,
        world.channel.subscribe,
        world.log.compact,
        lambda: list(world.log.channels()),
        lambda: world.log.channel("other"),
        world.log.statistics,
    ]
    for number, call in enumerate(calls, 1):
        try:
            call()
        except (chanlog.ForkedProcess, chanlog.LogClosed):
            continue
        except BaseException:
            return 10 + number
        return number
    try:
        world.log.close()
    except BaseException:
        return 30
    return 0


def check_fork(world: World, endings: list[Ending]) -> None:
    status = endings[0].result()
    assert status == 0, f"the child was not refused, or would hang: {status}"
    endings[1].result()
    if not world.log._closed:
        world.whole()


MESSAGES = ([0, 1], [0, 1, "x"])
SCENARIOS = (
    Scenario("close, publish", prepare(), [close, closed_or(publish)], check(2, grows=True)),
    Scenario(
        "close, durable", prepare(), [close, closed_or(publish_durably)], check(2, grows=True)
    ),
    Scenario(
        "close, always", prepare(sync="always"), [close, closed_or(publish)], check(2, grows=True)
    ),
    Scenario("close, get", prepare(), [close, closed_or(get)], check()),
    Scenario("close, replay", sealed, [close, closed_or(replay)], check(*MESSAGES)),
    Scenario("close, commit", prepare(), [close, closed_or(commit)], check_commit),
    Scenario("close, compact", sealed, [close, closed_or(squeeze)], check(None)),
    Scenario("close, close", prepare(), [close, close], check(None)),
    Scenario("close, list", prepare(), [close, closed_or(listed)], check(["a"])),
    Scenario("fork, publish", prepare(), [fork, publish], check_fork),
    Scenario("fork, durable", prepare(), [fork, publish_durably], check_fork),
    Scenario("fork, close", prepare(), [fork, close], check_fork),
    Scenario("fork, compact", sealed, [fork, squeeze], check_fork),
)

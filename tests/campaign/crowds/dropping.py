"""Subscriptions that nobody holds any more, and loops that die: what stays of them is nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import Callable
from random import Random
from typing import Any

import chanlog

from ...support import LIMIT, spawn, until_waiting

__all__ = ["DROPS", "drop_many", "kill_loop"]


def _unread(channel: chanlog.Channel, number: int) -> Any:
    return channel.subscribe()


def _read(channel: chanlog.Channel, number: int) -> Any:
    reader = channel.subscribe(last=2)
    assert reader.get(timeout=0) is not None
    return reader


def _filtered(channel: chanlog.Channel, number: int) -> Any:
    reader = channel.subscribe(types={f"type-{number}"}, live=True)
    assert not reader.ready
    return reader


def _timed_out(channel: chanlog.Channel, number: int) -> Any:
    reader = channel.subscribe(live=True)
    assert reader.get(timeout=1e-7) is None
    return reader


def _cursor(channel: chanlog.Channel, number: int) -> Any:
    cursor = channel.cursor("c")
    assert cursor.get(timeout=0) is not None
    return cursor._reader  # type: ignore[attr-defined]


def _half_replayed(channel: chanlog.Channel, number: int) -> Any:
    reader = channel.subscribe()
    assert next(iter(reader)).offset == 0
    return reader


DROPS: tuple[Callable[[chanlog.Channel, int], Any], ...] = (
    _unread, _read, _filtered, _timed_out, _cursor, _half_replayed,
)  # fmt: skip


def drop_many(log: chanlog.Log, cycles: int) -> int:
    """Subscribe and drop so many times, in every way of a thread and of a task; returns how many
    more blocks of memory are in use after the second half than after the first."""
    channel = log.channel("w")
    channel.publish_many(range(10), type="t")
    loop = asyncio.new_event_loop()

    async def tasks(number: int) -> None:
        reader = channel.subscribe(live=True)
        gone.append(weakref.ref(reader))
        assert await reader.aget(timeout=1e-9) is None
        waiting = asyncio.ensure_future(reader.aget())
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting

    gone: list[weakref.ref[Any]] = []
    levels = []
    for half in range(2):
        for number in range(half * cycles // 2, (half + 1) * cycles // 2):
            drop = DROPS[number % len(DROPS)]
            if number % 100:
                drop(channel, number)
            else:
                gone.append(weakref.ref(drop(channel, number)))
                loop.run_until_complete(tasks(number))
            if len(gone) >= 100:
                gc.collect()
                assert [ref for ref in gone if ref() is not None] == []
                gone.clear()
        gc.collect()
        levels.append(sys.getallocatedblocks())
    loop.close()
    return levels[1] - levels[0]


def kill_loop(random: Random, log: chanlog.Log) -> weakref.ref[Any]:
    """A loop dies, somehow, while tasks in it wait and others wait outside; a publish reaches all
    the others and minds nothing. Returns a reference to the loop that must die too."""
    channel = log.channel(f"w-{random.randrange(3)}")
    loop = asyncio.new_event_loop()
    tasks = []
    for _ in range(random.randrange(1, 5)):
        types = None if random.random() < 0.5 else {"t"}
        tasks.append(loop.create_task(channel.subscribe(types=types, live=True).aget()))
        tasks[-1]._log_destroy_pending = False  # type: ignore[attr-defined]
    outside = channel.subscribe(live=True)
    there = log.statistics().waiters
    waiting = spawn(outside.get, timeout=LIMIT)
    in_task = channel.subscribe(live=True)
    waiting_task = spawn(lambda: asyncio.run(in_task.aget(timeout=LIMIT)))
    until_waiting(log, there + 2)
    loop.run_until_complete(asyncio.sleep(0))
    if random.random() < 0.5:
        # Called already, and closed before it comes to answer.
        channel.publish("early", type="t")
    elif random.random() < 0.5:
        loop.call_soon(loop.stop)
        loop.run_forever()
    loop.close()
    channel.publish("now", type="t")
    for future in (waiting, waiting_task):
        message = future.result(LIMIT)
        assert message is not None
        assert message.data in {"early", "now"}
    return weakref.ref(loop)

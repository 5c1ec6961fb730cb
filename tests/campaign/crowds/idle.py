"""Subscribers of other channels: how much they cost a publisher."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chanlog

from ...support import LIMIT, ManualClock, host_with, until
from .work import Work, work_of

__all__ = ["idle_crowd", "publishes", "work_beside"]


@contextlib.contextmanager
def idle_crowd(log: chanlog.Log, threads: int, tasks: int) -> Iterator[None]:
    """So many threads and so many tasks, each waiting on a channel of its own."""
    readers = [log.channel(f"idle-{n}").subscribe() for n in range(threads + tasks)]
    loop = asyncio.new_event_loop()

    def wait(reader: chanlog.Subscription) -> None:
        with contextlib.suppress(chanlog.HandleClosed):
            reader.get()

    async def main() -> None:
        waiting = [asyncio.ensure_future(reader.aget()) for reader in readers[threads:]]
        await asyncio.gather(*waiting, return_exceptions=True)

    crowd = [threading.Thread(target=wait, args=(reader,)) for reader in readers[:threads]]
    crowd.append(threading.Thread(target=lambda: loop.run_until_complete(main())))
    before = threading.stack_size(256 * 1024)
    try:
        for thread in crowd:
            thread.start()
    finally:
        threading.stack_size(before)
    try:
        until(lambda: log.statistics().waiters == threads + tasks)
        yield
        assert log.statistics().waiters == threads + tasks
    finally:
        for reader in readers:
            reader.close()
        for thread in crowd:
            thread.join(LIMIT)
        loop.close()


def publishes(log: chanlog.Log) -> dict[str, Callable[[], Any]]:
    """Every way to publish to a channel that others read, but do not wait on."""
    channel = log.channel("busy")
    channel.publish("exists")
    producer = channel.producer("p")
    history = channel.subscribe()

    def frame() -> None:
        with log.atomic() as frame:
            frame.publish("busy", "x")
            frame.publish("busy-too", "x")

    def publish_async() -> None:
        # Driven by hand, for it never waits under this policy.
        with contextlib.suppress(StopIteration):
            channel.apublish("x").send(None)

    return {
        "publish": lambda: channel.publish("x"),
        "publish with a type": lambda: channel.publish("x", type="t"),
        "publish_many": lambda: channel.publish_many(["x"] * 10),
        "apublish": publish_async,
        "producer": lambda: producer.publish("x"),
        "frame": frame,
        "publish and read": lambda: (channel.publish("x"), history.get(timeout=0)),
        "info": channel.info,
    }


def work_beside(path: Path | None, threads: int, tasks: int, times: int) -> dict[str, Work]:
    """The work of each way to publish, with such a crowd beside, and what a publish takes: the
    channels are there in any case, subscribers or not."""
    found = {}
    with chanlog.open(path, sync="os", background=False, host=host_with(ManualClock())) as log:
        for n in range(threads + tasks):
            log.channel(f"idle-{n}")
        calls = publishes(log)
        with idle_crowd(log, threads, tasks):
            for name, call in calls.items():
                for _ in range(3):
                    call()
                found[name] = work_of(call, times)
    return found


def seconds_beside(threads: int, tasks: int, times: int) -> float:
    """How long so many publishes take beside such a crowd. A figure to tell, not to hold."""
    with chanlog.open(background=False) as log, idle_crowd(log, threads, tasks):
        channel = log.channel("busy")
        begun = time.perf_counter()
        for _ in range(times):
            channel.publish("x")
        return time.perf_counter() - begun

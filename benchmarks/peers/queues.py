"""Queues in memory: the bound for waking, which keeps nothing and has one reader."""

from __future__ import annotations

import asyncio
import queue
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from .base import Peer

__all__ = ["AsyncioQueue", "LoopCall", "ThreadQueue"]


class ThreadQueue(Peer):
    """``queue.Queue``."""

    name = "queue.Queue"
    can = frozenset({"append", "thread to thread"})

    def open(self) -> None:
        self.queues: defaultdict[str, queue.Queue[Any]] = defaultdict(queue.Queue)

    def writer(self, channel: str) -> Callable[[Any], object]:
        return self.queues[channel].put

    def reader(self, channel: str) -> Iterator[Any]:
        waiting = self.queues[channel]
        while not waiting.empty():
            yield waiting.get()

    def waiter(self, channel: str) -> Callable[[], Any]:
        return self.queues[channel].get


class AsyncioQueue(Peer):
    """``asyncio.Queue``: for one loop, so another thread has to ask that loop."""

    name = "asyncio.Queue"
    can = frozenset({"append", "thread to task", "task to task"})

    def open(self) -> None:
        self.queues: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)

    def writer(self, channel: str) -> Callable[[Any], object]:
        return self.queues[channel].put_nowait

    def reader(self, channel: str) -> Iterator[Any]:
        waiting = self.queues[channel]
        while not waiting.empty():
            yield waiting.get_nowait()

    def task_waiter(self, channel: str) -> Callable[[], Awaitable[Any]]:
        self.loop = asyncio.get_running_loop()
        return self.queues[channel].get

    def thread_signaller(self, channel: str) -> Callable[[Any], object]:
        ask, put = self.loop.call_soon_threadsafe, self.queues[channel].put_nowait
        return lambda data: ask(put, data)


class LoopCall(Peer):
    """A future and ``call_soon_threadsafe``: the least that wakes a task from a thread."""

    name = "call_soon_threadsafe"
    can = frozenset({"thread to task"})

    def task_waiter(self, channel: str) -> Callable[[], Awaitable[Any]]:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()

        async def wait() -> Any:
            data = await self.future
            self.future = self.loop.create_future()
            return data

        return wait

    def thread_signaller(self, channel: str) -> Callable[[Any], object]:
        ask = self.loop.call_soon_threadsafe
        return lambda data: ask(self.future.set_result, data)

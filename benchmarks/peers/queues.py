"""Queues in memory: the bound for waking, which keeps nothing and has one reader."""

from __future__ import annotations

import asyncio
import queue
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from .base import Peer

__all__ = ["AsyncioQueue", "LoopCall", "ThreadQueue"]


class ThreadQueue(Peer):
    """``queue.Queue``."""

    name = "queue.Queue"
    role = "bound"
    can = frozenset({"append", "thread to thread", "fan-out to threads"})

    def open(self) -> None:
        self.queues: defaultdict[str, queue.Queue[Any]] = defaultdict(queue.Queue)
        self.followers: defaultdict[str, list[queue.Queue[Any]]] = defaultdict(list)

    def writer(self, channel: str) -> Callable[[Any], object]:
        return self.queues[channel].put

    def reader(self, channel: str) -> Iterator[Any]:
        waiting = self.queues[channel]
        while not waiting.empty():
            yield waiting.get()

    def waiter(self, channel: str) -> Callable[[], Any]:
        return self.queues[channel].get

    def follower(self, channel: str, got: list[Any], count: int) -> Callable[[], None]:
        """A queue for each follower: there is no other way for all to get all."""
        own: queue.Queue[Any] = queue.Queue()
        self.followers[channel].append(own)

        def follow() -> None:
            for _ in range(count):
                got.append(own.get())

        return follow

    def broadcaster(self, channel: str) -> Callable[[Any], object]:
        puts = [own.put for own in self.followers[channel]]

        def send(data: Any) -> None:
            for put in puts:
                put(data)

        return send


class AsyncioQueue(Peer):
    """``asyncio.Queue``: for one loop, so another thread has to ask that loop."""

    name = "asyncio.Queue"
    role = "bound"
    can = frozenset({"append", "thread to task", "task to task", "fan-out to tasks", "agents"})

    def open(self) -> None:
        self.queues: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)
        self.followers: defaultdict[str, list[asyncio.Queue[Any]]] = defaultdict(list)

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

    def task_follower(
        self, channel: str, got: list[Any], count: int
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        """A queue for each follower: there is no other way for all to get all."""
        own: asyncio.Queue[Any] = asyncio.Queue()
        self.followers[channel].append(own)

        async def follow() -> None:
            for _ in range(count):
                got.append(await own.get())

        return follow

    def broadcaster(self, channel: str) -> Callable[[Any], object]:
        puts = [own.put_nowait for own in self.followers[channel]]

        def send(data: Any) -> None:
            for put in puts:
                put(data)

        return send


class LoopCall(Peer):
    """A future and ``call_soon_threadsafe``: the least that wakes a task from a thread."""

    name = "call_soon_threadsafe"
    role = "bound"
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

"""redis-py with hiredis: one stream a channel, one entry a message, msgpack for the payload."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import msgpack

from .base import TaskClient, ThreadClient

__all__ = ["RedisTasks", "RedisThread"]

PAGE = 1_000


class RedisThread(ThreadClient):
    """``XADD``, a pipeline for many, ``XRANGE`` in pages, ``XREAD BLOCK``."""

    name = "redis-py"

    def __enter__(self) -> RedisThread:
        import redis

        self.client = redis.Redis.from_url(self.url)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def writer(self, channel: str) -> Callable[[Any], object]:
        add, pack = self.client.xadd, msgpack.packb
        return lambda data: add(channel, {b"d": pack(data)})

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        pack = msgpack.packb

        def write(items: Sequence[Any]) -> None:
            pipeline = self.client.pipeline(transaction=False)
            for data in items:
                pipeline.xadd(channel, {b"d": pack(data)})
            pipeline.execute()

        return write

    def reader(self, channel: str) -> Iterator[Any]:
        unpack, start = msgpack.unpackb, b"-"
        while page := self.client.xrange(channel, start, count=PAGE):
            for key, fields in page:
                yield key, None, unpack(fields[b"d"])
            start = b"(" + page[-1][0]

    def waiter(self, channel: str) -> Callable[[], Any]:
        unpack, read = msgpack.unpackb, self.client.xread
        entries = self.client.xrevrange(channel, count=1)
        seen, waiting = (entries[0][0] if entries else b"0"), deque[Any]()

        def wait() -> Any:
            nonlocal seen
            if not waiting:
                waiting.extend(_entries(read({channel: seen}, block=0, count=PAGE)))
                seen = waiting[-1][0]
            return unpack(waiting.popleft()[1][b"d"])

        return wait


class RedisTasks(TaskClient):
    """The same with ``redis.asyncio``."""

    name = "redis-py"

    async def __aenter__(self) -> RedisTasks:
        import redis.asyncio

        self.client = redis.asyncio.Redis.from_url(self.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    def writer(self, channel: str) -> Callable[[Any], Awaitable[object]]:
        add, pack = self.client.xadd, msgpack.packb
        return lambda data: add(channel, {b"d": pack(data)})

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], Awaitable[object]]:
        pack = msgpack.packb

        async def write(items: Sequence[Any]) -> None:
            pipeline = self.client.pipeline(transaction=False)
            for data in items:
                pipeline.xadd(channel, {b"d": pack(data)})
            await pipeline.execute()

        return write

    async def reader(self, channel: str) -> AsyncIterator[Any]:
        unpack, start = msgpack.unpackb, b"-"
        while page := await self.client.xrange(channel, start, count=PAGE):
            for key, fields in page:
                yield key, None, unpack(fields[b"d"])
            start = b"(" + page[-1][0]

    async def waiter(self, channel: str) -> Callable[[], Awaitable[Any]]:
        unpack, read = msgpack.unpackb, self.client.xread
        entries = await self.client.xrevrange(channel, count=1)
        seen, waiting = (entries[0][0] if entries else b"0"), deque[Any]()

        async def wait() -> Any:
            nonlocal seen
            if not waiting:
                waiting.extend(_entries(await read({channel: seen}, block=0, count=PAGE)))
                seen = waiting[-1][0]
            return unpack(waiting.popleft()[1][b"d"])

        return wait


def _entries(found: Any) -> list[Any]:
    """The entries of the one stream that was asked for, in either form of the answer."""
    if isinstance(found, dict):
        ((entries,),) = found.values()
        return list(entries)
    ((_, entries),) = found
    return list(entries)

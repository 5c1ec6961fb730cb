"""chanlog on an engine: what an application writes, and nothing that it would not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import chanlog

from .base import TaskClient, ThreadClient

__all__ = ["ChanlogTasks", "ChanlogThread"]


class ChanlogThread(ThreadClient):
    """The calls that block."""

    name = "chanlog"

    def __enter__(self) -> ChanlogThread:
        self.log = chanlog.connect(self.url)
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()

    def writer(self, channel: str) -> Callable[[Any], object]:
        return self.log.channel(channel).publish

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        return self.log.channel(channel).publish_many

    def reader(self, channel: str) -> Iterator[Any]:
        return iter(self.log.channel(channel).replay())

    def waiter(self, channel: str) -> Callable[[], Any]:
        get = self.log.channel(channel).subscribe(live=True).get

        def wait() -> Any:
            message = get()
            assert message is not None
            return message.data

        return wait


class ChanlogTasks(TaskClient):
    """Their twins with an ``a`` before them."""

    name = "chanlog"

    async def __aenter__(self) -> ChanlogTasks:
        self.log = chanlog.connect(self.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.log.aclose()

    def writer(self, channel: str) -> Callable[[Any], Awaitable[object]]:
        return self.log.channel(channel).apublish

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], Awaitable[object]]:
        return self.log.channel(channel).apublish_many

    def reader(self, channel: str) -> AsyncIterator[Any]:
        return aiter(self.log.channel(channel).replay())

    async def waiter(self, channel: str) -> Callable[[], Awaitable[Any]]:
        get = self.log.channel(channel).subscribe(live=True).aget

        async def wait() -> Any:
            message = await get()
            assert message is not None
            return message.data

        return wait

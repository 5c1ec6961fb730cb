"""chanlog itself: on disk and in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar

import chanlog

from .base import Ability, Peer

__all__ = ["ChanlogDisk", "ChanlogMemory", "ChanlogUnsynced", "NotCompacted", "OneSegment"]

_MEMORY: frozenset[Ability] = frozenset(
    {
        "append",
        "many",
        "replay",
        "messages",
        "interleaved",
        "thread to thread",
        "thread to task",
        "task to task",
        "fan-out to tasks",
        "fan-out to threads",
        "agents",
    }
)


class ChanlogDisk(Peer):
    """A directory, with the options a user gets who gives none."""

    name = "chanlog disk"
    role = "chanlog"
    can = _MEMORY | {"durable", "durable tasks", "open", "cold channels", "growth", "retention"}
    options: ClassVar[dict[str, Any]] = {}

    def open(self) -> None:
        self.log = chanlog.open(self.folder, **self.options)

    def close(self) -> None:
        self.log.close()

    def seal(self) -> None:
        """Fill up the active segment with another channel's messages, and compact all before."""
        filler = self.log.channel("filler")
        segments = self.log.statistics().segments
        while self.log.statistics().segments == segments:
            filler.publish(bytes(1 << 20))
        filler.delete()
        self.log.compact()

    def writer(self, channel: str) -> Callable[[Any], object]:
        return self.log.channel(channel).publish

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        return self.log.channel(channel).publish_many

    def durable_writer(self, channel: str) -> Callable[[Any], object]:
        publish = self.log.channel(channel).publish
        return lambda data: publish(data, durable=True)

    def durable_task_writer(self, channel: str) -> Callable[[Any], Awaitable[object]]:
        publish = self.log.channel(channel).apublish
        return lambda data: publish(data, durable=True)

    def reader(self, channel: str) -> Iterator[Any]:
        return self.log.channel(channel).replay().data()

    def end(self, channel: str) -> int:
        return self.log.channel(channel).info().end_offset

    def at(self, channel: str, offset: int) -> Any:
        return next(iter(self.log.channel(channel).replay(offset, offset + 1).data()))

    def last(self, channel: str) -> Any:
        message = self.log.channel(channel).subscribe(last=1).get(timeout=0)
        assert message is not None
        return message.data

    def names(self, prefix: str) -> Iterator[str]:
        return self.log.channels(prefix=prefix)

    def bounded_writer(self, channel: str, count: int) -> Callable[[Sequence[Any]], object]:
        bounded = self.log.channel(channel)
        bounded.configure(chanlog.Retention(count=count))
        return bounded.publish_many

    def settle(self) -> None:
        """Compact now what the background would compact a little later."""
        self.log.compact()

    def message_reader(self, channel: str) -> Iterator[Any]:
        return iter(self.log.channel(channel).replay())

    def waiter(self, channel: str) -> Callable[[], Any]:
        get = self.log.channel(channel).subscribe().get

        def wait() -> Any:
            message = get()
            assert message is not None
            return message.data

        return wait

    def follower(self, channel: str, got: list[Any], count: int) -> Callable[[], None]:
        messages = self.log.channel(channel).subscribe()

        def follow() -> None:
            got.extend(message.data for message in islice(messages, count))

        return follow

    def task_follower(
        self, channel: str, got: list[Any], count: int
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        messages = self.log.channel(channel).subscribe()

        async def follow() -> None:
            async for message in messages:
                got.append(message.data)
                if len(got) == count:
                    break

        return follow

    def task_waiter(self, channel: str) -> Callable[[], Awaitable[Any]]:
        get = self.log.channel(channel).subscribe().aget

        async def wait() -> Any:
            message = await get()
            assert message is not None
            return message.data

        return wait


class ChanlogUnsynced(ChanlogDisk):
    """A directory that the operating system writes back when it likes."""

    name = "chanlog disk sync=os"
    can = frozenset({"append"})
    options: ClassVar[dict[str, Any]] = {"sync": "os"}


class NotCompacted(ChanlogDisk):
    """Sealed segments stay as they were written."""

    options: ClassVar[dict[str, Any]] = {"background": False}


class OneSegment(ChanlogDisk):
    """Everything lies in the active segment."""

    options: ClassVar[dict[str, Any]] = {"segment_bytes": 1 << 30}


class ChanlogMemory(ChanlogDisk):
    """The same engine in memory."""

    name = "chanlog memory"
    can = _MEMORY

    def open(self) -> None:
        self.log = chanlog.open()

"""nats-py: one subject a channel, one message of the stream a message, msgpack for the payload."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import msgpack

from .base import TaskClient, ThreadClient

__all__ = ["NatsTasks", "NatsThread"]

Result = TypeVar("Result")

PAGE = 1_000
PATIENCE_SECONDS = 60.0


class NatsTasks(TaskClient):
    """``publish``, ``publish_async`` for many, ``fetch`` of pages without acknowledgements, an
    ordered consumer to wait with."""

    name = "nats-py"

    async def __aenter__(self) -> NatsTasks:
        import nats

        self.client = await nats.connect(self.url, allow_reconnect=False)
        self.stream = self.client.jetstream()
        self._ours = asyncio.all_tasks()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        # An ordered consumer watches over itself with tasks that it never ends.
        left = [
            task
            for task in asyncio.all_tasks() - self._ours
            if task is not asyncio.current_task()
            and getattr(task.get_coro(), "__name__", "") in _WATCHES
        ]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def writer(self, channel: str) -> Callable[[Any], Awaitable[object]]:
        publish, pack, subject = self.stream.publish, msgpack.packb, f"channel.{channel}"
        return lambda data: publish(subject, pack(data))

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], Awaitable[object]]:
        publish, pack = self.stream.publish_async, msgpack.packb
        subject = f"channel.{channel}"

        async def write(items: Sequence[Any]) -> None:
            sent = [await publish(subject, pack(data)) for data in items]
            await asyncio.gather(*sent)

        return write

    async def pages(self, channel: str) -> AsyncIterator[list[Any]]:
        """The messages of a channel, a page at a time."""
        from nats.js.api import AckPolicy, ConsumerConfig

        unpack = msgpack.unpackb
        subscription = await self.stream.pull_subscribe(
            f"channel.{channel}",
            config=ConsumerConfig(ack_policy=AckPolicy.NONE),
            pending_msgs_limit=-1,
            pending_bytes_limit=-1,
        )
        left = (await subscription.consumer_info()).num_pending or 0
        while left:
            page = await subscription.fetch(min(left, PAGE), timeout=PATIENCE_SECONDS)
            left -= len(page)
            yield [(message.reply, None, unpack(message.data)) for message in page]
        await subscription.unsubscribe()

    async def reader(self, channel: str) -> AsyncIterator[Any]:
        async for page in self.pages(channel):
            for message in page:
                yield message

    async def waiter(self, channel: str) -> Callable[[], Awaitable[Any]]:
        unpack = msgpack.unpackb
        subscription = await self.stream.subscribe(
            f"channel.{channel}", ordered_consumer=True, deliver_policy=_new()
        )

        async def wait() -> Any:
            return unpack((await subscription.next_msg(timeout=PATIENCE_SECONDS)).data)

        return wait


_WATCHES = {"activity_check", "check_flow_control_response"}


def _new() -> Any:
    from nats.js.api import DeliverPolicy

    return DeliverPolicy.NEW


class NatsThread(ThreadClient):
    """The same from a thread. There is no client that blocks, so a loop runs in another thread,
    and is handed a coroutine for each call."""

    name = "nats-py, its loop in a thread"

    def __enter__(self) -> NatsThread:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.client = NatsTasks(self.url)
        self._run(self.client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self.client.__aexit__())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def writer(self, channel: str) -> Callable[[Any], object]:
        write: Any = self.client.writer(channel)
        return lambda data: self._run(write(data))

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        write: Any = self.client.many_writer(channel)
        return lambda items: self._run(write(items))

    def reader(self, channel: str) -> Iterator[Any]:
        pages: Any = self.client.pages(channel)

        async def following() -> list[Any] | None:
            return await anext(pages, None)

        while page := self._run(following()):
            yield from page

    def waiter(self, channel: str) -> Callable[[], Any]:
        wait: Any = self._run(self.client.waiter(channel))
        return lambda: self._run(wait())

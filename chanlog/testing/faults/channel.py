"""A channel with faults, and a producer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ...group import Group
from ...interface import Channel, ChannelInfo, Cursor, Producer, Replay, Subscription
from ...options import Retention
from .group import FaultyGroup
from .reading import FaultyCursor, FaultySubscription
from .steps import Steps, adrive, ask, drive

if TYPE_CHECKING:
    from .faults import Call, Faults

__all__ = ["FaultyChannel", "FaultyProducer"]


def _traits(faults: Faults, options: dict[str, Any], *more: str) -> frozenset[str]:
    """What a call asks for; raises ``Unsupported`` for what the engine cannot do."""
    if options.get("durable"):
        faults.capabilities.need("durable")
    given = {"durable"} if options.get("durable") else set()
    if options.get("expect") is not None:
        given.add("expect")
    return frozenset(given | set(more))


class FaultyChannel(Channel):
    """An address in a log with faults."""

    def __init__(self, faults: Faults, name: str, sender: str | None) -> None:
        self.faults = faults
        self.name = name
        self.sender = sender
        with faults.crashing:
            self._generation = faults.generation
            self._inner = faults.inner.channel(name, sender=sender)

    def __repr__(self) -> str:
        return repr(self._inner)

    @property
    def inner(self) -> Channel:
        """The channel of the log that is there now."""
        if self._generation != self.faults.generation:
            with self.faults.crashing:
                self._inner = self.faults.inner.channel(self.name, sender=self.sender)
                self._generation = self.faults.generation
        return self._inner

    def _call(self, method: str, *args: Any, **options: Any) -> Steps[Any]:
        """A call that is done by the inner channel's method of that name."""

        def act(call: Call) -> Steps[Any]:
            return (yield from ask(self.inner, method, *args, **options))

        traits = _traits(self.faults, options)
        return (yield from self.faults.call(method, self.name, act, traits))

    # Publishing.

    def _publish(self, method: str, data: Any, options: dict[str, Any]) -> Steps[Any]:
        if method == "publish_many":
            # Walked once, however often it is published.
            data = list(data)

        def act(call: Call) -> Steps[Any]:
            if call.kind == "lose_write":
                # What another message will get: the one who gave it this number is no more.
                end = (yield from ask(self.inner, "info")).end_offset
                return end if method == "publish" else range(end, end + len(data))
            return (yield from ask(self.inner, method, data, **options))

        traits = _traits(self.faults, options)
        return (yield from self.faults.call(method, self.name, act, traits))

    def publish(self, data: Any, **options: Any) -> int:
        offset: int = drive(self._publish("publish", data, options))
        return offset

    async def apublish(self, data: Any, **options: Any) -> int:
        offset: int = await adrive(self._publish("publish", data, options))
        return offset

    def publish_many(self, items: Iterable[Any], **options: Any) -> Sequence[int]:
        offsets: Sequence[int] = drive(self._publish("publish_many", items, options))
        return offsets

    async def apublish_many(self, items: Iterable[Any], **options: Any) -> Sequence[int]:
        offsets: Sequence[int] = await adrive(self._publish("publish_many", items, options))
        return offsets

    # Reading.

    def subscribe(
        self,
        *,
        after: int | None = None,
        last: int | None = None,
        since: datetime | int | None = None,
        live: bool = False,
        types: Iterable[str] | None = None,
        echo: bool = True,
    ) -> Subscription:
        filter = {"types": types if types is None else list(types), "echo": echo}
        if isinstance(types, str):
            filter["types"] = [types]
        where = {"after": after, "last": last, "since": since, "live": live}
        return FaultySubscription(self.faults, self, where, filter)

    def replay(self, start: int | None = None, stop: int | None = None) -> Replay:
        return self.inner.replay(start, stop)

    async def areplay(self, start: int | None = None, stop: int | None = None) -> Replay:
        return await self.inner.areplay(start, stop)

    def cursor(self, name: str) -> Cursor:
        return FaultyCursor(self.faults, self, name)

    def group(
        self,
        name: str,
        *,
        lease: timedelta | float = 30.0,
        deliveries_max: int | None = None,
        dead_letter: str | None = None,
        by_key: bool = False,
    ) -> Group:
        self.faults.capabilities.need("groups")
        if by_key:
            self.faults.capabilities.need("group_order")
        options = {
            "lease": lease,
            "deliveries_max": deliveries_max,
            "dead_letter": dead_letter,
            "by_key": by_key,
        }
        return FaultyGroup(self.faults, self, name, options)

    def producer(self, name: str, *, epoch: int = 0) -> Producer:
        self.faults.capabilities.need("producers")
        inner = drive(self._call("producer", name, epoch=epoch))
        return FaultyProducer(self.faults, self, inner)

    async def aproducer(self, name: str, *, epoch: int = 0) -> Producer:
        self.faults.capabilities.need("producers")
        inner = await adrive(self._call("producer", name, epoch=epoch))
        return FaultyProducer(self.faults, self, inner)

    # State.

    def info(self) -> ChannelInfo:
        found: ChannelInfo = drive(self._call("info"))
        return found

    async def ainfo(self) -> ChannelInfo:
        found: ChannelInfo = await adrive(self._call("info"))
        return found

    def configure(self, retention: Retention | None) -> None:
        self.faults.capabilities.need_retention(retention)
        drive(self._call("configure", retention))

    async def aconfigure(self, retention: Retention | None) -> None:
        self.faults.capabilities.need_retention(retention)
        await adrive(self._call("configure", retention))

    def end(self, *, durable: bool = False) -> int:
        offset: int = drive(self._call("end", durable=durable))
        return offset

    async def aend(self, *, durable: bool = False) -> int:
        offset: int = await adrive(self._call("end", durable=durable))
        return offset

    def trim(self, before: int) -> int:
        offset: int = drive(self._call("trim", before))
        return offset

    async def atrim(self, before: int) -> int:
        offset: int = await adrive(self._call("trim", before))
        return offset

    def delete(self) -> None:
        drive(self._call("delete"))

    async def adelete(self) -> None:
        await adrive(self._call("delete"))

    def _fork(self, name: str, at: int | None) -> Steps[Channel]:
        self.faults.capabilities.need("forks")
        yield from self._call("fork", name, at=at)
        return FaultyChannel(self.faults, name, self.sender)

    def fork(self, name: str, *, at: int | None = None) -> Channel:
        return drive(self._fork(name, at))

    async def afork(self, name: str, *, at: int | None = None) -> Channel:
        return await adrive(self._fork(name, at))


class FaultyProducer(Producer):
    """A producer of a log with faults."""

    def __init__(self, faults: Faults, channel: FaultyChannel, inner: Producer) -> None:
        self._faults = faults
        self._channel = channel
        self._inner = inner
        self._generation = faults.generation
        self.name = inner.name
        self.epoch = inner.epoch

    def sequence(self) -> int:
        drive(self._reopen())
        return self._inner.sequence()

    def _reopen(self) -> Steps[None]:
        if self._generation != self._faults.generation:
            generation = self._faults.generation
            channel = self._channel.inner
            self._inner = yield from ask(channel, "producer", self.name, epoch=self.epoch)
            self._generation = generation

    def _publish(self, method: str, data: Any, options: dict[str, Any]) -> Steps[Any]:
        def act(call: Call) -> Steps[Any]:
            yield from self._reopen()
            if call.kind == "fence":
                yield from ask(self._channel.inner, "producer", self.name, epoch=self.epoch + 1)
            return (yield from ask(self._inner, method, data, **options))

        traits = _traits(self._faults, options, "producer")
        return (yield from self._faults.call(method, self._channel.name, act, traits))

    def publish(self, data: Any, **options: Any) -> int:
        offset: int = drive(self._publish("publish", data, options))
        return offset

    async def apublish(self, data: Any, **options: Any) -> int:
        offset: int = await adrive(self._publish("publish", data, options))
        return offset

    def publish_many(self, items: Iterable[Any], **options: Any) -> Sequence[int]:
        offsets: Sequence[int] = drive(self._publish("publish_many", items, options))
        return offsets

    async def apublish_many(self, items: Iterable[Any], **options: Any) -> Sequence[int]:
        offsets: Sequence[int] = await adrive(self._publish("publish_many", items, options))
        return offsets

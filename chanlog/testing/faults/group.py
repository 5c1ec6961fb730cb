"""Consumer groups with faults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ...errors import EndOfChannel, HandleClosed, LeaseLost, LogClosed
from ...group import Delivery, Group, GroupInfo
from .reading import Source
from .steps import Steps, adrive, ask, drive

if TYPE_CHECKING:
    from .channel import FaultyChannel
    from .faults import Call, Faults

__all__ = ["FaultyDelivery", "FaultyGroup"]


class FaultyGroup(Group):
    """One consumer of a group of a log with faults."""

    def __init__(
        self, faults: Faults, channel: FaultyChannel, name: str, options: dict[str, Any]
    ) -> None:
        self._faults = faults
        self._channel = channel
        self._options = options
        self.name = name
        # What was handed out and is not done with, for it may be handed out again.
        self._open: dict[int, FaultyDelivery] = {}
        self._source = Source(
            faults,
            channel.name,
            self._reopen,
            self._reopen,
            lambda delivery: int(delivery.message.offset),
        )

    def _reopen(self) -> Group:
        return self._channel.inner.group(self.name, **self._options)

    def _get(self, timeout: float | None) -> Steps[Delivery | None]:
        def act(call: Call) -> Steps[Any]:
            if call.kind == "redeliver" and self._open:
                yield from self._open[min(self._open)].lose()
            inner = yield from self._source.take(timeout)
            if inner is None:
                return None
            if call.kind == "slow" and call.fault is not None:
                seconds = call.fault.facts["seconds"]
                inner = yield from self._source.linger(inner, seconds, timeout)
                if inner is None:
                    return None
            delivery = FaultyDelivery(self, inner)
            self._open[delivery.message.offset] = delivery
            if call.kind == "expire_lease":
                yield from delivery.lose()
            return delivery

        traits = frozenset({"group"})
        found: Delivery | None = yield from self._faults.call(
            "get", self._channel.name, act, traits
        )
        return found

    def get(self, timeout: float | None = None) -> Delivery | None:
        return drive(self._get(timeout))

    async def aget(self, timeout: float | None = None) -> Delivery | None:
        return await adrive(self._get(timeout))

    def _call(self, operation: str) -> Steps[Any]:
        def act(call: Call) -> Steps[Any]:
            return (yield from ask(self._source.inner, operation))

        return (yield from self._faults.call(operation, self._channel.name, act))

    def info(self) -> GroupInfo:
        found: GroupInfo = drive(self._call("info"))
        return found

    async def ainfo(self) -> GroupInfo:
        found: GroupInfo = await adrive(self._call("info"))
        return found

    def delete(self) -> None:
        drive(self._call("delete"))

    async def adelete(self) -> None:
        await adrive(self._call("delete"))

    def __iter__(self) -> Iterator[Delivery]:
        return self

    def __next__(self) -> Delivery:
        try:
            delivery = self.get()
        except (EndOfChannel, HandleClosed):
            raise StopIteration from None
        assert delivery is not None
        return delivery

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        try:
            delivery = await self.aget()
        except (EndOfChannel, HandleClosed):
            raise StopAsyncIteration from None
        assert delivery is not None
        return delivery

    def close(self) -> None:
        self._source.close()


class FaultyDelivery(Delivery):
    """A delivery of a log with faults. What was delivered before a crash is lost to its holder, who
    cannot know."""

    def __init__(self, group: FaultyGroup, inner: Delivery) -> None:
        self._group = group
        self._inner = inner
        self._generation = group._faults.generation
        self._lost = False
        self.message = inner.message
        self.deliveries = inner.deliveries

    def lose(self) -> Steps[None]:
        """The lease is over, and another consumer may have it."""
        self._lost = True
        self._group._open.pop(self.message.offset, None)
        with suppress(HandleClosed, LeaseLost, LogClosed):
            yield from ask(self._inner, "nak")

    def _call(self, operation: str, *args: Any) -> Steps[None]:
        group = self._group
        faults, channel = group._faults, group._channel.name

        def act(call: Call) -> Steps[Any]:
            if call.kind == "expire_lease" and not self._lost:
                yield from self.lose()
            if self._lost or self._generation != faults.generation:
                raise LeaseLost(
                    f"the lease of offset {self.message.offset} of {channel!r} in the group "
                    f"{group.name!r} is over; it is delivered to another consumer",
                    channel=channel,
                    group=group.name,
                    offset=self.message.offset,
                )
            answer = yield from ask(self._inner, operation, *args)
            if operation != "extend":
                group._open.pop(self.message.offset, None)
            return answer

        yield from faults.call(operation, channel, act, frozenset({"group"}))

    def ack(self) -> None:
        drive(self._call("ack"))

    async def aack(self) -> None:
        await adrive(self._call("ack"))

    def nak(self, delay: timedelta | float = 0) -> None:
        drive(self._call("nak", delay))

    async def anak(self, delay: timedelta | float = 0) -> None:
        await adrive(self._call("nak", delay))

    def extend(self) -> None:
        drive(self._call("extend"))

    async def aextend(self) -> None:
        await adrive(self._call("extend"))

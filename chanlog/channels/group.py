"""Groups: what one consumer holds in the hand, and each message that was handed to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..errors import ChanlogError, EndOfChannel, HandleClosed, InvalidOption, LeaseLost
from ..group import Delivery, Group, GroupInfo
from ..host import monotonic
from ..options import check_name, nanoseconds
from .leasing import Lease, Lessor, Look, Terms
from .subscription import check_timeout
from .waking import TaskWaiter, ThreadWaiter, Waiter

if TYPE_CHECKING:
    from .channel import EmbeddedChannel
    from .committing import Committer

__all__ = ["EmbeddedDelivery", "EmbeddedGroup", "delay_nanoseconds", "terms_of"]


class EmbeddedDelivery(Delivery):
    """One lease. ``_over`` is how it came to its end: ``"done"`` or ``"given back"``."""

    __slots__ = ("_committer", "_group", "_lease", "_lessor", "_over", "deliveries", "message")

    def __init__(
        self, group: EmbeddedGroup, committer: Committer, lessor: Lessor, lease: Lease
    ) -> None:
        self._group = group
        self._committer = committer
        self._lessor = lessor
        self._lease = lease
        self._over: str | None = None
        self.message = lease.message
        self.deliveries = lease.deliveries

    def _ack(self) -> int:
        if self._is_over("done"):
            return 0
        ticket = self._lessor.ack(self._lease)
        self._over = "done"
        return ticket

    def _nak(self, delay: timedelta | float) -> int:
        delay_ns = delay_nanoseconds(delay)
        if self._is_over("given back"):
            return 0
        ticket = self._lessor.nak(self._lease, delay_ns)
        self._over = "given back"
        return ticket

    def _extend(self) -> int:
        self._is_over(None)
        return self._lessor.extend(self._lease, self._group.terms.lease_ns)

    def _is_over(self, wanted: str | None) -> bool:
        """Whether it came to its end as is wanted now. Raises ``LeaseLost`` if otherwise."""
        if self._over is not None and self._over != wanted:
            name, offset = self._lessor.state.name, self.message.offset
            raise LeaseLost(
                f"offset {offset} of {name!r} was {self._over} already by this consumer of the "
                f"group {self._lessor.name!r}",
                channel=name,
                group=self._lessor.name,
                offset=offset,
            )
        return self._over is not None

    # Under ``always`` also why it is refused is durable before it is told: who else has done what.

    def _do(self, work: Callable[..., int], *arguments: Any) -> None:
        try:
            ticket = work(*arguments)
        except LeaseLost:
            self._committer.confirm(messages=True)
            raise
        self._committer.settle(ticket)

    async def _ado(self, work: Callable[..., int], *arguments: Any) -> None:
        try:
            ticket = work(*arguments)
        except LeaseLost:
            await self._committer.aconfirm(messages=True)
            raise
        await self._committer.asettle(ticket)

    def ack(self) -> None:
        self._do(self._ack)

    async def aack(self) -> None:
        await self._ado(self._ack)

    def nak(self, delay: timedelta | float = 0) -> None:
        self._do(self._nak, delay)

    async def anak(self, delay: timedelta | float = 0) -> None:
        await self._ado(self._nak, delay)

    def extend(self) -> None:
        self._do(self._extend)

    async def aextend(self) -> None:
        await self._ado(self._extend)

    # What was done with inside of the block is left at that.

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._over is None:
            super().__exit__(kind, *rest)

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._over is None:
            await super().__aexit__(kind, *rest)

    def __repr__(self) -> str:
        return (
            f"<Delivery {self.deliveries} of offset {self.message.offset} of "
            f"{self._lessor.state.name!r} to {self._lessor.name!r}>"
        )


class EmbeddedGroup(Group):
    """One consumer of a group of an embedded log. What the group is at is the lessor's, which all
    consumers share; here are only the terms of this one, and who waits through it."""

    __slots__ = ("_channel", "_closed", "_committer", "_lessor", "_waiters", "name", "terms")

    def __init__(
        self, channel: EmbeddedChannel, committer: Committer, name: str, terms: Terms
    ) -> None:
        self._channel = channel
        self._committer = committer
        self._lessor: Lessor | None = None
        self._closed = False
        self._waiters: dict[Waiter, None] = {}
        self.name = name
        self.terms = terms

    def _shared(self) -> Lessor:
        """What all consumers of the group share."""
        # Asked for each time, for it raises what keeps the channel from being used.
        state = self._channel.state
        if self._lessor is None:
            self._lessor = self._committer.lessors.of(state, self.name)
        return self._lessor

    def _begin(self, timeout: float | None) -> Lessor:
        if timeout is not None:
            check_timeout(timeout)
        if self._closed:
            raise self._handle_closed()
        return self._shared()

    def _handle_closed(self) -> HandleClosed:
        return HandleClosed("this consumer of the group is closed; take it from the channel again")

    # Getting. What is leased here and, for an interrupt, never reaches the caller is delivered
    # again when its lease is over.

    def get(self, timeout: float | None = None) -> Delivery | None:
        lessor = self._begin(timeout)
        timer = lessor.timer
        now = monotonic if timer is None else timer.now
        deadline = None if timeout is None else now() + timeout
        look = self._look(lessor)
        while look.lease is None and not look.over and timeout != 0:
            waiter = ThreadWaiter(None)
            try:
                self._join(lessor, waiter)
                began = now()
                look = self._look(lessor)
                if look.lease is None and not look.over:
                    left = _seconds(look, None if deadline is None else deadline - now())
                    if left is not None and left <= 0:
                        break
                    if timer is None or left is None:
                        waiter.wait(left)
                    else:
                        # From before the look on, so that no lease ends unseen in between.
                        with timer.alarm(began + left, waiter.wake):
                            waiter.wait(None)
            finally:
                self._leave(lessor, waiter)
        return self._delivery(lessor, look)

    async def aget(self, timeout: float | None = None) -> Delivery | None:
        lessor = self._begin(timeout)
        loop = asyncio.get_running_loop()
        timer = lessor.timer
        now = loop.time if timer is None else timer.now
        deadline = None if timeout is None else now() + timeout
        look = await self._alook(lessor)
        while look.lease is None and not look.over and timeout != 0:
            waiter = TaskWaiter(loop, None)
            alarm = None
            try:
                self._join(lessor, waiter)
                began = now()
                look = await self._alook(lessor)
                if look.lease is None and not look.over:
                    left = _seconds(look, None if deadline is None else deadline - now())
                    if left is not None:
                        if left <= 0:
                            break
                        if timer is None:
                            alarm = loop.call_later(left, waiter.wake)
                    if timer is None or left is None:
                        await waiter.future
                    else:
                        with timer.alarm(began + left, waiter.wake):
                            await waiter.future
            except GeneratorExit:
                waiter.abandoned = True
                raise
            finally:
                if alarm is not None:
                    alarm.cancel()
                self._leave(lessor, waiter)
        return self._delivery(lessor, look)

    def _look(self, lessor: Lessor) -> Look:
        try:
            look = lessor.look(self.terms)
        except ChanlogError:
            # What others have done, or this one before it failed, may not be durable yet.
            self._committer.confirm(messages=True)
            raise
        self._committer.settle(look.ticket)
        return look

    async def _alook(self, lessor: Lessor) -> Look:
        try:
            look = lessor.look(self.terms)
        except ChanlogError:
            await self._committer.aconfirm(messages=True)
            raise
        try:
            await self._committer.asettle(look.ticket)
        except BaseException:
            # Cancelled while it waits for the disk: somebody else can have it now.
            if look.lease is not None:
                with suppress(ChanlogError):
                    lessor.nak(look.lease, 0)
            raise
        return look

    def _delivery(self, lessor: Lessor, look: Look) -> Delivery | None:
        if look.lease is not None:
            return EmbeddedDelivery(self, self._committer, lessor, look.lease)
        if look.over:
            name, end = lessor.state.name, lessor.state.end_offset
            raise EndOfChannel(
                f"the channel {name!r} has ended at offset {end}, and the group {self.name!r} is "
                "done with all of it",
                channel=name,
                end_offset=end,
            )
        return None

    def _join(self, lessor: Lessor, waiter: Waiter) -> None:
        # Before it looks whether it was closed: whoever closes says so first, and then looks for
        # waiters.
        self._waiters[waiter] = None
        if self._closed:
            raise self._handle_closed()
        lessor.join(waiter)

    def _leave(self, lessor: Lessor, waiter: Waiter) -> None:
        self._waiters.pop(waiter, None)
        lessor.leave(waiter)

    # Loops.

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
        # Work that is there already must not keep the other tasks of the loop from running.
        await asyncio.sleep(0)
        try:
            delivery = await self.aget()
        except (EndOfChannel, HandleClosed):
            raise StopAsyncIteration from None
        assert delivery is not None
        return delivery

    # State.

    def info(self) -> GroupInfo:
        found = self._shared().info()
        self._committer.confirm(messages=True)
        return found

    async def ainfo(self) -> GroupInfo:
        found = self._shared().info()
        await self._committer.aconfirm(messages=True)
        return found

    def delete(self) -> None:
        self._committer.settle(self._shared().delete())

    async def adelete(self) -> None:
        await self._committer.asettle(self._shared().delete())

    def close(self) -> None:
        self._closed = True
        for waiter in list(self._waiters):
            waiter.wake()

    def __repr__(self) -> str:
        return f"<Group {self.name!r} of {self._channel.name!r}>"


def _seconds(look: Look, left: float | None) -> float | None:
    """How long to wait, of the ``left`` seconds: until the next lease or delay is over."""
    if look.wait_ns is None:
        return left
    seconds = look.wait_ns / 1e9
    return seconds if left is None else min(left, seconds)


def delay_nanoseconds(delay: Any) -> int:
    if not isinstance(delay, bool) and (delay == 0 or delay == timedelta(0)):
        return 0
    return nanoseconds(delay, "delay")


def terms_of(channel: str, lease: Any, deliveries_max: Any, dead_letter: Any, by_key: Any) -> Terms:
    """The options of ``Channel.group``, checked. Raises ``InvalidOption``, ``InvalidName``."""
    if deliveries_max is not None and (type(deliveries_max) is not int or deliveries_max < 1):
        raise InvalidOption(
            f"deliveries_max is an int of at least 1, or None, not {deliveries_max!r}",
            option="deliveries_max",
        )
    if dead_letter is not None:
        check_name(dead_letter)
        if deliveries_max is None or dead_letter == channel:
            raise InvalidOption(
                "dead_letter is for what was delivered deliveries_max times, which has to be "
                "given, and is another channel",
                option="dead_letter",
            )
    if not isinstance(by_key, bool):
        raise InvalidOption(f"by_key is a bool, not {by_key!r}", option="by_key")
    return Terms(nanoseconds(lease, "lease"), deliveries_max, dead_letter, by_key)

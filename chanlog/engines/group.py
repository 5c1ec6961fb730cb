"""Groups on an engine: what one consumer holds in the hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError, Future
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..channels.group import delay_nanoseconds
from ..channels.leasing import Terms
from ..channels.subscription import check_timeout
from ..errors import EndOfChannel, HandleClosed, LeaseLost
from ..group import Delivery, Group, GroupInfo
from .leasing import Lease, Lessor, Look
from .subscription import watched

if TYPE_CHECKING:
    from .channel import EngineChannel
    from .engine import Engine
    from .running import Runner

__all__ = ["EngineDelivery", "EngineGroup"]


class EngineDelivery(Delivery):
    """One lease. ``_over`` is how it came to its end: ``"done"`` or ``"given back"``."""

    __slots__ = ("_lease", "_lessor", "_over", "_runner", "deliveries", "message")

    def __init__(self, runner: Runner, lessor: Lessor, lease: Lease) -> None:
        self._runner = runner
        self._lessor = lessor
        self._lease = lease
        self._over: str | None = None
        self.message = lease.message
        self.deliveries = lease.deliveries

    def _is_over(self, wanted: str | None) -> bool:
        """Whether it came to its end as is wanted now. Raises ``LeaseLost`` if otherwise."""
        if self._over is not None and self._over != wanted:
            raise LeaseLost(
                f"offset {self.message.offset} was {self._over} already by this consumer of the "
                f"group {self._lessor.name!r}",
                channel=self._lessor.channel_name,
                group=self._lessor.name,
                offset=self.message.offset,
            )
        return self._over is not None

    def ack(self) -> None:
        if not self._is_over("done"):
            self._runner.run(lambda s: self._lessor.ack(s, self._lease))
            self._over = "done"

    async def aack(self) -> None:
        if not self._is_over("done"):
            await self._runner.arun(lambda s: self._lessor.ack(s, self._lease))
            self._over = "done"

    def nak(self, delay: timedelta | float = 0) -> None:
        delay_ns = delay_nanoseconds(delay)
        if not self._is_over("given back"):
            self._runner.run(lambda s: self._lessor.nak(s, self._lease, delay_ns))
            self._over = "given back"

    async def anak(self, delay: timedelta | float = 0) -> None:
        delay_ns = delay_nanoseconds(delay)
        if not self._is_over("given back"):
            await self._runner.arun(lambda s: self._lessor.nak(s, self._lease, delay_ns))
            self._over = "given back"

    def extend(self) -> None:
        self._is_over(None)
        self._runner.run(lambda s: self._lessor.extend(s, self._lease))

    async def aextend(self) -> None:
        self._is_over(None)
        await self._runner.arun(lambda s: self._lessor.extend(s, self._lease))

    # What was done with inside of the block is left at that.

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._over is None:
            super().__exit__(kind, *rest)

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._over is None:
            await super().__aexit__(kind, *rest)

    def __repr__(self) -> str:
        return (
            f"<Delivery {self.deliveries} of offset {self.message.offset} to {self._lessor.name!r}>"
        )


class EngineGroup(Group):
    """One consumer of a group on an engine."""

    def __init__(
        self,
        channel: EngineChannel,
        runner: Runner,
        engine: Engine,
        name: str,
        terms: Terms,
    ) -> None:
        self._channel = channel
        self._runner = runner
        self._engine = engine
        self._lessor = Lessor(channel, engine, name, terms)
        self._closed = False
        self._waiting: set[Future[Any]] = set()
        self.name = name

    def _found(self, look: Look) -> Delivery | None:
        if look.lease is not None:
            return EngineDelivery(self._runner, self._lessor, look.lease)
        if look.over:
            raise EndOfChannel(
                f"{self._channel.name!r} has ended, and the group {self.name!r} is done with it",
                channel=self._channel.name,
                end_offset=look.at,
            )
        return None

    def _check(self) -> None:
        if self._closed:
            raise HandleClosed("this group is closed; take it from the channel again")
        self._runner.check()

    def _wait(self, look: Look) -> Future[Any]:
        engine, name = self._engine, self._channel.name
        waiting: Future[Any] = self._runner.begin(
            lambda s: engine.wait(s, name, look.at, look.life, look.watch)
        )
        self._waiting.add(waiting)
        if self._closed:
            waiting.cancel()
        return waiting

    def _done_waiting(self, waiting: Future[Any]) -> None:
        self._waiting.discard(waiting)
        waiting.cancel()

    def get(self, timeout: float | None = None) -> Delivery | None:
        deadline = None if timeout is None else monotonic() + check_timeout(timeout)
        while True:
            self._check()
            look = self._runner.run(self._lessor.look)
            delivery = self._found(look)
            left = _seconds(look, deadline)
            if delivery is not None or (deadline is not None and monotonic() >= deadline):
                return delivery
            waiting = self._wait(look)
            try:
                waiting.result(left)
            except (TimeoutError, CancelledError):
                pass
            finally:
                self._done_waiting(waiting)

    async def aget(self, timeout: float | None = None) -> Delivery | None:
        deadline = None if timeout is None else monotonic() + check_timeout(timeout)
        while True:
            self._check()
            look = await self._alook()
            delivery = self._found(look)
            left = _seconds(look, deadline)
            if delivery is not None or (deadline is not None and monotonic() >= deadline):
                return delivery
            waiting = self._wait(look)
            try:
                await asyncio.wait([watched(waiting)], timeout=left)
            finally:
                self._done_waiting(waiting)

    async def _alook(self) -> Look:
        """Look in the log's own loop. Whoever is cancelled meanwhile may have been given a message:
        it is given back before the cancellation goes on."""
        looking: Future[Look] = self._runner.begin(self._lessor.look)
        try:
            await watched(looking)
        except asyncio.CancelledError:
            giving_back = self._runner.begin(lambda s: self._give_back(s, looking))
            await watched(giving_back)
            raise
        return looking.result()

    async def _give_back(self, session: Any, looking: Future[Look]) -> None:
        lease = (await asyncio.wrap_future(looking)).lease
        if lease is not None:
            await self._lessor.nak(session, lease, 0)

    def info(self) -> GroupInfo:
        self._check()
        return self._runner.run(self._lessor.info)

    async def ainfo(self) -> GroupInfo:
        self._check()
        return await self._runner.arun(self._lessor.info)

    def delete(self) -> None:
        self._check()
        self._runner.run(self._lessor.delete)

    async def adelete(self) -> None:
        self._check()
        await self._runner.arun(self._lessor.delete)

    def __iter__(self) -> Iterator[Delivery]:
        while True:
            try:
                delivery = self.get()
            except (EndOfChannel, HandleClosed):
                return
            assert delivery is not None
            yield delivery

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        while True:
            try:
                delivery = await self.aget()
            except (EndOfChannel, HandleClosed):
                return
            assert delivery is not None
            yield delivery

    def close(self) -> None:
        self._closed = True
        for waiting in list(self._waiting):
            waiting.cancel()

    def __repr__(self) -> str:
        return f"<Group {self.name!r} of {self._channel.name!r}>"


def _seconds(look: Look, deadline: float | None) -> float | None:
    """How long to wait: until time is up, or something becomes due."""
    left = None if deadline is None else max(0.0, deadline - monotonic())
    if look.wait_ns is None:
        return left
    due = max(0.0, look.wait_ns / 1e9)
    return due if left is None else min(left, due)

"""A channel on an engine: the handle that turns calls into operations."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from ..channels.describing import to_datetime
from ..channels.group import terms_of
from ..channels.starting import FROM_THE_FIRST, Start, check_start
from ..channels.waking import Filter
from ..errors import InvalidOption
from ..format.payload import pack, unpack
from ..interface import Channel, ChannelInfo, Cursor, Producer, Replay, Subscription
from ..options import NO_RETENTION, Retention, check_name
from .cursor import EngineCursor
from .engine import Engine, Operation, State
from .group import EngineGroup
from .leasing import group_infos
from .producer import EngineProducer
from .refusals import deleted, unknown
from .running import Runner
from .subscription import EngineReplay, EngineSubscription
from .wire import encode, encode_fields

if TYPE_CHECKING:
    from ..group import Group

__all__ = ["EngineChannel"]


class EngineChannel(Channel):
    """A channel of an engine. ``life`` is the life of the channel that it stands for, learnt with
    the first answer of the engine: what was deleted and made anew is another channel."""

    def __init__(
        self, log: object, runner: Runner, engine: Engine, name: str, sender: str | None
    ) -> None:
        # A log that the collector finds is closed, so whoever uses it keeps it.
        self._log = log
        self._runner = runner
        self._engine = engine
        self._life = ""
        self.name = name
        self.sender = sender

    # What the other handles ask of it.

    @property
    def life(self) -> str:
        """The life of the channel, "" while it is not known."""
        return self._life

    def operation(self, kind: str, **fields: Any) -> Operation:
        """An operation on this channel."""
        return Operation(
            kind=kind,
            channel=self.name,
            life=self._life,
            new_life="" if self._life else secrets.token_hex(8),
            **fields,
        )

    def run(self, operation: Operation) -> Any:
        """Apply one operation, blocking this thread."""
        results = self._runner.run(lambda session: self._engine.apply(session, [operation]))
        return self._learn(results[0])

    async def arun(self, operation: Operation) -> Any:
        """``run`` without blocking the event loop."""
        results = await self._runner.arun(lambda session: self._engine.apply(session, [operation]))
        return self._learn(results[0])

    def _learn(self, result: tuple[str, Any]) -> Any:
        life, value = result
        if not self._life:
            self._life = life
        return value

    def state(self) -> State:
        """The channel's state. Raises ``ChannelDeleted``."""
        return self._runner.run(lambda session: self.ask_state(session, None))

    async def astate(self) -> State:
        """``state`` without blocking the event loop."""
        return await self._runner.arun(lambda session: self.ask_state(session, None))

    async def ask_state(self, session: Any, group: str | None) -> State:
        """The channel's state, or that of one group, if it is of the channel this handle stands
        for; else raise ``ChannelDeleted``."""
        # What is learnt meanwhile may be newer than the answer.
        known = self._life
        state = await self._engine.state(session, self.name, group)
        if known and state.life != known:
            raise deleted(self.name)
        if not self._life:
            self._life = state.life
        return state

    def need_durable(self, durable: bool) -> None:
        """Raise ``Unsupported`` if stable storage is asked for and the engine cannot tell."""
        if durable:
            self._engine.capabilities.need("durable")

    def encode(
        self,
        items: Iterable[Any],
        type: str | None,
        key: str | None,
        headers: Mapping[str, Any] | None,
    ) -> list[bytes]:
        """The items as bodies, all checked before anything is sent."""
        fields = encode_fields(type, key, headers, self.sender)
        bytes_max = self._engine.message_bytes_max
        return [
            encode(item, fields, bytes_max, f"items[{place}]") for place, item in enumerate(items)
        ]

    def reader(self, at: int | None, life: str, filter: Filter | None = None) -> EngineSubscription:
        """A reader from ``at`` on, of the channel's life ``life``."""
        return EngineSubscription(self, self._runner, self._engine, at, life, filter)

    # Writing.

    def publishing(
        self, bodies: list[bytes], expect: int | None, durable: bool, **fields: Any
    ) -> Operation:
        """The operation that publishes ``bodies``."""
        self.need_durable(durable)
        return self.operation("publish", bodies=bodies, expect=_check_expect(expect), **fields)

    def _one(self, data: Any, type: Any, key: Any, headers: Any) -> list[bytes]:
        fields = encode_fields(type, key, headers, self.sender)
        return [encode(data, fields, self._engine.message_bytes_max)]

    def publish(
        self,
        data: Any,
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        expect: int | None = None,
        durable: bool = False,
    ) -> int:
        body = self._one(data, type, key, headers)
        first: int = self.run(self.publishing(body, expect, durable))
        return first

    async def apublish(
        self,
        data: Any,
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        expect: int | None = None,
        durable: bool = False,
    ) -> int:
        body = self._one(data, type, key, headers)
        first: int = await self.arun(self.publishing(body, expect, durable))
        return first

    def publish_many(
        self,
        items: Iterable[Any],
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        expect: int | None = None,
        durable: bool = False,
    ) -> Sequence[int]:
        bodies = self.encode(items, type, key, headers)
        if not bodies:
            return range(0)
        first = self.run(self.publishing(bodies, expect, durable))
        return range(first, first + len(bodies))

    async def apublish_many(
        self,
        items: Iterable[Any],
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        expect: int | None = None,
        durable: bool = False,
    ) -> Sequence[int]:
        bodies = self.encode(items, type, key, headers)
        if not bodies:
            return range(0)
        first = await self.arun(self.publishing(bodies, expect, durable))
        return range(first, first + len(bodies))

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
        passing = self._passing(types, echo)
        start = check_start(after, last, since, live)
        if start == FROM_THE_FIRST:
            return self.reader(None, self._life, passing)
        return self.reader(*self._runner.run(partial(self._find, start)), passing)

    async def asubscribe(
        self,
        *,
        after: int | None = None,
        last: int | None = None,
        since: datetime | int | None = None,
        live: bool = False,
        types: Iterable[str] | None = None,
        echo: bool = True,
    ) -> Subscription:
        passing = self._passing(types, echo)
        start = check_start(after, last, since, live)
        if start == FROM_THE_FIRST:
            return self.reader(None, self._life, passing)
        return self.reader(*await self._runner.arun(partial(self._find, start)), passing)

    def _passing(self, types: Iterable[str] | None, echo: bool) -> Filter | None:
        self._runner.check()
        return Filter.asked(types, echo, self.sender, self.name)

    async def _find(self, start: Start, session: Any) -> tuple[int, str]:
        """Where that is now, and in which life of the channel."""
        if start.since_ns is not None:
            time_us = -(-start.since_ns // 1000)
            return await self._engine.since(session, self.name, time_us), self._life
        state = await self.ask_state(session, None)
        at = state.end
        if start.after is not None:
            if start.after >= state.end:
                raise unknown(self.name, start.after, state.end)
            at = start.after + 1
        elif start.last is not None:
            at = max(state.start, state.end - start.last)
        return at, state.life

    def replay(self, start: int | None = None, stop: int | None = None) -> Replay:
        _check_range(start, stop)
        return self._replayed(self.state(), start, stop)

    async def areplay(self, start: int | None = None, stop: int | None = None) -> Replay:
        _check_range(start, stop)
        return self._replayed(await self.astate(), start, stop)

    def _replayed(self, state: State, start: int | None, stop: int | None) -> Replay:
        for value in (start, stop):
            if value is not None and value > state.end:
                raise unknown(self.name, value, state.end)
        first = state.start if start is None else start
        behind = state.end if stop is None else stop
        return EngineReplay(self, self._runner, self._engine, first, behind, state.life)

    # Handles with a name.

    def cursor(self, name: str) -> Cursor:
        return EngineCursor(self, check_name(name, "cursor"))

    def _producing(self, name: str, epoch: int) -> Operation:
        check_name(name, "producer")
        self._engine.capabilities.need("producers")
        _check_int(epoch, "epoch", 0)
        return self.operation("produce", producer=name, epoch=epoch)

    def producer(self, name: str, *, epoch: int = 0) -> Producer:
        sequence = self.run(self._producing(name, epoch))
        return EngineProducer(self, name, epoch, sequence)

    async def aproducer(self, name: str, *, epoch: int = 0) -> Producer:
        sequence = await self.arun(self._producing(name, epoch))
        return EngineProducer(self, name, epoch, sequence)

    def group(
        self,
        name: str,
        *,
        lease: timedelta | float = 30.0,
        deliveries_max: int | None = None,
        dead_letter: str | None = None,
        by_key: bool = False,
    ) -> Group:
        self._engine.capabilities.need("groups")
        terms = terms_of(self.name, lease, deliveries_max, dead_letter, by_key)
        return EngineGroup(self, self._runner, self._engine, check_name(name, "group"), terms)

    # State.

    def info(self) -> ChannelInfo:
        return self._info(self.state())

    async def ainfo(self) -> ChannelInfo:
        return self._info(await self.astate())

    def _info(self, state: State) -> ChannelInfo:
        is_durable = self._engine.capabilities.durable
        retention = NO_RETENTION
        if state.retention:
            retention = Retention.from_record(unpack(state.retention))
        return ChannelInfo(
            name=self.name,
            exists=bool(state.life),
            ended=state.ended,
            start_offset=state.start,
            end_offset=state.end,
            durable_offset=state.end if is_durable else state.start,
            created=to_datetime(state.created_us * 1000) if state.life else None,
            last=to_datetime(state.time_us * 1000) if state.end else None,
            retention=retention,
            cursors=dict(sorted(state.cursors.items())),
            producers=dict(sorted(state.producers.items())),
            groups=group_infos(state),
        )

    def _configuring(self, retention: Retention | None) -> Operation:
        self._engine.capabilities.need_retention(retention)
        record = {} if retention is None else retention.as_record()
        return self.operation("configure", value=pack(record) if record else b"")

    def configure(self, retention: Retention | None) -> None:
        self.run(self._configuring(retention))

    async def aconfigure(self, retention: Retention | None) -> None:
        await self.arun(self._configuring(retention))

    def end(self, *, durable: bool = False) -> int:
        self.need_durable(durable)
        offset: int = self.run(self.operation("end"))
        return offset

    async def aend(self, *, durable: bool = False) -> int:
        self.need_durable(durable)
        offset: int = await self.arun(self.operation("end"))
        return offset

    def trim(self, before: int) -> int:
        start: int = self.run(self.operation("trim", before=_check_int(before, "before", 0)))
        return start

    async def atrim(self, before: int) -> int:
        start: int = await self.arun(self.operation("trim", before=_check_int(before, "before", 0)))
        return start

    def delete(self) -> None:
        self._forget(self.run(self.operation("delete")))

    async def adelete(self) -> None:
        self._forget(await self.arun(self.operation("delete")))

    def _forget(self, was: str) -> None:
        # A handle of a channel that never was stands for the next one of that name.
        self._life = was

    def fork(self, name: str, *, at: int | None = None) -> Channel:
        self._engine.capabilities.need("forks")
        raise AssertionError("no engine shares messages between channels")

    async def afork(self, name: str, *, at: int | None = None) -> Channel:
        return self.fork(name, at=at)

    def __repr__(self) -> str:
        return f"<Channel {self.name!r} on {self._engine.capabilities.engine}>"


def _check_int(value: Any, option: str, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidOption(f"{option} is an int of at least {least}, not {value!r}", option=option)
    return value


def _check_range(start: int | None, stop: int | None) -> None:
    for option, value in (("start", start), ("stop", stop)):
        if value is not None:
            _check_int(value, option, 0)


def _check_expect(expect: Any) -> int | None:
    return None if expect is None else _check_int(expect, "expect", 0)

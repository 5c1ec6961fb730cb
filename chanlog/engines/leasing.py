"""Leasing on an engine: what a group is at is one value, which all of its consumers change.

Consumers are in many processes, so nobody holds the group. Each looks at the value, decides what
becomes of it, and stores that if the revision is still the one it looked at; else it looks again.
What a value says and decides is the same code as on the embedded log. The clock is each
consumer's own: clocks that differ by more than a lease make leases end early.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..channels.folding import GroupState
from ..channels.leasing import Terms
from ..errors import LeaseLost
from ..format.payload import pack, unpack
from ..group import GroupInfo, dead_letter_headers
from ..host import Host
from ..message import Message
from .engine import Engine, Operation, State, Watch
from .refusals import Conflict, deleted
from .wire import decode, encode, encode_fields

if TYPE_CHECKING:
    from .channel import EngineChannel

__all__ = ["Lease", "Lessor", "Look", "group_infos"]

_LOOKED_AT_MAX = 64
_JITTER_SECONDS = 0.002
_clock = Host().clock


class Lease(NamedTuple):
    """A message that was handed out: in which life of the group, and the how manieth time."""

    message: Message
    deliveries: int
    generation: str


class Look(NamedTuple):
    """What a consumer has found: a lease; or in how many nanoseconds to look again at the latest;
    or that all is ``over``. And what to wait for: beyond ``at`` in a ``life`` of the channel, or
    what there is to ``watch``."""

    lease: Lease | None
    wait_ns: int | None
    over: bool
    at: int
    life: str
    watch: Watch


@dataclass(slots=True)
class _Kept:
    """The group as it was stored, and in which life of its channel."""

    revision: int
    generation: str
    group: GroupState
    life: str
    keys: dict[int, str] = field(default_factory=dict)


def _unpacked(value: bytes) -> tuple[str, GroupState, dict[int, str]]:
    group = GroupState()
    if not value:
        return secrets.token_hex(4), group, {}
    generation, snapshot, keys = unpack(value)
    group.fold(snapshot, 0)
    return generation, group, keys


def group_infos(state: State) -> dict[str, GroupInfo]:
    """The groups of a channel, for its ``info``."""
    infos = {}
    for name, (_, value) in sorted(state.groups.items()):
        if value:
            _, group, _ = _unpacked(value)
            group.forget(state.start)
            infos[name] = group.info(name, state.end, _clock())
    return infos


class Lessor:
    """One group, as one handle sees it. Its coroutines run on any session."""

    def __init__(self, channel: EngineChannel, engine: Engine, name: str, terms: Terms) -> None:
        self._channel = channel
        self._engine = engine
        self._terms = terms
        self.name = name
        self.channel_name = channel.name
        # What was stored or loaded last, for whoever comes next; taken out while it is changed.
        self._last: _Kept | None = None

    async def _take(self, session: Any) -> _Kept:
        kept, self._last = self._last, None
        return kept if kept is not None else await self._load(session)

    async def _load(self, session: Any) -> _Kept:
        state = await self._channel.ask_state(session, self.name)
        revision, value = state.groups.get(self.name, (0, b""))
        generation, group, keys = _unpacked(value)
        group.forget(state.start)
        return _Kept(revision, generation, group, state.life, keys)

    async def _store(
        self, session: Any, kept: _Kept, *, tell: bool, before: list[Operation] | None = None
    ) -> bool:
        """Store the group as it is now; ``False`` if somebody was faster, and then it is to be
        decided again."""
        group = kept.group
        keys = {offset: key for offset, key in kept.keys.items() if _is_met(group, offset)}
        operation = self._channel.operation(
            "regroup",
            name=self.name,
            expect=kept.revision,
            value=pack([kept.generation, group.snapshot(), keys]),
            mode="tell" if tell else "",
        )
        try:
            results = await self._engine.apply(session, [*(before or ()), operation])
        except Conflict:
            await session.sleep(random.random() * _JITTER_SECONDS)
            return False
        kept.revision, kept.keys = results[-1][1], keys
        self._last = kept
        return True

    # For consumers.

    async def look(self, session: Any) -> Look:
        """Lease the next message, if there is one."""
        is_new = False
        while True:
            kept = await (self._load(session) if is_new else self._take(session))
            found = await self._find(session, kept)
            if isinstance(found, Message):
                lease = await self._hand_out(session, kept, found)
                if lease is not None:
                    return self._look(kept, lease=lease)
            elif found is not None:
                self._last = kept
                if is_new:
                    return found
                # Others may have done something since it was looked at last.
                is_new = True

    def _look(
        self,
        kept: _Kept,
        lease: Lease | None = None,
        wait_ns: int | None = None,
        over: bool = False,
        ended: bool = False,
    ) -> Look:
        watch = Watch(self.name, kept.revision, ended)
        return Look(lease, wait_ns, over, kept.group.next, kept.life, watch)

    async def _find(self, session: Any, kept: _Kept) -> Message | Look | None:
        """The next message; or what to wait for; or ``None`` to look again."""
        group, terms, name = kept.group, self._terms, self._channel.name
        while True:
            count = _LOOKED_AT_MAX if terms.by_key else 1
            page = await self._engine.page(session, name, group.next, count)
            if page.life != kept.life:
                if kept.life:
                    raise deleted(name)
                return None
            group.forget(page.start)
            if terms.by_key and group.lines is None:
                group.line_up(kept.keys.get)
            now = _clock()
            offset = group.choose(now, terms.by_key)
            if offset is not None:
                again = await self._engine.page(session, name, offset, 1)
                if again.life != kept.life or again.first != offset or not again.bodies:
                    group.forget(again.start)
                    return None
                return decode(offset, again.bodies[0])
            for place, body in enumerate(page.bodies, page.first):
                if place < group.next:
                    continue
                message = decode(place, body)
                key = message.key
                if not terms.by_key or key is None or key not in (group.lines or ()):
                    return message
                group.pass_over(place, key)
                kept.keys[place] = key
            if not page.bodies:
                due_ns = group.next_due(now)
                over = page.ended and group.is_done(page.end)
                wait_ns = None if due_ns is None else due_ns - now
                return self._look(kept, wait_ns=wait_ns, over=over, ended=page.ended)

    async def _hand_out(self, session: Any, kept: _Kept, message: Message) -> Lease | None:
        group, terms = kept.group, self._terms
        entry = group.entries.get(message.offset)
        deliveries = 1 if entry is None else entry.deliveries + 1
        if message.key is not None:
            kept.keys[message.offset] = message.key
        due_ns = _clock() + terms.lease_ns
        if terms.deliveries_max is None or deliveries <= terms.deliveries_max:
            group.delivered(message.offset, 1, deliveries, due_ns, message.key, 0)
            if await self._store(session, kept, tell=False):
                return Lease(message, deliveries, kept.generation)
            return None
        if entry is None:
            group.delivered(message.offset, 1, deliveries, due_ns, message.key, 0)
        group.done(message.offset)
        group.dead += 1
        await self._store(session, kept, tell=True, before=self._letters(message, deliveries - 1))
        return None

    def _letters(self, message: Message, deliveries: int) -> list[Operation]:
        target = self._terms.dead_letter
        if target is None:
            return []
        name = self._channel.name
        headers = dead_letter_headers(message, name, self.name, deliveries)
        fields = encode_fields(message.type, message.key, headers, message.sender)
        # Whatever its size: it was not too large when it was published.
        body = encode(message.data, fields, 1 << 62)
        return [
            Operation(
                kind="publish",
                channel=target,
                new_life=secrets.token_hex(8),
                bodies=[body],
                unique=f"{name}\0{self._channel.life}\0{self.name}\0{message.offset}",
            )
        ]

    async def ack(self, session: Any, lease: Lease) -> None:
        """The message is done with."""
        while (kept := await self._claimed(session, lease)) is not None:
            kept.group.done(lease.message.offset)
            if await self._store(session, kept, tell=_has_freed(kept.group)):
                return

    async def nak(self, session: Any, lease: Lease, delay_ns: int) -> None:
        """The message is to be delivered again, after a delay."""
        while (kept := await self._claimed(session, lease)) is not None:
            kept.group.returned(lease.message.offset, _clock() + delay_ns, delay_ns)
            if await self._store(session, kept, tell=True):
                return

    async def extend(self, session: Any, lease: Lease) -> None:
        """The lease begins anew."""
        while (kept := await self._claimed(session, lease)) is not None:
            message, due_ns = lease.message, _clock() + self._terms.lease_ns
            kept.group.delivered(message.offset, 1, lease.deliveries, due_ns, message.key, 0)
            if await self._store(session, kept, tell=False):
                return

    async def _claimed(self, session: Any, lease: Lease) -> _Kept | None:
        """The group, in which the message is still there for whom it was leased to; ``None`` if it
        was trimmed away. Raises ``LeaseLost``."""
        kept = await self._take(session)
        if not _holds(kept, lease):
            kept = await self._load(session)
        if _holds(kept, lease):
            return kept
        channel, offset = self._channel.name, lease.message.offset
        self._last = kept
        page = await self._engine.page(session, channel, offset, 1)
        if kept.generation == lease.generation and offset < page.start:
            return None
        raise LeaseLost(
            f"the lease of offset {offset} of {channel!r} in the group {self.name!r} is over: "
            "another consumer has it, or had it, or it was given back. Make what handles it do no "
            "harm when it is done twice, or take a longer lease, or extend() it in time",
            channel=channel,
            group=self.name,
            offset=offset,
        )

    async def info(self, session: Any) -> GroupInfo:
        """The numbers of now."""
        state = await self._channel.ask_state(session, self.name)
        _, group, _ = _unpacked(state.groups.get(self.name, (0, b""))[1])
        group.forget(state.start)
        return group.info(self.name, state.end, _clock())

    async def delete(self, session: Any) -> None:
        """Forget the group."""
        while True:
            self._last = None
            kept = await self._load(session)
            if not kept.revision:
                return
            operation = self._channel.operation(
                "regroup", name=self.name, expect=kept.revision, value=b"", mode="tell"
            )
            try:
                await self._engine.apply(session, [operation])
            except Conflict:
                continue
            return


def _has_freed(group: GroupState) -> bool:
    """Whether those who wait have to look again after a message was done with: others of its key
    may be delivered now, or all may be over."""
    return bool(group.passed) or not group.entries


def _is_met(group: GroupState, offset: int) -> bool:
    return offset in group.entries or offset in group.passed


def _holds(kept: _Kept, lease: Lease) -> bool:
    entry = kept.group.entries.get(lease.message.offset)
    return (
        kept.generation == lease.generation
        and entry is not None
        and entry.deliveries == lease.deliveries
        and entry.delay_ns is None
    )

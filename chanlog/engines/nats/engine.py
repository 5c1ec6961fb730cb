"""The NATS engine.

All channels are subjects of one stream ``P`` (the prefix): channel ``c`` is ``P.m.<c>``. What
consumers commit, and what groups are at, are the subjects ``P.c.<c>.<cursor>`` and ``P.g.<c>.<g>``
of the stream ``P-kept``, which keeps the last message of each. See ``deciding`` for what is in the
messages of a channel and why two writers cannot disagree. Several messages of one publish are one
message of the stream, so that they are there together or not at all.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from contextlib import suppress
from dataclasses import replace
from random import random
from typing import Any

import msgpack

from ...capabilities import NATS
from ...errors import ChanlogError, InvalidOption, MessageTooLarge
from ...format.payload import unpack
from ..engine import Operation
from ..log import EngineLog
from ..refusals import Conflict, refuse
from .deciding import Chain, Link, decide, pack_link
from .reading import NatsReader, token
from .session import LOST, NatsSession, WrongSequence

__all__ = ["NatsEngine", "connect"]

_JITTER_SECONDS = 0.002
_HEADERS_BYTES = 4096
_BODY_BYTES_MAX = 16 * 1024 * 1024
_SLACK_MIN = 64
_DUPLICATES_NS = 120 * 10**9


def connect(
    url: str,
    *,
    prefix: str = "chanlog",
    timeout: float = 10.0,
    message_bytes_max: int = _BODY_BYTES_MAX,
    **options: Any,
) -> EngineLog:
    """A log on the NATS server at ``url`` (``nats://`` or ``tls://``), which runs JetStream.

    ``prefix`` names the two streams, ``prefix`` and ``prefix-kept``, which are made if they are not
    there; an administrator may make them before, with replicas say. A call that finds no server
    tries again for ``timeout`` seconds, and raises ``Disconnected`` then. What is published at once
    may not be larger than the server's ``max_payload`` (1 MiB unless it was set). ``options`` go to
    nats-py's ``connect``. Needs nats-server 2.9 or newer. Blocks until the server has answered.
    """
    if not isinstance(prefix, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", prefix):
        raise InvalidOption(
            f"prefix is made of letters, digits, - and _, not {prefix!r}", option="prefix"
        )
    return EngineLog(NatsEngine(url, prefix, timeout, message_bytes_max, options))


class NatsEngine(NatsReader):
    """What an engine does, on NATS JetStream. From any thread."""

    capabilities = NATS

    async def prepare(self, session: NatsSession) -> None:
        self.message_bytes_max = min(
            self.message_bytes_max, session.client.max_payload - _HEADERS_BYTES
        )
        common = {"storage": "file", "retention": "limits", "num_replicas": 1, "allow_direct": True}
        prefix = self.stream

        async def work() -> None:
            await session.make_stream(
                prefix, subjects=[f"{prefix}.m.*"], duplicate_window=_DUPLICATES_NS, **common
            )
            await session.make_stream(
                self.kept_stream,
                subjects=[f"{prefix}.c.*.*", f"{prefix}.g.*.*"],
                max_msgs_per_subject=1,
                **common,
            )

        await self.attempt(session, work, certain=True)

    # Changing.

    async def apply(self, session: NatsSession, operations: list[Operation]) -> list[Any]:
        # Several only where the first is named, so that doing it again does nothing.
        return [await self._apply(session, operation) for operation in operations]

    async def _apply(self, session: NatsSession, operation: Operation) -> tuple[str, Any]:
        if operation.kind == "commit":
            return await self._commit(session, operation)
        if operation.kind == "regroup":
            return await self._regroup(session, operation)
        kept_end = 0
        if operation.kind == "delete":
            # What is kept from now on may be of the next life.
            kept_end = await self.attempt(
                session, lambda: session.end(self.kept_stream), certain=True
            )
        async with session.locks.setdefault(operation.channel, asyncio.Lock()):
            chain, link, result = await self._change(session, operation)
        if operation.kind == "delete" and chain.seq and not chain.life:
            # Also what somebody has left who died on the way.
            await self._forget(session, operation.channel, chain.seq + 1, kept_end)
        elif operation.kind == "trim" and link is not None:
            await self._purge(session, operation.channel, chain)
        elif link is not None and chain.retention:
            # It is done, whatever becomes of this.
            with suppress(ChanlogError):
                await self._retain(session, operation.channel, chain, link.first)
        return chain.life, result

    async def _change(
        self, session: NatsSession, operation: Operation
    ) -> tuple[Chain, Link | None, Any]:
        """Add the message that ``operation`` comes to. The commit point is its acknowledgement."""
        channel = operation.channel
        unique = operation.unique or secrets.token_hex(8)
        chain = session.chains.get(channel)
        is_new = chain is None
        while True:
            if is_new or chain is None:
                chain, is_new = await self.chain(session, channel), True
            try:
                link, result = decide(chain, operation, self.clock() // 1000)
            except ChanlogError:
                if is_new:
                    raise
                is_new = True
                continue
            if link is None:
                if is_new:
                    return chain, None, result
                is_new = True
                continue
            packed = pack_link(link)
            if len(packed) > self.message_bytes_max + _HEADERS_BYTES // 2:
                raise self._too_large(len(packed))
            try:
                seq, was_there = await self.attempt(
                    session,
                    lambda packed=packed, seq=chain.seq: session.publish(  # type: ignore[misc]
                        self.subject("m", channel), packed, seq, unique
                    ),
                    certain=False,
                )
            except WrongSequence:
                await asyncio.sleep(random() * _JITTER_SECONDS)
                is_new = True
                continue
            behind = replace(link.chain, seq=seq)
            if was_there and operation.unique:
                # By another, maybe, and on another chain.
                session.chains.pop(channel, None)
                return behind, None, result
            self.learn(session, channel, behind)
            return behind, link, result

    def _too_large(self, size: int) -> ChanlogError:
        return MessageTooLarge(
            f"what is published at once is {size:,} bytes, and one message of this NATS server "
            f"holds {self.message_bytes_max:,}; publish it in parts, or raise max_payload",
            size_bytes=size,
            bytes_max=self.message_bytes_max,
        )

    async def _forget(self, session: NatsSession, channel: str, end: int, kept_end: int) -> None:
        """The channel is deleted: tell whoever waits, and forget what there was before these
        places of the two streams."""

        async def work() -> None:
            await session.purge(self.stream, self.subject("m", channel), end)
            # "Before the first" would be taken for all.
            for kind in "cg" if kept_end > 1 else "":
                pattern = f"{self.subject(kind, channel)}.*"
                await session.purge(self.kept_stream, pattern, kept_end)
            await session.client.publish(self.subject("w", channel), b"")

        session.chains.pop(channel, None)
        await self.attempt(session, work, certain=False)

    async def _purge(self, session: NatsSession, channel: str, chain: Chain) -> None:
        """Forget the messages before the start of the channel, but not the last: it has its
        state."""
        seq = chain.seq
        if chain.start < chain.end:
            link = await self.locate(session, channel, chain, chain.start)
            seq = chain.seq if link is None else link.chain.seq
        await self.attempt(
            session,
            lambda: session.purge(self.stream, self.subject("m", channel), seq),
            certain=False,
        )

    async def _commit(self, session: NatsSession, operation: Operation) -> tuple[str, Any]:
        channel, position = operation.channel, operation.before
        subject = f"{self.subject('c', channel)}.{token(operation.name)}"
        is_new = False
        while True:
            chain = session.chains.get(channel)
            if is_new or chain is None or position > chain.end or not chain.life:
                chain = await self.chain(session, channel)
            seq, kept = await self.kept_at(session, subject, chain.life, is_new)
            current = -1 if kept is None else kept
            if operation.life and operation.life != chain.life:
                if not is_new:
                    is_new = True
                    continue
                refuse("deleted", [channel])
            if operation.mode == "forget":
                position = -1
                if kept is None:
                    if is_new:
                        return chain.life, None
                    is_new = True
                    continue
            elif position > chain.end:
                past = operation.mode == "commit" and position - 1 > chain.end
                refuse("unknown", [channel, position - past, chain.end])
            elif operation.mode == "commit" and position < max(current, chain.start):
                if is_new:
                    behind = max(current, chain.start)
                    refuse("behind", [channel, operation.name, position, behind])
                is_new = True
                continue
            if not chain.life:
                # The seek of a cursor makes the channel.
                making = replace(operation, kind="configure", value=b"")
                chain, _, _ = await self._change(session, making)
            value = [chain.life, position]
            if await self._keep(session, subject, seq, value):
                return chain.life, None
            is_new = True

    async def _regroup(self, session: NatsSession, operation: Operation) -> tuple[str, Any]:
        channel = operation.channel
        subject = f"{self.subject('g', channel)}.{token(operation.name)}"
        chain = session.chains.get(channel) or await self.chain(session, channel)
        if operation.life and operation.life != chain.life:
            chain = await self.chain(session, channel)
            if operation.life != chain.life:
                refuse("deleted", [channel])
        value = [chain.life, operation.value]
        if not await self._keep(session, subject, operation.expect or 0, value):
            raise Conflict("somebody else has changed the group")
        if operation.mode == "tell":
            told = f"{self.subject('w', channel)}.{token(operation.name)}"
            with suppress(*LOST):
                await session.client.publish(told, b"")
        return chain.life, session.kept[subject][0]

    async def _keep(self, session: NatsSession, subject: str, seq: int, value: Any) -> bool:
        """Keep a value if ``seq`` is the place of the last one; else ``False``."""
        unique = secrets.token_hex(8)
        try:
            place, _ = await self.attempt(
                session,
                lambda: session.publish(subject, msgpack.packb(value), seq, unique),
                certain=False,
            )
        except WrongSequence:
            session.kept.pop(subject, None)
            return False
        self.note(session, subject, place, value)
        return True

    async def retain(self, session: NatsSession) -> None:
        for name in await self.names(session, "", "", 0):
            chain = await self.chain(session, name)
            if chain.retention:
                await self._retain(session, name, chain)

    async def _retain(
        self, session: NatsSession, channel: str, chain: Chain, first: int | None = None
    ) -> None:
        """Trim what retention lets go. Behind a publish at ``first`` only if it is worth the
        requests: enough is to go, or enough has come since it was looked for."""
        limits = unpack(chain.retention)
        start, stored = chain.start, chain.end - chain.start
        count, age_ns = limits.get("count"), limits.get("age_ns")
        if count is not None:
            slack = 0 if first is None else max(_SLACK_MIN, count // 8)
            if stored > count + slack:
                start = max(start, chain.end - count)
        if age_ns is not None and (first is None or first // _SLACK_MIN != chain.end // _SLACK_MIN):
            oldest = (self.clock() - age_ns) // 1000
            start = max(start, await self.since(session, channel, oldest))
        if start > chain.start:
            with suppress(ChanlogError):
                await self._apply(session, Operation(kind="trim", channel=channel, before=start))

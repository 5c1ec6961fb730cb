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
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from random import random
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import msgpack

from ...capabilities import Capabilities
from ...errors import ChanlogError, Disconnected, InvalidOption, MessageTooLarge
from ...format.payload import unpack
from ...host import Host
from ..engine import Engine, Operation, Page, State
from ..log import EngineLog
from ..refusals import Conflict, refuse
from .deciding import NOTHING, Chain, Link, decide, pack_link, read_link
from .session import LOST, NatsSession, Reading, WrongSequence

__all__ = ["NatsEngine", "connect"]

Result = TypeVar("Result")

_WAIT_SECONDS = 5.0
_BACKOFF_SECONDS_MIN = 0.01
_BACKOFF_SECONDS_MAX = 0.5
_JITTER_SECONDS = 0.002
_READINGS_MAX = 256
_CHAINS_MAX = 10_000
_LINKS_MAX = 256
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
    engine = NatsEngine(url, prefix, timeout, message_bytes_max, options)
    log = EngineLog(engine)
    try:
        log.run(engine.prepare)
    except BaseException:
        log.close()
        raise
    return log


class NatsEngine(Engine):
    """What an engine does, on NATS JetStream. From any thread."""

    capabilities = Capabilities(
        engine="nats",
        dense_offsets=True,
        durable=False,
        frames=False,
        forks=False,
        producers=True,
        groups=True,
        group_order=True,
        compaction=True,
        retention=frozenset({"age", "count"}),
    )

    def __init__(
        self, url: str, prefix: str, timeout: float, bytes_max: int, options: dict[str, Any]
    ) -> None:
        self._url = url
        self._stream = prefix
        self._kept = f"{prefix}-kept"
        self._timeout = timeout
        self._options = options
        self._clock = Host().clock
        self.message_bytes_max = bytes_max

    def blocking(self) -> None:
        return None

    async def session(self) -> NatsSession:
        return await self._try(
            None, lambda: NatsSession.open(self._url, self._timeout, self._options), certain=True
        )

    async def prepare(self, session: NatsSession) -> None:
        """Make the streams, if they are not there."""
        self.message_bytes_max = min(
            self.message_bytes_max, session.client.max_payload - _HEADERS_BYTES
        )
        common = {"storage": "file", "retention": "limits", "num_replicas": 1, "allow_direct": True}
        prefix = self._stream

        async def work() -> None:
            await session.make_stream(
                prefix, subjects=[f"{prefix}.m.*"], duplicate_window=_DUPLICATES_NS, **common
            )
            await session.make_stream(
                self._kept,
                subjects=[f"{prefix}.c.*.*", f"{prefix}.g.*.*"],
                max_msgs_per_subject=1,
                **common,
            )

        await self._try(session, work, certain=True)

    # Trying again.

    async def _try(
        self,
        session: NatsSession | None,
        work: Callable[[], Awaitable[Result]],
        *,
        certain: bool,
    ) -> Result:
        """Do ``work`` until it comes to its end, or time is up. ``certain`` says that nothing has
        happened then."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._timeout, _BACKOFF_SECONDS_MIN
        while True:
            try:
                return await work()
            except LOST as error:
                if session is not None and session.client.is_closed:
                    # By us: whoever runs this knows.
                    raise
                if loop.time() >= deadline:
                    sure = "Nothing was done" if certain else "What was asked may have been done"
                    raise Disconnected(
                        f"the NATS server at {self._url.rpartition('@')[2]} did not answer for "
                        f"{self._timeout:g} seconds: {error or type(error).__name__}. {sure}; try "
                        "again when it is there",
                        engine="nats",
                        happened=False if certain else None,
                    ) from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, _BACKOFF_SECONDS_MAX)

    # Changing.

    async def apply(self, session: NatsSession, operations: list[Operation]) -> list[Any]:
        # Several only where the first is named, so that doing it again does nothing.
        return [await self._apply(session, operation) for operation in operations]

    async def _apply(self, session: NatsSession, operation: Operation) -> tuple[str, Any]:
        if operation.kind == "commit":
            return await self._commit(session, operation)
        if operation.kind == "regroup":
            return await self._regroup(session, operation)
        async with session.locks.setdefault(operation.channel, asyncio.Lock()):
            chain, link, result = await self._change(session, operation)
        if operation.kind == "delete" and link is not None:
            await self._forget(session, operation.channel)
        elif operation.kind == "trim" and link is not None:
            await self._purge(session, operation.channel, chain)
        elif link is not None and chain.retention:
            await self._retain(session, operation.channel, chain, slack=True)
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
                chain, is_new = await self._chain(session, channel), True
            try:
                link, result = decide(chain, operation, self._clock() // 1000)
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
                seq, was_there = await self._try(
                    session,
                    lambda packed=packed, seq=chain.seq: session.publish(  # type: ignore[misc]
                        self._subject("m", channel), packed, seq, unique
                    ),
                    certain=False,
                )
            except WrongSequence:
                await asyncio.sleep(random() * _JITTER_SECONDS)
                is_new = True
                continue
            behind = await self._chain(session, channel) if was_there else _at(link.chain, seq)
            self._learn(session, channel, behind)
            return behind, link, result

    def _too_large(self, size: int) -> ChanlogError:
        return MessageTooLarge(
            f"what is published at once is {size:,} bytes, and one message of this NATS server "
            f"holds {self.message_bytes_max:,}; publish it in parts, or raise max_payload",
            size_bytes=size,
            bytes_max=self.message_bytes_max,
        )

    def _learn(self, session: NatsSession, channel: str, chain: Chain) -> None:
        chains = session.chains
        chains.pop(channel, None)
        chains[channel] = chain
        if len(chains) > _CHAINS_MAX:
            oldest = next(iter(chains))
            del chains[oldest]
            lock = session.locks.get(oldest)
            if lock is not None and not lock.locked():
                del session.locks[oldest]

    async def _chain(self, session: NatsSession, channel: str) -> Chain:
        """The channel as it is now."""
        found = await self._try(
            session,
            lambda: session.last(self._stream, self._subject("m", channel)),
            certain=True,
        )
        chain = NOTHING if found is None else read_link(*found).chain
        self._learn(session, channel, chain)
        return chain

    async def _forget(self, session: NatsSession, channel: str) -> None:
        """The channel is deleted: tell whoever waits, and forget what there was."""

        async def work() -> None:
            await session.purge(self._stream, self._subject("m", channel))
            for kind in "cg":
                await session.purge(self._kept, f"{self._subject(kind, channel)}.*")
            await session.client.publish(self._subject("w", channel), b"")

        session.chains.pop(channel, None)
        await self._try(session, work, certain=False)

    async def _purge(self, session: NatsSession, channel: str, chain: Chain) -> None:
        """Forget the messages before the start of the channel, but not the last: it has its
        state."""
        seq = chain.seq
        if chain.start < chain.end:
            link = await self._locate(session, channel, chain, chain.start)
            seq = chain.seq if link is None else link.chain.seq
        await self._try(
            session,
            lambda: session.purge(self._stream, self._subject("m", channel), seq),
            certain=False,
        )

    async def _commit(self, session: NatsSession, operation: Operation) -> tuple[str, Any]:
        channel, position = operation.channel, operation.before
        subject = f"{self._subject('c', channel)}.{_token(operation.name)}"
        is_new = False
        while True:
            chain = session.chains.get(channel)
            if is_new or chain is None or position > chain.end or not chain.life:
                chain = await self._chain(session, channel)
            seq, kept = await self._kept_at(session, subject, chain.life, is_new)
            current = -1 if kept is None else kept
            if operation.life and operation.life != chain.life:
                if not is_new:
                    is_new = True
                    continue
                refuse("deleted", [channel])
            if operation.mode == "forget":
                position = -1
                if kept is None and is_new:
                    return chain.life, None
            elif position > chain.end:
                offset = position - (operation.mode == "commit")
                refuse("unknown", [channel, offset, chain.end])
            elif operation.mode == "commit" and position < max(current, chain.start):
                if is_new:
                    behind = max(current, chain.start)
                    refuse("behind", [channel, operation.name, position, behind])
                is_new = True
                continue
            if not chain.life:
                # The seek of a cursor makes the channel.
                operation.kind = "configure"
                operation.value = b""
                chain, _, _ = await self._change(session, operation)
            value = [chain.life, position]
            if await self._keep(session, subject, seq, value):
                return chain.life, None
            is_new = True

    async def _regroup(self, session: NatsSession, operation: Operation) -> tuple[str, Any]:
        channel = operation.channel
        subject = f"{self._subject('g', channel)}.{_token(operation.name)}"
        chain = session.chains.get(channel) or await self._chain(session, channel)
        if operation.life and operation.life != chain.life:
            chain = await self._chain(session, channel)
            if operation.life != chain.life:
                refuse("deleted", [channel])
        value = [chain.life, operation.value]
        if not await self._keep(session, subject, operation.expect or 0, value):
            raise Conflict("somebody else has changed the group")
        if operation.mode == "tell":
            told = f"{self._subject('w', channel)}.{_token(operation.name)}"
            with suppress(*LOST):
                await session.client.publish(told, b"")
        return chain.life, session.kept[subject][0]

    async def _kept_at(
        self, session: NatsSession, subject: str, life: str, is_new: bool
    ) -> tuple[int, Any]:
        """What is kept under ``subject`` for this life of its channel (else ``None``), and its
        place."""
        kept = session.kept.get(subject)
        if is_new or kept is None:
            found = await self._try(
                session, lambda: session.last(self._kept, subject), certain=True
            )
            kept = (0, None) if found is None else (found[0], msgpack.unpackb(found[1]))
            self._note(session, subject, *kept)
        seq, value = kept
        if value is None or value[0] != life or value[1] == -1:
            return seq, None
        return seq, value[1]

    async def _keep(self, session: NatsSession, subject: str, seq: int, value: Any) -> bool:
        """Keep a value if ``seq`` is the place of the last one; else ``False``."""
        unique = secrets.token_hex(8)
        try:
            place, _ = await self._try(
                session,
                lambda: session.publish(subject, msgpack.packb(value), seq, unique),
                certain=False,
            )
        except WrongSequence:
            session.kept.pop(subject, None)
            return False
        self._note(session, subject, place, value)
        return True

    @staticmethod
    def _note(session: NatsSession, subject: str, seq: int, value: Any) -> None:
        session.kept.pop(subject, None)
        session.kept[subject] = (seq, value)
        if len(session.kept) > _CHAINS_MAX:
            del session.kept[next(iter(session.kept))]

    # Looking.

    async def _locate(
        self, session: NatsSession, channel: str, chain: Chain, at: int
    ) -> Link | None:
        """The stored message that holds offset ``at``, or the first behind it."""
        return await self._search(
            session, channel, chain, lambda link: link.chain.end > at and bool(link.bodies)
        )

    async def _search(
        self, session: NatsSession, channel: str, chain: Chain, holds: Callable[[Link], bool]
    ) -> Link | None:
        """The first stored message of the channel's life for which ``holds``, which holds for all
        behind it that have messages."""
        subject = self._subject("m", channel)
        low, high, best = 1, chain.seq + 1, None
        while low < high:
            middle = low if best is None and low == 1 else (low + high) // 2
            found = await self._try(
                session,
                lambda middle=middle: session.next(self._stream, subject, middle),  # type: ignore[misc]
                certain=True,
            )
            link = None if found is None else read_link(*found)
            while link is not None and not link.bodies and link.chain.seq < high - 1:
                # A change of the state alone says nothing of where messages are.
                at = link.chain.seq + 1
                found = await self._try(
                    session,
                    lambda at=at: session.next(self._stream, subject, at),  # type: ignore[misc]
                    certain=True,
                )
                link = None if found is None else read_link(*found)
            if link is None or link.chain.seq >= high or not link.bodies:
                # Nothing but changes of the state from there on.
                high = middle
            elif link.chain.life == chain.life and holds(link):
                best, high = link, middle
            else:
                low = link.chain.seq + 1
        return best

    async def page(self, session: NatsSession, channel: str, at: int, count: int) -> Page:
        key = (channel, at)
        reading = session.readings.pop(key, None)
        if reading is None:
            chain = await self._chain(session, channel)
            if not chain.life or at >= chain.end:
                return _page(chain, at, [])
            link = await self._locate(session, channel, chain, max(at, chain.start))
            if link is None:
                return _page(chain, at, [])
            return await self._read(session, channel, at, count, link.chain.seq, chain)
        chain = session.chains.get(channel) or await self._chain(session, channel)
        page = await self._pull(session, channel, at, count, reading, chain)
        if page is None or not page.bodies:
            # The server or the consumer was gone; or there may be an end, or another life.
            chain = await self._chain(session, channel)
            if page is None and chain.life and at < chain.end:
                return await self.page(session, channel, at, count)
            return _page(chain, at, [])
        return page

    async def _read(
        self, session: NatsSession, channel: str, at: int, count: int, seq: int, chain: Chain
    ) -> Page:
        async def work() -> Page:
            reading = Reading(session, self._stream, self._subject("m", channel))
            await reading.begin(seq)
            page = await self._pull(session, channel, at, count, reading, chain)
            if page is None:
                raise ConnectionError("the consumer is gone")
            return page

        return await self._try(session, work, certain=True)

    async def _pull(
        self,
        session: NatsSession,
        channel: str,
        at: int,
        count: int,
        reading: Reading,
        chain: Chain,
        seconds: float | None = None,
    ) -> Page | None:
        """A page from a reading that stands at ``at``; ``None`` if it is of no use any more."""
        try:
            batch = 1 if seconds is not None else min(count, _LINKS_MAX)
            found = await reading.pull(batch, seconds)
        except LOST:
            await reading.end()
            return None
        except BaseException:
            # It may still be sent what was asked for.
            session.give_back(reading)
            raise
        links = [read_link(*one) for one in found]
        page = _page(chain, at, links)
        self._keep_reading(session, channel, page.first + len(page.bodies), reading)
        return page

    @staticmethod
    def _keep_reading(session: NatsSession, channel: str, at: int, reading: Reading) -> None:
        """For whoever reads on from there."""
        readings = session.readings
        replaced = readings.pop((channel, at), None)
        readings[channel, at] = reading
        if replaced is None and len(readings) > _READINGS_MAX:
            replaced = readings.pop(next(iter(readings)))
        if replaced is not None:
            session.give_back(replaced)

    async def wait(
        self,
        session: NatsSession,
        channel: str,
        at: int,
        life: str,
        group: tuple[str, int] | None,
    ) -> Page | None:
        told = asyncio.Event()

        async def tell(_: Any) -> None:
            told.set()

        async def listen() -> list[Any]:
            subjects = [self._subject("w", channel)]
            if group is not None:
                subjects.append(f"{subjects[0]}.{_token(group[0])}")
            return [await session.client.subscribe(subject, cb=tell) for subject in subjects]

        listening = await self._try(session, listen, certain=True)
        try:
            while True:
                told.clear()
                page = await self.page(session, channel, at, 500)
                if page.bodies or page.life != life or page.ended or at < page.start:
                    return page
                if group is not None:
                    subject = f"{self._subject('g', channel)}.{_token(group[0])}"
                    seq, _ = await self._kept_at(session, subject, life, True)
                    if seq != group[1]:
                        return None
                page_or_none = await self._wait_once(session, channel, at, told)
                if page_or_none is not None and page_or_none.bodies:
                    return page_or_none
        finally:
            for subscription in listening:
                with suppress(*LOST):
                    await subscription.unsubscribe()

    async def _wait_once(
        self, session: NatsSession, channel: str, at: int, told: asyncio.Event
    ) -> Page | None:
        """Wait for a message, for being told, or for a while."""
        reading = session.readings.pop((channel, at), None)
        chain = session.chains.get(channel, NOTHING)
        if reading is None:
            reading = Reading(session, self._stream, self._subject("m", channel))
            try:
                await reading.begin(chain.seq + 1)
            except LOST:
                await reading.end()
                await asyncio.sleep(_BACKOFF_SECONDS_MIN)
                return None
        pulling = asyncio.ensure_future(
            self._pull(session, channel, at, 1, reading, chain, _WAIT_SECONDS)
        )
        telling = asyncio.ensure_future(told.wait())
        try:
            await asyncio.wait([pulling, telling], return_when=asyncio.FIRST_COMPLETED)
            if pulling.done():
                return pulling.result()
            return None
        finally:
            telling.cancel()
            pulling.cancel()

    async def state(self, session: NatsSession, channel: str, group: str | None = None) -> State:
        chain = await self._chain(session, channel)
        cursors: dict[str, int] = {}
        groups: dict[str, tuple[int, bytes]] = {}
        if chain.life and group is None:
            for name, subject in await self._names_of(session, "c", channel):
                _, position = await self._kept_at(session, subject, chain.life, True)
                if position is not None:
                    cursors[name] = position
            for name, subject in await self._names_of(session, "g", channel):
                seq, value = await self._kept_at(session, subject, chain.life, True)
                groups[name] = (seq, value or b"")
        elif chain.life and group is not None:
            subject = f"{self._subject('g', channel)}.{_token(group)}"
            seq, value = await self._kept_at(session, subject, chain.life, True)
            groups[group] = (seq, value or b"")
        return State(
            life=chain.life,
            start=chain.start,
            end=chain.end,
            ended=chain.ended,
            created_us=chain.created_us,
            time_us=chain.time_us,
            retention=chain.retention,
            cursors=cursors,
            producers={name: (p.epoch, p.next) for name, p in chain.producers},
            groups=groups,
        )

    async def _names_of(
        self, session: NatsSession, kind: str, channel: str
    ) -> list[tuple[str, str]]:
        pattern = f"{self._subject(kind, channel)}.*"
        subjects = await self._try(
            session, lambda: session.subjects(self._kept, pattern), certain=True
        )
        return [(unquote(s.rpartition(".")[2].replace("=", "%")), s) for s in subjects]

    async def since(self, session: NatsSession, channel: str, time_us: int) -> int:
        chain = await self._chain(session, channel)
        if not chain.life:
            return 0
        link = await self._search(
            session, channel, chain, lambda link: _time_of(link.bodies[-1]) >= time_us
        )
        return chain.end if link is None else max(link.first, chain.start)

    async def names(self, session: NatsSession, prefix: str, after: str, count: int) -> list[str]:
        subjects = await self._try(
            session, lambda: session.subjects(self._stream, f"{self._stream}.m.*"), certain=True
        )
        names = sorted(unquote(s.rpartition(".")[2].replace("=", "%")) for s in subjects)
        # All at once: the server has to be asked for all in any case.
        return [name for name in names if name > after and name.startswith(prefix)]

    async def retain(self, session: NatsSession) -> None:
        for name in await self.names(session, "", "", 0):
            chain = await self._chain(session, name)
            if chain.retention:
                await self._retain(session, name, chain, slack=False)

    async def _retain(
        self, session: NatsSession, channel: str, chain: Chain, *, slack: bool
    ) -> None:
        """Trim what retention lets go. With ``slack`` only when it is worth the requests."""
        limits = unpack(chain.retention)
        start, stored = chain.start, chain.end - chain.start
        count = limits.get("count")
        if count is not None and (not slack or stored > count + max(_SLACK_MIN, count // 8)):
            start = max(start, chain.end - count)
        age_ns = limits.get("age_ns")
        if age_ns is not None and (not slack or chain.end % _SLACK_MIN == 0):
            oldest = (self._clock() - age_ns) // 1000
            start = max(start, await self.since(session, channel, oldest))
        if start > chain.start:
            with suppress(ChanlogError):
                await self._apply(session, Operation(kind="trim", channel=channel, before=start))

    def _subject(self, kind: str, channel: str) -> str:
        return f"{self._stream}.{kind}.{_token(channel)}"


def _token(name: str) -> str:
    """A name as one token of a subject."""
    return quote(name, safe="").replace(".", "%2E").replace("~", "%7E").replace("%", "=")


def _at(chain: Chain, seq: int) -> Chain:
    return replace(chain, seq=seq)


def _page(chain: Chain, at: int, links: list[Link]) -> Page:
    """The messages from ``at`` on that are in ``links``; the channel is ``chain``, or newer."""
    bodies: list[bytes] = []
    first = at
    for link in links:
        chain = max(chain, link.chain, key=lambda one: one.seq)
        if not link.bodies:
            continue
        if not bodies:
            skipped = max(0, at - link.first)
            first = link.first + skipped
            bodies += link.bodies[skipped:]
        elif link.first == first + len(bodies):
            bodies += link.bodies
    start = max(chain.start, first) if bodies and first > at else chain.start
    return Page(chain.life, start, chain.end, chain.ended, first, bodies)


def _time_of(body: bytes) -> int:
    time_us: int = unpack(body)[0]
    return time_us

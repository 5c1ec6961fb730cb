"""Reading channels on JetStream: finding an offset, pages of messages, and waiting for the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import msgpack

from ...format.payload import unpack
from ...host import Host
from ..engine import Engine, Page, State, Watch
from ..running import heeding
from ..trying import Trying
from .deciding import NOTHING, Chain, Link, read_link
from .session import LOST, NatsSession, Reading

__all__ = ["NatsReader", "name_in", "token"]

Result = TypeVar("Result")

_WAIT_SECONDS = 5.0
_PAUSE_SECONDS = 0.01
_READINGS_MAX = 256
_CHAINS_MAX = 10_000
_LINKS_MAX = 256
_PAGE_COUNT = 500


class NatsReader(Engine):
    """The half of the engine that changes nothing. ``chain`` is a channel as it is now, ``learn``
    and ``note`` keep what was seen in the session, for whoever asks next."""

    def __init__(
        self, url: str, prefix: str, timeout: float, bytes_max: int, options: dict[str, Any]
    ) -> None:
        self._url = url
        self._trying = Trying("nats", url.rpartition("@")[2], timeout, LOST)
        self.stream = prefix
        self.kept_stream = f"{prefix}-kept"
        self._timeout = timeout
        self._options = options
        self.clock = Host().clock
        self.message_bytes_max = bytes_max

    def blocking(self) -> None:
        return None

    async def session(self) -> NatsSession:
        return await self.attempt(
            None, lambda: NatsSession.open(self._url, self._timeout, self._options), certain=True
        )

    async def attempt(
        self,
        session: NatsSession | None,
        work: Callable[[], Awaitable[Result]],
        *,
        certain: bool,
    ) -> Result:
        """Do ``work``, again and again while the server is away. ``certain`` says that it changes
        nothing. Raises ``Disconnected``."""

        def over() -> bool:
            # Closed by us: whoever runs this knows.
            return session is not None and (session.closed or session.client.is_closed)

        return await self._trying.attempt(work, asyncio.sleep, certain=certain, over=over)

    def learn(self, session: NatsSession, channel: str, chain: Chain) -> None:
        chains = session.chains
        chains.pop(channel, None)
        chains[channel] = chain
        if len(chains) > _CHAINS_MAX:
            oldest = next(iter(chains))
            del chains[oldest]
            lock = session.locks.get(oldest)
            if lock is not None and not lock.locked():
                del session.locks[oldest]

    async def chain(self, session: NatsSession, channel: str) -> Chain:
        """The channel as it is now."""
        found = await self.attempt(
            session,
            lambda: session.last(self.stream, self.subject("m", channel)),
            certain=True,
        )
        chain = NOTHING if found is None else read_link(*found).chain
        self.learn(session, channel, chain)
        return chain

    async def kept_at(
        self, session: NatsSession, subject: str, life: str, is_new: bool
    ) -> tuple[int, Any]:
        """What is kept under ``subject`` for this life of its channel (else ``None``), and its
        place."""
        kept = session.kept.get(subject)
        if is_new or kept is None:
            found = await self.attempt(
                session, lambda: session.last(self.kept_stream, subject), certain=True
            )
            kept = (0, None) if found is None else (found[0], msgpack.unpackb(found[1]))
            self.note(session, subject, *kept)
        seq, value = kept
        if value is None or value[0] != life or value[1] == -1:
            return seq, None
        return seq, value[1]

    @staticmethod
    def note(session: NatsSession, subject: str, seq: int, value: Any) -> None:
        session.kept.pop(subject, None)
        session.kept[subject] = (seq, value)
        if len(session.kept) > _CHAINS_MAX:
            del session.kept[next(iter(session.kept))]

    # Looking.

    async def locate(
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
        subject = self.subject("m", channel)
        low, high, best = 1, chain.seq + 1, None
        while low < high:
            middle = low if best is None and low == 1 else (low + high) // 2
            found = await self.attempt(
                session,
                lambda middle=middle: session.next(self.stream, subject, middle),  # type: ignore[misc]
                certain=True,
            )
            link = None if found is None else read_link(*found)
            while link is not None and not link.bodies and link.chain.seq < high - 1:
                # A change of the state alone says nothing of where messages are.
                at = link.chain.seq + 1
                found = await self.attempt(
                    session,
                    lambda at=at: session.next(self.stream, subject, at),  # type: ignore[misc]
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
        return (await self._look(session, channel, at, count))[0]

    async def _look(
        self, session: NatsSession, channel: str, at: int, count: int
    ) -> tuple[Page, Chain]:
        """A page, and the channel as it was when it was looked for: what is stored behind that
        ``seq`` is not in the page if it has no messages."""
        chain = session.chains.get(channel, NOTHING)
        # A consumer is asked only if there is something: after a purge the server may believe that
        # there is, and does not answer at all.
        if at >= chain.end:
            chain = await self.chain(session, channel)
        if not chain.life or at >= chain.end:
            return _page(chain, at, []), chain
        reading = session.readings.pop((channel, at), None)
        page = None
        if reading is not None:
            page = await self._pull(session, channel, at, count, reading, chain)
        if page is None or not page.bodies:
            # None was at hand, or it was of no use any more, or what was known was too old.
            chain = await self.chain(session, channel)
            link = None
            if chain.life and at < chain.end:
                link = await self.locate(session, channel, chain, max(at, chain.start))
            if link is None:
                return _page(chain, at, []), chain
            page = await self._read(session, channel, at, count, link.chain.seq, chain)
        return page, chain

    async def _read(
        self, session: NatsSession, channel: str, at: int, count: int, seq: int, chain: Chain
    ) -> Page:
        async def work() -> Page:
            reading = Reading(session, self.stream, self.subject("m", channel))
            await reading.begin(seq)
            page = await self._pull(session, channel, at, count, reading, chain)
            if page is None:
                raise ConnectionError("the consumer is gone")
            return page

        return await self.attempt(session, work, certain=True)

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
        links = []
        if reading.left is not None:
            links, reading.left = [reading.left], None
        else:
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
        if len(page.bodies) > count:
            rest = page.bodies[count:]
            reading.left = Link(links[-1].chain, page.first + count, list(rest))
            page = page._replace(bodies=page.bodies[:count])
        is_of_another_life = any(link.chain.life != page.life for link in links)
        if is_of_another_life or (reading.is_spent and reading.left is None):
            session.give_back(reading)
        else:
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
        self, session: NatsSession, channel: str, at: int, life: str, group: Watch | None = None
    ) -> Page | None:
        told = asyncio.Event()

        async def tell(_: Any) -> None:
            told.set()

        async def listen() -> list[Any]:
            subjects = [self.subject("w", channel)]
            if group is not None:
                subjects.append(f"{subjects[0]}.{token(group.name)}")
            return [
                await heeding(session.client.subscribe(subject, cb=tell)) for subject in subjects
            ]

        has_ended = group is not None and group.ended
        listening = await self.attempt(session, listen, certain=True)
        try:
            while True:
                told.clear()
                page, chain = await self._look(session, channel, at, _PAGE_COUNT)
                if page.is_news(at, life, has_ended):
                    return page
                if group is not None:
                    subject = f"{self.subject('g', channel)}.{token(group.name)}"
                    seq, _ = await self.kept_at(session, subject, life, True)
                    if seq != group.revision:
                        return None
                found = await self._wait_once(session, channel, at, chain, told)
                if found is not None and found.bodies:
                    return found
        finally:
            for subscription in listening:
                with suppress(*LOST):
                    await subscription.unsubscribe()

    async def _wait_once(
        self, session: NatsSession, channel: str, at: int, chain: Chain, told: asyncio.Event
    ) -> Page | None:
        """Wait for a message behind ``chain``, for being told, or for a while."""
        reading = session.readings.pop((channel, at), None)
        if reading is None:
            reading = Reading(session, self.stream, self.subject("m", channel))
            try:
                await reading.begin(chain.seq + 1)
            except LOST:
                await asyncio.sleep(_PAUSE_SECONDS)
                return None
        pulling = asyncio.ensure_future(
            self._pull(session, channel, at, _PAGE_COUNT, reading, chain, _WAIT_SECONDS)
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
        chain = await self.chain(session, channel)
        cursors: dict[str, int] = {}
        groups: dict[str, tuple[int, bytes]] = {}
        if chain.life and group is None:
            for name, subject in await self._names_of(session, "c", channel):
                _, position = await self.kept_at(session, subject, chain.life, True)
                if position is not None:
                    cursors[name] = position
            for name, subject in await self._names_of(session, "g", channel):
                seq, value = await self.kept_at(session, subject, chain.life, True)
                groups[name] = (seq, value or b"")
        elif chain.life and group is not None:
            subject = f"{self.subject('g', channel)}.{token(group)}"
            seq, value = await self.kept_at(session, subject, chain.life, True)
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
        pattern = f"{self.subject(kind, channel)}.*"
        subjects = await self.attempt(
            session, lambda: session.subjects(self.kept_stream, pattern), certain=True
        )
        return [(name_in(subject), subject) for subject in subjects]

    async def since(self, session: NatsSession, channel: str, time_us: int) -> int:
        chain = await self.chain(session, channel)
        if not chain.life:
            return 0
        link = await self._search(
            session, channel, chain, lambda link: _time_of(link.bodies[-1]) >= time_us
        )
        return chain.end if link is None else max(link.first, chain.start)

    async def names(self, session: NatsSession, prefix: str, after: str, count: int) -> list[str]:
        subjects = await self.attempt(
            session, lambda: session.subjects(self.stream, f"{self.stream}.m.*"), certain=True
        )
        names = sorted(map(name_in, subjects))
        # All at once: the server has to be asked for all in any case.
        return [name for name in names if name > after and name.startswith(prefix)]

    def subject(self, kind: str, channel: str) -> str:
        """The subject of a channel; for its cursors and groups, how their subjects begin."""
        return f"{self.stream}.{kind}.{token(channel)}"


def token(name: str) -> str:
    """A name as one token of a subject."""
    return quote(name, safe="").replace(".", "%2E").replace("~", "%7E").replace("%", "=")


def name_in(subject: str) -> str:
    """The name that is the last token of a subject."""
    return unquote(subject.rpartition(".")[2].replace("=", "%"))


def _page(chain: Chain, at: int, links: list[Link]) -> Page:
    """The messages from ``at`` on that are in ``links``; the channel is ``chain``, or newer."""
    bodies: list[bytes] = []
    first = at
    chain = max((chain, *(link.chain for link in links)), key=lambda one: one.seq)
    for link in links:
        # Of the life before there is nothing to be had any more.
        if not link.bodies or link.chain.life != chain.life:
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

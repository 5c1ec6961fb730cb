"""Subscriptions and replays of an engine: a page at a time, and the engine's own wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from time import monotonic
from typing import Any

from ..channels.subscription import check_timeout
from ..channels.waking import Filter
from ..errors import (
    ChannelDeleted,
    EndOfChannel,
    FormatError,
    HandleClosed,
    InvalidOption,
    OffsetTrimmed,
)
from ..interface import Channel, Replay, Subscription
from ..message import Message
from .engine import Engine, Page
from .refusals import deleted, trimmed, unknown
from .running import Runner
from .wire import data_of_all, decode_all

__all__ = ["EngineReplay", "EngineSubscription", "watched"]

_PAGE_COUNT_FIRST = 32
_PAGE_COUNT_MAX = 1000
_PAGE_BYTES = 4 << 20


class _Paging:
    """How many messages to ask for at once: what was seen last says how many fill a page."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = _PAGE_COUNT_FIRST

    def learn(self, bodies: Sequence[bytes]) -> None:
        fitting = _PAGE_BYTES * len(bodies) // sum(map(len, bodies))
        self.count = max(1, min(_PAGE_COUNT_MAX, fitting))


class EngineSubscription(Subscription):
    """A reader of one channel of an engine.

    What is read is a page, at once if there is one; else one wait runs in the log's own loop,
    whose page is kept for whoever asks next. So cancelling a ``get``, or giving up after its time,
    loses nothing and touches no connection.
    """

    def __init__(
        self,
        owner: Channel,
        runner: Runner,
        engine: Engine,
        at: int | None,
        life: str,
        filter: Filter | None,
    ) -> None:
        self._owner = owner
        self._runner = runner
        self._engine = engine
        self._channel = owner.name
        # ``None`` until the first look, for whoever begins with the first readable message.
        self._at = at
        self._life = life
        self._filter = filter
        self._paging = _Paging()
        self._buffer: deque[Message] = deque()
        self._error: Exception | None = None
        self._closed = False
        self._waiting: Future[Page | None] | None = None

    @property
    def ready(self) -> bool:
        if self._buffer or self._error is not None or self._closed or self._runner.closed:
            return True
        # Looked for in the background, for this may not wait.
        if self._wait().done():
            self._look_at_waited()
        return bool(self._buffer) or self._error is not None

    @property
    def offset(self) -> int:
        if self._buffer:
            return self._buffer[0].offset
        return self._at or 0

    def get(self, timeout: float | None = None) -> Message | None:
        deadline = None if timeout is None else monotonic() + check_timeout(timeout)
        while True:
            message = self._take()
            if message is not None:
                return message
            if self._waiting is None and self._absorb(self._runner.run(self._page)):
                continue
            left = None if deadline is None else max(0.0, deadline - monotonic())
            if left == 0 and self._waiting is None:
                return None
            waiting = self._wait()
            done, _ = wait([waiting], left)
            if not done:
                return None
            if waiting.cancelled():
                self._check()
            self._look_at_waited()

    async def aget(self, timeout: float | None = None) -> Message | None:
        deadline = None if timeout is None else monotonic() + check_timeout(timeout)
        while True:
            message = self._take()
            if message is not None:
                return message
            if self._waiting is None and self._absorb(await self._runner.arun(self._page)):
                continue
            left = None if deadline is None else max(0.0, deadline - monotonic())
            if left == 0 and self._waiting is None:
                return None
            waiting = self._wait()
            if not waiting.done():
                # ``wait`` leaves what it waits for alone when it is cancelled, or when time is up.
                done, _ = await asyncio.wait([watched(waiting)], timeout=left)
                if not done:
                    return None
            if waiting.cancelled():
                self._check()
            self._look_at_waited()

    def _check(self) -> None:
        if self._closed:
            raise HandleClosed("this subscription is closed; subscribe again after the last offset")
        self._runner.check()

    def _take(self) -> Message | None:
        """What is here already; raises if there will be nothing more."""
        self._check()
        if self._buffer:
            return self._buffer.popleft()
        if self._waiting is not None and self._waiting.done():
            self._look_at_waited()
            if self._buffer:
                return self._buffer.popleft()
        if self._error is not None:
            error = self._error
            if not isinstance(error, EndOfChannel | ChannelDeleted | OffsetTrimmed):
                self._error = None
            raise error
        return None

    def _page(self, session: Any) -> Any:
        return self._engine.page(session, self._channel, self._at or 0, self._paging.count)

    def _wait(self) -> Future[Page | None]:
        """The wait that runs, begun if there is none."""
        if self._waiting is None:
            engine, channel, at, life = self._engine, self._channel, self._at or 0, self._life
            self._waiting = self._runner.begin(
                lambda session: engine.wait(session, channel, at, life)
            )
            if self._closed:
                self._waiting.cancel()
        return self._waiting

    def _look_at_waited(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.cancelled():
            return
        error = waiting.exception()
        if error is not None:
            if not isinstance(error, Exception):
                raise error
            self._error = error
            return
        page = waiting.result()
        if page is not None:
            self._absorb(page)

    def _absorb(self, page: Page) -> bool:
        """Take a page in; returns whether there is something to take, or to look again for."""
        if page.life != self._life:
            if self._life:
                self._error = deleted(self._channel)
                return True
            self._life = page.life
            if page.life and self._at is not None and self._at > page.end:
                self._error = unknown(self._channel, self._at, page.end)
                return True
        if not page.life:
            return False
        if self._at is None:
            # It begins with whatever is the first one now.
            self._at = max(page.start, page.first) if page.bodies else page.start
        if self._at < page.start:
            self._error = trimmed(self._channel, self._at, page.start)
            return True
        skipped = self._at - page.first
        bodies = page.bodies[skipped:] if skipped > 0 else page.bodies
        first = page.first + max(0, skipped)
        if bodies and first == self._at:
            passes = None if self._filter is None else self._filter.passes
            self._paging.learn(bodies)
            # All or none, so that what is wrong doubles nothing.
            messages = list(decode_all(first, bodies))
            self._buffer.extend(
                messages
                if passes is None
                else [one for one in messages if passes(one.type, one.sender)]
            )
            self._at = first + len(bodies)
            return True
        if self._at > page.end:
            self._error = unknown(self._channel, self._at, page.end)
            return True
        if page.ended and self._at >= page.end:
            self._error = EndOfChannel(
                f"{self._channel!r} has ended, and everything of it was read",
                channel=self._channel,
                end_offset=page.end,
            )
            return True
        return False

    def seek(self, offset: int) -> None:
        self._check_offset(offset)
        self._move(offset, self._runner.run(partial(self._page_at, offset)))

    async def aseek(self, offset: int) -> None:
        self._check_offset(offset)
        self._move(offset, await self._runner.arun(partial(self._page_at, offset)))

    def _check_offset(self, offset: int) -> None:
        self._check()
        if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
            raise InvalidOption(f"offset is that of a message, not {offset!r}", option="offset")

    def _page_at(self, offset: int, session: Any) -> Any:
        return self._engine.page(session, self._channel, offset, 1)

    def _move(self, offset: int, page: Page) -> None:
        if self._life in ("", page.life) and offset > page.end:
            raise unknown(self._channel, offset, page.end)
        self._give_up_waiting()
        self._buffer.clear()
        self._error = None
        self._at = offset

    def _give_up_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def close(self) -> None:
        self._closed = True
        waiting = self._waiting
        if waiting is not None:
            waiting.cancel()

    def __del__(self) -> None:
        # Whoever drops a reader does not wait any more.
        waiting = getattr(self, "_waiting", None)
        if waiting is not None:
            waiting.cancel()

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        try:
            message = self.get()
        except (EndOfChannel, HandleClosed):
            raise StopIteration from None
        assert message is not None
        return message

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        try:
            message = await self.aget()
        except (EndOfChannel, HandleClosed):
            raise StopAsyncIteration from None
        assert message is not None
        return message

    def __repr__(self) -> str:
        return f"<Subscription of {self._channel!r} at {self.offset}>"


def watched(waiting: Future[Any]) -> asyncio.Future[None]:
    """A future of this loop that is done when ``waiting`` is, and whose end is not its end."""
    loop = asyncio.get_running_loop()
    watched: asyncio.Future[None] = loop.create_future()

    def resolve() -> None:
        if not watched.done():
            watched.set_result(None)

    def done(_: Future[Any]) -> None:
        try:
            loop.call_soon_threadsafe(resolve)
        except RuntimeError:
            # The loop is closed, so nobody waits in it.
            return

    waiting.add_done_callback(done)
    return watched


class EngineReplay(Replay):
    """History of a channel of an engine, page by page."""

    def __init__(
        self, owner: Channel, runner: Runner, engine: Engine, start: int, stop: int, life: str
    ) -> None:
        self._owner = owner
        self._runner = runner
        self._engine = engine
        self._channel = owner.name
        self._start = start
        self._stop = stop
        self._life = life

    def _cut(self, page: Page, at: int) -> Sequence[bytes]:
        """The bodies of ``page`` from ``at`` on that are wanted."""
        if page.life != self._life:
            raise deleted(self._channel)
        if at < page.start:
            raise trimmed(self._channel, at, page.start)
        bodies = page.bodies[at - page.first :][: self._stop - at]
        if not bodies:
            raise FormatError(
                f"the engine has no message at {at} of {self._channel!r}, which ends at {page.end}"
            )
        return bodies

    def _pages(self) -> Iterator[tuple[int, Sequence[bytes]]]:
        at, paging = self._start, _Paging()
        while at < self._stop:
            page = self._runner.run(partial(self._page, at, paging.count))
            bodies = self._cut(page, at)
            yield at, bodies
            paging.learn(bodies)
            at += len(bodies)

    async def _apages(self) -> AsyncIterator[tuple[int, Sequence[bytes]]]:
        at, paging = self._start, _Paging()
        while at < self._stop:
            page = await self._runner.arun(partial(self._page, at, paging.count))
            bodies = self._cut(page, at)
            yield at, bodies
            paging.learn(bodies)
            at += len(bodies)

    def _page(self, at: int, count: int, session: Any) -> Any:
        return self._engine.page(session, self._channel, at, min(count, self._stop - at))

    def __iter__(self) -> Iterator[Message]:
        for first, bodies in self._pages():
            yield from decode_all(first, bodies)

    async def __aiter__(self) -> AsyncIterator[Message]:
        async for first, bodies in self._apages():
            for message in decode_all(first, bodies):
                yield message

    def batches(self) -> Iterator[Sequence[Message]]:
        for first, bodies in self._pages():
            yield list(decode_all(first, bodies))

    def data(self) -> Iterator[Any]:
        for first, bodies in self._pages():
            yield from data_of_all(first, bodies)

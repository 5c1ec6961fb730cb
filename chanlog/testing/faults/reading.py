"""Readers with faults: subscriptions and cursors."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from ...channels.subscription import check_timeout
from ...errors import EndOfChannel, HandleClosed, LogClosed, UnknownOffset
from ...interface import Cursor, Subscription
from ...message import Gap, Message
from .holding import Pause
from .steps import Steps, adrive, ask, drive

if TYPE_CHECKING:
    from .channel import FaultyChannel
    from .faults import Call, Faults

__all__ = ["FaultyCursor", "FaultySubscription", "Source"]


class Source:
    """Where a reader gets its messages from, whatever becomes of the log: what the log has given
    and the reader may not see yet is kept, and after a crash it is opened again.

    ``open`` and ``reopen`` give the reader of the log that is there now, the first time and after a
    crash; ``offset_of`` tells where in the channel what it gave lies. The reader is for one
    consumer at a time; ``renew`` may come from any thread.
    """

    def __init__(
        self,
        faults: Faults,
        channel: str,
        open: Callable[[], Any],
        reopen: Callable[[], Any],
        offset_of: Callable[[Any], int],
    ) -> None:
        self._faults = faults
        self._channel = channel
        self._reopen = reopen
        self._offset_of = offset_of
        self._pause = Pause(faults.timer)
        self._closed = False
        # Guards ``kept`` and ``_inner``, which together say where the reader stands.
        self._lock = threading.Lock()
        self.kept: Any = None
        with faults.crashing:
            self._generation = faults.generation
            self._inner = open()
            faults.watch(self)

    @property
    def inner(self) -> Any:
        """The reader of the log that is there now."""
        if self._generation != self._faults.generation:
            # Waits until it is back; by then it has been opened again.
            with self._faults.crashing:
                return self._inner
        return self._inner

    def renew(self) -> None:
        """Open it again, where the reader stands."""
        with self._faults.crashing, self._lock:
            generation = self._faults.generation
            if self._closed:
                return
            # Asked where it stands before it is closed, for it has read ahead.
            inner, self._inner = self._inner, self._reopen()
            self.kept = None
            inner.close()
            self._generation = generation

    def _pick(self) -> Any:
        with self._lock:
            kept, self.kept = self.kept, None
            return kept

    def take(self, timeout: float | None) -> Steps[Any]:
        """The next that the reader may see, or ``None`` when time is up."""
        timer = self._faults.timer
        deadline = timer.now() + check_timeout(timeout) if timeout else None
        while True:
            left = timeout if deadline is None else max(0.0, deadline - timer.now())
            got = None if self._closed else self._pick()
            if got is None:
                got = yield from self._ask(left)
                if got is None:
                    return None
            hold = self._faults.holds.at(self._channel, self._offset_of(got))
            if hold is None:
                return got
            self.kept = got
            if left == 0:
                return None
            yield from ask(self._pause, "rest", hold, deadline)

    def _ask(self, left: float | None) -> Steps[Any]:
        while True:
            generation = self._faults.generation
            try:
                return (yield from ask(self.inner, "get", left))
            except (HandleClosed, LogClosed):
                # Died while it waited: the one that comes after it is asked for the same.
                if self._closed or generation == self._faults.generation:
                    raise

    def linger(self, got: Any, seconds: float, timeout: float | None) -> Steps[Any]:
        """Hand ``got`` out so many seconds later; if somebody cancels that, nothing is lost, and if
        the log dies meanwhile the one that follows is asked again."""
        self.kept = got
        yield from ask(self._pause, "rest", None, self._faults.timer.now() + seconds)
        got = self._pick()
        return got if got is not None else (yield from self.take(timeout))

    @property
    def ready(self) -> bool:
        """Whether the reader would be answered at once."""
        holds = self._faults.holds
        if self.kept is not None and not self._closed:
            return holds.at(self._channel, self._offset_of(self.kept)) is None
        inner = self.inner
        return bool(inner.ready) and holds.at(self._channel, _next_offset(inner)) is None

    def close(self) -> None:
        """Give it back."""
        self._closed = True
        self._inner.close()
        self._pause.close()


def _next_offset(inner: Any) -> int:
    # A cursor does not say where it reads; what is held back is behind what is not.
    return getattr(inner, "offset", 0)


class _Reader:
    """What subscriptions and cursors have in common."""

    _source: Source
    _faults: Faults
    _trait: str
    channel: FaultyChannel

    def _get(self, timeout: float | None) -> Steps[Message | None]:
        def act(call: Call) -> Steps[Any]:
            if call.kind == "redeliver":
                self._rewind()
            message = yield from self._source.take(timeout)
            if call.kind == "slow" and call.fault is not None and message is not None:
                seconds = call.fault.facts["seconds"]
                message = yield from self._source.linger(message, seconds, timeout)
            if message is not None:
                self._seen(message)
            return message

        traits = frozenset({self._trait})
        found: Message | None = yield from self._faults.call("get", self.channel.name, act, traits)
        return found

    def _seen(self, message: Message) -> None:
        """It is handed out."""

    def _rewind(self) -> None:
        """Go back to what was committed."""

    @property
    def ready(self) -> bool:
        return self._source.ready

    def get(self, timeout: float | None = None) -> Message | None:
        return drive(self._get(timeout))

    async def aget(self, timeout: float | None = None) -> Message | None:
        return await adrive(self._get(timeout))

    def __next__(self) -> Message:
        try:
            message = self.get()
        except (EndOfChannel, HandleClosed):
            raise StopIteration from None
        assert message is not None
        return message

    async def __anext__(self) -> Message:
        try:
            message = await self.aget()
        except (EndOfChannel, HandleClosed):
            raise StopAsyncIteration from None
        assert message is not None
        return message

    def close(self) -> None:
        self._source.close()

    def __repr__(self) -> str:
        return repr(self._source.inner)


class FaultySubscription(_Reader, Subscription):
    """A subscription of a log with faults."""

    _trait = "subscription"

    def __init__(
        self,
        faults: Faults,
        channel: FaultyChannel,
        where: dict[str, Any],
        filter: dict[str, Any],
    ) -> None:
        self._faults = faults
        self.channel = channel
        self._filter = filter
        self._next = 0
        self._source = Source(
            faults,
            channel.name,
            lambda: channel.inner.subscribe(**where, **filter),
            self._reopen,
            lambda message: int(message.offset),
        )

    def _reopen(self) -> Subscription:
        channel = self.channel.inner
        offset = self.offset
        try:
            return channel.subscribe(after=offset - 1, **self._filter)
        except UnknownOffset as error:
            # The crash has taken what was there: go on with what comes in its place.
            return channel.subscribe(after=error.end_offset - 1, **self._filter)

    def _seen(self, message: Message) -> None:
        self._next = _behind(message)

    @property
    def offset(self) -> int:
        if self._source.kept is not None:
            return int(self._source.kept.offset)
        return max(self._next, int(self._source._inner.offset))

    def seek(self, offset: int) -> None:
        self._source.inner.seek(offset)
        self._source.kept = None
        self._next = offset

    def __iter__(self) -> Iterator[Message]:
        return self

    def __aiter__(self) -> AsyncIterator[Message]:
        return self


class FaultyCursor(_Reader, Cursor):
    """A cursor of a log with faults."""

    _trait = "cursor"

    def __init__(self, faults: Faults, channel: FaultyChannel, name: str) -> None:
        self._faults = faults
        self.channel = channel
        self.name = name
        self._source = Source(
            faults,
            channel.name,
            self._reopen,
            self._reopen,
            lambda message: int(message.offset),
        )

    def _reopen(self) -> Cursor:
        # Reading goes on from the committed position, as for whoever opens it next.
        return self.channel.inner.cursor(self.name)

    def _rewind(self) -> None:
        self._source.renew()

    @property
    def inner(self) -> Cursor:
        """The cursor of the log that is there now."""
        inner: Cursor = self._source.inner
        return inner

    def _call(self, operation: str, method: str, *args: Any, **options: Any) -> Steps[Any]:
        def act(call: Call) -> Steps[Any]:
            answer = yield from ask(self.inner, method, *args, **options)
            if method == "seek":
                self._source.kept = None
            return answer

        if options.get("durable"):
            self._faults.capabilities.need("durable")
        traits = frozenset({"cursor", *(["durable"] if options.get("durable") else [])})
        return (yield from self._faults.call(operation, self.channel.name, act, traits))

    def position(self) -> int:
        return self.inner.position()

    def commit(self, message: Message | int, *, durable: bool = False) -> None:
        drive(self._call("commit", "commit", message, durable=durable))

    async def acommit(self, message: Message | int, *, durable: bool = False) -> None:
        await adrive(self._call("commit", "commit", message, durable=durable))

    def seek(self, offset: int) -> None:
        drive(self._call("seek", "seek", offset))

    async def aseek(self, offset: int) -> None:
        await adrive(self._call("seek", "seek", offset))

    def lag(self) -> int:
        lag: int = drive(self._call("lag", "lag"))
        return lag

    async def alag(self) -> int:
        lag: int = await adrive(self._call("lag", "lag"))
        return lag

    def delete(self) -> None:
        drive(self._call("delete", "delete"))

    async def adelete(self) -> None:
        await adrive(self._call("delete", "delete"))

    def __iter__(self) -> Iterator[Message]:
        return self

    def __aiter__(self) -> AsyncIterator[Message]:
        return self


def _behind(message: Message) -> int:
    return message.offset + (message.missing if isinstance(message, Gap) else 1)

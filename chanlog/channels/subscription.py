"""Subscriptions: an offset into the log, and a way to wait for more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

from ..errors import (
    EndOfChannel,
    HandleClosed,
    InvalidOption,
    LogClosed,
    UnknownOffset,
)
from ..host import monotonic
from ..interface import Subscription
from ..message import Message
from ..storage.reading import Reader
from ..storage.refusals import sealed
from ..storage.state import ChannelState
from ..storage.store import Store
from ..storage.syncing import confirm, durable_end
from .waking import (
    ChannelListeners,
    Filter,
    Tail,
    TaskWaiter,
    ThreadWaiter,
    listeners_of,
    stop_waiting,
)

__all__ = ["EmbeddedSubscription", "check_offset", "check_timeout", "unknown_offset"]


class EmbeddedSubscription(Subscription):
    """A reader of one channel of an embedded log.

    ``_offset`` is the next offset to look at behind what ``_buffer`` holds. There is no queue:
    the buffer is what one look into the log has decoded.
    """

    __slots__ = (
        "__weakref__", "_buffer", "_closed", "_filter", "_offset", "_owner", "_reader", "_state",
        "_store", "_tails", "_waiter",
    )  # fmt: skip

    def __init__(
        self, owner: object, store: Store, state: ChannelState, offset: int, filter: Filter | None
    ) -> None:
        self._owner = owner
        self._store = store
        self._state = state
        self._reader = Reader(store, state)
        self._offset = offset
        self._filter = filter
        self._buffer: deque[Message] = deque()
        self._closed = False
        self._waiter: ThreadWaiter | TaskWaiter | None = None
        self._tails: list[Tail] = []
        if filter is not None:
            self._track(filter)

    def _track(self, filter: Filter) -> None:
        with self._store.lock:
            listeners = self._listeners()
            end = self._state.end_offset
            if filter.types is None:
                self._tails = [listeners.track_total(end)]
            else:
                self._tails = [listeners.track(type, end) for type in sorted(filter.types)]

    def _listeners(self) -> ChannelListeners:
        """The listeners of the channel, made if there are none. With the store's lock held."""
        return listeners_of(self._store, self._state)

    # Without waiting.

    @property
    def ready(self) -> bool:
        if self._buffer or self._closed:
            return True
        state = self._state
        if self._store.halted:
            self._store.look()
        end = state.end_offset
        if self._offset < end:
            return not self._tails or self._match(end)
        return state.ended or state.deleted or self._store.is_over

    def _match(self, end: int) -> bool:
        """Whether a message below ``end`` passes the filter; if none does, look behind it next."""
        offset = self._offset
        filter = self._filter
        assert filter is not None
        known = True
        for tail in self._tails:
            if tail.end_without(filter.sender) > offset:
                return True
            if tail.since > offset:
                known = False
        # What was published before anybody kept count is looked at, each once.
        if not known and self._fill(end):
            return True
        self._offset = end
        return self._state.ended

    @property
    def offset(self) -> int:
        buffer = self._buffer
        return buffer[0].offset if buffer else self._offset

    def _fill(self, end: int) -> bool:
        """Decode what comes next below ``end`` into the buffer; False if nothing passes."""
        filter = self._filter
        # Taken before: what is decoded while another thread closes goes with the old one.
        buffer = self._buffer
        if self._offset == end - 1:
            message = self._reader.newest(end - 1)
            if message is not None:
                wanted = filter is None or filter.passes(message.type, message.sender)
                # Nothing is called from here on, so no signal comes in between.
                self._offset = end
                if wanted:
                    buffer.append(message)
                return wanted
        while self._offset < end:
            run = self._reader.run(self._offset, end)
            found = run.matching(filter.types, filter.sender) if filter else run.messages()
            self._offset = run.stop
            if found:
                buffer.extend(found)
                return True
        return False

    def _pop(self) -> Message:
        """The first message of the buffer, unless it was trimmed since it was decoded."""
        buffer = self._buffer
        try:
            message = buffer[0]
        except IndexError:
            # Another thread has closed it just now.
            raise self._handle_closed() from None
        if message[0] < self._state.start_offset:
            buffer.clear()
            self._offset = message[0]
            self._reader.check(self._offset)
        if self._store.closed:
            self._store.check_open()
        # Signals are looked at after calls, and there is none from here to whoever asked: what is
        # taken out is returned.
        del buffer[0]
        return message

    def _handle_closed(self) -> HandleClosed:
        return HandleClosed("this subscription is closed; subscribe again")

    def _take(self) -> Message | None:
        """The next message, or ``None`` if there is none yet. Raises at the end."""
        if self._buffer:
            return self._pop()
        if self._closed:
            raise self._handle_closed()
        store, state = self._store, self._state
        # Asked before the end offset: what is published before an end is seen before it.
        ended = state.ended
        end = self._end() if store.halted else state.end_offset
        if (
            self._offset < end
            and (not self._tails or self._match(end))
            and (self._buffer or self._fill(end))
        ):
            return self._pop()
        if state.deleted:
            # Waits for a sync only under ``always``, and only if the delete has just been made.
            confirm(store)
            raise sealed(state)
        if ended and self._offset >= state.end_offset:
            raise EndOfChannel(
                f"the channel {state.name!r} has ended at offset {state.end_offset}",
                channel=state.name,
                end_offset=state.end_offset,
            )
        if store.halted and store.failed is not None:
            store.check_writable()
        return None

    def _end(self) -> int:
        """The end offset, where the log is closed, failed, or somebody else's."""
        store, state = self._store, self._state
        store.look()
        store.check_open()
        if store.failed is not None:
            return durable_end(store, state, state.end_offset)
        return state.end_offset

    # Waiting.

    def get(self, timeout: float | None = None) -> Message | None:
        message = self._take()
        if message is not None or timeout == 0:
            return message
        timer = self._store.timer
        now = monotonic if timer is None else timer.now
        deadline = None if timeout is None else now() + check_timeout(timeout)
        while True:
            waiter = ThreadWaiter(self._filter)
            try:
                if self._register(waiter):
                    left = None if deadline is None else deadline - now()
                    if left is not None and left <= 0:
                        return None
                    if timer is None or deadline is None:
                        waiter.wait(left)
                    else:
                        with timer.alarm(deadline, waiter.wake):
                            waiter.wait(None)
            finally:
                self._unregister(waiter)
            message = self._take()
            if message is not None:
                return message

    async def aget(self, timeout: float | None = None) -> Message | None:
        message = self._take()
        if message is not None or timeout == 0:
            return message
        loop = asyncio.get_running_loop()
        timer = self._store.timer
        now = loop.time if timer is None else timer.now
        deadline = None if timeout is None else now() + check_timeout(timeout)
        while True:
            waiter = TaskWaiter(loop, self._filter)
            alarm = None
            try:
                if self._register(waiter):
                    if deadline is not None:
                        if deadline <= now():
                            return None
                        if timer is None:
                            alarm = loop.call_at(deadline, waiter.wake)
                    if timer is None or deadline is None:
                        await waiter.future
                    else:
                        with timer.alarm(deadline, waiter.wake):
                            await waiter.future
            except GeneratorExit:
                waiter.abandoned = True
                raise
            finally:
                if alarm is not None:
                    alarm.cancel()
                self._unregister(waiter)
            message = self._take()
            if message is not None:
                return message

    def _register(self, waiter: ThreadWaiter | TaskWaiter) -> bool:
        """Have ``waiter`` woken by whatever comes; False if there is something to look at now."""
        store, state = self._store, self._state
        if store.halted:
            store.look()
        # Before it looks whether it was closed: whoever closes says so first, and then looks for
        # a waiter.
        self._waiter = waiter
        with store.lock:
            if (
                state.end_offset > self._offset
                or state.ended
                or state.deleted
                or self._closed
                or store.is_over
            ):
                return False
            if store.exiting:
                raise LogClosed("the interpreter is exiting, and nobody will publish any more")
            self._listeners().add(waiter)
        store.on_wait()
        return True

    def _unregister(self, waiter: ThreadWaiter | TaskWaiter) -> None:
        self._waiter = None
        stop_waiting(self._store, self._state, waiter)

    # Loops.

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        try:
            if self._buffer:
                return self._pop()
            if self._closed:
                raise StopIteration
            message = self.get()
        except (EndOfChannel, HandleClosed):
            raise StopIteration from None
        assert message is not None
        return message

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        try:
            if self._buffer:
                return self._pop()
            if self._closed:
                raise StopAsyncIteration
            # A long history must not keep the other tasks of the loop from running.
            if self._offset < self._state.end_offset:
                await asyncio.sleep(0)
            message = await self.aget()
        except (EndOfChannel, HandleClosed):
            raise StopAsyncIteration from None
        assert message is not None
        return message

    def seek(self, offset: int) -> None:
        check_offset(self._state, offset, "offset")
        self._buffer.clear()
        self._offset = offset

    def close(self) -> None:
        self._closed = True
        # Another thread may be taking a message out of the old one.
        self._buffer = deque()
        waiter = self._waiter
        if waiter is not None:
            waiter.wake()

    def __repr__(self) -> str:
        return f"<Subscription {self._state.name!r} at {self.offset}>"


def check_timeout(timeout: Any) -> float:
    """``timeout`` in seconds, or ``InvalidOption``."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise InvalidOption(
            f"timeout is a number of seconds, 0 or more, or None for ever; not {timeout!r}",
            option="timeout",
        )
    return float(timeout)


def check_offset(state: ChannelState, offset: Any, option: str) -> int:
    """``offset`` if it may be read or written next; raises if it lies in the future."""
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise InvalidOption(
            f"{option} is an offset, an int of 0 or more, not {offset!r}", option=option
        )
    if offset > state.end_offset:
        raise unknown_offset(state, offset)
    return offset


def unknown_offset(state: ChannelState, offset: int) -> UnknownOffset:
    """The error for an offset from the future."""
    return UnknownOffset(
        f"offset {offset} of {state.name!r} lies in the future: its end offset is "
        f"{state.end_offset}",
        channel=state.name,
        offset=offset,
        end_offset=state.end_offset,
    )

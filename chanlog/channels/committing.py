"""Durability for those who must not block: the thread that syncs in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from queue import Empty, Queue, SimpleQueue
from typing import NamedTuple

from ..errors import ChanlogError, LogClosed
from ..host import monotonic
from ..options import nanoseconds
from ..storage.state import ChannelState
from ..storage.store import Draft, Store
from ..storage.syncing import (
    append_durably,
    commit,
    confirm,
    submit,
    sync_all,
    telling_position,
)
from .background import Background
from .leasing import Lessors

__all__ = ["Committer"]

# A sync starts within the interval, so the wait for it must end a little earlier.
_INTERVAL_SHARE = 0.8


class Request(NamedTuple):
    """A task that waits until the log position ``ticket`` is durable."""

    ticket: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]


class Committer:
    """Appends for every handle of a log, and waits for durability in threads and in tasks.

    Its thread starts with the first need, sleeps while nothing is dirty, syncs an interval after
    something is, and at once for tasks that wait. ``SimpleQueue`` is used because putting into it
    is one call of C that no signal can interrupt halfway.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.lessors = Lessors(store)
        self._interval = nanoseconds(store.options.sync_interval, "sync_interval") / 1e9
        timer = store.timer
        self._queue: SimpleQueue[Request | bool] | Queue[Request | bool] = (
            SimpleQueue() if timer is None else timer.queue()
        )
        self._now = monotonic if timer is None else timer.now
        self._background = Background(self._run, "chanlog-sync")
        if store.options.sync == "interval" and store.folder.durable and not store.read_only:
            store.on_dirty = self._dirty

    @property
    def awaits_sync(self) -> bool:
        """Whether the policy makes every publish wait for a sync."""
        return self._store.deferred

    # For threads.

    def submit(self, drafts: Sequence[Draft], durable: bool) -> list[int]:
        """Append, and wait for durability if the policy or ``durable`` asks for it.

        Without drafts, what was to be done has been done, and may not be durable yet.
        """
        try:
            if drafts:
                return submit(self._store, drafts, durable=durable)
        except ChanlogError:
            self.confirm(messages=True)
            raise
        self.confirm()
        return []

    def confirm(self, *, messages: bool = False) -> None:
        """Under ``always``, wait until what can be seen now may be told."""
        confirm(self._store, messages=messages)

    def settle(self, ticket: int) -> None:
        """Wait until the log is durable up to the position ``ticket``."""
        commit(self._store, ticket)

    def append(
        self,
        state: ChannelState,
        body: bytes,
        flags: int,
        count: int,
        type: str | None,
        sender: str | None,
        expect: int | None,
    ) -> int:
        """Append one batch to an existing channel, visible at once, and wait until it is
        durable. For the policies under which readers need not wait for that."""
        store = self._store
        offset, ticket = append_durably(store, state, body, flags, count, type, sender, expect)
        try:
            commit(store, ticket)
        except BaseException:
            store.on_dirty()
            raise
        return offset

    async def aappend(
        self,
        state: ChannelState,
        body: bytes,
        flags: int,
        count: int,
        type: str | None,
        sender: str | None,
        expect: int | None,
    ) -> int:
        """``append`` without blocking the event loop."""
        offset, ticket = append_durably(
            self._store, state, body, flags, count, type, sender, expect
        )
        try:
            await self._until_durable(ticket)
        except BaseException:
            self._store.on_dirty()
            raise
        return offset

    def sync(self) -> None:
        """Wait until everything appended so far is durable."""
        self._store.check_open()
        if not self._store.read_only:
            sync_all(self._store)

    # For tasks.

    async def asubmit(self, drafts: Sequence[Draft], durable: bool) -> list[int]:
        """``submit`` without blocking the event loop."""
        bases: list[int] = []
        try:
            if drafts:
                bases, ticket = self._store.write(drafts, durable=durable)
        except ChanlogError:
            await self.aconfirm(messages=True)
            raise
        if not drafts:
            await self.aconfirm()
        elif durable or self._store.deferred:
            await self._until_durable(ticket)
        return bases

    async def aconfirm(self, *, messages: bool = False) -> None:
        """``confirm`` without blocking the event loop."""
        await self._until_durable(telling_position(self._store, messages=messages))

    async def asettle(self, ticket: int) -> None:
        """``settle`` without blocking the event loop."""
        await self._until_durable(ticket)

    async def async_(self) -> None:
        """``sync`` without blocking the event loop."""
        store = self._store
        store.check_open()
        if not store.read_only:
            await self._until_durable(store.end_position)

    async def _until_durable(self, ticket: int) -> None:
        if self._store.durable >= ticket:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._queue.put(Request(ticket, loop, future))
        self._background.start()
        thread = self._background.thread
        if self._background.stopped and (thread is None or not thread.is_alive()):
            # The log is being closed, and the thread may have looked for the last time.
            self._serve_rest()
        elif thread is None:
            # No thread can be started now. Late is better than never.
            commit(self._store, ticket)
            return
        await future

    # The thread.

    def _dirty(self) -> None:
        """Something was appended that is not durable. Called with the store's lock held."""
        self._queue.put(True)
        if self._background.thread is None:
            self._background.start()
            if self._background.thread is None:
                # No thread can be started now: the next append tries again.
                self._store.dirty = False

    def stop(self) -> None:
        """End the thread, after what is asked of it so far."""
        self._background.stop(lambda: self._queue.put(False))
        self._serve_rest()

    def _run(self) -> None:
        due: float | None = None
        while True:
            requests, dirty, stopping = self._collect(due)
            if dirty and due is None:
                due = self._now() + self._interval * _INTERVAL_SHARE
            if requests:
                self._serve(requests)
            if due is not None and (stopping or self._now() >= due):
                due = None
                self._sync_quietly()
            if stopping:
                return

    def _collect(self, due: float | None) -> tuple[list[Request], bool, bool]:
        """Wait for something to do; returns (requests, whether dirty, whether to stop)."""
        requests: list[Request] = []
        dirty = stopping = False
        try:
            item = self._queue.get(timeout=None if due is None else max(0.0, due - self._now()))
            while True:
                if isinstance(item, Request):
                    requests.append(item)
                elif item:
                    dirty = True
                else:
                    stopping = True
                item = self._queue.get_nowait()
        except Empty:
            return requests, dirty, stopping

    def _sync_quietly(self) -> None:
        try:
            sync_all(self._store)
        except (ChanlogError, OSError):
            # The log is failed or closed, and says so to whoever uses it next.
            return

    def _serve(self, requests: list[Request]) -> None:
        error: BaseException | None = None
        try:
            commit(self._store, max(request.ticket for request in requests))
        except (ChanlogError, OSError) as failure:
            error = failure
        answer(requests, error, self._store.durable)

    def _serve_rest(self) -> None:
        rest = []
        try:
            while True:
                item = self._queue.get_nowait()
                if isinstance(item, Request):
                    rest.append(item)
        except Empty:
            answer(rest, LogClosed("the log was closed"), self._store.durable)


def answer(requests: list[Request], error: BaseException | None, durable: int) -> None:
    """Resolve the futures, with one call into each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Request]] = {}
    for request in requests:
        loops.setdefault(request.loop, []).append(request)
    for loop, some in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, some, error, durable)
        except RuntimeError:
            # The loop is closed, and its tasks with it.
            continue


def _resolve(requests: list[Request], error: BaseException | None, durable: int) -> None:
    for request in requests:
        if request.future.done():
            continue
        if error is not None and request.ticket > durable:
            request.future.set_exception(error)
        else:
            request.future.set_result(None)

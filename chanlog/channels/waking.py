"""Waking: each channel knows who waits on it, and a publish wakes those and no others.

A wake-up is a hint and carries no data: whoever is woken looks at the log. So none can be lost by
a waiter that dies, and waking one too many does no harm.
"""

from __future__ import annotations

import asyncio
from asyncio.events import _get_running_loop
from collections import deque
from collections.abc import Iterable
from threading import TIMEOUT_MAX, Lock, get_ident, main_thread
from typing import Any
from weakref import WeakKeyDictionary, ref

from ..errors import InvalidOption
from ..host import monotonic
from ..storage.state import ChannelState
from ..storage.store import Store

__all__ = [
    "ChannelListeners",
    "Filter",
    "TaskWaiter",
    "ThreadWaiter",
    "Waiter",
    "listeners_of",
    "stop_waiting",
]


class Filter:
    """Which messages a subscription lets pass: of these types, and not of this sender."""

    __slots__ = ("sender", "types")

    def __init__(self, types: frozenset[str] | None, sender: str | None) -> None:
        self.types = types
        self.sender = sender

    @classmethod
    def asked(
        cls, types: Iterable[str] | None, echo: bool, sender: str | None, channel: str
    ) -> Filter | None:
        """The filter that the arguments of ``Channel.subscribe`` ask for, if they ask for one.
        ``sender`` is that of the handle. Raises ``InvalidOption``."""
        if not echo and sender is None:
            raise InvalidOption(
                "echo=False leaves out this handle's own messages, and it has no sender; use "
                f"log.channel({channel!r}, sender=...)",
                option="echo",
            )
        if types is None:
            return None if echo else cls(None, sender)
        chosen = frozenset((types,) if isinstance(types, str) else types)
        for type in chosen:
            if not isinstance(type, str):
                raise InvalidOption(f"types are str, not {type!r}", option="types")
        return cls(chosen, None if echo else sender)

    def passes(self, type: str | None, sender: str | None) -> bool:
        """Whether a message of this type and sender passes."""
        if self.types is not None and type not in self.types:
            return False
        return self.sender is None or sender != self.sender


class ThreadWaiter:
    """One thread that waits. A bare lock costs a fraction of what a ``Condition`` does."""

    __slots__ = ("_lock", "filter", "woken")

    # A thread always comes back from waiting.
    abandoned = False
    is_dead = False

    def __init__(self, filter: Filter | None) -> None:
        self.filter = filter
        self.woken = False
        self._lock = Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """Let the thread go on. From any thread, any number of times."""
        if not self.woken:
            # Released before it says so, for an interrupt between the two may not leave it asleep.
            # Two threads may wake it at once.
            try:  # noqa: SIM105 - a context manager would cost more than the wake-up
                self._lock.release()
            except RuntimeError:
                pass
            self.woken = True

    def wait(self, timeout: float | None) -> bool:
        """Wait for that, up to ``timeout`` seconds; returns whether it came."""
        if get_ident() != main_thread().ident:
            return self._lock.acquire(timeout=-1 if timeout is None else min(timeout, TIMEOUT_MAX))
        # A signal that arrives just before the thread begins to wait does not end the wait, and
        # only the main thread runs handlers: so that Ctrl-C is never lost, begin anew at times.
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            left = _SIGNAL_SECONDS if deadline is None else deadline - monotonic()
            if self._lock.acquire(timeout=max(0.0, min(left, _SIGNAL_SECONDS))):
                return True
            if left <= _SIGNAL_SECONDS and deadline is not None:
                return False


_SIGNAL_SECONDS = 1.0


class LoopHub:
    """All tasks of one event loop that are to be woken: one call into the loop for a burst.

    It is found through its loop and must not keep it alive, so it has none: each future knows it.
    """

    __slots__ = ("_pending", "_scheduled")

    def __init__(self) -> None:
        self._pending: deque[asyncio.Future[None]] = deque()
        self._scheduled = False

    def wake(self, future: asyncio.Future[None]) -> None:
        """Resolve ``future`` in its loop. From any thread."""
        self._pending.append(future)
        if self._scheduled:
            return
        try:
            self._scheduled = True
            future.get_loop().call_soon_threadsafe(self._flush)
        except RuntimeError:
            # The loop is closed, so nobody waits in it any more.
            self._pending.clear()
            self._scheduled = False
        except BaseException:
            # Interrupted: nobody knows whether it was called, and calling again does no harm.
            self._scheduled = False
            raise

    def _flush(self) -> None:
        # Cleared first: whoever appends from now on schedules again, or is still seen below.
        self._scheduled = False
        while self._pending:
            resolve(self._pending.popleft())


def resolve(future: asyncio.Future[None]) -> None:
    """Resolve a future unless it was cancelled. In its loop."""
    if not future.done():
        future.set_result(None)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopHub] = WeakKeyDictionary()


def hub_of(loop: asyncio.AbstractEventLoop) -> LoopHub:
    """The hub of an event loop. For whoever runs in it, so that no two make one at once; a lock
    could be held in the moment of a fork, and the child would wait for it for ever."""
    hub = _hubs.get(loop)
    if hub is None:
        # A loop that was closed before it came to wake its tasks is kept by what is pending.
        for reference in _hubs.keyrefs():
            other = reference()
            if other is not None and other.is_closed():
                _hubs.pop(other, None)
        hub = _hubs[loop] = LoopHub()
    return hub


class TaskWaiter:
    """One task that waits in an event loop. ``abandoned`` is set when the task is collected
    instead of being woken."""

    __slots__ = ("_hub", "_loop", "abandoned", "filter", "future", "woken")

    def __init__(self, loop: asyncio.AbstractEventLoop, filter: Filter | None) -> None:
        self.filter = filter
        self.abandoned = False
        self.woken = False
        self.future: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._hub = hub_of(loop)

    def wake(self) -> None:
        """Let the task go on. From any thread, any number of times."""
        if not self.woken:
            if _get_running_loop() is self._loop:
                resolve(self.future)
            else:
                self._hub.wake(self.future)
            # After it was done, as above.
            self.woken = True

    @property
    def is_dead(self) -> bool:
        """Whether the task can never go on, because its loop is closed."""
        return self.abandoned or self._loop.is_closed()


Waiter = ThreadWaiter | TaskWaiter


class Tail:
    """The last messages of one type: where they end, and where those of others than the last
    sender end. So for any sender it is known at once whether anybody else has said something."""

    __slots__ = ("__weakref__", "end", "other_end", "sender", "since")

    def __init__(self, since: int) -> None:
        # From which offset on it knows everything.
        self.since = since
        self.end = 0
        self.sender: str | None = None
        self.other_end = 0

    def note(self, sender: str | None, end: int) -> None:
        """A message of ``sender`` was published; the channel's end offset is ``end``."""
        if sender != self.sender:
            self.other_end = self.end
            self.sender = sender
        self.end = end

    def end_without(self, sender: str | None) -> int:
        """Where the messages of all but ``sender`` end; with ``None``, of all."""
        if sender is None or self.sender != sender:
            return self.end
        return self.other_end


_SWEEP_MIN = 16


class ChannelListeners:
    """Whoever waits on one channel, and the tails that filtered subscriptions look at.

    Guarded by the store's lock, except that ``forget`` may come at any moment, in the middle of
    another method too. So those copy what they iterate over, which is one step of C. ``tails`` has
    the types somebody has asked for, ``total`` is for those who only leave out their own.
    """

    __slots__ = ("_sweep_at", "_tails_sweep_at", "_woken", "tails", "total", "waiting")

    def __init__(self) -> None:
        self._sweep_at = self._tails_sweep_at = _SWEEP_MIN
        self.waiting: dict[Waiter, None] = {}
        # The waiters that were taken last: if a signal interrupts whoever took them before they
        # are woken, ``changed`` still finds them.
        self._woken: dict[Waiter, None] = {}
        # Weakly, for a subscription that is dropped tells nobody, and each may ask for a type of
        # its own.
        self.tails: dict[str | None, ref[Tail]] = {}
        self.total: Tail | None = None

    def published(self, type: str | None, sender: str | None, end: int) -> list[Any] | None:
        """Note it, and take those who wait for such a message."""
        if self.tails:
            tracked = self.tails.get(type)
            tail = tracked() if tracked is not None else None
            if tail is not None:
                tail.note(sender, end)
        if self.total is not None:
            self.total.note(sender, end)
        if not self.waiting and not self._woken:
            return None
        # Those taken before and not woken yet: a signal may have hit whoever was to do it.
        late = list(self._woken)
        if late:
            late = [waiter for waiter in late if not waiter.woken]
        waiting = list(self.waiting)
        taken = waiting
        if len(waiting) != 1 or waiting[0].filter is not None:
            taken = [w for w in waiting if w.filter is None or w.filter.passes(type, sender)]
        taken_and_late = late + taken
        # Without any, all were woken, so there is nobody to keep.
        self._woken = dict.fromkeys(taken_and_late)
        if len(taken) == len(waiting):
            self.waiting = {}
        else:
            for waiter in taken:
                self.waiting.pop(waiter, None)
        return taken_and_late or None

    def add(self, waiter: Waiter) -> None:
        """``waiter`` waits from now on."""
        self.waiting[waiter] = None
        if len(self.waiting) >= self._sweep_at:
            # Twice as many as were alive, so that a sweep costs each who comes next to nothing.
            self._sweep_at = max(_SWEEP_MIN, 2 * self.count())

    def count(self) -> int:
        """How many wait. Those whose event loop has died are forgotten: it did not tell, and no
        publish may ever come to find out."""
        for waiter in list(self.waiting):
            if waiter.is_dead:
                self.forget(waiter)
        return len(self.waiting)

    def changed(self) -> list[Any]:
        """Take everybody who waits, and those taken last."""
        self._woken = {**self._woken, **self.waiting}
        self.waiting = {}
        return list(self._woken)

    def forget(self, waiter: Waiter) -> None:
        """``waiter`` does not wait any more, and must not keep its event loop alive. Without the
        lock it may stay among those woken last until others are."""
        self.waiting.pop(waiter, None)
        self._woken.pop(waiter, None)

    def skipped(self, end: int) -> list[Any]:
        """Messages below ``end`` have come whose types nobody told: take everybody who waits."""
        for tail in (*(tracked() for tracked in self.tails.values()), self.total):
            if tail is not None:
                tail.since = end
        return self.changed()

    def track(self, type: str, end: int) -> Tail:
        """The tail of a type, which knows everything from ``end`` on at the latest."""
        tracked = self.tails.get(type)
        tail = tracked() if tracked is not None else None
        if tail is None:
            tail = Tail(end)
            self.tails[type] = ref(tail)
            if len(self.tails) >= self._tails_sweep_at:
                self.tails = {t: kept for t, kept in self.tails.items() if kept() is not None}
                self._tails_sweep_at = max(_SWEEP_MIN, 2 * len(self.tails))
        return tail

    def track_total(self, end: int) -> Tail:
        """The same for messages of every type."""
        if self.total is None:
            self.total = Tail(end)
        return self.total


def listeners_of(store: Store, state: ChannelState) -> ChannelListeners:
    """The listeners of a channel, made if there are none. With the store's lock held."""
    listeners = state.listeners
    if listeners is None:
        # Listed first: of a signal in between nothing is left but an entry that says nothing.
        store.listening.add(state)
        listeners = state.listeners = ChannelListeners()
    assert isinstance(listeners, ChannelListeners)
    return listeners


def stop_waiting(store: Store, state: ChannelState, waiter: Waiter) -> None:
    """``waiter`` does not wait on the channel any more, if it ever did."""
    listeners = state.listeners
    if not isinstance(listeners, ChannelListeners):
        return
    if waiter.abandoned or (waiter.woken and isinstance(waiter, ThreadWaiter)):
        # A task that nobody holds is collected wherever the collector happens to run, also in
        # a thread that has the lock already. And a thread that was woken need not queue for a
        # lock that publishers are busy with: it keeps nothing alive.
        listeners.forget(waiter)
        return
    with store.lock:
        listeners.forget(waiter)

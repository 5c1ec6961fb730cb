"""Leasing: handing the messages of a channel to the consumers of a group, each to one of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from ..errors import LeaseLost, LogClosed, OffsetTrimmed
from ..format.batch import MESSAGES, META
from ..format.body import encode_meta
from ..format.payload import pack
from ..group import GroupInfo, dead_letter_headers
from ..message import Gap, Message
from ..storage.applying import wake
from ..storage.reading import Reader
from ..storage.refusals import sealed
from ..storage.state import ChannelState
from ..storage.store import Draft, Store
from .folding import ACKED, DEAD, DELIVERED, RETURNED, GroupState
from .journal import Journal
from .waking import ChannelListeners, Waiter, listeners_of, stop_waiting

__all__ = ["Lease", "Lessor", "Lessors", "Look", "Terms"]

_SWEEP_MIN = 64


class Terms(NamedTuple):
    """What a consumer asks for."""

    lease_ns: int
    deliveries_max: int | None
    dead_letter: str | None
    by_key: bool


class Lease(NamedTuple):
    """A message that was handed out, for which time, and in which life of the group."""

    message: Message
    deliveries: int
    life: ChannelState


class Look(NamedTuple):
    """What a consumer has found: a lease; or in how many nanoseconds to look again at the latest
    (``None``: not before something happens); or that all is ``over``. ``ticket`` is the log
    position that must be durable before any of it may be told."""

    lease: Lease | None
    wait_ns: int | None
    over: bool
    ticket: int


class Lessor:
    """One group of one channel: all handles of its name in a log share it. From any thread.

    ``_lock`` guards everything, and is taken before the store's. An event is appended to the
    companion first, which is when it has happened, and taken into ``_group`` then. ``_whole`` says
    that the last change came to its end; if a signal or an error has kept it from that, whoever is
    next folds all events anew.

    Consumers that wait do so among the listeners of the channel, so each publish wakes them, and
    among ``_waiters``, for whatever else becomes available at once. For what becomes available
    with time each waits no longer than ``Look.wait_ns``. Whatever is leased now became available
    in one of these ways, so all who waited then have looked again since, and know of that lease.
    """

    def __init__(self, store: Store, state: ChannelState, name: str, lessors: Lessors) -> None:
        self.state = state
        self.name = name
        self.timer = store.timer
        self._store = store
        self._lessors = lessors
        self._lock = Lock()
        self._group = GroupState()
        self._whole = False
        self._journal = Journal(store, state, name)
        self._reader = Reader(store, state)
        self._buffer: deque[Message] = deque()
        self._waiters = ChannelListeners()
        self._clock_ns = 0
        self._shift_ns = 0

    # For consumers.

    def look(self, terms: Terms) -> Look:
        """Lease the next message, if there is one. Never waits for one, nor for durability.

        Raises ``ChannelDeleted``, ``ReadOnly``, and what keeps the log, or the dead-letter
        channel, from being written.
        """
        self._check()
        # Asked before the end offset: what is published before an end is seen before it.
        ended = self.state.ended
        ticket, lease, wait_ns = 0, None, None
        waiters: list[Any] = []
        with self._lock:
            self._begin()
            dead = self._group.dead
            if terms.by_key and self._group.lines is None:
                self._group.line_up(self._keys())
            now = self._now()
            while (message := self._next(now, terms.by_key)) is not None:
                entry = self._group.entries.get(message.offset)
                deliveries = 1 if entry is None else entry.deliveries + 1
                if terms.deliveries_max is None or deliveries <= terms.deliveries_max:
                    ticket = self._lend(message, deliveries, now + terms.lease_ns)
                    lease = Lease(message, deliveries, self._journal.life)
                    break
                ticket = self._bury(message, deliveries - 1, terms.dead_letter)
            if lease is None:
                due_ns = self._group.next_due(now)
                wait_ns = None if due_ns is None else due_ns - now
            over = lease is None and ended and self._group.is_done(self.state.end_offset)
            if over and self._store.deferred:
                # What others have done with it may not be durable yet.
                ticket = self._store.end_position
            if self._group.dead != dead:
                waiters = self._freed()
            self._end()
        wake(waiters)
        return Look(lease, wait_ns, over, ticket)

    def ack(self, lease: Lease) -> int:
        """The message is done with. Returns the log position that must be durable before it may
        be told, as the others do; raises ``LeaseLost``."""
        self._check()
        offset = lease.message.offset
        with self._lock:
            self._begin()
            if not self._claim(lease):
                return 0
            ticket = self._journal.append([ACKED, offset])
            self._group.done(offset)
            waiters = self._freed()
            self._end()
        wake(waiters)
        return ticket

    def nak(self, lease: Lease, delay_ns: int) -> int:
        """The message is to be delivered again, after a delay."""
        self._check()
        offset = lease.message.offset
        with self._lock:
            self._begin()
            if not self._claim(lease):
                return 0
            due_ns = self._now() + delay_ns
            ticket = self._journal.append([RETURNED, offset, due_ns, delay_ns])
            self._group.returned(offset, due_ns, delay_ns)
            # Also with a delay: they may have been about to wait for longer.
            waiters = self._waiters.changed()
            self._end()
        wake(waiters)
        return ticket

    def extend(self, lease: Lease, lease_ns: int) -> int:
        """The lease begins anew."""
        self._check()
        with self._lock:
            self._begin()
            if not self._claim(lease):
                return 0
            ticket = self._lend(lease.message, lease.deliveries, self._now() + lease_ns)
            self._end()
        return ticket

    def info(self) -> GroupInfo:
        """The numbers of now."""
        store, state = self._store, self.state
        if store.halted:
            store.check_open()
            store.look()
        with self._lock:
            if store.read_only:
                self._whole = False
            self._begin()
            end = state.end_offset
            self._group.forget(state.start_offset)
            found = self._group.info(self.name, end, self._now())
            self._end()
        # Not from inside of the ``with``: its last steps are not covered there.
        return found

    def delete(self) -> int:
        """Forget the group: what is leased is lost, and the next look begins anew."""
        self._check()
        with self._lock:
            self._begin()
            ticket = self._journal.delete()
            self._lessors.let_go(self)
            waiters = self._waiters.changed()
        wake(waiters)
        return ticket

    # Waiting.

    def join(self, waiter: Waiter) -> None:
        """Have ``waiter`` woken by whatever comes. To be left again in any case; and look before
        you wait."""
        store = self._store
        with self._lock:
            self._waiters.add(waiter)
        with store.lock:
            if store.exiting:
                raise LogClosed("the interpreter is exiting, and nobody will publish any more")
            listeners_of(store, self.state).add(waiter)

    def leave(self, waiter: Waiter) -> None:
        """``waiter`` does not wait any more."""
        self._waiters.forget(waiter)
        stop_waiting(self._store, self.state, waiter)

    # With the lock held.

    def _check(self) -> None:
        """Before the lock is taken: in a forked child it may be held by a thread that is not
        there."""
        if self._store.halted:
            self._store.check_writable()

    def _begin(self) -> None:
        """Before something changes: have all that was kept, and not too much of it."""
        if self.state.deleted:
            raise sealed(self.state)
        if not self._whole or self._journal.life.deleted:
            self._group = self._journal.load(self._now())
        self._whole = False
        self._journal.tidy(self._group)

    def _freed(self) -> list[Any]:
        """Whom to wake because something has become available at once, or all is over."""
        group = self._group
        free = group.passed if group.lines is None else group.free
        if group.ready or free or (self.state.ended and group.is_done(self.state.end_offset)):
            return self._waiters.changed()
        return []

    def _end(self) -> None:
        """After something has changed."""
        if self._group.entries:
            self._lessors.keep(self)
        else:
            self._lessors.let_go(self)
        self._whole = True

    def _claim(self, lease: Lease) -> bool:
        """Whether the message is still there for whom it was leased to. Raises ``LeaseLost``."""
        offset = lease.message.offset
        entry = self._group.entries.get(offset)
        if (
            lease.life is self._journal.life
            and entry is not None
            and entry.deliveries == lease.deliveries
            and entry.delay_ns is None
        ):
            return True
        self._end()
        if lease.life is self._journal.life and offset < self.state.start_offset:
            return False
        raise LeaseLost(
            f"the lease of offset {offset} of {self.state.name!r} in the group {self.name!r} is "
            "over: another consumer has it, or had it, or it was given back. Make what handles it "
            "do no harm when it is done twice, or take a longer lease, or extend() it in time",
            channel=self.state.name,
            group=self.name,
            offset=offset,
        )

    def _now(self) -> int:
        """Nanoseconds since 1970, as the clock goes; where it jumps back, time goes on from where
        it was, so that no lease lasts longer for that."""
        now = self._store.clock()
        if now < self._clock_ns:
            self._shift_ns += self._clock_ns - now
        self._clock_ns = now
        return now + self._shift_ns

    # Finding.

    def _next(self, now_ns: int, by_key: bool) -> Message | None:
        """The next message to deliver: again, or after it was passed over, or for the first
        time."""
        while True:
            self._group.forget(self.state.start_offset)
            offset = self._group.choose(now_ns, by_key)
            try:
                return self._new(by_key) if offset is None else self._read(offset)
            except OffsetTrimmed:
                # Just now.
                continue

    def _new(self, by_key: bool) -> Message | None:
        group = self._group
        end = self.state.end_offset
        while (message := self._peek(end)) is not None:
            key = message.key
            if not by_key or key is None or group.lines is None or key not in group.lines:
                return message
            group.pass_over(message.offset, key)
        return None

    def _peek(self, end: int) -> Message | None:
        """The message that nobody has looked at yet."""
        offset, buffer = self._group.next, self._buffer
        while buffer and buffer[0].offset < offset:
            buffer.popleft()
        if buffer and buffer[0].offset == offset:
            return buffer[0]
        buffer.clear()
        if offset >= end:
            return None
        message = self._reader.newest(offset) if offset == end - 1 else None
        if message is None:
            buffer.extend(self._reader.run(offset, end).messages())
            message = buffer[0]
        return message

    def _read(self, offset: int) -> Message:
        reader = Reader(self._store, self.state)
        message = reader.run(offset, offset + 1).messages()[0]
        if isinstance(message, Gap):
            # All of it, as it was at first.
            message = reader.run(offset, self._group.next).messages()[0]
        return message

    def _keys(self) -> Callable[[int], str | None]:
        """Tells the keys of messages, quickly if it is asked in the order of offsets."""
        reader = Reader(self._store, self.state)

        def key_of(offset: int) -> str | None:
            try:
                return reader.run(offset, offset + 1).messages()[0].key
            except OffsetTrimmed:
                return None

        return key_of

    # Deciding.

    def _lend(self, message: Message, deliveries: int, due_ns: int) -> int:
        offset = message.offset
        count = message.missing if isinstance(message, Gap) else 1
        ticket = self._journal.append([DELIVERED, offset, count, deliveries, due_ns])
        self._group.delivered(offset, count, deliveries, due_ns, message.key, 0)
        return ticket

    def _bury(self, message: Message, deliveries: int, dead_letter: str | None) -> int:
        """Give a message up: it is dead, and a dead letter if there is a channel for it, in one
        frame."""
        letters = []
        if dead_letter is not None and not isinstance(message, Gap):
            headers = dead_letter_headers(message, self.state.name, self.name, deliveries)
            meta = encode_meta(None, message.type, message.key, headers, message.sender)
            with self._store.lock:
                target = self._store.table.address(dead_letter)
            # Whatever its size: it was not too large when it was published.
            letters.append(Draft(target, MESSAGES, pack(message.data) + meta, META, 1))
        dead = self._group.dead + 1
        ticket = self._journal.append([DEAD, message.offset, dead], letters)
        self._group.done(message.offset)
        self._group.dead = dead
        return ticket


class Lessors:
    """The lessors of a log. One that nobody holds is folded anew when it is needed again; but one
    that has leased something, or was given something back, is kept."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._all: WeakValueDictionary[tuple[ChannelState, str], Lessor] = WeakValueDictionary()
        self._kept: set[Lessor] = set()
        self._sweep_at = _SWEEP_MIN

    def of(self, state: ChannelState, name: str) -> Lessor:
        """The lessor of a group; in no forked child."""
        with self._lock:
            lessor = self._all.get((state, name))
            if lessor is None:
                lessor = self._all[state, name] = Lessor(self._store, state, name, self)
        return lessor

    def keep(self, lessor: Lessor) -> None:
        """It knows of leases that nobody else does."""
        self._kept.add(lessor)
        if len(self._kept) >= self._sweep_at:
            # Nobody tells of a channel that was deleted.
            for kept in list(self._kept):
                if kept.state.deleted:
                    self._kept.discard(kept)
            self._sweep_at = max(_SWEEP_MIN, 2 * len(self._kept))

    def let_go(self, lessor: Lessor) -> None:
        """It knows of nothing but what is kept in the log."""
        self._kept.discard(lessor)

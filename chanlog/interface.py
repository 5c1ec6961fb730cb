"""What every backend provides: the words of chanlog as abstract classes.

The embedded log implements all of it. Whatever may wait, for a disk here or for a network
elsewhere, has a coroutine twin with the prefix ``a``; the twin may be called from any event loop
and never blocks it. Every method may be called from any thread. A ``Subscription`` (and the loop
of a ``Cursor``) is for one consumer at a time; everything else may be shared.

Every call may raise :class:`~chanlog.errors.LogClosed` once the log is closed and
:class:`~chanlog.errors.ForkedProcess` in a forked child.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from .capabilities import Capabilities
from .group import Group, GroupInfo
from .message import Message
from .options import Retention

__all__ = [
    "Channel",
    "ChannelInfo",
    "Cursor",
    "Frame",
    "Log",
    "Producer",
    "Replay",
    "Statistics",
    "Subscription",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelInfo:
    """One consistent snapshot of a channel.

    ``start_offset`` is the first offset still readable, ``end_offset`` the next one to be written,
    ``durable_offset`` the one below which everything survives power loss. ``created`` is ``None``
    while the channel does not exist; ``last`` is the time of the last message, if there was one.
    ``cursors`` maps names to positions, ``producers`` names to (epoch, next sequence), ``groups``
    names to what they are at. ``parent`` is (name or ``None`` if deleted, offset) for a fork.
    ``stored`` is how many messages there are where offsets are not dense, else ``None``.
    """

    name: str
    exists: bool
    ended: bool
    start_offset: int
    end_offset: int
    durable_offset: int
    created: datetime | None
    last: datetime | None
    retention: Retention
    cursors: Mapping[str, int] = field(default_factory=dict)
    producers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    parent: tuple[str | None, int] | None = None
    groups: Mapping[str, GroupInfo] = field(default_factory=dict)
    stored: int | None = None

    @property
    def count(self) -> int:
        """How many messages can be read."""
        return self.end_offset - self.start_offset if self.stored is None else self.stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What a log holds and has done since it was opened. Sizes are in bytes.

    ``channels`` exist; ``channels_in_memory`` of them have changed since the last catalog and are
    held as objects. ``segments`` are files, of which ``segments_clustered`` have been rewritten;
    all files take ``disk_bytes`` of the disk, and ``unsynced_bytes`` are not durable yet.
    ``appends`` counts batches and frames (a batch may hold many messages), ``syncs`` successful
    syncs, ``compactions`` segments rewritten. ``waiters`` are waiting for a message now.
    """

    channels: int
    channels_in_memory: int
    segments: int
    segments_clustered: int
    disk_bytes: int
    unsynced_bytes: int
    appends: int
    syncs: int
    waiters: int
    compactions: int
    failed: bool


class Subscription(ABC):
    """A reader that replays from an offset and then waits for more.

    Iterating (``for``, ``async for``) ends when the channel has ended or the subscription is
    closed. Nothing is queued for it: however slow it is, it costs the publisher nothing.
    One consumer at a time, which may be a thread or a task of any loop.

    >>> import chanlog
    >>> with chanlog.open() as log:
    ...     channel = log.channel("workflow-42")
    ...     offsets = channel.publish_many(["Hel", "lo"], type="token")
    ...     with channel.subscribe(after=0) as reader:
    ...         reader.get().data
    ...         reader.get(timeout=0), reader.ready
    'lo'
    (None, False)
    """

    __slots__ = ()

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether ``get`` would answer at once, with a message or by raising (at the end, say).

        Never waits. With a filter by type it costs the same however many messages of other types
        were published meanwhile, so it may be asked between two tokens.
        """

    @property
    @abstractmethod
    def offset(self) -> int:
        """The next offset that this subscription will look at."""

    @abstractmethod
    def get(self, timeout: float | None = None) -> Message | None:
        """The next message, waiting up to ``timeout`` seconds (``None``: for ever; 0: not at all).

        Returns ``None`` when time is up. Raises ``EndOfChannel`` at the end of an ended channel,
        ``OffsetTrimmed`` if the next message was trimmed before it was read, ``ChannelDeleted``,
        ``CorruptionError``, ``HandleClosed``. Blocks the thread, never the other threads.
        """

    @abstractmethod
    async def aget(self, timeout: float | None = None) -> Message | None:
        """``get`` for an event loop. Cancelling it loses nothing: the message is still next."""

    @abstractmethod
    def seek(self, offset: int) -> None:
        """Go on from ``offset``: the next message is that one, or the first behind it that passes
        the filter. Up to the end offset, else ``UnknownOffset``; below the start offset the next
        ``get`` raises ``OffsetTrimmed``. For the consumer's own thread or task."""

    async def aseek(self, offset: int) -> None:
        """``seek`` without blocking the event loop."""
        self.seek(offset)

    @abstractmethod
    def close(self) -> None:
        """Give the reader back, from any thread: a waiting ``get`` raises ``HandleClosed``, a loop
        ends. Nothing is lost that way; subscribe again ``after`` the last message."""

    @abstractmethod
    def __iter__(self) -> Iterator[Message]: ...

    @abstractmethod
    def __next__(self) -> Message: ...

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Message]: ...

    @abstractmethod
    async def __anext__(self) -> Message: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class Replay(ABC):
    """History only, from ``start`` to ``stop``, at full speed; it never waits for more.

    Each way of iterating starts anew, so one ``Replay`` may be walked many times.

    >>> import chanlog
    >>> with chanlog.open() as log:
    ...     channel = log.channel("workflow-42")
    ...     offsets = channel.publish_many("abcdef")
    ...     [message.offset for message in channel.replay(2, 4)]
    ...     list(channel.replay(2, 4).data())
    [2, 3]
    ['c', 'd']
    """

    __slots__ = ()

    @abstractmethod
    def __iter__(self) -> Iterator[Message]:
        """The messages, in order."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Message]:
        """The messages, letting other tasks run between batches."""

    @abstractmethod
    def batches(self) -> Iterator[Sequence[Message]]:
        """The messages in lists, as they were stored together."""

    @abstractmethod
    def data(self) -> Iterator[Any]:
        """The payloads alone: the fastest way there is. Raises ``CorruptionError`` at a gap."""


class Cursor(ABC):
    """A named, durable position of a consumer in a channel.

    ``for message in cursor`` reads from the committed position on and then waits for more. What
    was read and not committed is read again by whoever opens the cursor next. Two handles of one
    cursor share the committed position, and each reads for itself.

    >>> import chanlog
    >>> with chanlog.open() as log:
    ...     channel = log.channel("workflow-42")
    ...     offsets = channel.publish_many(["a", "b"])
    ...     cursor = channel.cursor("billing")
    ...     cursor.commit(cursor.get())
    ...     cursor.position(), cursor.lag()
    (1, 1)
    """

    __slots__ = ()

    name: str

    @abstractmethod
    def position(self) -> int:
        """The committed position: the offset of the first message not yet committed."""

    @abstractmethod
    def commit(self, message: Message | int, *, durable: bool = False) -> None:
        """Store that ``message`` (or the message at an offset), and all before it, is done with:
        the position becomes its offset plus one.

        As durable as a publish under the log's sync policy. Committing what is committed already
        is fine; committing less raises ``CommitBehind``, so that a consumer which was replaced
        notices. Raises ``UnknownOffset`` for a message that is not there yet.
        """

    @abstractmethod
    async def acommit(self, message: Message | int, *, durable: bool = False) -> None:
        """``commit`` without blocking the event loop."""

    @abstractmethod
    def seek(self, offset: int) -> None:
        """Move the cursor to ``offset``, forward or back, durably; reading goes on from there."""

    @abstractmethod
    async def aseek(self, offset: int) -> None:
        """``seek`` without blocking the event loop."""

    @abstractmethod
    def lag(self) -> int:
        """How many messages are published and not committed: end offset less position."""

    @abstractmethod
    async def alag(self) -> int:
        """``lag`` without blocking the event loop."""

    @abstractmethod
    def delete(self) -> None:
        """Forget the cursor, durably."""

    @abstractmethod
    async def adelete(self) -> None:
        """``delete`` without blocking the event loop."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether ``get`` would answer at once."""

    @abstractmethod
    def get(self, timeout: float | None = None) -> Message | None:
        """The next message not yet read through this handle; see ``Subscription.get``."""

    @abstractmethod
    async def aget(self, timeout: float | None = None) -> Message | None:
        """``get`` for an event loop."""

    @abstractmethod
    def __iter__(self) -> Iterator[Message]: ...

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Message]: ...

    @abstractmethod
    def close(self) -> None:
        """Give the reader back. What was committed stays."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class Producer(ABC):
    """A named writer with an epoch and a sequence: retries never double, the old are fenced.

    Each message has a sequence, counted from 0 over the whole life of the producer, across epochs.
    Publishing a sequence again returns the offset it got first and writes nothing. Opening the
    same name with a higher epoch fences the lower one for good. Threads may share a producer;
    without ``sequence`` their messages are numbered in the order in which they come.

    >>> import chanlog
    >>> with chanlog.open() as log:
    ...     first = log.channel("workflow-42").producer("agent", epoch=1)
    ...     first.publish("a", sequence=0), first.publish("a", sequence=0)
    (0, 0)

    >>> with chanlog.open() as log:
    ...     first = log.channel("workflow-42").producer("agent", epoch=1)
    ...     second = log.channel("workflow-42").producer("agent", epoch=2)
    ...     first.publish("b")
    Traceback (most recent call last):
        ...
    chanlog.errors.ProducerFenced: epoch 1 of the producer 'agent' of 'workflow-42' is over: ...
    """

    __slots__ = ()

    name: str
    epoch: int

    @abstractmethod
    def sequence(self) -> int:
        """The next sequence: how many messages this producer has published in the channel."""

    @abstractmethod
    def publish(
        self,
        data: Any,
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        sequence: int | None = None,
        durable: bool = False,
    ) -> int:
        """Publish as ``sequence`` (default: the next one) and return the offset.

        Raises ``SequenceGap`` for a sequence from the future, ``ProducerFenced`` once a newer
        epoch has opened, ``SequenceExpired`` if it was published too long ago to say where.
        """

    @abstractmethod
    async def apublish(
        self,
        data: Any,
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        sequence: int | None = None,
        durable: bool = False,
    ) -> int:
        """``publish`` without blocking the event loop."""

    @abstractmethod
    def publish_many(
        self,
        items: Iterable[Any],
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        sequence: int | None = None,
        durable: bool = False,
    ) -> Sequence[int]:
        """Publish all or nothing, ``items[i]`` as ``sequence + i``; those known are not doubled."""

    @abstractmethod
    async def apublish_many(
        self,
        items: Iterable[Any],
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        sequence: int | None = None,
        durable: bool = False,
    ) -> Sequence[int]:
        """``publish_many`` without blocking the event loop."""


class Channel(ABC):
    """A named, durable, two-way address in a log. Opening one costs and changes nothing; it comes
    into being with the first thing that is stored in it: a message most often, or by ``fork``,
    ``configure``, ``producer``, ``end``, or the ``seek`` of a cursor.

    >>> import chanlog
    >>> with chanlog.open() as log:
    ...     agent = log.channel("workflow-42", sender="agent")
    ...     agent.publish({"text": "Hel"}, type="token")
    ...     agent.publish({"text": "lo"}, type="token", expect=1)
    ...     [message.data["text"] for message in agent.replay()]
    0
    1
    ['Hel', 'lo']
    """

    __slots__ = ()

    name: str
    sender: str | None

    @abstractmethod
    def publish(
        self,
        data: Any,
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        expect: int | None = None,
        durable: bool = False,
    ) -> int:
        """Append one message and return its offset.

        ``data`` is whatever msgpack carries (``None``, bool, int of 64 bits, float, str, bytes,
        list, dict; tuples come back as lists); ``bytes`` pass untouched. ``type`` and ``key`` are
        strings, ``headers`` map strings to such values; what they mean is up to you.

        With ``durable`` it is on stable storage before the call returns; without, the log's sync
        policy decides, and it survives the death of this process in any case. With ``expect`` it
        is written only if that is the channel's end offset, else ``UnexpectedOffset``.

        Raises ``PayloadError``, ``MessageTooLarge`` (over ``message_bytes_max`` as stored, with
        headers), ``InvalidOption``, ``ChannelEnded``, ``ChannelDeleted``, ``DiskFull`` (nothing was
        written), ``LogFailed``, ``ReadOnly``. Blocks only for durability, and for the moment in
        which a new segment is made.
        """

    @abstractmethod
    async def apublish(
        self,
        data: Any,
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        expect: int | None = None,
        durable: bool = False,
    ) -> int:
        """``publish`` without blocking the event loop. Cancelled, it has happened once or not."""

    @abstractmethod
    def publish_many(
        self,
        items: Iterable[Any],
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        expect: int | None = None,
        durable: bool = False,
    ) -> Sequence[int]:
        """Append one message for each item, all or nothing, and return their offsets in order.

        ``items`` is walked to its end before anything is written. The other arguments hold for
        every message. Readers see all of them at once. Without items nothing is written, and
        nothing returned. Raises what ``publish`` raises.
        """

    @abstractmethod
    async def apublish_many(
        self,
        items: Iterable[Any],
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        expect: int | None = None,
        durable: bool = False,
    ) -> Sequence[int]:
        """``publish_many`` without blocking the event loop."""

    @abstractmethod
    def subscribe(
        self,
        *,
        after: int | None = None,
        last: int | None = None,
        since: datetime | int | None = None,
        live: bool = False,
        types: Iterable[str] | None = None,
        echo: bool = True,
    ) -> Subscription:
        """A reader from the first message (default), from exactly behind offset ``after``, from
        the ``last`` so many, from the first message published at or ``since`` a time (an aware
        ``datetime`` or nanoseconds), or ``live``: only what is published from now on.

        ``types`` lets only messages of these types pass; ``echo=False`` leaves out those whose
        sender is this handle's ``sender``, which it must have. ``last`` counts before filtering.
        ``after=-1`` is the start. A channel that does not exist yet can be waited on. Never waits
        itself, but for the answer of an engine that has to be asked where the channel is. Raises
        ``UnknownOffset`` for an offset from the future, ``InvalidOption`` for arguments that
        exclude each other; an offset that was trimmed shows at the first ``get``,
        as ``OffsetTrimmed``.
        """

    async def asubscribe(
        self,
        *,
        after: int | None = None,
        last: int | None = None,
        since: datetime | int | None = None,
        live: bool = False,
        types: Iterable[str] | None = None,
        echo: bool = True,
    ) -> Subscription:
        """``subscribe`` without blocking the event loop, which matters on an engine."""
        return self.subscribe(
            after=after, last=last, since=since, live=live, types=types, echo=echo
        )

    @abstractmethod
    def replay(self, start: int | None = None, stop: int | None = None) -> Replay:
        """History from ``start`` (default: the first readable) up to and without ``stop``
        (default: what is the end now). Raises ``UnknownOffset`` beyond the end; walking it raises
        ``OffsetTrimmed`` where messages were trimmed, and ``CorruptionError``."""

    async def areplay(self, start: int | None = None, stop: int | None = None) -> Replay:
        """``replay`` without blocking the event loop, which matters on an engine."""
        return self.replay(start, stop)

    @abstractmethod
    def cursor(self, name: str) -> Cursor:
        """The cursor ``name`` of this channel; a new one stands at the start offset. Costs nothing
        and stores nothing until the first commit. Raises ``InvalidName``."""

    @abstractmethod
    def producer(self, name: str, *, epoch: int = 0) -> Producer:
        """The producer ``name`` of this channel in ``epoch``, fencing every lower epoch.

        Raises ``ProducerFenced`` if a higher epoch has been opened, ``InvalidName``. Creates the
        channel.
        """

    @abstractmethod
    async def aproducer(self, name: str, *, epoch: int = 0) -> Producer:
        """``producer`` without blocking the event loop."""

    @abstractmethod
    def group(
        self,
        name: str,
        *,
        lease: timedelta | float = 30.0,
        deliveries_max: int | None = None,
        dead_letter: str | None = None,
        by_key: bool = False,
    ) -> Group:
        """One consumer of the group ``name``, which begins at the start offset. Costs nothing and
        stores nothing until the first ``get``.

        A delivery that is neither done nor given back within ``lease`` (or seconds) is delivered
        again. After ``deliveries_max`` deliveries it is not: it is published to the channel
        ``dead_letter`` (with ``headers`` that say where it came from; without a name it is
        dropped) and counted as ``dead``. With ``by_key`` a message is delivered only when none
        before it with the same ``key`` is pending or waiting; without a key it waits for none.
        These options hold for whoever gives them; consumers of one group should agree. Raises
        ``InvalidName``, ``InvalidOption``.

        >>> import chanlog
        >>> with chanlog.open() as log:
        ...     jobs = log.channel("jobs")
        ...     offsets = jobs.publish_many(["a", "b"])
        ...     jobs.end()
        ...     for delivery in jobs.group("workers"):
        ...         with delivery:
        ...             delivery.message.data
        2
        'a'
        'b'
        """

    @abstractmethod
    def info(self) -> ChannelInfo:
        """One consistent snapshot of the channel's state, whether it exists yet or not. Raises
        ``ChannelDeleted`` if what this handle stood for was deleted."""

    @abstractmethod
    async def ainfo(self) -> ChannelInfo:
        """``info`` without blocking the event loop."""

    @abstractmethod
    def configure(self, retention: Retention | None) -> None:
        """Give the channel a retention of its own; ``None`` goes back to the log's. Creates it."""

    @abstractmethod
    async def aconfigure(self, retention: Retention | None) -> None:
        """``configure`` without blocking the event loop."""

    @abstractmethod
    def end(self, *, durable: bool = False) -> int:
        """End the channel for everyone: no more messages, and every loop comes to its end.

        Returns the end offset. Ending an ended channel does nothing.
        """

    @abstractmethod
    async def aend(self, *, durable: bool = False) -> int:
        """``end`` without blocking the event loop."""

    @abstractmethod
    def trim(self, before: int) -> int:
        """Forget all messages below ``before``, and return the new start offset. Forks keep what
        they hold. Raises ``UnknownOffset`` beyond the end offset."""

    @abstractmethod
    async def atrim(self, before: int) -> int:
        """``trim`` without blocking the event loop."""

    @abstractmethod
    def delete(self) -> None:
        """Remove the channel, its cursors, producers and groups. Those who hold it get
        ``ChannelDeleted``; a handle opened afterwards starts a new channel of that name."""

    @abstractmethod
    async def adelete(self) -> None:
        """``delete`` without blocking the event loop."""

    @abstractmethod
    def fork(self, name: str, *, at: int | None = None) -> Channel:
        """A new channel ``name`` that shares this one's messages below ``at`` (default: the end)
        without copying them, and goes its own way from there. It has no cursors, producers and
        groups, and the log's retention; the parent may have ended. Raises ``ChannelExists``,
        ``UnknownOffset``, ``OffsetTrimmed``, ``ChannelNotFound``."""

    @abstractmethod
    async def afork(self, name: str, *, at: int | None = None) -> Channel:
        """``fork`` without blocking the event loop."""


class Frame(ABC):
    """An atomic append across channels and cursors: all becomes visible together, or nothing.

    Collects while the ``with`` block runs, writes at its end; an exception inside writes nothing.
    What keeps it from being written (``ChannelEnded``, ``UnexpectedOffset``, ``CommitBehind``, ...)
    is raised at the end of the block. Offsets are known afterwards, in ``offsets``, one for each
    ``publish`` in order. ``with`` blocks for durability, ``async with`` does not. For one thread or
    task, once: afterwards it raises ``HandleClosed``.

    >>> import chanlog
    >>> with chanlog.open() as log:
    ...     with log.atomic() as frame:
    ...         frame.publish("workflow-42", "done")
    ...         frame.publish("lifecycle", {"workflow-42": "done"})
    ...     frame.offsets
    [0, 0]
    """

    __slots__ = ()

    offsets: list[int]

    @abstractmethod
    def publish(
        self,
        channel: str | Channel,
        data: Any,
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        expect: int | None = None,
    ) -> None:
        """Add a message. With a ``Channel`` its ``sender`` holds. Raises ``PayloadError``,
        ``MessageTooLarge``, ``InvalidName`` at once."""

    @abstractmethod
    def commit(self, cursor: Cursor, message: Message | int) -> None:
        """Add a cursor commit."""

    @abstractmethod
    def end(self, channel: str | Channel) -> None:
        """Add the end of a channel."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Log(ABC):
    """The store: named channels in one directory, in memory, or on an engine across a network."""

    __slots__ = ()

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this log can do. Never waits."""

    @abstractmethod
    def channel(self, name: str, *, sender: str | None = None) -> Channel:
        """The address ``name``; ``sender`` is put on every message published through it. Costs
        nothing and creates nothing. Raises ``InvalidName``."""

    @abstractmethod
    def channels(self, *, prefix: str = "", pattern: str | None = None) -> Iterator[str]:
        """The names of existing channels, sorted, lazily. ``pattern`` is a shell pattern with
        ``*``, ``?`` and ``[...]``. Channels that come or go meanwhile may or may not show."""

    @abstractmethod
    def achannels(self, *, prefix: str = "", pattern: str | None = None) -> AsyncIterator[str]:
        """``channels`` for an event loop."""

    @abstractmethod
    def atomic(self, *, durable: bool = False) -> Frame:
        """A frame: what is added to it is appended all together or not at all."""

    @abstractmethod
    def sync(self) -> None:
        """Wait until everything appended so far, in every channel, is on stable storage. Raises
        ``LogFailed``. In memory, and with ``read_only``, there is nothing to wait for."""

    @abstractmethod
    async def async_(self) -> None:
        """The coroutine twin of ``sync``; the underscore because ``async`` is Python's own."""

    @abstractmethod
    def compact(self) -> None:
        """Apply retention, cluster sealed segments, give back dead space: now, and wait for it.

        Seals the active segment first. Others go on publishing and reading meanwhile. Raises
        ``CorruptionError``, ``DiskFull``, ``ReadOnly``.
        """

    @abstractmethod
    async def acompact(self) -> None:
        """``compact`` without blocking the event loop."""

    @abstractmethod
    def statistics(self) -> Statistics:
        """What the log holds and has done. Never waits."""

    @abstractmethod
    def close(self) -> None:
        """Sync (under every policy), and give the log back, so that another may open it. Never
        touches what is stored; whoever waits on it gets ``LogClosed``. Closing twice is fine."""

    @abstractmethod
    async def aclose(self) -> None:
        """``close`` without blocking the event loop."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

"""A channel: the handle that a writer or reader holds in the hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zlib import crc32

from ..errors import (
    ChanlogError,
    ChannelExists,
    ChannelNotFound,
    InvalidOption,
    OffsetTrimmed,
)
from ..format.batch import (
    CHECKSUM_BYTES_HELD,
    CONFIGURED,
    CREATED,
    ENDED,
    MESSAGES,
    META,
    TRIMMED,
    body_checksum,
)
from ..format.body import encode_meta
from ..format.payload import pack
from ..format.records import encode_record
from ..group import Group
from ..interface import Channel, ChannelInfo, Cursor, Producer, Replay, Subscription
from ..options import Retention, check_name
from ..storage.companions import Joined, check_group_name, deletion
from ..storage.founding import found
from ..storage.refusals import sealed
from ..storage.state import ChannelState
from ..storage.store import MAPPED_BYTES_MAX, Draft, Store
from .cursor import EmbeddedCursor
from .describing import describe
from .encoding import check_meta, encode_batches, too_large
from .group import EmbeddedGroup, terms_of
from .producer import EmbeddedProducer, Outrun, open_producer
from .replay import EmbeddedReplay
from .starting import start_offset
from .subscription import EmbeddedSubscription, check_offset
from .waking import Filter

if TYPE_CHECKING:
    from .committing import Committer

__all__ = ["EmbeddedChannel"]

_METAS_MAX = 1024


class EmbeddedChannel(Channel):
    """An address in an embedded log. Many handles may stand for one channel; from any thread."""

    __slots__ = ("_committer", "_message_bytes_max", "_metas", "_owner", "_state", "_store",
                 "name", "sender")  # fmt: skip

    def __init__(
        self, owner: object, store: Store, committer: Committer, name: str, sender: str | None
    ) -> None:
        self._owner = owner
        self._store = store
        self._committer = committer
        self._message_bytes_max = store.options.message_bytes_max
        self._state: ChannelState | None = None
        # The meta of a message by its type, as long as it has nothing but a type and a sender.
        self._metas: dict[str | None, bytes] = {}
        if sender is None:
            self._metas[None] = b""
        self.name = name
        self.sender = sender

    def __repr__(self) -> str:
        sender = f", sender={self.sender!r}" if self.sender is not None else ""
        return f"<Channel {self.name!r}{sender}>"

    @property
    def state(self) -> ChannelState:
        """What the log knows of the channel, which may not exist yet."""
        store = self._store
        if store.halted:
            store.check_open()
            store.look()
        state = self._state
        if state is None:
            with store.lock:
                state = self._state = store.table.address(self.name)
        if state.deleted:
            raise self._deleted(state)
        return state

    def _deleted(self, state: ChannelState) -> ChanlogError:
        self._committer.confirm()
        return sealed(state)

    # Publishing.

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
        body = pack(data)
        try:
            meta = self._metas[type] if key is None and headers is None else None
        except (KeyError, TypeError):
            meta = None
        if meta is None:
            meta = self._encode_meta(type, key, headers)
        if meta:
            body += meta
        if len(body) > self._message_bytes_max:
            raise too_large(len(body), self._message_bytes_max)
        store = self._store
        state = self._state
        if state is None or not state.id or store.deferred or (durable and _is_large(body)):
            return self._publish(1, META if meta else 0, body, type, expect, durable)
        if durable:
            flags = META if meta else 0
            return self._committer.append(state, body, flags, 1, type, self.sender, expect)
        checksum = (
            crc32(body) if len(body) < CHECKSUM_BYTES_HELD else body_checksum(body, 0, len(body))
        )
        return store.append(
            state, body, checksum, META if meta else 0, 1, type, self.sender, expect
        )

    def _publish(
        self, count: int, flags: int, body: bytes, type: str | None, expect: int | None,
        durable: bool,
    ) -> int:  # fmt: skip
        """Append one batch, to whichever channel and whatever has to be waited for."""
        store, state = self._store, self.state
        if durable or store.deferred or (not state.id and _is_large(body)):
            draft = Draft(state, MESSAGES, body, flags, count, 0, expect)
            return self._committer.submit([draft], durable)[0]
        if not state.id and found(store, state, body, flags, count, type, self.sender, expect):
            return 0
        checksum = body_checksum(body, 0, len(body))
        return store.append(state, body, checksum, flags, count, type, self.sender, expect)

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
        if not durable and not self._store.deferred:
            return self.publish(data, type=type, key=key, headers=headers, expect=expect)
        draft = self.draft(data, type, key, headers, expect)
        state, body = draft.state, draft.body
        if not state.id or self._store.deferred or _is_large(body):
            return (await self._committer.asubmit([draft], durable))[0]
        return await self._committer.aappend(state, body, draft.flags, 1, type, self.sender, expect)

    def draft(
        self,
        data: Any,
        type: str | None,
        key: str | None,
        headers: Mapping[str, Any] | None,
        expect: int | None,
    ) -> Draft:
        """One message, ready to be appended."""
        meta = self._encode_meta(type, key, headers)
        body = pack(data) + meta
        if len(body) > self._message_bytes_max:
            raise too_large(len(body), self._message_bytes_max)
        return Draft(self.state, MESSAGES, body, META if meta else 0, 1, 0, expect)

    def _encode_meta(
        self, type: str | None, key: str | None, headers: Mapping[str, Any] | None
    ) -> bytes:
        headers = check_meta(type, key, headers)
        cached = self._metas.get(type) if key is None and headers is None else None
        if cached is not None:
            return cached
        meta = encode_meta(None, type, key, headers, self.sender)
        if key is None and headers is None and len(self._metas) < _METAS_MAX:
            self._metas[type] = meta
        return meta

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
        batches, count = self._batches(items, type, key, headers)
        if not batches:
            return range(0)
        if len(batches) == 1:
            start = self._publish(*batches[0], type, expect, durable)
        else:
            start = self._committer.submit(self._drafts(batches, expect), durable)[0]
        return range(start, start + count)

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
        if not durable and not self._store.deferred:
            return self.publish_many(items, type=type, key=key, headers=headers, expect=expect)
        batches, count = self._batches(items, type, key, headers)
        if not batches:
            return range(0)
        start = (await self._committer.asubmit(self._drafts(batches, expect), durable))[0]
        return range(start, start + count)

    def _batches(
        self,
        items: Iterable[Any],
        type: str | None,
        key: str | None,
        headers: Mapping[str, Any] | None,
    ) -> tuple[list[tuple[int, int, bytes]], int]:
        """The items as batches of (count, flags, body), and how many there are."""
        many = list(items)
        headers = check_meta(type, key, headers)
        meta_fields = (None, type, key, headers, self.sender)
        return encode_batches(many, meta_fields, self._message_bytes_max), len(many)

    def _drafts(self, batches: list[tuple[int, int, bytes]], expect: int | None) -> list[Draft]:
        state = self.state
        return [
            Draft(state, MESSAGES, body, flags, count, 0, None if place else expect)
            for place, (count, flags, body) in enumerate(batches)
        ]

    # Reading.

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
        filter = Filter.asked(types, echo, self.sender, self.name)
        state = self.state
        offset = start_offset(self._store, state, after, last, since, live)
        return EmbeddedSubscription(self, self._store, state, offset, filter)

    def replay(self, start: int | None = None, stop: int | None = None) -> Replay:
        state = self.state
        end = state.end_offset
        first = state.start_offset if start is None else check_offset(state, start, "start")
        last = end if stop is None else check_offset(state, stop, "stop")
        if state.deleted:
            # In between; that has moved the start behind every message.
            raise self._deleted(state)
        return EmbeddedReplay(self, self._store, state, first, max(first, last))

    def cursor(self, name: str) -> Cursor:
        return EmbeddedCursor(self, self._store, self._committer, check_name(name, "cursor"))

    def producer(self, name: str, *, epoch: int = 0) -> Producer:
        check_name(name, "producer")
        while True:
            with suppress(Outrun):
                self._committer.submit(open_producer(self.state, name, epoch), False)
                return EmbeddedProducer(self, self._committer, name, epoch)

    async def aproducer(self, name: str, *, epoch: int = 0) -> Producer:
        check_name(name, "producer")
        while True:
            with suppress(Outrun):
                await self._committer.asubmit(open_producer(self.state, name, epoch), False)
                return EmbeddedProducer(self, self._committer, name, epoch)

    # State.

    def group(
        self,
        name: str,
        *,
        lease: timedelta | float = 30.0,
        deliveries_max: int | None = None,
        dead_letter: str | None = None,
        by_key: bool = False,
    ) -> Group:
        terms = terms_of(self.name, lease, deliveries_max, dead_letter, by_key)
        return EmbeddedGroup(self, self._committer, check_group_name(name), terms)

    def info(self) -> ChannelInfo:
        found, unseen = self._info()
        self._committer.confirm(messages=unseen)
        return found

    async def ainfo(self) -> ChannelInfo:
        found, unseen = self._info()
        await self._committer.aconfirm(messages=unseen)
        return found

    def _info(self) -> tuple[ChannelInfo, bool]:
        state = self.state
        found, unseen = describe(self._store, self._committer.lessors, state)
        if state.deleted:
            raise self._deleted(state)
        return found, unseen

    def _configuration(self, retention: Retention | None) -> list[Draft]:
        if retention is not None and not isinstance(retention, Retention):
            raise InvalidOption(
                f"retention is a chanlog.Retention or None, not {retention!r}", option="retention"
            )
        record = None if retention is None else retention.as_record()
        return [Draft(self.state, CONFIGURED, pack(record))]

    def configure(self, retention: Retention | None) -> None:
        self._committer.submit(self._configuration(retention), False)
        self._store.on_configured()

    async def aconfigure(self, retention: Retention | None) -> None:
        await self._committer.asubmit(self._configuration(retention), False)
        self._store.on_configured()

    def end(self, *, durable: bool = False) -> int:
        return self._committer.submit([Draft(self.state, ENDED, b"")], durable)[0]

    async def aend(self, *, durable: bool = False) -> int:
        return (await self._committer.asubmit([Draft(self.state, ENDED, b"")], durable))[0]

    def _trimming(self, before: int) -> list[Draft]:
        state = self.state
        check_offset(state, before, "before")
        if before <= state.start_offset:
            return []
        return [Draft(state, TRIMMED, encode_record(state.time_ns), base=before)]

    def trim(self, before: int) -> int:
        self._committer.submit(self._trimming(before), False)
        return self.state.start_offset

    async def atrim(self, before: int) -> int:
        await self._committer.asubmit(self._trimming(before), False)
        return self.state.start_offset

    def _deletion(self) -> list[Draft]:
        self._store.check_writable()
        if self._state is not None and self._state.deleted:
            return []
        state = self.state
        with self._store.lock:
            return deletion(self._store.table, state) if state.id else []

    def delete(self) -> None:
        while True:
            with suppress(Joined):
                self._committer.submit(self._deletion(), False)
                return

    async def adelete(self) -> None:
        while True:
            with suppress(Joined):
                await self._committer.asubmit(self._deletion(), False)
                return

    def _forking(self, name: str, at: int | None) -> tuple[EmbeddedChannel, Draft]:
        state = self.state
        if not state.id:
            raise ChannelNotFound(
                f"there is no channel {state.name!r} to fork; publish to it first",
                channel=state.name,
            )
        at = state.end_offset if at is None else check_offset(state, at, "at")
        fork = EmbeddedChannel(
            self._owner, self._store, self._committer, check_name(name), self.sender
        )
        target = fork.state
        start = state.start_offset
        body = encode_record(name, None, state.id, at)

        def check() -> None:
            if target.id:
                raise ChannelExists(
                    f"there is a channel {name!r} already; fork to another name, or delete it",
                    channel=name,
                )
            if state.deleted:
                raise sealed(state)
            if at < state.start_offset:
                raise OffsetTrimmed(
                    f"cannot fork {state.name!r} at {at}: it was trimmed up to "
                    f"{state.start_offset}",
                    channel=state.name,
                    offset=at,
                    start_offset=state.start_offset,
                )
            if state.start_offset > start:
                raise Trimmed

        return fork, Draft(target, CREATED, body, base=min(start, at), check=check)

    def fork(self, name: str, *, at: int | None = None) -> Channel:
        while True:
            fork, draft = self._forking(name, at)
            with suppress(Trimmed):
                self._committer.submit([draft], False)
                return fork

    async def afork(self, name: str, *, at: int | None = None) -> Channel:
        while True:
            fork, draft = self._forking(name, at)
            with suppress(Trimmed):
                await self._committer.asubmit([draft], False)
                return fork


class Trimmed(Exception):
    """The channel has lost its oldest messages since it was looked at: look again."""


def _is_large(body: bytes) -> bool:
    """Whether what is to be durable is better written through the file than into the map."""
    return len(body) > MAPPED_BYTES_MAX

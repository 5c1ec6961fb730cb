"""Cursors: where a consumer stands, durably."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from ..errors import CommitBehind, HandleClosed
from ..format.batch import CURSOR
from ..format.records import encode_record
from ..interface import Cursor
from ..message import Gap, Message
from ..storage.state import ChannelState
from ..storage.store import Draft, Store
from .subscription import EmbeddedSubscription, check_offset

if TYPE_CHECKING:
    from .channel import EmbeddedChannel
    from .committing import Committer

__all__ = ["EmbeddedCursor"]


class EmbeddedCursor(Cursor):
    """A cursor of an embedded log. Its committed position is the channel's; what it has read is
    this handle's own."""

    __slots__ = ("_channel", "_closed", "_committer", "_reader", "_store", "name")

    def __init__(
        self, channel: EmbeddedChannel, store: Store, committer: Committer, name: str
    ) -> None:
        self._channel = channel
        self._store = store
        self._committer = committer
        self._reader: EmbeddedSubscription | None = None
        self._closed = False
        self.name = name

    @property
    def channel(self) -> EmbeddedChannel:
        """The channel it is in."""
        return self._channel

    @property
    def state(self) -> ChannelState:
        """The state of its channel."""
        return self._channel.state

    def position(self) -> int:
        position = self._position()
        self._committer.confirm()
        return position

    def _position(self) -> int:
        return self._position_and_lag()[0]

    def _position_and_lag(self) -> tuple[int, int]:
        # With the lock, because a frame moves a cursor a moment before its messages show.
        state = self.state
        with self._store.lock:
            position = state.cursors.get(self.name, state.start_offset)
            return position, state.end_offset - position

    def lag(self) -> int:
        lag = self._position_and_lag()[1]
        self._committer.confirm()
        return lag

    async def alag(self) -> int:
        lag = self._position_and_lag()[1]
        await self._committer.aconfirm()
        return lag

    # Moving.

    def draft(self, message: Message | int) -> Draft:
        """The commit of ``message``, ready to be appended."""
        state = self.state
        if isinstance(message, Gap):
            position = message.offset + message.missing
        elif isinstance(message, Message):
            position = message.offset + 1
        else:
            check_offset(state, message, "message")
            position = message + 1
        check_offset(state, position, "message")

        def check() -> None:
            committed = state.cursors.get(self.name, state.start_offset)
            if position < committed:
                raise self.behind(position, committed)

        return Draft(state, CURSOR, encode_record(self.name), base=position, check=check)

    def behind(self, position: int, committed: int) -> CommitBehind:
        """The error for a commit of ``position`` where the cursor stands at ``committed``."""
        name = self._channel.name
        return CommitBehind(
            f"the cursor {self.name!r} of {name!r} stands at {committed} already, and was to be "
            f"committed at {position}: another consumer has gone on, or use seek() to go back",
            channel=name,
            cursor=self.name,
            offset=position - 1,
            position=committed,
        )

    def _committing(self, message: Message | int, durable: bool) -> list[Draft]:
        draft = self.draft(message)
        known = self.state.cursors.get(self.name) == draft.base
        return [] if known and not durable else [draft]

    def commit(self, message: Message | int, *, durable: bool = False) -> None:
        self._committer.submit(self._committing(message, durable), durable)

    async def acommit(self, message: Message | int, *, durable: bool = False) -> None:
        await self._committer.asubmit(self._committing(message, durable), durable)

    def _seeking(self, offset: int) -> Draft:
        state = self.state
        check_offset(state, offset, "offset")
        return Draft(state, CURSOR, encode_record(self.name), base=offset)

    def seek(self, offset: int) -> None:
        self._committer.submit([self._seeking(offset)], False)
        self._moved(offset)

    async def aseek(self, offset: int) -> None:
        await self._committer.asubmit([self._seeking(offset)], False)
        self._moved(offset)

    def _moved(self, offset: int) -> None:
        if self._reader is not None:
            self._reader.seek(offset)

    def _deletion(self) -> list[Draft]:
        state = self.state
        self._store.check_writable()
        if self.name not in state.cursors:
            return []
        return [Draft(state, CURSOR, encode_record(self.name, True))]

    def delete(self) -> None:
        self._committer.submit(self._deletion(), False)

    async def adelete(self) -> None:
        await self._committer.asubmit(self._deletion(), False)

    # Reading.

    def _subscription(self) -> EmbeddedSubscription:
        if self._reader is None:
            if self._closed:
                raise HandleClosed("this cursor is closed; take it from the channel again")
            self._reader = EmbeddedSubscription(
                self._channel, self._store, self.state, self.position(), None
            )
        return self._reader

    @property
    def ready(self) -> bool:
        return self._subscription().ready

    def get(self, timeout: float | None = None) -> Message | None:
        return self._subscription().get(timeout)

    async def aget(self, timeout: float | None = None) -> Message | None:
        return await self._subscription().aget(timeout)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._subscription())

    def __aiter__(self) -> AsyncIterator[Message]:
        return self._subscription().__aiter__()

    def close(self) -> None:
        self._closed = True
        if self._reader is not None:
            self._reader.close()

    def __repr__(self) -> str:
        return f"<Cursor {self.name!r} of {self._channel.name!r}>"

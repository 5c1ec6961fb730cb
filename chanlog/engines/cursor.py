"""Cursors on an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from ..errors import HandleClosed, InvalidOption
from ..interface import Cursor
from ..message import Gap, Message
from .engine import Operation, State
from .subscription import EngineSubscription

if TYPE_CHECKING:
    from .channel import EngineChannel

__all__ = ["EngineCursor"]


class EngineCursor(Cursor):
    """A cursor of a channel of an engine, which keeps the committed position; what was read is
    this handle's own."""

    def __init__(self, channel: EngineChannel, name: str) -> None:
        self._channel = channel
        self._reader: EngineSubscription | None = None
        self._closed = False
        self.name = name

    @property
    def channel(self) -> EngineChannel:
        """The channel it is in."""
        return self._channel

    def _position_in(self, state: State) -> int:
        return max(state.cursors.get(self.name, state.start), 0)

    def position(self) -> int:
        return self._position_in(self._channel.state())

    def lag(self) -> int:
        state = self._channel.state()
        return state.end - self._position_in(state)

    async def alag(self) -> int:
        state = await self._channel.astate()
        return state.end - self._position_in(state)

    def operation(self, message: Message | int, mode: str = "commit") -> Operation:
        """The commit of ``message``, or with ``mode`` "seek" the move to an offset."""
        if isinstance(message, Gap):
            position = message.offset + message.missing
        elif isinstance(message, Message):
            position = message.offset + 1
        elif isinstance(message, int) and not isinstance(message, bool) and message >= 0:
            position = message if mode == "seek" else message + 1
        else:
            raise InvalidOption(
                f"message is a Message or the offset of one, not {message!r}", option="message"
            )
        return self._channel.operation("commit", name=self.name, before=position, mode=mode)

    def commit(self, message: Message | int, *, durable: bool = False) -> None:
        self._channel.need_durable(durable)
        self._channel.run(self.operation(message))

    async def acommit(self, message: Message | int, *, durable: bool = False) -> None:
        self._channel.need_durable(durable)
        await self._channel.arun(self.operation(message))

    def seek(self, offset: int) -> None:
        self._channel.run(self.operation(offset, "seek"))
        self._moved(offset)

    async def aseek(self, offset: int) -> None:
        await self._channel.arun(self.operation(offset, "seek"))
        self._moved(offset)

    def _moved(self, offset: int) -> None:
        if self._reader is not None:
            self._reader.seek(offset)

    def delete(self) -> None:
        self._channel.run(self.operation(0, "forget"))

    async def adelete(self) -> None:
        await self._channel.arun(self.operation(0, "forget"))

    # Reading.

    def _opened(self, state: State) -> EngineSubscription:
        at = self._position_in(state) if state.life else None
        return self._channel.reader(at, state.life)

    def _subscription(self) -> EngineSubscription:
        if self._closed:
            raise HandleClosed("this cursor is closed; take it from the channel again")
        if self._reader is None:
            self._reader = self._opened(self._channel.state())
        return self._reader

    async def _asubscription(self) -> EngineSubscription:
        if self._reader is None and not self._closed:
            self._reader = self._opened(await self._channel.astate())
        return self._subscription()

    @property
    def ready(self) -> bool:
        return self._subscription().ready

    def get(self, timeout: float | None = None) -> Message | None:
        return self._subscription().get(timeout)

    async def aget(self, timeout: float | None = None) -> Message | None:
        return await (await self._asubscription()).aget(timeout)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._subscription())

    async def __aiter__(self) -> AsyncIterator[Message]:
        async for message in await self._asubscription():
            yield message

    def close(self) -> None:
        self._closed = True
        if self._reader is not None:
            self._reader.close()

    def __repr__(self) -> str:
        return f"<Cursor {self.name!r} of {self._channel.name!r}>"

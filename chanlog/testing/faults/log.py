"""The log that fails: what users hold in place of the wrapped one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ...capabilities import Capabilities
from ...errors import HandleClosed, InvalidOption
from ...interface import Channel, Cursor, Frame, Log, Statistics
from ...message import Message
from .channel import FaultyChannel
from .reading import FaultyCursor
from .steps import Steps, adrive, ask, drive

if TYPE_CHECKING:
    from .faults import Call, Faults

__all__ = ["FaultyFrame", "FaultyLog"]


class FaultyLog(Log):
    """A log with faults; made by ``Faults``. Everything may be called from any thread."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def __repr__(self) -> str:
        return f"<Log with {self._faults!r}>"

    @property
    def capabilities(self) -> Capabilities:
        return self._faults.capabilities

    def channel(self, name: str, *, sender: str | None = None) -> FaultyChannel:
        return FaultyChannel(self._faults, name, sender)

    def channels(self, *, prefix: str = "", pattern: str | None = None) -> Iterator[str]:
        return self._faults.inner.channels(prefix=prefix, pattern=pattern)

    def achannels(self, *, prefix: str = "", pattern: str | None = None) -> AsyncIterator[str]:
        return self._faults.inner.achannels(prefix=prefix, pattern=pattern)

    def atomic(self, *, durable: bool = False) -> Frame:
        self.capabilities.need("frames")
        if durable:
            self.capabilities.need("durable")
        return FaultyFrame(self._faults, durable)

    def sync(self) -> None:
        self.capabilities.need("durable")
        drive(self._sync())

    async def async_(self) -> None:
        self.capabilities.need("durable")
        await adrive(self._sync())

    def _sync(self) -> Steps[None]:
        def act(call: Call) -> Steps[Any]:
            return (yield from ask(self._faults.inner, "sync"))

        yield from self._faults.call("sync", "", act)

    def compact(self) -> None:
        self.capabilities.need("compaction")
        self._faults.inner.compact()

    async def acompact(self) -> None:
        self.capabilities.need("compaction")
        await self._faults.inner.acompact()

    def statistics(self) -> Statistics:
        return self._faults.inner.statistics()

    def close(self) -> None:
        self._faults.holds.end()
        self._faults.inner.close()

    async def aclose(self) -> None:
        self._faults.holds.end()
        await self._faults.inner.aclose()


class FaultyFrame(Frame):
    """A frame with faults: it happens as a whole, or not at all, and the caller may not know."""

    def __init__(self, faults: Faults, durable: bool) -> None:
        self._faults = faults
        self._durable = durable
        self._generation = faults.generation
        self._inner = faults.inner.atomic(durable=durable)
        self._channels: dict[str, None] = {}
        self._done = False
        self.offsets = []

    def _channel(self, channel: str | Channel) -> str | Channel:
        if self._done:
            raise HandleClosed("this frame has been written; begin another with log.atomic()")
        if isinstance(channel, str):
            self._channels[channel] = None
            return channel
        if not isinstance(channel, FaultyChannel) or channel.faults is not self._faults:
            raise InvalidOption(
                f"a frame takes names or channels of its own log, not {channel!r}",
                option="channel",
            )
        self._channels[channel.name] = None
        return channel.inner

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
        self._inner.publish(
            self._channel(channel), data, type=type, key=key, headers=headers, expect=expect
        )

    def commit(self, cursor: Cursor, message: Message | int) -> None:
        if not isinstance(cursor, FaultyCursor):
            raise InvalidOption(
                f"a frame takes cursors of its own log, not {cursor!r}", option="cursor"
            )
        self._channel(cursor.channel)
        self._inner.commit(cursor.inner, message)

    def end(self, channel: str | Channel) -> None:
        self._inner.end(self._channel(channel))

    def _write(self, error: BaseException | None) -> Steps[None]:
        self._done = True
        if error is not None:
            yield from ask(self._inner, "__exit__", type(error), error, error.__traceback__)
            return

        def act(call: Call) -> Steps[Any]:
            if self._faults.generation != self._generation:
                raise self._faults.disconnected(call, False)
            yield from ask(self._inner, "__exit__", None, None, None)
            self.offsets = self._inner.offsets
            return self.offsets

        traits = frozenset({"durable"} if self._durable else ())
        yield from self._faults.call("atomic", tuple(self._channels), act, traits)

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        drive(self._write(error))

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await adrive(self._write(error))

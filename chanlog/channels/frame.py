"""Frames: an append across channels and cursors, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..errors import HandleClosed, InvalidOption
from ..format.batch import CURSOR, ENDED, MESSAGES
from ..interface import Channel, Cursor, Frame
from ..message import Message
from ..storage.store import Draft
from .channel import EmbeddedChannel
from .cursor import EmbeddedCursor

if TYPE_CHECKING:
    from .committing import Committer

__all__ = ["EmbeddedFrame"]


class EmbeddedFrame(Frame):
    """Collects drafts, and appends them as one frame when the block ends. For one thread."""

    __slots__ = ("_committer", "_done", "_drafts", "_durable", "_open", "offsets")

    def __init__(
        self, open: Callable[[str], EmbeddedChannel], committer: Committer, durable: bool
    ) -> None:
        self._open = open
        self._committer = committer
        self._durable = durable
        self._drafts: list[Draft] = []
        self._done = False
        self.offsets = []

    def _channel(self, channel: str | Channel) -> EmbeddedChannel:
        if self._done:
            raise HandleClosed("this frame has been written; begin another with log.atomic()")
        if isinstance(channel, str):
            return self._open(channel)
        if not isinstance(channel, EmbeddedChannel) or channel._committer is not self._committer:
            raise InvalidOption(
                f"a frame takes names or channels of its own log, not {channel!r}",
                option="channel",
            )
        return channel

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
        self._drafts.append(self._channel(channel).draft(data, type, key, headers, expect))

    def commit(self, cursor: Cursor, message: Message | int) -> None:
        if not isinstance(cursor, EmbeddedCursor):
            raise InvalidOption(
                f"a frame takes cursors of its own log, not {cursor!r}", option="cursor"
            )
        self._channel(cursor.channel)
        draft = cursor.draft(message)
        for earlier in self._drafts:
            if earlier.kind == CURSOR and earlier[:3] == draft[:3] and earlier.base > draft.base:
                raise cursor.behind(draft.base, earlier.base)
        self._drafts.append(draft)

    def end(self, channel: str | Channel) -> None:
        self._drafts.append(Draft(self._channel(channel).state, ENDED, b""))

    def _finish(self, bases: list[int]) -> None:
        self.offsets = [
            base for base, draft in zip(bases, self._drafts, strict=True) if draft.kind == MESSAGES
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done = True
        if error is None and self._drafts:
            self._finish(self._committer.submit(self._drafts, self._durable))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done = True
        if error is None and self._drafts:
            self._finish(await self._committer.asubmit(self._drafts, self._durable))

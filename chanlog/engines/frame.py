"""Frames on an engine that can apply operations on several channels at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from ..errors import HandleClosed, InvalidOption
from ..interface import Channel, Cursor, Frame
from ..message import Message
from .channel import EngineChannel
from .cursor import EngineCursor
from .engine import Engine, Operation
from .running import Runner

__all__ = ["EngineFrame"]


class EngineFrame(Frame):
    """Operations that are applied together. For one thread or task."""

    def __init__(
        self, open_channel: Callable[[str], EngineChannel], runner: Runner, engine: Engine
    ) -> None:
        self._open_channel = open_channel
        self._runner = runner
        self._engine = engine
        self._operations: list[Operation] = []
        self._done = False
        self.offsets: list[int] = []

    def _channel(self, channel: str | Channel) -> EngineChannel:
        if self._done:
            raise HandleClosed("this frame is written; begin another one with log.atomic()")
        if isinstance(channel, EngineChannel):
            return channel
        if not isinstance(channel, str):
            raise InvalidOption(
                f"channel is a name or a channel of this log, not {channel!r}", option="channel"
            )
        return self._open_channel(channel)

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
        target = self._channel(channel)
        bodies = target.encode([data], type, key, headers)
        self._operations.append(target.publishing(bodies, expect, False))

    def commit(self, cursor: Cursor, message: Message | int) -> None:
        if not isinstance(cursor, EngineCursor):
            raise InvalidOption(f"cursor is one of this log, not {cursor!r}", option="cursor")
        self._channel(cursor.channel)
        self._operations.append(cursor.operation(message))

    def end(self, channel: str | Channel) -> None:
        self._operations.append(self._channel(channel).operation("end"))

    def _begin(self) -> None:
        if self._done:
            raise HandleClosed("this frame is written; begin another one with log.atomic()")

    def _written(self, results: list[Any]) -> None:
        self.offsets = [
            value
            for operation, (_, value) in zip(self._operations, results, strict=True)
            if operation.kind == "publish"
        ]

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done = True
        if kind is None and self._operations:
            self._written(self._runner.run(lambda s: self._engine.apply(s, self._operations)))

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done = True
        if kind is None and self._operations:
            self._written(
                await self._runner.arun(lambda s: self._engine.apply(s, self._operations))
            )

"""A fake as people write it: lists. Nothing can go wrong in it, so it finds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

__all__ = ["NaiveLog"]


class NaiveLog:
    """As much of a log as the two apps need."""

    def __init__(self) -> None:
        self._channels: dict[str, NaiveChannel] = {}

    def channel(self, name: str) -> NaiveChannel:
        return self._channels.setdefault(name, NaiveChannel())


class NaiveChannel:
    def __init__(self) -> None:
        self.messages: list[Any] = []
        self._cursors: dict[str, NaiveCursor] = {}

    def publish(self, data: Any, *, sequence: int | None = None) -> int:
        self.messages.append(SimpleNamespace(offset=len(self.messages), data=data))
        return len(self.messages) - 1

    def producer(self, name: str) -> NaiveChannel:
        return self

    def cursor(self, name: str) -> NaiveCursor:
        return self._cursors.setdefault(name, NaiveCursor(self))

    def replay(self) -> Any:
        def data() -> Iterator[Any]:
            return (message.data for message in self.messages)

        return SimpleNamespace(data=data)


class NaiveCursor:
    def __init__(self, channel: NaiveChannel) -> None:
        self._channel = channel
        self._next = 0

    def get(self, timeout: float | None = None) -> Any:
        if self._next == len(self._channel.messages):
            return None
        self._next += 1
        return self._channel.messages[self._next - 1]

    def commit(self, message: Any) -> None:
        """It is done with already."""

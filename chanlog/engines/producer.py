"""Producers on an engine: the engine keeps epoch and sequence, this handle only counts."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..interface import Producer

if TYPE_CHECKING:
    from .channel import EngineChannel

__all__ = ["EngineProducer"]


class EngineProducer(Producer):
    """A producer of a channel of an engine. Threads may share it."""

    def __init__(self, channel: EngineChannel, name: str, epoch: int, sequence: int) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._next = sequence
        self.name = name
        self.epoch = epoch

    def sequence(self) -> int:
        return self._next

    def _take(self, sequence: int | None, count: int) -> int:
        """The sequence of the first of ``count`` messages."""
        with self._lock:
            if sequence is None:
                sequence = self._next
            self._next = max(self._next, sequence + count)
        return sequence

    def _give_back(self, sequence: int) -> None:
        """Nothing was published as ``sequence``, nor behind it: it is the next one again."""
        with self._lock:
            self._next = min(self._next, sequence)

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
        return self.publish_many(
            [data], type=type, key=key, headers=headers, sequence=sequence, durable=durable
        )[0]

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
        offsets = await self.apublish_many(
            [data], type=type, key=key, headers=headers, sequence=sequence, durable=durable
        )
        return offsets[0]

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
        bodies = self._channel.encode(items, type, key, headers)
        if not bodies:
            return []
        first = self._take(sequence, len(bodies))
        try:
            offsets: Sequence[int] = self._channel.run(
                self._channel.publishing(
                    bodies, None, durable, producer=self.name, epoch=self.epoch, sequence=first
                )
            )
        except BaseException:
            self._give_back(first)
            raise
        return offsets

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
        bodies = self._channel.encode(items, type, key, headers)
        if not bodies:
            return []
        first = self._take(sequence, len(bodies))
        try:
            offsets: Sequence[int] = await self._channel.arun(
                self._channel.publishing(
                    bodies, None, durable, producer=self.name, epoch=self.epoch, sequence=first
                )
            )
        except BaseException:
            self._give_back(first)
            raise
        return offsets

    def __repr__(self) -> str:
        return f"<Producer {self.name!r} of {self._channel.name!r}, epoch {self.epoch}>"

"""Producers on an engine: the engine keeps epoch and sequence, this handle only counts."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ChanlogError
from ..interface import Producer
from .engine import State

if TYPE_CHECKING:
    from .channel import EngineChannel

__all__ = ["EngineProducer"]


class EngineProducer(Producer):
    """A producer of a channel of an engine. Threads may share it."""

    def __init__(self, channel: EngineChannel, name: str, epoch: int, sequence: int) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._next = sequence
        # Whether a call was lost of which nobody knows what it did: then the engine is asked.
        self._is_lost = False
        self.name = name
        self.epoch = epoch

    def sequence(self) -> int:
        return self._next

    def _take(self, sequence: int | None, count: int) -> int:
        """The sequence of the first of ``count`` messages, which nobody else takes meanwhile."""
        with self._lock:
            if sequence is None:
                sequence = self._next
                self._next += count
        return sequence

    def _taken(self, first: int, count: int) -> None:
        """They are published."""
        with self._lock:
            self._next = max(self._next, first + count)

    def _failed(self, sequence: int | None, first: int, error: BaseException) -> None:
        """Nothing was published from ``first`` on, which is the next one again; or nobody knows."""
        if isinstance(error, ChanlogError) and getattr(error, "happened", False) is False:
            if sequence is None:
                with self._lock:
                    self._next = min(self._next, first)
        else:
            self._is_lost = True

    def _found(self, state: State) -> None:
        with self._lock:
            self._next = state.producers.get(self.name, (0, 0))[1]
            self._is_lost = False

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
        if self._is_lost and sequence is None:
            self._found(self._channel.state())
        first = self._take(sequence, len(bodies))
        try:
            offsets: Sequence[int] = self._channel.run(
                self._channel.publishing(
                    bodies, None, durable, producer=self.name, epoch=self.epoch, sequence=first
                )
            )
        except BaseException as error:
            self._failed(sequence, first, error)
            raise
        self._taken(first, len(bodies))
        return list(offsets)

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
        if self._is_lost and sequence is None:
            self._found(await self._channel.astate())
        first = self._take(sequence, len(bodies))
        try:
            offsets: Sequence[int] = await self._channel.arun(
                self._channel.publishing(
                    bodies, None, durable, producer=self.name, epoch=self.epoch, sequence=first
                )
            )
        except BaseException as error:
            self._failed(sequence, first, error)
            raise
        self._taken(first, len(bodies))
        return list(offsets)

    def __repr__(self) -> str:
        return f"<Producer {self.name!r} of {self._channel.name!r}, epoch {self.epoch}>"

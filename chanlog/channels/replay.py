"""Replay: history only, at the speed of the decoder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from ..interface import Replay
from ..message import Message
from ..storage.reading import Reader
from ..storage.run import Run
from ..storage.state import ChannelState
from ..storage.store import Store
from ..storage.syncing import durable_end

__all__ = ["EmbeddedReplay"]


class EmbeddedReplay(Replay):
    """A range of offsets of one channel. Python runs once for a batch, C once for a message."""

    __slots__ = ("_owner", "_start", "_state", "_stop", "_store")

    def __init__(
        self, owner: object, store: Store, state: ChannelState, start: int, stop: int
    ) -> None:
        self._owner = owner
        self._store = store
        self._state = state
        self._start = start
        self._stop = stop

    def _runs(self, stretch: int = 1) -> Iterator[Run]:
        store = self._store
        reader = Reader(store, self._state)
        offset, stop = self._start, self._stop
        while offset < stop:
            store.check_open()
            limit = stop
            if store.failed is not None:
                limit = min(stop, durable_end(store, self._state, stop))
                if offset >= limit:
                    store.check_writable()
            run = reader.run(offset, limit, stretch)
            offset = run.stop
            yield run

    def __iter__(self) -> Iterator[Message]:
        return chain.from_iterable(map(Run.messages, self._runs()))

    async def __aiter__(self) -> AsyncIterator[Message]:
        for run in self._runs():
            for message in run.messages():
                yield message
            await asyncio.sleep(0)

    def batches(self) -> Iterator[Sequence[Message]]:
        return map(Run.messages, self._runs())

    def data(self) -> Iterator[Any]:
        lists = chain.from_iterable(map(_data, self._runs(_STRETCH)))
        return chain.from_iterable(lists)

    def __repr__(self) -> str:
        return f"<Replay {self._state.name!r} {self._start}:{self._stop}>"


# Of the batches that are taken up at once each is decoded when it is asked for, so this bounds
# neither memory nor the wait for the first; it is how often Python looks whether the log is open.
_STRETCH = 16
_data: Callable[[Run], Iterable[list[Any]]] = Run.data

"""Queues that are Python packages above SQLite: persist-queue, diskcache, litequeue."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from operator import itemgetter
from typing import Any

from .base import EXTRA, Ability, Peer

__all__ = ["DiskCache", "LiteQueue", "PersistQueue"]

_ABILITIES: frozenset[Ability] = frozenset({"append", "replay"})


class PersistQueue(Peer):
    """``SQLiteQueue`` in WAL mode, its default, with ``auto_commit=False`` as its performance tips
    advise, and two connections (``multithreading``); every ``put`` is a transaction all the same,
    and it has none for many. What is kept is read with ``queue()``, all at once, since ``get``
    takes one out at a time. (https://github.com/peter-wangxu/persist-queue, Performance Tips)"""

    name = "persist-queue"
    role = "peer"
    can = _ABILITIES
    replay_share = 0.05

    @classmethod
    def missing(cls) -> str:
        return "" if importlib.util.find_spec("persistqueue") else f"persist-queue, {EXTRA}"

    def open(self) -> None:
        self.queues: dict[str, Any] = {}

    def close(self) -> None:
        for queue in self.queues.values():
            queue.close()
        self.queues.clear()

    def _queue(self, channel: str) -> Any:
        import persistqueue

        if channel not in self.queues:
            self.queues[channel] = persistqueue.SQLiteQueue(
                str(self.folder), name=channel, multithreading=True, auto_commit=False
            )
        return self.queues[channel]

    def writer(self, channel: str) -> Callable[[Any], object]:
        put: Callable[[Any], object] = self._queue(channel).put
        return put

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        put = self._queue(channel).put
        return lambda items: [put(data) for data in items]

    def reader(self, channel: str) -> Iterator[Any]:
        yield from map(itemgetter("data"), self._queue(channel).queue())


class DiskCache(Peer):
    """``push`` under the channel's name for a prefix, the way its documentation gives for queues;
    many in one ``transact``, which it gives for speed; eviction off, so that nothing is lost. Its
    defaults are WAL and ``synchronous=normal``; ``full`` where it has to be durable.
    (https://grantjenks.com/docs/diskcache/tutorial.html)"""

    name = "diskcache"
    role = "peer"
    can = _ABILITIES | {"many", "durable"}
    replay_share = 0.05
    FIRST = 500_000_000_000_000

    @classmethod
    def missing(cls) -> str:
        return "" if importlib.util.find_spec("diskcache") else f"diskcache, {EXTRA}"

    def open(self) -> None:
        import diskcache

        self.cache = diskcache.Cache(
            str(self.folder), eviction_policy="none", cull_limit=0, size_limit=1 << 40
        )

    def close(self) -> None:
        self.cache.close()

    def writer(self, channel: str) -> Callable[[Any], object]:
        push, encode = self.cache.push, self.shape.encode
        return lambda data: push(encode(data), prefix=channel)

    def durable_writer(self, channel: str) -> Callable[[Any], object]:
        self.cache.reset("sqlite_synchronous", 2)
        return self.writer(channel)

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        push, encode = self.cache.push, self.shape.encode

        def write(items: Sequence[Any]) -> None:
            with self.cache.transact():
                for data in items:
                    push(encode(data), prefix=channel)

        return write

    def reader(self, channel: str) -> Iterator[Any]:
        get, decode = self.cache.get, self.shape.decode
        for number in count(self.FIRST):
            body = get(f"{channel}-{number}")
            if body is None:
                return
            yield decode(body)


class LiteQueue(Peer):
    """A file, WAL and ``synchronous=normal``, as it sets up itself; many in one of its
    transactions. It carries text, and JSON is what its documentation proposes. What is kept is read
    with SQL, which it says is how to extend it; ``pop`` takes one out at a time.
    (https://github.com/litements/litequeue)"""

    name = "litequeue"
    role = "peer"
    can = _ABILITIES | {"many"}
    has_channels = False

    @classmethod
    def missing(cls) -> str:
        return "" if importlib.util.find_spec("litequeue") else f"litequeue, {EXTRA}"

    def open(self) -> None:
        import litequeue

        self.queue = litequeue.LiteQueue(str(self.folder / "queue.db"))
        self.is_text = isinstance(self.shape.make(0), bytes)

    def close(self) -> None:
        self.queue.close()

    def _encoder(self) -> Callable[[Any], str]:
        return (lambda data: data.decode("latin-1")) if self.is_text else json.dumps

    def writer(self, channel: str) -> Callable[[Any], object]:
        put, encode = self.queue.put, self._encoder()
        return lambda data: put(encode(data))

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        put, encode = self.queue.put, self._encoder()

        def write(items: Sequence[Any]) -> None:
            with self.queue.transaction():
                for data in items:
                    put(encode(data))

        return write

    def reader(self, channel: str) -> Iterator[Any]:
        decode = (lambda text: text.encode("latin-1")) if self.is_text else json.loads
        rows = self.queue.conn.execute(f"select data from {self.queue.table} order by rowid")
        return map(decode, map(itemgetter(0), rows))

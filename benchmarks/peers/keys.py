"""LMDB and RocksDB: embedded stores of ordered keys, with (channel, offset) for a key.

No time is kept beside the data, which favours them a little.
"""

from __future__ import annotations

import importlib.util
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from typing import Any

from .base import EXTRA, Ability, Peer

__all__ = ["Lmdb", "RocksDb"]

_KEY = struct.Struct(">IQ")
_CHANNEL = struct.Struct(">I")
_NAMES = _CHANNEL.pack(0)
"""Under channel 0 lie the names of the channels, each with its number."""
_MAP_BYTES = 16 << 30

_ABILITIES: frozenset[Ability] = frozenset(
    {
        "append",
        "many",
        "durable",
        "durable tasks",
        "replay",
        "interleaved",
        "open",
        "cold channels",
        "growth",
        "retention",
    }
)


class Lmdb(Peer):
    """``writemap`` and ``map_async``, which py-lmdb's documentation gives as the fastest way to
    commit without a sync (a killed process loses nothing); the defaults, a sync for each commit,
    where it has to be durable. Many messages are one transaction and one ``putmulti``, with
    ``append`` where the keys are the highest, as its documentation advises for loading; reading is
    a walk of a cursor, which it calls faster than as many ``get``.
    (https://lmdb.readthedocs.io/en/release/, under Environment class and Cursor class)"""

    name = "LMDB"
    role = "peer"
    can = _ABILITIES

    @classmethod
    def missing(cls) -> str:
        return "" if importlib.util.find_spec("lmdb") else f"lmdb, {EXTRA}"

    def open(self) -> None:
        self.ids: dict[str, int] = {}
        self._open(durable=False)

    def _open(self, *, durable: bool) -> None:
        import lmdb

        fast = {} if durable else {"writemap": True, "map_async": True, "metasync": False}
        self.env = lmdb.open(str(self.folder), map_size=_MAP_BYTES, max_spare_txns=8, **fast)
        with self.env.begin() as transaction:
            cursor = transaction.cursor()
            self.made = 0
            if cursor.set_range(_NAMES):
                for key, value in cursor:
                    if key[:4] != _NAMES:
                        break
                    self.made = max(self.made, _CHANNEL.unpack(value)[0])

    def close(self) -> None:
        self.env.sync(True)
        self.env.close()

    def _id(self, channel: str) -> int:
        if channel not in self.ids:
            name = _NAMES + channel.encode()
            with self.env.begin(write=True) as transaction:
                found = transaction.get(name)
                if found is None:
                    self.made += 1
                    found = _CHANNEL.pack(self.made)
                    transaction.put(name, found)
            self.ids[channel] = _CHANNEL.unpack(found)[0]
        return self.ids[channel]

    def end(self, channel: str) -> int:
        number = self._id(channel)
        with self.env.begin() as transaction:
            cursor = transaction.cursor()
            here = cursor.set_range(_CHANNEL.pack(number + 1))
            if not (cursor.prev() if here else cursor.last()):
                return 0
            key = cursor.key()
        return _KEY.unpack(key)[1] + 1 if key[:4] == _CHANNEL.pack(number) else 0

    def at(self, channel: str, offset: int) -> Any:
        with self.env.begin() as transaction:
            return self.shape.decode(transaction.get(_KEY.pack(self._id(channel), offset)))

    def names(self, prefix: str) -> Iterator[str]:
        start = _NAMES + prefix.encode()
        with self.env.begin() as transaction:
            cursor = transaction.cursor()
            if cursor.set_range(start):
                for key in cursor.iternext(values=False):
                    if not key.startswith(start):
                        break
                    yield key[4:].decode()

    def writer(self, channel: str) -> Callable[[Any], object]:
        begin, encode, key = self.env.begin, self.shape.encode, _KEY.pack
        number = self._id(channel)
        offsets, lock = count(self.end(channel)), threading.Lock()

        def write(data: Any) -> None:
            body = encode(data)
            with lock, begin(write=True) as transaction:
                transaction.put(key(number, next(offsets)), body)

        return write

    def durable_writer(self, channel: str) -> Callable[[Any], object]:
        if self.env.flags()["writemap"]:
            self.env.close()
            self._open(durable=True)
        return self.writer(channel)

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        encode, key, number = self.shape.encode, _KEY.pack, self._id(channel)
        offsets = count(self.end(channel))

        def write(items: Sequence[Any]) -> None:
            pairs = [(key(number, next(offsets)), encode(data)) for data in items]
            with self.env.begin(write=True) as transaction:
                transaction.cursor().putmulti(pairs, append=number == self.made)

        return write

    def bounded_writer(self, channel: str, count: int) -> Callable[[Sequence[Any]], object]:
        """Delete what is too old in the same transaction; its pages are used again."""
        encode, key, number = self.shape.encode, _KEY.pack, self._id(channel)
        end = self.end(channel)

        def write(items: Sequence[Any]) -> None:
            nonlocal end
            pairs = [(key(number, offset), encode(data)) for offset, data in enumerate(items, end)]
            first, end = end, end + len(items)
            with self.env.begin(write=True) as transaction:
                transaction.cursor().putmulti(pairs)
                for offset in range(max(0, first - count), max(0, end - count)):
                    transaction.delete(key(number, offset))

        return write

    def interleave(self, channels: Sequence[str], items: Sequence[Any]) -> None:
        encode, key, numbers = self.shape.encode, _KEY.pack, list(map(self._id, channels))
        for offset, data in enumerate(items):
            body = encode(data)
            with self.env.begin(write=True) as transaction:
                transaction.cursor().putmulti([(key(number, offset), body) for number in numbers])

    def reader(self, channel: str) -> Iterator[Any]:
        end = self.end(channel)
        with self.env.begin() as transaction:
            cursor = transaction.cursor()
            if end and cursor.set_range(_KEY.pack(self._id(channel), 0)):
                first = _KEY.unpack(cursor.key())[1]
                values = islice(cursor.iternext(keys=False), end - first)
                yield from map(self.shape.decode, values)


class RocksDb(Peer):
    """Raw mode, which rocksdict's documentation gives for keys and values that are bytes; the write
    ahead log stays on, so that a killed process loses nothing, and is synced with each write where
    it has to be durable. Many messages are one ``WriteBatch``; memory for tables and threads as in
    RocksDB's own tuning guide (``increase_parallelism``, level style compaction with its budget);
    a channel is read by one iterator with an upper bound.
    (https://rocksdict.github.io/RocksDict/rocksdict.html,
    https://github.com/facebook/rocksdb/wiki/Setup-Options-and-Basic-Tuning)"""

    name = "RocksDB"
    role = "peer"
    can = _ABILITIES

    @classmethod
    def missing(cls) -> str:
        return "" if importlib.util.find_spec("rocksdict") else f"rocksdict, {EXTRA}"

    def open(self) -> None:
        import rocksdict

        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.increase_parallelism(2)
        options.optimize_level_style_compaction(256 << 20)
        self.rocks = rocksdict
        self.db = rocksdict.Rdict(str(self.folder), options)
        self.ids: dict[str, int] = {}
        self.made = sum(1 for _ in self._keys(_NAMES, _CHANNEL.pack(1)))

    def close(self) -> None:
        self.db.close()

    def settle(self) -> None:
        self.db.flush()

    def _keys(self, start: bytes, stop: bytes) -> Iterator[bytes]:
        options = self._until(stop)
        yield from self.db.keys(from_key=start, read_opt=options)

    def _until(self, stop: bytes) -> Any:
        """An upper bound, to be kept as long as the iterator: that only points to it."""
        options = self.rocks.ReadOptions()
        options.set_iterate_upper_bound(stop)
        return options

    def _id(self, channel: str) -> int:
        if channel not in self.ids:
            name = _NAMES + channel.encode()
            found = self.db.get(name)
            if found is None:
                self.made += 1
                found = _CHANNEL.pack(self.made)
                self.db.put(name, found)
            self.ids[channel] = _CHANNEL.unpack(found)[0]
        return self.ids[channel]

    def end(self, channel: str) -> int:
        number = self._id(channel)
        last = _KEY.pack(number, (1 << 64) - 1)
        key = next(iter(self.db.keys(backwards=True, from_key=last)), b"")
        return _KEY.unpack(key)[1] + 1 if key[:4] == _CHANNEL.pack(number) else 0

    def at(self, channel: str, offset: int) -> Any:
        return self.shape.decode(self.db.get(_KEY.pack(self._id(channel), offset)))

    def names(self, prefix: str) -> Iterator[str]:
        start = _NAMES + prefix.encode()
        return (key[4:].decode() for key in self._keys(start, start + b"\xff"))

    def _writer(self, channel: str, *, sync: bool) -> Callable[[Any], object]:
        options = self.rocks.WriteOptions()
        options.sync = sync
        put, encode, key, number = self.db.put, self.shape.encode, _KEY.pack, self._id(channel)
        offsets = count(self.end(channel))

        def write(data: Any) -> None:
            put(key(number, next(offsets)), encode(data), options)

        return write

    def writer(self, channel: str) -> Callable[[Any], object]:
        return self._writer(channel, sync=False)

    def durable_writer(self, channel: str) -> Callable[[Any], object]:
        return self._writer(channel, sync=True)

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        encode, key, number = self.shape.encode, _KEY.pack, self._id(channel)
        offsets = count(self.end(channel))

        def write(items: Sequence[Any]) -> None:
            batch = self.rocks.WriteBatch(raw_mode=True)
            put = batch.put
            for data in items:
                put(key(number, next(offsets)), encode(data))
            self.db.write(batch)

        return write

    def bounded_writer(self, channel: str, count: int) -> Callable[[Sequence[Any]], object]:
        """One range deletion in the same ``WriteBatch``; compaction takes out what it covers."""
        encode, key, number = self.shape.encode, _KEY.pack, self._id(channel)
        end = self.end(channel)

        def write(items: Sequence[Any]) -> None:
            nonlocal end
            batch = self.rocks.WriteBatch(raw_mode=True)
            for offset, data in enumerate(items, end):
                batch.put(key(number, offset), encode(data))
            first, end = end, end + len(items)
            if end > count:
                batch.delete_range(key(number, max(0, first - count)), key(number, end - count))
            self.db.write(batch)

        return write

    def interleave(self, channels: Sequence[str], items: Sequence[Any]) -> None:
        encode, key, numbers = self.shape.encode, _KEY.pack, list(map(self._id, channels))
        for offset, data in enumerate(items):
            body = encode(data)
            batch = self.rocks.WriteBatch(raw_mode=True)
            for number in numbers:
                batch.put(key(number, offset), body)
            self.db.write(batch)

    def reader(self, channel: str) -> Iterator[Any]:
        number = self._id(channel)
        options = self._until(_CHANNEL.pack(number + 1))
        values = self.db.values(from_key=_KEY.pack(number, 0), read_opt=options)
        yield from map(self.shape.decode, values)

"""The bare steps: what an embedded log cannot do without, and nothing else.

Not a log: no recovery, no channels that come and go, no readers that wait. It bounds what pure
Python can reach here, so it is the yardstick for chanlog.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count, repeat
from operator import itemgetter
from typing import Any

import msgpack

from chanlog import Message

from .base import Peer

__all__ = ["Bare", "Decoder"]

HEADER = struct.Struct("<IIBxxxIQQQIHxx")
"""Checksum, length, kind, channel, base offset, time, durable mark, count, epoch: 48 bytes."""
ONE = 1
MANY = 2

STORE_BYTES = 512 * 1024 * 1024


class Bare(Peer):
    """Pack, checksum, a header of 48 bytes, the time, one copy into a map of a preallocated file,
    and the position into a list, with a lock around it."""

    name = "bare"
    role = "bound"
    can = frozenset({"append", "many", "durable", "interleaved"})

    def open(self) -> None:
        self.fd = os.open(self.folder / "segment", os.O_CREAT | os.O_RDWR, 0o644)
        os.posix_fallocate(self.fd, 0, STORE_BYTES)
        self.map = mmap.mmap(self.fd, STORE_BYTES)
        self.positions: dict[str, list[int]] = {}
        self.pack = msgpack.Packer().pack
        self.lock = threading.Lock()
        self.free = 0

    def close(self) -> None:
        self.map.close()
        os.close(self.fd)

    def writer(self, channel: str, kind: int = ONE) -> Callable[[Any], object]:
        pack, header, checksum, now = self.pack, HEADER.pack, zlib.crc32, time.time_ns
        store, lock = self.map, self.lock
        positions = self.positions.setdefault(channel, [])
        number, note = len(self.positions), positions.append
        end = len(positions)

        def publish(data: Any) -> int:
            nonlocal end
            with lock:
                body = pack(data)
                size = len(body)
                start = self.free
                stop = start + 48 + size
                store[start:stop] = (
                    header(checksum(body), size, kind, number, end, now(), 0, 1, 0) + body
                )
                note(start)
                self.free = stop
                offset = end
                end = offset + 1
            return offset

        return publish

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        return self.writer(channel, MANY)

    def durable_writer(self, channel: str) -> Callable[[Any], object]:
        """``pwrite`` and ``fdatasync``: a store into the map makes the sync several times slower,
        because each page that was stored to has to be protected and to fault again."""
        pack, header, checksum, now = self.pack, HEADER.pack, zlib.crc32, time.time_ns
        fd, lock, pwrite, sync = self.fd, self.lock, os.pwrite, os.fdatasync
        positions = self.positions.setdefault(channel, [])
        number = len(self.positions)

        def publish(data: Any) -> int:
            with lock:
                body = pack(data)
                end = len(positions)
                fields = (checksum(body), len(body), ONE, number, end, now(), 0, 1, 0)
                pwrite(fd, header(*fields) + body, self.free)
                sync(fd)
                positions.append(self.free)
                self.free += 48 + len(body)
            return end

        return publish

    def reader(self, channel: str) -> Iterator[Any]:
        """Through the list of positions: header, slice, decode."""
        store, fields, unpack = self.map, HEADER.unpack_from, msgpack.unpackb
        for position in self.positions[channel]:
            _, size, kind, *_ = fields(store, position)
            start = position + 48
            data = unpack(store[start : start + size])
            if kind == ONE:
                yield data
            else:
                yield from data


class Decoder(Peer):
    """Packed batches that lie in memory, and the C unpacker: no reader in Python is faster."""

    name = "decoder"
    role = "bound"
    can = frozenset({"replay", "messages", "interleaved"})

    def open(self) -> None:
        self.batches: dict[str, list[bytes]] = {}

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        note = self.batches.setdefault(channel, []).append
        return lambda items: note(msgpack.packb(items))

    def interleave(self, channels: Sequence[str], items: Sequence[Any]) -> None:
        for channel in channels:
            self.many_writer(channel)(items)

    def reader(self, channel: str) -> Iterator[Any]:
        return chain.from_iterable(map(msgpack.unpackb, self.batches[channel]))

    def checked_reader(self, channel: str) -> Iterator[Any]:
        """With a checksum of each batch, as the first pass over stored bytes has to have."""
        batches = self.batches[channel]
        checksums = map(zlib.crc32, batches)
        checked = map(itemgetter(0), zip(batches, checksums, strict=True))
        return chain.from_iterable(map(msgpack.unpackb, checked))

    def message_reader(self, channel: str) -> Iterator[Any]:
        nothing = repeat(None)
        fields = zip(count(), repeat(0), self.reader(channel), nothing, nothing, nothing, nothing)
        return map(tuple.__new__, repeat(Message), fields)

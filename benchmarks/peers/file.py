"""A bare file: what a log would be with nothing around it."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .base import Peer

__all__ = ["File"]

_LENGTH = struct.Struct("<I")


class File(Peer):
    """Records behind their lengths, one ``write`` a call, no channels, no checksum, no index."""

    name = "file"
    role = "bound"
    can = frozenset({"append", "many", "durable", "replay"})
    has_channels = False

    def open(self) -> None:
        self.path = self.folder / "records"
        self.fd = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        self.lock = threading.Lock()

    def close(self) -> None:
        os.close(self.fd)

    def writer(self, channel: str) -> Callable[[Any], object]:
        fd, write, encode, length = self.fd, os.write, self.shape.encode, _LENGTH.pack

        def append(data: Any) -> None:
            body = encode(data)
            write(fd, length(len(body)) + body)

        return append

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        fd, write, encode, length = self.fd, os.write, self.shape.encode, _LENGTH.pack

        def append(items: Sequence[Any]) -> None:
            parts: list[bytes] = []
            for data in items:
                body = encode(data)
                parts += (length(len(body)), body)
            write(fd, b"".join(parts))

        return append

    def durable_writer(self, channel: str) -> Callable[[Any], object]:
        append, fd, sync, lock = self.writer(channel), self.fd, os.fdatasync, self.lock

        def append_and_sync(data: Any) -> None:
            with lock:
                append(data)
                sync(fd)

        return append_and_sync

    def reader(self, channel: str) -> Iterator[Any]:
        stored, decode, length = self.path.read_bytes(), self.shape.decode, _LENGTH.unpack_from
        place = 0
        while place < len(stored):
            start = place + _LENGTH.size
            place = start + length(stored, place)[0]
            yield decode(stored[start:place])

"""How large a run is, and the payloads it is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgpack

__all__ = ["MIB", "SHAPES", "Settings", "Shape", "payloads"]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of payload. ``make(i)`` is the i-th; ``encode`` and ``decode`` are for peers that
    carry bytes alone, and leave bytes alone."""

    name: str
    text: str
    make: Callable[[int], Any]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]

    @property
    def size_bytes(self) -> int:
        """How long a payload is when msgpack has packed it, about."""
        return len(msgpack.packb(self.make(100_000)))


SHAPES = {
    "A": Shape("A", "100 bytes", lambda i: b"%016d" % i + b"a" * 84, bytes, bytes),
    "B": Shape(
        "B",
        "a token event",
        lambda i: {"t": "delta", "i": i, "s": " token"},
        msgpack.packb,
        msgpack.unpackb,
    ),
    "C": Shape("C", "1 KiB", lambda i: b"%016d" % i + b"c" * 1008, bytes, bytes),
}


@cache
def payloads(shape: str, count: int) -> list[Any]:
    """The first ``count`` payloads of a shape: all different, so that order shows in the data."""
    return list(map(SHAPES[shape].make, range(count)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How large a run is. ``seconds`` is how long one measurement of a rate lasts; ``peers``
    names those that take part, none for all."""

    folder: Path
    shapes: tuple[str, ...] = ("A", "B", "C")
    peers: tuple[str, ...] = ()
    runs: int = 5
    seconds: float = 0.3
    pool: int = 32_768
    threads: tuple[int, ...] = (16, 64)
    tasks: int = 1_000
    replay_bytes_max: int = 128 * MIB
    replay_messages_max: int = 1_000_000
    channels: int = 1_000
    channel_messages: int = 1_000
    channels_read: int = 20
    wakes: int = 500
    idle: int = 1_000
    open_bytes: tuple[int, ...] = (16 * MIB, 256 * MIB, 1024 * MIB)
    open_tail: int = 100_000

    def quick(self) -> Settings:
        """Everything runs, nothing is precise: well under a minute."""
        return replace(
            self,
            runs=2,
            seconds=0.01,
            pool=4_096,
            threads=(16,),
            tasks=100,
            replay_messages_max=10_000,
            channels=50,
            channel_messages=100,
            channels_read=5,
            wakes=20,
            idle=50,
            open_bytes=(4 * MIB,),
            open_tail=1_000,
        )

    def tiny(self) -> Settings:
        """A few milliseconds for each case: whether it still works, nothing else."""
        return replace(
            self.quick(),
            runs=1,
            seconds=0.001,
            pool=256,
            threads=(2,),
            tasks=3,
            replay_messages_max=500,
            channels=5,
            channel_messages=10,
            channels_read=2,
            wakes=3,
            idle=3,
            open_bytes=(64 * 1024,),
            open_tail=50,
        )

    def wants(self, peer: str) -> bool:
        """Whether the peer of that name takes part."""
        return not self.peers or peer in self.peers

    def replay_messages(self, shape: Shape) -> int:
        """How many messages the one replayed channel holds."""
        return min(self.replay_messages_max, self.replay_bytes_max // shape.size_bytes)

    def interleaved_channels(self, shape: Shape) -> int:
        """How many channels lie mixed: fewer where the payloads are large."""
        return min(
            self.channels, self.replay_bytes_max // (self.channel_messages * shape.size_bytes)
        )

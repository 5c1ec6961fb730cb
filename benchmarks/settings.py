"""How large a run is, and the payloads it is made of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgpack

__all__ = ["MIB", "SHAPES", "Settings", "Shape", "disk_bytes", "payloads"]

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

    @property
    def batch(self) -> int:
        """How many are written in one call where many are: a thousand, or a mebibyte of them."""
        return min(1_000, max(1, MIB // self.size_bytes))


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
    "D": Shape("D", "64 KiB", lambda i: b"%016d" % i + b"d" * 65_520, bytes, bytes),
}


@cache
def payloads(shape: str, count: int) -> list[Any]:
    """The first ``count`` payloads of a shape: all different, so that order shows in the data."""
    return list(map(SHAPES[shape].make, range(count)))


def disk_bytes(folder: Path) -> int:
    """How much room the files in ``folder`` take on the disk, holes left out."""
    total = 0
    for path in folder.rglob("*"):
        # A background that compacts may have removed it since it was listed.
        with suppress(FileNotFoundError):
            total += path.lstat().st_blocks * 512
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How large a run is. ``seconds`` is how long one measurement of a rate lasts; ``peers``
    names those that take part, none for all; a case begins no new round after
    ``case_seconds``, nor after its workload's share of ``minutes``: each has one at least."""

    folder: Path
    is_quick: bool = False
    shapes: tuple[str, ...] = ("A", "B", "C", "D")
    peers: tuple[str, ...] = ()
    runs: int = 3
    seconds: float = 0.2
    case_seconds: float = 10
    minutes: float = 16
    pool: int = 32_768
    threads: tuple[int, ...] = (64,)
    tasks: int = 1_000
    replay_bytes_max: int = 128 * MIB
    replay_messages_max: int = 1_000_000
    channels: int = 1_000
    channel_messages: int = 1_000
    channels_read: int = 20
    wakes: int = 500
    idle: int = 1_000
    open_bytes: tuple[int, ...] = (16 * MIB, 1024 * MIB)
    open_tail: int = 20_000
    fan_tasks: int = 1_000
    fan_messages: int = 200
    fan_threads: int = 100
    fan_thread_messages: int = 200
    agents: int = 10_000
    agent_tokens: int = 10
    agent_rate: float = 2.0
    cold_channels: int = 1_000_000
    cold_channels_peers: int = 100_000
    growth_mb: tuple[int, ...] = (1, 10, 100, 1_024, 10_240)
    growth_peers_mb: int = 100
    compacted_mb: int = 256
    kept_mb: int = 256
    kept_times: int = 4
    engine_messages: int = 20_000

    def quick(self) -> Settings:
        """Everything runs, nothing is precise: a minute or two."""
        return replace(
            self,
            is_quick=True,
            shapes=tuple(shape for shape in self.shapes if shape in "BD") or self.shapes,
            runs=1,
            seconds=0.01,
            pool=4_096,
            threads=(8,),
            tasks=100,
            replay_messages_max=10_000,
            channels=50,
            channel_messages=100,
            channels_read=5,
            wakes=20,
            idle=50,
            open_bytes=(4 * MIB,),
            open_tail=1_000,
            fan_tasks=100,
            fan_messages=100,
            fan_threads=10,
            fan_thread_messages=50,
            agents=500,
            agent_tokens=5,
            agent_rate=20.0,
            cold_channels=5_000,
            cold_channels_peers=1_000,
            growth_mb=(1, 10),
            compacted_mb=8,
            kept_mb=10,
            engine_messages=2_000,
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
            replay_bytes_max=4 * MIB,
            channels=5,
            channel_messages=10,
            channels_read=2,
            wakes=3,
            idle=3,
            open_bytes=(64 * 1024,),
            open_tail=50,
            fan_tasks=3,
            fan_messages=5,
            fan_threads=2,
            fan_thread_messages=5,
            agents=5,
            agent_tokens=3,
            agent_rate=1_000.0,
            cold_channels=200,
            cold_channels_peers=200,
            growth_mb=(1,),
            compacted_mb=1,
            kept_mb=1,
            kept_times=2,
            engine_messages=1_200,
        )

    @property
    def shapes_together(self) -> str:
        """The one shape of the cases in which the payload hardly matters."""
        return "B" if "B" in self.shapes else self.shapes[0]

    def wants(self, peer: str) -> bool:
        """Whether the peer of that name takes part."""
        return not self.peers or peer in self.peers

    def items(self, shape: Shape) -> list[Any]:
        """Payloads to write over and over: as many as there is memory for."""
        return payloads(shape.name, max(64, min(self.pool, 64 * MIB // shape.size_bytes)))

    def replay_messages(self, shape: Shape) -> int:
        """How many messages the one replayed channel holds."""
        return min(self.replay_messages_max, self.replay_bytes_max // shape.size_bytes)

    def interleaved_channels(self, shape: Shape) -> int:
        """How many channels lie mixed: fewer where the payloads are large."""
        each = self.messages_each(shape) * shape.size_bytes
        return max(2, min(self.channels, self.replay_bytes_max // each))

    def messages_each(self, shape: Shape) -> int:
        """How many messages each of those holds."""
        return min(self.channel_messages, max(2, self.replay_bytes_max // shape.size_bytes // 20))

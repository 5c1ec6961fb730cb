"""The peers: what chanlog is measured against, and chanlog itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..settings import Settings, Shape
from .bare import Bare, Decoder
from .base import Ability, Peer
from .embedded import ChanlogDisk, ChanlogMemory, ChanlogUnsynced, NotCompacted, OneSegment
from .file import File
from .queues import AsyncioQueue, LoopCall, ThreadQueue
from .sqlite import Sqlite

__all__ = [
    "PEERS",
    "Ability",
    "Bare",
    "ChanlogDisk",
    "ChanlogMemory",
    "Decoder",
    "NotCompacted",
    "OneSegment",
    "Peer",
    "named",
    "opened",
    "peers",
]

PEERS: tuple[type[Peer], ...] = (
    Bare,
    Decoder,
    ChanlogDisk,
    ChanlogUnsynced,
    ChanlogMemory,
    Sqlite,
    File,
    ThreadQueue,
    AsyncioQueue,
    LoopCall,
)


def peers(ability: Ability, settings: Settings) -> list[type[Peer]]:
    """Those wanted, installed here and able to do this, the yardsticks first."""
    return [
        peer
        for peer in PEERS
        if ability in peer.can and settings.wants(peer.name) and peer.available()
    ]


def named(name: str) -> type[Peer]:
    """The peer of that name."""
    return next(peer for peer in PEERS if peer.name == name)


@contextmanager
def opened(kind: type[Peer], settings: Settings, shape: Shape) -> Iterator[Peer]:
    """A peer with a new folder of its own, which goes away afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=settings.folder) as folder:
        with kind(Path(folder), shape) as peer:
            yield peer

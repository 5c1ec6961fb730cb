"""The peers: what chanlog is measured against, and chanlog itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..settings import Settings, Shape
from .bare import Bare, Decoder
from .base import Ability, Peer, Role
from .embedded import ChanlogDisk, ChanlogMemory, ChanlogUnsynced, NotCompacted, OneSegment
from .file import File
from .keys import Lmdb, RocksDb
from .packages import DiskCache, LiteQueue, PersistQueue
from .queues import AsyncioQueue, LoopCall, ThreadQueue
from .servers import JetStream, Redis
from .sqlite import Polling, Sqlite

__all__ = [
    "PEERS",
    "Ability",
    "Bare",
    "ChanlogDisk",
    "ChanlogMemory",
    "Decoder",
    "File",
    "JetStream",
    "NotCompacted",
    "OneSegment",
    "Peer",
    "Redis",
    "absent",
    "named",
    "opened",
    "peers",
    "role",
]

PEERS: tuple[type[Peer], ...] = (
    Bare,
    Decoder,
    ChanlogDisk,
    ChanlogUnsynced,
    ChanlogMemory,
    Sqlite,
    Lmdb,
    RocksDb,
    Redis,
    JetStream,
    PersistQueue,
    DiskCache,
    LiteQueue,
    Polling,
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
        if ability in peer.can and settings.wants(peer.name) and not peer.missing()
    ]


def absent(ability: Ability, settings: Settings) -> dict[str, str]:
    """Those who would take part were it not for something that is missing here, and what."""
    return {
        peer.name: missing
        for peer in PEERS
        if ability in peer.can and settings.wants(peer.name) and (missing := peer.missing())
    }


def role(contestant: str) -> Role:
    """What a contestant is, by its name: chanlog in one of its forms, a peer, or a bound."""
    if contestant.startswith("chanlog"):
        return "chanlog"
    return next((peer.role for peer in PEERS if peer.name == contestant), "bound")


def named(name: str) -> type[Peer]:
    """The peer of that name."""
    return next(peer for peer in PEERS if peer.name == name)


@contextmanager
def opened(kind: type[Peer], settings: Settings, shape: Shape) -> Iterator[Peer]:
    """A peer with a new folder of its own, which goes away afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=settings.folder) as folder:
        with kind(Path(folder), shape) as peer:
            yield peer

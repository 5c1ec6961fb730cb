"""chanlog on engines, each beside the bare client that it uses, for threads and for tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..peers import JetStream, Redis
from .base import Client, TaskClient, ThreadClient
from .nats import NatsTasks, NatsThread
from .ours import ChanlogTasks, ChanlogThread
from .redis import RedisTasks, RedisThread

__all__ = ["PAIRS", "Client", "Pair", "TaskClient", "ThreadClient", "nats_url", "redis_url"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """chanlog on an engine and its bare client, on the same server; ``url`` tells where that is."""

    name: str
    server: type[Redis] | type[JetStream]
    url: Callable[[Any], str]
    ours: type[ThreadClient] | type[TaskClient]
    bare: type[ThreadClient] | type[TaskClient]


def redis_url(server: Redis) -> str:
    """Where that server is."""
    return f"unix://{server.socket}"


def nats_url(server: JetStream) -> str:
    """Where that server is."""
    return f"nats://127.0.0.1:{server.port}"


PAIRS = (
    Pair(name="Redis", server=Redis, url=redis_url, ours=ChanlogThread, bare=RedisThread),
    Pair(name="Redis, asyncio", server=Redis, url=redis_url, ours=ChanlogTasks, bare=RedisTasks),
    Pair(name="NATS", server=JetStream, url=nats_url, ours=ChanlogThread, bare=NatsThread),
    Pair(name="NATS, asyncio", server=JetStream, url=nats_url, ours=ChanlogTasks, bare=NatsTasks),
)

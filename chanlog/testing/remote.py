"""Engines across a network as backends of the contract: each with a real server of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..interface import Log
from .harness import Harness
from .servers import NatsServer, RedisServer, Server

__all__ = ["NatsHarness", "RedisHarness", "ServerHarness"]


class ServerHarness(Harness):
    """An engine whose ``server`` runs as long as the harness."""

    can = frozenset({"reopen", "remote", "restart", "crash", "cut_network"})

    def __init__(self, server: Server, connect: Callable[..., Log]) -> None:
        super().__init__()
        self.server = server
        self._connect = connect

    def connect(self, **options: Any) -> Log:
        return self._connect(self.server.url, **options)

    def restart(self) -> None:
        self.server.stop()
        self.server.start()

    def crash(self) -> None:
        self.server.kill()
        self.server.start()

    def cut_network(self) -> AbstractContextManager[None]:
        return self.server.cut()

    def close(self) -> None:
        super().close()
        self.server.close()


class RedisHarness(ServerHarness):
    """Redis Streams, on a redis-server with its data in ``folder``. Raises ``MissingServer``."""

    profile = "redis"

    def __init__(self, folder: Path, connect: Callable[..., Log]) -> None:
        super().__init__(RedisServer(folder), connect)


class NatsHarness(ServerHarness):
    """NATS JetStream, on a nats-server with its data in ``folder``. Raises ``MissingServer``."""

    profile = "nats"

    def __init__(self, folder: Path, connect: Callable[..., Log]) -> None:
        super().__init__(NatsServer(folder), connect)

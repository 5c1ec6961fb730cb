"""Real servers for tests: started in a folder, stopped, killed, started again, cut off."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import ClassVar

from .harness import MissingServer
from .proxy import Proxy

__all__ = ["NatsServer", "RedisServer", "Server"]

_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.005


class Server(ABC):
    """A server of its own, with its data in ``folder``, behind a proxy whose address stays.

    ``url`` is what clients connect to, before and after each restart. All methods block. For one
    thread at a time; clients may connect from any.
    """

    program: ClassVar[str]
    url: str

    def __init__(self, folder: Path) -> None:
        self._program = shutil.which(self.program)
        if self._program is None:
            raise MissingServer(f"{self.program} is not installed")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._proxy = Proxy(self._reach)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def port(self) -> int:
        """The port of the proxy, on 127.0.0.1."""
        return self._proxy.port

    def start(self) -> None:
        """Start the server on the data that there is, and wait until it answers."""
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [str(self._program), *self._arguments()], stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "output").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.program} does not answer; it said: {said}")
            time.sleep(_LOOK_SECONDS)

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """Have the server end in an orderly way (or by another signal), and wait until it has."""
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait(_PATIENCE_SECONDS)
            self._process = None

    def kill(self) -> None:
        """``kill -9``."""
        self.stop(signal.SIGKILL)

    def cut(self) -> AbstractContextManager[None]:
        """While the context is open there is no connection to the server, and none comes about."""
        return self._proxy.cut()

    def close(self) -> None:
        """Kill the server and give its port back. The folder is the caller's to remove."""
        self.kill()
        self._proxy.close()

    def _answers(self) -> bool:
        try:
            with self._reach() as connection:
                connection.settimeout(1.0)
                return self._greets(connection)
        except OSError:
            return False

    @abstractmethod
    def _arguments(self) -> list[str]: ...

    @abstractmethod
    def _reach(self) -> socket.socket:
        """A connection to the server itself. Raises ``OSError`` where there is none."""

    @abstractmethod
    def _greets(self, connection: socket.socket) -> bool: ...


class RedisServer(Server):
    """A redis-server on a unix socket. It writes each command to its append-only file, and, with
    ``appendfsync="always"``, syncs that before it answers."""

    program = "redis-server"

    def __init__(self, folder: Path, *, appendfsync: str = "always") -> None:
        self._appendfsync = appendfsync
        super().__init__(folder)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def _arguments(self) -> list[str]:
        # The path of a unix socket has to be short; the server opens it in its own folder.
        return [
            *("--dir", str(self.folder), "--port", "0", "--unixsocket", "redis.sock"),
            *("--save", "", "--appendonly", "yes", "--appendfsync", self._appendfsync),
        ]

    def _reach(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            # The same for us: a path by way of the open folder is short however deep that lies.
            connection.connect(f"/proc/self/fd/{descriptor}/redis.sock")
        except BaseException:
            connection.close()
            raise
        finally:
            os.close(descriptor)
        return connection

    def _greets(self, connection: socket.socket) -> bool:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")


class NatsServer(Server):
    """A nats-server with JetStream in files, on a port that it chooses itself."""

    program = "nats-server"

    def __init__(self, folder: Path) -> None:
        self._port = 0
        super().__init__(folder)
        self.url = f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        for old in self.folder.glob("nats-server_*.ports"):
            old.unlink()
        # Not before: clients that look for the server meanwhile would read the old one again.
        self._port = 0
        super().start()

    def _arguments(self) -> list[str]:
        configuration = self.folder / "server.conf"
        configuration.write_text(
            f"listen: 127.0.0.1:-1\nports_file_dir: {json.dumps(str(self.folder))}\n"
            # Room for the largest message of the contract.
            "max_payload: 8MB\n"
            f"jetstream {{ store_dir: {json.dumps(str(self.folder / 'streams'))} }}\n"
        )
        return ["-c", str(configuration)]

    def _reach(self) -> socket.socket:
        if not self._port:
            self._port = self._chosen_port()
        return socket.create_connection(("127.0.0.1", self._port), timeout=None)

    def _chosen_port(self) -> int:
        for written in self.folder.glob("nats-server_*.ports"):
            # Half of it is no JSON: the server has not said it yet, then.
            with suppress(ValueError):
                (address, *_) = json.loads(written.read_text())["nats"]
                return int(address.rpartition(":")[2])
        raise ConnectionRefusedError("nats-server has not said yet on which port it listens")

    def _greets(self, connection: socket.socket) -> bool:
        return b'"jetstream":true' in connection.recv(4096)

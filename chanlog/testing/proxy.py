"""A network that can be cut: a small proxy between the client and its server."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

__all__ = ["Proxy"]

_CHUNK_BYTES = 1 << 16
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on a port of the loopback interface that never changes, and passes all bytes on to
    whatever ``connect`` reaches at the moment.

    While it is cut it breaks the connections that there are and resets new ones. Two threads a
    connection; ``_lock`` guards the connections and whether they may be.
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="chanlog-proxy", daemon=True).start()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """No connection lives or comes into being while the context is open."""
        self._break()
        try:
            yield
        finally:
            with self._lock:
                self._is_cut = False

    def close(self) -> None:
        """Break everything and give the port back."""
        self._break()
        # Closing alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _break(self) -> None:
        with self._lock:
            self._is_cut = True
            broken, self._open = self._open, set()
        for connection in broken:
            _reset(connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = self._connect()
            except OSError:
                _reset(client)
                client.close()
                continue
            self._join(client, server)

    def _join(self, client: socket.socket, server: socket.socket) -> None:
        pair = {client, server}
        with self._lock:
            refused = self._is_cut
            if not refused:
                self._open |= pair
        if refused:
            for connection in pair:
                _reset(connection)
                connection.close()
            return
        left = threading.Semaphore(1)
        for source, target in ((client, server), (server, client)):
            if source.family == socket.AF_INET:
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(
                target=self._pump, args=(source, target, left), name="chanlog-proxy", daemon=True
            ).start()

    def _pump(
        self, source: socket.socket, target: socket.socket, left: threading.Semaphore
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                target.sendall(data)
        for end in (source, target):
            _shut(end)
        with self._lock:
            self._open -= {source, target}
        # Whoever comes second gives both back: a number that is free goes to another connection,
        # and the other thread must not meet that.
        if not left.acquire(blocking=False):
            source.close()
            target.close()


def _reset(connection: socket.socket) -> None:
    """Have the other side hear that the connection is broken, not that it has ended."""
    with contextlib.suppress(OSError):
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    _shut(connection)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

"""The servers of the kit: they start, end, are killed and cut off, and keep data and address."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from chanlog.testing.harness import MissingServer
from chanlog.testing.presence import present
from chanlog.testing.remote import NatsHarness, RedisHarness, ServerHarness
from chanlog.testing.servers import RedisServer

LIMIT = 30


def unused(url: str, **options: object) -> None:
    raise AssertionError("these tests speak to the server itself")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[ServerHarness]:
    harness = present(lambda: RedisHarness(tmp_path / ("deep-" * 30), unused))
    yield harness
    harness.close()


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[ServerHarness]:
    harness = present(lambda: NatsHarness(tmp_path / "nats", unused))
    yield harness
    harness.close()


def ask(harness: ServerHarness, command: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", harness.server.port), timeout=LIMIT) as connection:
        connection.sendall(command + b"\r\n")
        return connection.recv(1000)


@pytest.mark.parametrize("ending", ["restart", "crash"])
def test_redis_keeps_what_it_acknowledged(redis: ServerHarness, ending: str) -> None:
    url = redis.server.url
    assert ask(redis, b"SET name value") == b"+OK\r\n"
    getattr(redis, ending)()
    assert redis.server.url == url
    assert ask(redis, b"GET name") == b"$5\r\nvalue\r\n"


def test_a_cut_breaks_and_refuses_and_heals(redis: ServerHarness) -> None:
    with socket.create_connection(("127.0.0.1", redis.server.port), timeout=LIMIT) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == b"+PONG\r\n"
        with redis.cut_network():
            with pytest.raises(ConnectionError):
                connection.sendall(b"PING\r\n")
                assert connection.recv(100) == b""
                raise ConnectionResetError("ended in an orderly way")
            with pytest.raises(ConnectionError):
                if not ask(redis, b"PING"):
                    raise ConnectionResetError("ended in an orderly way")
    assert ask(redis, b"PING") == b"+PONG\r\n"


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    present(lambda: RedisHarness(tmp_path / "first", unused)).close()
    with pytest.raises(RuntimeError, match="sometimes"):
        RedisServer(tmp_path / "second", appendfsync="sometimes")


def test_a_server_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingServer, match="redis-server is not installed"):
        RedisHarness(tmp_path, unused)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="nats-server is not installed"):
        present(lambda: NatsHarness(tmp_path, unused))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="nats-server is not installed"):
        present(lambda: NatsHarness(tmp_path, unused))


@pytest.mark.parametrize("ending", ["restart", "crash"])
def test_nats_keeps_what_it_acknowledged(nats: ServerHarness, ending: str) -> None:
    client = pytest.importorskip("nats")

    async def with_stream(use: str) -> int:
        connection = await client.connect(nats.server.url, allow_reconnect=False)
        try:
            stream = connection.jetstream()
            if use == "publish":
                await stream.add_stream(name="messages", subjects=["channel.*"])
                await stream.publish("channel.a", b"x" * 2_000_000)
            info = await stream.stream_info("messages")
            return int(info.state.messages)
        finally:
            await connection.close()

    assert asyncio.run(with_stream("publish")) == 1
    getattr(nats, ending)()
    assert asyncio.run(with_stream("look")) == 1


def test_clients_that_look_for_a_server_while_it_is_away(nats: ServerHarness) -> None:
    """A client that came while the server wrote where it listens ended the proxy, and one that came
    a moment before had all others sent to where the server had been."""
    server = nats.server
    (folder,) = {written.parent for written in server.folder.glob("nats-server_*.ports")}
    server.kill()
    for written in folder.glob("nats-server_*.ports"):
        written.write_text('{"nats": ["nats://127')
    server._port = 0
    with pytest.raises(ConnectionRefusedError):
        server._reach()
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as early:
            early.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                assert early.recv(1) == b""
    server.start()
    with socket.create_connection(("127.0.0.1", server.port)) as late:
        late.settimeout(5)
        assert late.recv(4) == b"INFO"

"""Redis Streams and JetStream, each with a server of its own that lives as long as the peer."""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import shutil
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from .base import EXTRA, Peer

__all__ = ["JetStream", "Redis"]

_PATIENCE_SECONDS = 60
_SET_DEATH_SIGNAL = 1
_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    """In the server, before it starts: whoever kills the benchmark kills it too."""
    _libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)


def _start(command: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command.split(" "),
            stdout=output,
            stderr=subprocess.STDOUT,
            # Safe here: a call into the C library and nothing else, and no thread is running yet.
            preexec_fn=_die_with_parent,  # noqa: PLW1509
        )


def _until(attempt: Callable[[], Any], server: subprocess.Popen[bytes], log: Path) -> Any:
    """What ``attempt`` gives once the server answers."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return attempt()
        except Exception as error:
            if server.poll() is not None or time.monotonic() > deadline:
                error.add_note(f"the server said: {log.read_text()[-1000:]}")
                raise
            time.sleep(0.002)


class Redis(Peer):
    """``XADD`` and ``XRANGE`` over a unix socket, with hiredis for a parser and pipelines for many,
    as the documentation of Redis and of redis-py advise; the append-only file is on, synced every
    second, its default, or at each command where it has to be durable. Whoever waits is in
    ``XREAD BLOCK``. Synced every second it holds back what it has acknowledged while a sync is
    under way, and a kill takes that."""

    name = "Redis Streams"
    role = "peer"
    can = frozenset(
        {
            "append",
            "many",
            "durable",
            "durable tasks",
            "replay",
            "interleaved",
            "thread to thread",
            "thread to task",
            "task to task",
            "fan-out to threads",
            "open",
        }
    )
    open_bytes_max = 64 << 20
    kill_loses = "it lost acknowledged messages"
    replay_share = 0.2
    wakes_share = 0.5
    PAGE = 1_000

    @classmethod
    def missing(cls) -> str:
        if not (importlib.util.find_spec("redis") and importlib.util.find_spec("hiredis")):
            return f"redis and hiredis, {EXTRA}"
        return "" if shutil.which("redis-server") else "redis-server is not installed"

    def open(self) -> None:
        import redis

        self.socket = str(self.folder / "socket")
        log = self.folder / "server.log"
        self.server = _start(
            f"redis-server --port 0 --unixsocket {self.socket} --dir {self.folder} "
            "--save  --appendonly yes --appendfsync everysec",
            log,
        )
        self.client = redis.Redis(unix_socket_path=self.socket, max_connections=4096)
        self._loop: asyncio.AbstractEventLoop | None = None
        _until(self.client.ping, self.server, log)

    def close(self) -> None:
        self.client.close()
        self.server.terminate()
        self.server.wait(_PATIENCE_SECONDS)

    def end(self, channel: str) -> int:
        return int(self.client.xlen(channel))

    def writer(self, channel: str) -> Callable[[Any], object]:
        add, encode = self.client.xadd, self.shape.encode
        return lambda data: add(channel, {b"d": encode(data)})

    def durable_writer(self, channel: str) -> Callable[[Any], object]:
        self.client.config_set("appendfsync", "always")
        return self.writer(channel)

    def durable_task_writer(self, channel: str) -> Callable[[Any], Awaitable[object]]:
        self.client.config_set("appendfsync", "always")
        client, encode = self._task_client(), self.shape.encode
        return lambda data: client.xadd(channel, {b"d": encode(data)})

    def _task_client(self) -> Any:
        """A client for the running loop; its tasks share a hundred connections."""
        import redis.asyncio

        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            pool = redis.asyncio.BlockingConnectionPool(
                connection_class=redis.asyncio.UnixDomainSocketConnection,
                path=self.socket,
                max_connections=100,
                timeout=None,
            )
            self._client = redis.asyncio.Redis(connection_pool=pool)
        return self._client

    async def leave_loop(self) -> None:
        if self._loop is not None:
            await self._client.aclose()
            await self._client.connection_pool.disconnect()
            self._loop = None

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        encode = self.shape.encode

        def write(items: Sequence[Any]) -> None:
            pipeline = self.client.pipeline(transaction=False)
            for data in items:
                pipeline.xadd(channel, {b"d": encode(data)})
            pipeline.execute()

        return write

    def interleave(self, channels: Sequence[str], items: Sequence[Any]) -> None:
        for data in items:
            body = self.shape.encode(data)
            pipeline = self.client.pipeline(transaction=False)
            for channel in channels:
                pipeline.xadd(channel, {b"d": body})
            pipeline.execute()

    def reader(self, channel: str) -> Iterator[Any]:
        return chain.from_iterable(self._pages(channel))

    def _pages(self, channel: str) -> Iterator[list[Any]]:
        decode, start = self.shape.decode, b"-"
        while page := self.client.xrange(channel, start, count=self.PAGE):
            yield [decode(fields[b"d"]) for _, fields in page]
            start = b"(" + page[-1][0]

    def waiter(self, channel: str) -> Callable[[], Any]:
        decode, read = self.shape.decode, self.client.xread
        seen, waiting = b"0", deque[tuple[bytes, dict[bytes, bytes]]]()

        def wait() -> Any:
            nonlocal seen
            if not waiting:
                found = read({channel: seen}, block=0, count=self.PAGE)
                waiting.extend(_entries(found))
                seen = waiting[-1][0]
            return decode(waiting.popleft()[1][b"d"])

        return wait

    def task_waiter(self, channel: str) -> Callable[[], Awaitable[Any]]:
        decode, read = self.shape.decode, self._task_client().xread
        seen, waiting = b"0", deque[tuple[bytes, dict[bytes, bytes]]]()

        async def wait() -> Any:
            nonlocal seen
            if not waiting:
                waiting.extend(_entries(await read({channel: seen}, block=0, count=self.PAGE)))
                seen = waiting[-1][0]
            return decode(waiting.popleft()[1][b"d"])

        return wait


def _entries(found: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of the one stream that was asked for, in either form of the answer."""
    if isinstance(found, dict):
        ((entries,),) = found.values()
        return list(entries)
    ((_, entries),) = found
    return list(entries)


async def _leave(client: Any) -> None:
    """Close a client of NATS, and end what an ordered consumer watches over itself with."""
    await client.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class JetStream(Peer):
    """A stream in files, one subject a channel; ``publish`` waits for the acknowledgement, many go
    out together with ``publish_async``, and reading is ``fetch`` of a thousand without
    acknowledgements, as the documentation of NATS advises for throughput. The client lives in an
    event loop, which is run where the caller is. There is no way to ask this server for a sync with
    each message."""

    name = "JetStream"
    role = "peer"
    can = frozenset({"append", "many", "replay", "thread to thread"})
    replay_share = 0.02
    wakes_share = 0.2
    PAGE = 1_000

    @classmethod
    def missing(cls) -> str:
        if not importlib.util.find_spec("nats"):
            return f"nats-py, {EXTRA}"
        return "" if shutil.which("nats-server") else "nats-server is not installed"

    def open(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        log = self.folder / "server.log"
        self.server = _start(
            f"nats-server -js -a 127.0.0.1 -p {self.port} -sd {self.folder / 'streams'}", log
        )
        self.loops: list[tuple[asyncio.AbstractEventLoop, Any]] = []
        self.loop, self.client = _until(self._connect, self.server, log)
        self.stream = self.client.jetstream()
        self._run(self.stream.add_stream(name="messages", subjects=["channel.*"]))

    def close(self) -> None:
        for loop, client in self.loops:
            loop.run_until_complete(_leave(client))
            loop.close()
        self.server.terminate()
        self.server.wait(_PATIENCE_SECONDS)

    def _connect(self) -> tuple[asyncio.AbstractEventLoop, Any]:
        import nats

        socket.create_connection(("127.0.0.1", self.port)).close()
        loop = asyncio.new_event_loop()
        try:
            client = loop.run_until_complete(
                nats.connect(f"nats://127.0.0.1:{self.port}", allow_reconnect=False)
            )
        except BaseException:
            loop.close()
            raise
        self.loops.append((loop, client))
        return loop, client

    def _run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def writer(self, channel: str) -> Callable[[Any], object]:
        publish, encode, run = self.stream.publish, self.shape.encode, self._run
        subject = f"channel.{channel}"
        return lambda data: run(publish(subject, encode(data)))

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        publish, encode = self.stream.publish_async, self.shape.encode
        subject = f"channel.{channel}"

        async def send(items: Sequence[Any]) -> None:
            sent = [await publish(subject, encode(data)) for data in items]
            await asyncio.gather(*sent)

        return lambda items: self._run(send(items))

    def _subscribe(self, stream: Any, channel: str) -> Any:
        from nats.js.api import AckPolicy, ConsumerConfig

        return stream.pull_subscribe(
            f"channel.{channel}",
            config=ConsumerConfig(ack_policy=AckPolicy.NONE),
            pending_msgs_limit=-1,
            pending_bytes_limit=-1,
        )

    def reader(self, channel: str) -> Iterator[Any]:
        decode = self.shape.decode
        subscription = self._run(self._subscribe(self.stream, channel))
        left = self._run(subscription.consumer_info()).num_pending
        while left:
            page = self._run(subscription.fetch(min(left, self.PAGE), timeout=_PATIENCE_SECONDS))
            left -= len(page)
            for message in page:
                yield decode(message.data)
        self._run(subscription.unsubscribe())

    def waiter(self, channel: str) -> Callable[[], Any]:
        """A client of its own: its loop runs in the thread that waits."""
        loop, client = self._connect()
        stream, decode = client.jetstream(), self.shape.decode
        subscription = loop.run_until_complete(
            stream.subscribe(f"channel.{channel}", ordered_consumer=True)
        )

        def wait() -> Any:
            message = loop.run_until_complete(subscription.next_msg(timeout=_PATIENCE_SECONDS))
            return decode(message.data)

        return wait

"""What a test pays for its backend: the embedded log beside a fake server and the real ones.

A test here has a world of its own, publishes some messages, reads a few, remembers where it was,
and reads the rest from there. Servers run already, as for all tests of a run, and each test has a
connection and a channel of its own; the first message has to wait until they run.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import msgpack

import chanlog
from chanlog.testing.faults import Faults

from .clients import nats_url, redis_url
from .harness import Case, Claim, Sample, WrongResult, paced
from .peers import JetStream, Redis, opened
from .settings import SHAPES, Settings, payloads

__all__ = ["CLAIMS", "cases"]

TESTS, FIRST = "tests/s", "ms"
TEST, START = "a test", "the first message, in a new process"
FAKE = "fakeredis"
MESSAGES, READ = 10, 4

_numbers = count()

# What a new process does until it has its first message; how, and where that is, are arguments.
_OURS = """
import sys, chanlog
with getattr(chanlog, sys.argv[1])(*sys.argv[2:]) as log:
    channel = log.channel("a")
    channel.publish("first")
    assert channel.subscribe().get().data == "first"
"""
_REDIS = """
import sys
if sys.argv[1] == "fakeredis":
    import fakeredis
    client = fakeredis.FakeRedis()
else:
    import redis
    client = redis.Redis.from_url(sys.argv[1])
client.xadd("a", {"d": b"first"})
((_, fields),) = client.xrange("a")
assert fields[b"d"] == b"first"
"""

CLAIMS = (
    Claim(
        text="tests a second, over fakeredis",
        unit=TESTS,
        ours=(TEST, "chanlog"),
        theirs=(TEST, FAKE),
        bound=1,
    ),
    Claim(
        text="the first message, over fakeredis",
        unit=FIRST,
        ours=(START, "chanlog"),
        theirs=(START, FAKE),
        bound=1,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What a test can run on: a server that it needs, what one test does, and a new process."""

    name: str
    test: Callable[[str, list[Any]], list[Any]]
    source: str
    words: tuple[str, ...]
    server: type[Redis] | type[JetStream] | None = None
    package: str = "chanlog"

    def missing(self) -> str:
        """What it does not find here."""
        if not importlib.util.find_spec(self.package):
            return f"{self.package}, pip install chanlog[bench]"
        return self.server.missing() if self.server else ""

    def started(self, settings: Settings) -> AbstractContextManager[Any]:
        """Its server, running."""
        if self.server is None:
            return nullcontext()
        return opened(self.server, settings, SHAPES["B"])

    def url(self, server: Any) -> str:
        """Where that is."""
        if server is None:
            return ""
        return redis_url(server) if isinstance(server, Redis) else nats_url(server)


def cases(settings: Settings) -> Iterator[Case]:
    """Both cases of this workload."""
    absent = {backend.name: why for backend in BACKENDS if (why := backend.missing())}
    present = [backend for backend in BACKENDS if backend.name not in absent]
    starts = {backend.name: _bound(first, backend, settings) for backend in present}
    yield _case(START, starts, absent)
    with ExitStack() as stack:
        tests = {}
        for backend in present:
            url = backend.url(stack.enter_context(backend.started(settings)))
            tests[backend.name] = _bound(many, backend, settings, url)
        yield _case(TEST, tests, absent)


def _bound(measured: Callable[..., Sample], *given: Any) -> Callable[[], Sample]:
    return lambda: measured(*given)


def _case(name: str, contestants: dict[str, Callable[[], Sample]], absent: dict[str, str]) -> Case:
    return Case(
        workload="double",
        name=name,
        shape="B",
        yardstick=FAKE,
        contestants=contestants,
        absent=absent,
    )


def first(backend: Backend, settings: Settings) -> Sample:
    """From nothing, its server included, until a new process has had a message and has ended."""
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        started = time.perf_counter()
        with backend.started(settings) as server:
            words = [word.format(url=backend.url(server), folder=folder) for word in backend.words]
            subprocess.run([sys.executable, "-c", backend.source, *words], check=True)
            return {FIRST: (time.perf_counter() - started) * 1000}


def many(backend: Backend, settings: Settings, url: str) -> Sample:
    """One test after the other."""
    items = payloads("B", MESSAGES)

    def test(_: object) -> None:
        if backend.test(url, items) != items:
            raise WrongResult(f"{backend.name} has lost, doubled or changed something")

    return {TESTS: paced(test, range(1_000), settings.seconds).rate}


# What a test does, in the words of each.


def _in_log(log: chanlog.Log, items: list[Any]) -> list[Any]:
    channel = log.channel(f"workflow-{next(_numbers)}")
    for item in items:
        channel.publish(item)
    cursor, seen = channel.cursor("reader"), []
    for _ in range(READ):
        message = cursor.get(timeout=0)
        assert message is not None
        seen.append(message.data)
        cursor.commit(message)
    again = channel.cursor("reader")
    while (message := again.get(timeout=0)) is not None:
        seen.append(message.data)
    return seen


def in_memory(_: str, items: list[Any]) -> list[Any]:
    with chanlog.open() as log:
        return _in_log(log, items)


def on_disk(_: str, items: list[Any]) -> list[Any]:
    folder = tempfile.mkdtemp()
    try:
        with chanlog.open(Path(folder) / "log") as log:
            return _in_log(log, items)
    finally:
        shutil.rmtree(folder)


def with_faults(_: str, items: list[Any]) -> list[Any]:
    with chanlog.open() as log:
        return _in_log(Faults(log, profile="redis", seed=1).log, items)


def on_engine(url: str, items: list[Any]) -> list[Any]:
    with chanlog.connect(url) as log:
        return _in_log(log, items)


def _in_redis(client: Any, items: list[Any]) -> list[Any]:
    channel, cursor = f"workflow-{next(_numbers)}", f"reader-{next(_numbers)}"
    for item in items:
        client.xadd(channel, {b"d": msgpack.packb(item)})
    seen = []
    for _ in range(READ):
        start = client.get(cursor)
        ((key, fields),) = client.xrange(channel, b"(" + start if start else b"-", count=1)
        seen.append(msgpack.unpackb(fields[b"d"]))
        client.set(cursor, key)
    for _, fields in client.xrange(channel, b"(" + client.get(cursor)):
        seen.append(msgpack.unpackb(fields[b"d"]))
    return seen


def in_fake(_: str, items: list[Any]) -> list[Any]:
    import fakeredis

    with fakeredis.FakeRedis() as client:
        return _in_redis(client, items)


def in_redis(url: str, items: list[Any]) -> list[Any]:
    import redis

    with redis.Redis.from_url(url) as client:
        return _in_redis(client, items)


BACKENDS = (
    Backend(name="chanlog", test=in_memory, source=_OURS, words=("open",)),
    Backend(name="chanlog on disk", test=on_disk, source=_OURS, words=("open", "{folder}/log")),
    Backend(name="chanlog with faults", test=with_faults, source=_OURS, words=("open",)),
    Backend(name=FAKE, test=in_fake, source=_REDIS, words=(FAKE,), package=FAKE),
    Backend(
        name="chanlog on redis-server",
        test=on_engine,
        source=_OURS,
        words=("connect", "{url}"),
        server=Redis,
    ),
    Backend(
        name="redis-py on redis-server",
        test=in_redis,
        source=_REDIS,
        words=("{url}",),
        server=Redis,
    ),
    Backend(
        name="chanlog on nats-server",
        test=on_engine,
        source=_OURS,
        words=("connect", "{url}"),
        server=JetStream,
    ),
)

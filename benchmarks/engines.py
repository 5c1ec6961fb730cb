"""chanlog on Redis Streams and on JetStream beside the bare clients that it uses.

Both clients of a case talk to the same server. What is compared is what the interface costs: the
bare client neither numbers messages, nor knows the ends of channels, nor keeps a retry from doing
something twice.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from itertools import count
from operator import itemgetter
from typing import Any, cast

from .clients import PAIRS, Client, Pair, TaskClient, ThreadClient
from .harness import Case, Claim, Pace, Sample, check, paced, percentiles
from .peers import opened
from .settings import SHAPES, Settings, Shape, payloads

__all__ = ["CLAIMS", "cases"]

RATE, P50 = "messages/s", "p50 us"
ONE, MANY = "one per call", "{:,} per call"
REPLAY, REPLAY_MANY = "replay", "replay of what was published 1,000 per call"
WAKE = "wake-up"
MANY_COUNTS = (100, 1_000)
COST_MAX = 1.25
REST_SECONDS = 0.001
PATIENCE_SECONDS = 60.0

_data = itemgetter(2)
_numbers = count()


def _place(name: str, pair: Pair) -> str:
    return f"{name}, {pair.name}"


def _claim(name: str, pair: Pair, text: str) -> Claim:
    case = _place(name, pair)
    return Claim(
        text=f"{text}, {pair.name}: time over {pair.bare.name}",
        unit=RATE,
        ours=(case, pair.ours.name),
        theirs=(case, pair.bare.name),
        bound=COST_MAX,
        cost=True,
    )


CLAIMS = tuple(
    _claim(name, pair, text)
    for pair in PAIRS
    for name, text in (
        (ONE, "publish"),
        *((MANY.format(size), f"publish_many of {size:,}") for size in MANY_COUNTS),
        (REPLAY, "replay"),
        (REPLAY_MANY, "replay of what came 1,000 per call"),
    )
)


def cases(settings: Settings) -> Iterator[Case]:
    """All cases of this workload, for a token event and a kibibyte."""
    shapes = [shape for shape in ("B", "C") if shape in settings.shapes] or settings.shapes[:1]
    for pair in PAIRS:
        for shape in map(SHAPES.__getitem__, shapes):
            if missing := pair.server.missing():
                yield _case(pair, shape, ONE, {}, {pair.ours.name: missing})
                continue
            with opened(pair.server, settings, shape) as server:
                yield from _cases_of(pair, pair.url(server), settings, shape)


def _cases_of(pair: Pair, url: str, settings: Settings, shape: Shape) -> Iterator[Case]:
    kinds = (pair.ours, pair.bare)
    yield _case(
        pair, shape, ONE, {kind.name: partial(one, kind, url, settings, shape) for kind in kinds}
    )
    for size in MANY_COUNTS:
        work = {kind.name: partial(many, kind, url, settings, shape, size) for kind in kinds}
        yield _case(pair, shape, MANY.format(size), work)
    total = settings.engine_messages
    for name, size in ((REPLAY, 1), (REPLAY_MANY, 1_000)):
        items = payloads(shape.name, total)
        work = {}
        for kind in kinds:
            channel = fill(kind, url, items, size)
            work[kind.name] = partial(replay, kind, url, channel, items)
        yield _case(pair, shape, name, work)
    if shape.name == settings.shapes_together:
        yield _case(
            pair, shape, WAKE, {kind.name: partial(wake, kind, url, settings) for kind in kinds}
        )


def _case(
    pair: Pair,
    shape: Shape,
    name: str,
    contestants: dict[str, Callable[[], Sample]],
    absent: dict[str, str] | None = None,
) -> Case:
    return Case(
        workload="engines",
        name=_place(name, pair),
        shape=shape.name,
        yardstick=pair.bare.name,
        contestants=contestants,
        absent=absent or {},
    )


def _channel() -> str:
    """One that no other measurement has used."""
    return f"workflow-{next(_numbers)}"


# Each kind of client is driven in its own way; what is measured is the same.

Kind = type[Client]


def _driven(
    kind: Kind,
    url: str,
    thread: Callable[[ThreadClient], Any],
    tasks: Callable[[TaskClient], Coroutine[Any, Any, Any]],
) -> Any:
    if issubclass(kind, ThreadClient):
        with kind(url) as client:
            return thread(client)

    async def run() -> Any:
        async with cast(type[TaskClient], kind)(url) as client:
            return await tasks(client)

    return asyncio.run(run())


async def apaced(call: Callable[[Any], Any], items: Sequence[Any], seconds: float) -> Pace:
    """``paced`` for a call that is awaited."""
    clock = time.perf_counter
    await call(items[0])
    done = 1
    cpu_ns = time.thread_time_ns()
    started = now = clock()
    while now - started < seconds:
        await call(items[done % len(items)])
        done += 1
        now = clock()
    cpu_ns = time.thread_time_ns() - cpu_ns
    return Pace(done, (done - 1) / (now - started), cpu_ns / (done - 1))


def one(kind: Kind, url: str, settings: Settings, shape: Shape) -> Sample:
    """One message a call, the next when the server has the last."""
    items = settings.items(shape)
    pace = _publish(kind, url, settings, items, None)
    return {RATE: pace.rate}


def many(kind: Kind, url: str, settings: Settings, shape: Shape, size: int) -> Sample:
    """A list of messages a call."""
    items = payloads(shape.name, size * 8)
    pace = _publish(kind, url, settings, items, size)
    return {RATE: pace.rate * size}


def _publish(
    kind: Kind, url: str, settings: Settings, items: Sequence[Any], size: int | None
) -> Pace:
    """For so long as one measurement lasts; what was published is read back and compared."""
    channel, seconds = _channel(), settings.seconds
    given = items if size is None else _lists(items, size)

    def thread(client: ThreadClient) -> Pace:
        write = client.writer(channel) if size is None else client.many_writer(channel)
        return paced(write, given, seconds)

    async def tasks(client: TaskClient) -> Pace:
        write: Any = client.writer(channel) if size is None else client.many_writer(channel)
        return await apaced(write, given, seconds)

    pace: Pace = _driven(kind, url, thread, tasks)
    check(_read(kind, url, channel)[0], items, pace.calls * (size or 1))
    return pace


def _lists(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _read(kind: Kind, url: str, channel: str) -> tuple[list[Any], float]:
    """All payloads of a channel, and how many seconds reading them took."""
    clock = time.perf_counter

    def thread(client: ThreadClient) -> tuple[list[Any], float]:
        started = clock()
        found = list(map(_data, client.reader(channel)))
        return found, clock() - started

    async def tasks(client: TaskClient) -> tuple[list[Any], float]:
        started = clock()
        found = [message[2] async for message in client.reader(channel)]
        return found, clock() - started

    found: tuple[list[Any], float] = _driven(kind, url, thread, tasks)
    return found


def fill(kind: Kind, url: str, items: Sequence[Any], size: int) -> str:
    """A new channel with ``items``, published ``size`` a call; returns its name."""
    channel = _channel()

    def thread(client: ThreadClient) -> None:
        write = client.writer(channel) if size == 1 else client.many_writer(channel)
        for item in items if size == 1 else _lists(items, size):
            write(item)

    async def tasks(client: TaskClient) -> None:
        write: Any = client.writer(channel) if size == 1 else client.many_writer(channel)
        for item in items if size == 1 else _lists(items, size):
            await write(item)

    _driven(kind, url, thread, tasks)
    return channel


def replay(kind: Kind, url: str, channel: str, items: Sequence[Any]) -> Sample:
    """All messages of a channel, from a client that has just connected, read one by one."""
    found, seconds = _read(kind, url, channel)
    check(found, items, len(items))
    return {RATE: len(items) / seconds}


def wake(kind: Kind, url: str, settings: Settings) -> Sample:
    """From before a publish until the reader that waited has the message, one after the other."""
    total, channel, clock = settings.wakes // 2 + 2, _channel(), time.perf_counter_ns
    received: list[tuple[int, int]] = []

    def thread(client: ThreadClient) -> list[int]:
        write, sent = client.writer(channel), [0]
        write(0)
        wait, turn = client.waiter(channel), threading.Semaphore(0)

        def receive() -> None:
            for _ in range(total):
                received.append((wait(), clock()))
                turn.release()

        reader = threading.Thread(target=receive, daemon=True)
        reader.start()
        sent.clear()
        for _ in range(total):
            # Until the reader waits again.
            time.sleep(REST_SECONDS)
            sent.append(clock())
            write(sent[-1])
            turn.acquire(timeout=PATIENCE_SECONDS)
        reader.join(PATIENCE_SECONDS)
        return sent

    async def tasks(client: TaskClient) -> list[int]:
        write, sent = client.writer(channel), list[int]()
        await write(0)
        wait, turn = await client.waiter(channel), asyncio.Semaphore(0)

        async def receive() -> None:
            for _ in range(total):
                received.append((await wait(), clock()))
                turn.release()

        async with asyncio.timeout(PATIENCE_SECONDS):
            reader = asyncio.ensure_future(receive())
            for _ in range(total):
                await asyncio.sleep(REST_SECONDS)
                sent.append(clock())
                await write(sent[-1])
                await turn.acquire()
            await reader
        return sent

    sent = _driven(kind, url, thread, tasks)
    check(map(itemgetter(0), received), sent, total)
    return {P50: percentiles([now - then for then, now in received[2:]])[P50]}

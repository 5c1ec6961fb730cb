"""Writing: one message a call, many a call, durably, by many at once, beside a busy thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import cycle, islice
from typing import Any

from .harness import Case, Claim, Sample, WrongResult, busy, check, paced
from .peers import Ability, Bare, Peer, opened, peers
from .settings import SHAPES, Settings, Shape, payloads

__all__ = ["CLAIMS", "cases"]

CHANNEL = "workflow-42"

ONE = "one per call"
BUSY = "one per call, busy thread beside"
MANY = "1,000 per call"
DURABLE = "durable, one thread"
ALONE = "bare, one thread"
RATE = "messages/s"
CPU = "cpu ns"

THREADS = "durable, {:,} threads"
TASKS = "durable, {:,} tasks"

OURS = "chanlog disk"
SQLITE = "sqlite3 WAL"


def _speed(text: str, ours: str, theirs: str, bound: float, yardstick: str) -> Claim:
    return Claim(text=text, unit=RATE, ours=(ours, OURS), theirs=(theirs, yardstick), bound=bound)


def _cost(text: str, unit: str) -> Claim:
    return Claim(
        text=text, unit=unit, ours=(ONE, OURS), theirs=(ONE, Bare.name), bound=2, cost=True
    )


CLAIMS = (
    _cost("publish, cost over the bare steps", RATE),
    _cost("the same, by processor time", CPU),
    _speed("publish, speed over SQLite", ONE, ONE, 15, SQLITE),
    _speed("publish beside a busy thread, of its idle rate", BUSY, ONE, 0.35, OURS),
    _speed("publish beside a busy thread, speed over SQLite", BUSY, BUSY, 100, SQLITE),
    _speed("publish_many, speed over SQLite", MANY, MANY, 3, SQLITE),
    _speed("durable publish, of bare", DURABLE, DURABLE, 0.9, Bare.name),
    _speed("64 threads durable, over one bare", THREADS.format(64), THREADS.format(64), 5, ALONE),
    _speed(
        "1,000 tasks durable, over one bare", TASKS.format(1_000), TASKS.format(1_000), 100, ALONE
    ),
)


def cases(settings: Settings) -> Iterator[Case]:
    """All cases of this workload."""
    for shape in map(SHAPES.__getitem__, settings.shapes):
        for name, yardstick, contestants in contests(settings, shape):
            yield Case(
                workload="append",
                name=name,
                shape=shape.name,
                yardstick=yardstick,
                contestants=contestants,
            )


Contestants = dict[str, Callable[[], Sample]]


def contests(settings: Settings, shape: Shape) -> Iterator[tuple[str, str, Contestants]]:
    """The name of each case, its yardstick, and who takes part."""

    def all_of(ability: Ability, work: Callable[..., Sample], **options: Any) -> Contestants:
        return {
            kind.name: partial(work, kind, settings, shape, **options)
            for kind in peers(ability, settings)
        }

    yield ONE, Bare.name, all_of("append", one)
    yield BUSY, Bare.name, all_of("append", one, beside_busy=True)
    yield MANY, Bare.name, all_of("many", many)
    yield DURABLE, Bare.name, all_of("durable", one, durable=True)
    alone: Contestants = {ALONE: partial(one, Bare, settings, shape, durable=True)}
    for count in settings.threads:
        together = all_of("durable", threads, count=count)
        together.pop(Bare.name, None)
        yield THREADS.format(count), ALONE, alone | together
    yield TASKS.format(settings.tasks), ALONE, alone | all_of("durable tasks", tasks)


def one(
    kind: type[Peer],
    settings: Settings,
    shape: Shape,
    *,
    durable: bool = False,
    beside_busy: bool = False,
) -> Sample:
    """One thread, one message a call."""
    items = settings.items(shape)
    with opened(kind, settings, shape) as peer:
        write = peer.durable_writer(CHANNEL) if durable else peer.writer(CHANNEL)
        with busy(beside_busy):
            pace = paced(write, items, settings.seconds)
        check(peer.reader(CHANNEL), items, pace.calls)
    return {RATE: pace.rate, CPU: pace.cpu_ns}


def many(kind: type[Peer], settings: Settings, shape: Shape) -> Sample:
    """One thread, a list of messages a call."""
    size = shape.batch
    items = payloads(shape.name, size * 8)
    lists = [items[start : start + size] for start in range(0, len(items), size)]
    with opened(kind, settings, shape) as peer:
        pace = paced(peer.many_writer(CHANNEL), lists, settings.seconds)
        check(peer.reader(CHANNEL), items, pace.calls * size)
    return {RATE: pace.rate * size, CPU: pace.cpu_ns / size}


def threads(kind: type[Peer], settings: Settings, shape: Shape, count: int) -> Sample:
    """Each thread waits for the disk with each message; every one has a channel of its own."""
    items = settings.items(shape)
    # The first message is not timed: it makes what all others find.
    counts = [1] + [0] * (count - 1)
    start = threading.Barrier(count + 1)

    def work(number: int, write: Callable[[Any], object]) -> None:
        clock = time.perf_counter
        start.wait()
        deadline = clock() + settings.seconds
        for item in islice(cycle(items), counts[number], None):
            write(item)
            counts[number] += 1
            if clock() >= deadline:
                break

    with opened(kind, settings, shape) as peer:
        writers = [peer.durable_writer(f"agent-{number}") for number in range(count)]
        writers[0](items[0])
        workers = [threading.Thread(target=work, args=pair) for pair in enumerate(writers)]
        for worker in workers:
            worker.start()
        start.wait()
        started = time.perf_counter()
        for worker in workers:
            worker.join()
        seconds = time.perf_counter() - started
        check_all(peer, items, counts)
    return {RATE: (sum(counts) - 1) / seconds}


def tasks(kind: type[Peer], settings: Settings, shape: Shape) -> Sample:
    """Each task of one loop waits for the disk with each message, as above."""
    items = settings.items(shape)
    counts = [1] + [0] * (settings.tasks - 1)
    clock = time.perf_counter

    async def work(number: int, write: Callable[[Any], Awaitable[object]], deadline: float) -> None:
        for item in islice(cycle(items), counts[number], None):
            await write(item)
            counts[number] += 1
            if clock() >= deadline:
                break

    async def run(peer: Peer) -> float:
        writers = [peer.durable_task_writer(f"agent-{number}") for number in range(settings.tasks)]
        await writers[0](items[0])
        started = clock()
        deadline = started + settings.seconds
        await asyncio.gather(*(work(*pair, deadline) for pair in enumerate(writers)))
        return clock() - started

    with opened(kind, settings, shape) as peer:
        seconds = asyncio.run(run(peer))
        check_all(peer, items, counts)
    return {RATE: (sum(counts) - 1) / seconds}


def check_all(peer: Peer, items: list[Any], counts: list[int]) -> None:
    """Each channel holds what its writer wrote; a peer without channels, as much as all did."""
    if peer.has_channels:
        for number, count in enumerate(counts):
            check(peer.reader(f"agent-{number}"), items, count)
    elif (found := sum(1 for _ in peer.reader(""))) != sum(counts):
        raise WrongResult(f"{found} messages were read where {sum(counts)} were written")

"""Writing: one message a call, many a call, durably, by many at once, beside a busy thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import cycle, islice
from typing import Any

from .harness import BEST, Case, Claim, Sample, WrongResult, busy, check, paced
from .peers import Ability, Bare, File, Peer, absent, opened, peers
from .settings import SHAPES, Settings, Shape, payloads

__all__ = ["CLAIMS", "cases"]

CHANNEL = "workflow-42"

ONE = "one per call"
BUSY = "one per call, busy thread beside"
MANY = "1,000 per call"
DURABLE = "durable, one thread"
BUSY_TIMES = 3
"""Beside a busy thread it is measured for so much longer: a wait for the interpreter is 5 ms."""
ALONE = "bare, one thread"
RATE = "messages/s"
CPU = "cpu ns"

THREADS = "durable, {:,} threads"
TASKS = "durable, {:,} tasks"

OURS = "chanlog disk"
SQLITE = "sqlite3 WAL"


_STEPS = "pack, checksum, header, store, index"
_SYNC = "a bare write and fdatasync"


def _speed(
    text: str, case: str, theirs: str, bound: float, limit: str = "", limit_of: str = Bare.name
) -> Claim:
    return Claim(
        text=text,
        unit=RATE,
        ours=(case, OURS),
        theirs=(case, theirs),
        bound=bound,
        limit=limit,
        limit_of=(case, limit_of) if limit else None,
    )


def _cost(text: str, unit: str) -> Claim:
    return Claim(
        text=text, unit=unit, ours=(ONE, OURS), theirs=(ONE, Bare.name), bound=1.3, cost=True
    )


CLAIMS = (
    _speed("publish, over RocksDB", ONE, "RocksDB", 2.5, _STEPS),
    _speed("publish, over LMDB", ONE, "LMDB", 5, _STEPS),
    _speed("publish, over SQLite", ONE, SQLITE, 15, _STEPS),
    _speed("publish, over the best peer", ONE, BEST, 2.5, _STEPS),
    _cost("publish, time over the bare steps", RATE),
    _cost("publish, processor time over the bare steps", CPU),
    Claim(
        text="publish beside a busy thread, of its idle rate",
        unit=RATE,
        ours=(BUSY, OURS),
        theirs=(ONE, OURS),
        bound=0.35,
        limit="the interpreter, which two threads share",
        limit_of=(BUSY, Bare.name),
    ),
    _speed("publish beside a busy thread, over SQLite", BUSY, SQLITE, 100),
    _speed("publish beside a busy thread, over a bare os.write", BUSY, File.name, 100),
    _speed("publish_many, over the best peer", MANY, BEST, 3, _STEPS),
    _speed("durable, one thread, of a bare write and fdatasync", DURABLE, Bare.name, 0.9, _SYNC),
    _speed(
        "durable, 64 threads, over one bare",
        THREADS.format(64),
        ALONE,
        5,
        "the disk: one sync for all who wait",
        ALONE,
    ),
    _speed(
        "durable, 1,000 tasks, over one bare",
        TASKS.format(1_000),
        ALONE,
        100,
        "the disk: one sync for all who wait",
        ALONE,
    ),
)


def cases(settings: Settings) -> Iterator[Case]:
    """All cases of this workload."""
    for shape in map(SHAPES.__getitem__, settings.shapes):
        for name, ability, yardstick, contestants in contests(settings, shape):
            yield Case(
                workload="append",
                name=name,
                shape=shape.name,
                yardstick=yardstick,
                contestants=contestants,
                absent=absent(ability, settings),
            )


Contestants = dict[str, Callable[[], Sample]]


def contests(settings: Settings, shape: Shape) -> Iterator[tuple[str, Ability, str, Contestants]]:
    """The name of each case, what it asks of a peer, its yardstick, and who takes part."""

    def all_of(ability: Ability, work: Callable[..., Sample], **options: Any) -> Contestants:
        return {
            kind.name: partial(work, kind, settings, shape, **options)
            for kind in peers(ability, settings)
        }

    yield ONE, "append", Bare.name, all_of("append", one)
    yield BUSY, "append", Bare.name, all_of("append", one, beside_busy=True)
    yield MANY, "many", Bare.name, all_of("many", many)
    yield DURABLE, "durable", Bare.name, all_of("durable", one, durable=True)
    if shape.name != settings.shapes_together:
        # What many who wait at once get is a matter of syncs, not of payloads.
        return
    alone: Contestants = {ALONE: partial(one, Bare, settings, shape, durable=True)}
    for count in settings.threads:
        together = all_of("durable", threads, count=count)
        together.pop(Bare.name, None)
        yield THREADS.format(count), "durable", ALONE, alone | together
    yield (
        TASKS.format(settings.tasks),
        "durable tasks",
        ALONE,
        alone | all_of("durable tasks", tasks),
    )


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
    seconds = settings.seconds * (BUSY_TIMES if beside_busy else 1)
    with opened(kind, settings, shape) as peer:
        write = peer.durable_writer(CHANNEL) if durable else peer.writer(CHANNEL)
        with busy(beside_busy):
            pace = paced(write, items, seconds)
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
        seconds = clock() - started
        await peer.leave_loop()
        return seconds

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

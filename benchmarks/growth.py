"""What calls cost as the log grows, and what compaction costs whoever writes meanwhile."""

from __future__ import annotations

import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from .harness import Case, Claim, Sample, WrongResult, check
from .peers import ChanlogDisk, NotCompacted, Peer, absent, opened, peers
from .settings import MIB, SHAPES, Settings, payloads

__all__ = ["CLAIMS", "cases"]

SIZE = "calls on a log of {:,} MB"
CHANNEL = "workflow-{}"
CHANNELS = 100
BATCH = 1_000
LOOKS = 200
PUBLISHED = "live"

RATE, ATTACH, READ = "messages/s", "attach us", "read us"
P50, P99, WORST = "p50 us", "p99 us", "p99.9 us"
CPU = "cpu us/message"

COMPACTION = "publishing {:,} MB, and compaction beside it"
WITH, WITHOUT = "chanlog disk", "chanlog disk, no background"
OURS = ChanlogDisk.name

SMALL_MB, LARGE_MB, COMPACTED_MB = 1, 10_240, 256


def _flat(text: str, unit: str) -> Claim:
    return Claim(
        text=f"{text}, at 10 GB over at 1 MB",
        unit=unit,
        ours=(SIZE.format(LARGE_MB), OURS),
        theirs=(SIZE.format(SMALL_MB), OURS),
        bound=1.5,
        cost=True,
    )


def _beside(text: str, unit: str, bound: float) -> Claim:
    case = COMPACTION.format(COMPACTED_MB)
    return Claim(
        text=text,
        unit=unit,
        ours=(case, WITH),
        theirs=(case, WITHOUT),
        bound=bound,
        cost=True,
    )


CLAIMS = (
    _flat("publish", RATE),
    _flat("attach at the tail", ATTACH),
    _flat("read by offset", READ),
    _beside("time of a writer beside compaction, over without", RATE, 2),
    _beside("p99 of a publish beside compaction, over without", P99, 2),
)


def cases(settings: Settings) -> Iterator[Case]:
    """All cases of this workload, with messages of 1 KiB to a hundred channels in turn."""
    shape = SHAPES["C"]
    items = payloads("C", BATCH)
    with ExitStack() as stack:
        grown = {
            kind: stack.enter_context(opened(kind, settings, shape))
            for kind in peers("growth", settings)
        }
        written: dict[type[Peer], int] = dict.fromkeys(grown, 0)
        for size_mb in sizes_mb(settings):
            if size_mb > settings.growth_peers_mb:
                for kind in [kind for kind in grown if kind.role != "chanlog"]:
                    del grown[kind]
            for kind, store in grown.items():
                written[kind] = grow(store, items, written[kind], size_mb * MIB // shape.size_bytes)
            yield Case(
                workload="growth",
                name=SIZE.format(size_mb),
                shape="C",
                yardstick=OURS,
                contestants={
                    kind.name: partial(calls, store, settings, items, written[kind])
                    for kind, store in grown.items()
                },
                absent=absent("growth", settings),
            )
    if settings.wants(OURS):
        yield Case(
            workload="growth",
            name=COMPACTION.format(settings.compacted_mb),
            shape="C",
            yardstick=WITHOUT,
            contestants={
                WITHOUT: partial(beside_compaction, NotCompacted, settings),
                WITH: partial(beside_compaction, ChanlogDisk, settings),
            },
        )


def sizes_mb(settings: Settings) -> Sequence[int]:
    """The sizes asked for that the disk has room for, with as much again for compaction."""
    free_mb = shutil.disk_usage(settings.folder).free // MIB
    return [size_mb for size_mb in settings.growth_mb if size_mb * 2.5 < free_mb]


def grow(store: Peer, items: list[Any], written: int, wanted: int) -> int:
    """Write until there are ``wanted`` messages or a few more; return how many."""
    writers = [store.many_writer(CHANNEL.format(number)) for number in range(CHANNELS)]
    while written < wanted or written < CHANNELS * BATCH // 100:
        writers[written // BATCH % CHANNELS](items)
        written += BATCH
    store.settle()
    return written


def calls(store: Peer, settings: Settings, items: list[Any], written: int) -> Sample:
    """Publish for a while; attach at the tail of some channels; read some messages."""
    chance = random.Random(written)
    batches = written // BATCH
    write = store.writer(PUBLISHED)
    clock = time.perf_counter
    started, done = clock(), 0
    while clock() - started < settings.seconds:
        for item in items[:100]:
            write(item)
        done += 100
    seconds = clock() - started
    attached: list[float] = []
    read: list[float] = []
    for _ in range(LOOKS):
        number = chance.randrange(min(CHANNELS, batches))
        count = (batches // CHANNELS + (number < batches % CHANNELS)) * BATCH
        channel, offset = CHANNEL.format(number), chance.randrange(count)
        attached.append(_timed(partial(store.last, channel), items[-1]))
        read.append(_timed(partial(store.at, channel, offset), items[offset % BATCH]))
    return {
        RATE: done / seconds,
        ATTACH: statistics.median(attached) * 1e6,
        READ: statistics.median(read) * 1e6,
    }


def _timed(call: Callable[[], Any], expected: Any) -> float:
    started = time.perf_counter()
    found = call()
    seconds = time.perf_counter() - started
    if found != expected:
        raise WrongResult(f"{found!r} was read where {expected!r} was written")
    return seconds


def beside_compaction(kind: type[Peer], settings: Settings) -> Sample:
    """Publish message by message to a hundred channels in turn, enough to seal many segments; the
    processor time is that of the whole process, so compaction's share is the difference."""
    shape = SHAPES["C"]
    items = payloads("C", BATCH)
    rounds = max(1, settings.compacted_mb * MIB // shape.size_bytes // CHANNELS)
    clock = time.perf_counter_ns
    latencies: list[int] = []
    note = latencies.append
    with opened(kind, settings, shape) as store:
        writers = [store.writer(CHANNEL.format(number)) for number in range(CHANNELS)]
        cpu, started = time.process_time(), time.perf_counter()
        for number in range(rounds):
            item = items[number % BATCH]
            for write in writers:
                before = clock()
                write(item)
                note(clock() - before)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        for number in (0, CHANNELS - 1):
            check(store.reader(CHANNEL.format(number)), items, rounds)
    latencies.sort()
    count = len(latencies)
    return {
        RATE: count / seconds,
        CPU: cpu / count * 1e6,
        P50: latencies[count // 2] / 1e3,
        P99: latencies[count * 99 // 100] / 1e3,
        WORST: latencies[count * 999 // 1000] / 1e3,
    }

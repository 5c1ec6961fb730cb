"""One publisher and many followers of one channel: what all of them get, and what laggards cost."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from .harness import BEST, Case, Claim, Sample, WrongResult
from .peers import Ability, Peer, absent, opened, peers
from .settings import SHAPES, Settings, payloads

__all__ = ["CLAIMS", "cases"]

CHANNEL = "workflow-42"
PATIENCE_SECONDS = 120

TO_TASKS: Ability = "fan-out to tasks"
TO_THREADS: Ability = "fan-out to threads"
TASKS, BURSTS = "fan-out to {:,} tasks, token by token", "fan-out to {:,} tasks, in bursts of {}"
THREADS = "fan-out to {:,} threads"
LAG = "memory for {:,} followers that do not read"
BURST = 100

RATE, HEAP = "deliveries/s", "heap B/message"
OURS, TASK_QUEUE, THREAD_QUEUE = "chanlog disk", "asyncio.Queue", "queue.Queue"


def _over(text: str, case: str, theirs: str, bound: float, limit: str = "") -> Claim:
    return Claim(
        text=text, unit=RATE, ours=(case, OURS), theirs=(case, theirs), bound=bound, limit=limit
    )


_LOOP = "the event loop: one step of a task for each delivery"
CLAIMS = (
    _over("fan-out to 1,000 tasks, over asyncio.Queue", TASKS.format(1_000), TASK_QUEUE, 4, _LOOP),
    _over(
        "fan-out to 1,000 tasks in bursts of 100, over asyncio.Queue",
        BURSTS.format(1_000, BURST),
        TASK_QUEUE,
        4,
        _LOOP,
    ),
    _over(
        "fan-out to 100 threads, over a queue.Queue each",
        THREADS.format(100),
        THREAD_QUEUE,
        4,
        "the interpreter: one switch of threads for each delivery",
    ),
    _over("fan-out to 100 threads, over the best peer", THREADS.format(100), BEST, 4),
    Claim(
        text="memory for each message that 1,000 laggards have not read",
        unit=HEAP,
        ours=(LAG.format(1_000), OURS),
        bound=1,
        cost=True,
    ),
)


def cases(settings: Settings) -> Iterator[Case]:
    """All cases of this workload. The payload is a token, whatever shape is asked for."""
    count = settings.fan_tasks

    def case(name: str, ability: Ability, yardstick: str, work: Callable[..., Sample]) -> Case:
        return Case(
            workload="fan",
            name=name,
            shape="B",
            yardstick=yardstick,
            contestants={
                kind.name: partial(work, kind, settings) for kind in peers(ability, settings)
            },
            absent=absent(ability, settings),
        )

    yield case(TASKS.format(count), TO_TASKS, TASK_QUEUE, partial(to_tasks, burst=1))
    yield case(BURSTS.format(count, BURST), TO_TASKS, TASK_QUEUE, partial(to_tasks, burst=BURST))
    yield case(THREADS.format(settings.fan_threads), TO_THREADS, THREAD_QUEUE, to_threads)
    yield case(LAG.format(count), TO_TASKS, TASK_QUEUE, lag)


def to_tasks(kind: type[Peer], settings: Settings, burst: int) -> Sample:
    """Publisher and followers are tasks of one loop; the publisher lets the others run after each
    ``burst`` messages, as one that awaits its next tokens does."""
    items = payloads("B", settings.fan_messages)
    gots: list[list[Any]] = [[] for _ in range(settings.fan_tasks)]

    async def run(peer: Peer) -> float:
        follow = [peer.task_follower(CHANNEL, got, len(items)) for got in gots]
        followers = [asyncio.ensure_future(start()) for start in follow]
        await asyncio.sleep(0)
        send = peer.broadcaster(CHANNEL)
        started = time.perf_counter()
        for start in range(0, len(items), burst):
            for item in items[start : start + burst]:
                send(item)
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*followers)
        return time.perf_counter() - started

    with opened(kind, settings, SHAPES["B"]) as peer:
        seconds = asyncio.run(run(peer))
    return {RATE: check_all(gots, items) / seconds}


def to_threads(kind: type[Peer], settings: Settings) -> Sample:
    """The publisher in this thread, each follower in one of its own."""
    items = payloads("B", settings.fan_thread_messages)
    gots: list[list[Any]] = [[] for _ in range(settings.fan_threads)]
    with opened(kind, settings, SHAPES["B"]) as peer:
        followers = [
            threading.Thread(target=peer.follower(CHANNEL, got, len(items)), daemon=True)
            for got in gots
        ]
        send = peer.broadcaster(CHANNEL)
        for follower in followers:
            follower.start()
        started = time.perf_counter()
        for item in items:
            send(item)
        for follower in followers:
            follower.join(PATIENCE_SECONDS)
        seconds = time.perf_counter() - started
        delivered = check_all(gots, items)
    return {RATE: delivered / seconds}


def lag(kind: type[Peer], settings: Settings) -> Sample:
    """What the heap grows by for each message while all followers are behind, less what it grows
    by without followers. They read everything afterwards."""

    async def grown(count: int) -> float:
        items = payloads("B", settings.fan_messages)
        gots: list[list[Any]] = [[] for _ in range(count)]
        with opened(kind, settings, SHAPES["B"]) as peer:
            follow = [peer.task_follower(CHANNEL, got, len(items)) for got in gots]
            send = peer.broadcaster(CHANNEL)
            gc.collect()
            tracemalloc.start()
            try:
                before, _ = tracemalloc.get_traced_memory()
                for item in items:
                    send(item)
                gc.collect()
                after, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            for start in follow:
                await start()
            check_all(gots, items)
        return (after - before) / len(items)

    more = asyncio.run(grown(settings.fan_tasks)) - asyncio.run(grown(0))
    # Nothing has no ratio; less than a byte for a thousand followers is as good as nothing.
    return {HEAP: max(more, 0.01)}


def check_all(gots: list[list[Any]], items: list[Any]) -> int:
    """How many deliveries there were; raises unless each follower has got everything in order."""
    for number, got in enumerate(gots):
        if got != items:
            raise WrongResult(f"follower {number} has not got what was sent")
    return len(gots) * len(items)

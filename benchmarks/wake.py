"""Waking: from a publish to the moment the waiting reader has the message, one at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from .harness import Case, Claim, Sample, WrongResult, busy, check, paced, percentiles
from .peers import Ability, Peer, absent, opened, peers
from .settings import SHAPES, Settings, payloads

__all__ = ["CLAIMS", "cases"]

CHANNEL = "workflow-42"
REST_SECONDS = 0.0005
PATIENCE_SECONDS = 60

THREADS: Ability = "thread to thread"
ACROSS: Ability = "thread to task"
TASKS: Ability = "task to task"
BUSY = ", busy thread beside"
RESTLESS = "thread to thread, publisher that never rests"
TICK_NS = 100_000

P50, P99, RATE = "p50 us", "p99 us", "messages/s"
ALONE, BESIDE_THREADS, BESIDE_TASKS = "alone", "beside idle threads", "beside idle tasks"

OURS = "chanlog disk"
SQLITE = "sqlite3 WAL"
LOOP_CALL = "call_soon_threadsafe"
POLLING = "polling SQLite, 10 ms"


def _cost(text: str, unit: str, case: str, theirs: str, bound: float) -> Claim:
    return Claim(
        text=text,
        unit=unit,
        ours=(case, OURS),
        theirs=(case, theirs),
        bound=bound,
        cost=True,
        limit="waking a thread or a loop",
        limit_of=(case, theirs),
    )


def _speed(text: str, unit: str, case: str, theirs: str, bound: float) -> Claim:
    return Claim(text=text, unit=unit, ours=(case, OURS), theirs=(case, theirs), bound=bound)


CLAIMS = (
    _cost("wake thread to thread, p50 over queue.Queue", P50, THREADS, "queue.Queue", 1.5),
    _cost("wake thread to thread, p99 over queue.Queue", P99, THREADS, "queue.Queue", 1.5),
    _cost("wake thread to task, p50 over call_soon_threadsafe", P50, ACROSS, LOOP_CALL, 1.5),
    _cost("wake thread to task, p99 over call_soon_threadsafe", P99, ACROSS, LOOP_CALL, 1.5),
    _cost("wake task to task, p50 over asyncio.Queue", P50, TASKS, "asyncio.Queue", 1.5),
    _cost("wake task to task, p99 over asyncio.Queue", P99, TASKS, "asyncio.Queue", 1.5),
    _cost("wake beside a busy thread, p99 over queue.Queue", P99, THREADS + BUSY, "queue.Queue", 1),
    _cost("publisher that never rests, p99 over queue.Queue", P99, RESTLESS, "queue.Queue", 1),
    _speed("wake thread to thread, p50, over SQLite + Condition", P50, THREADS, SQLITE, 3),
    _speed("wake thread to thread, p99, over SQLite + Condition", P99, THREADS, SQLITE, 3),
    _speed("wake thread to thread, p50, over polling", P50, THREADS, POLLING, 100),
    _speed("wake thread to thread, p99, over polling", P99, THREADS, POLLING, 100),
    _speed("wake thread to task, p50, over polling", P50, ACROSS, POLLING, 100),
    _speed("wake thread to task, p99, over polling", P99, ACROSS, POLLING, 100),
    _speed("wake task to task, p50, over polling", P50, TASKS, POLLING, 100),
    _speed("wake task to task, p99, over polling", P99, TASKS, POLLING, 100),
)

Received = list[tuple[int, int]]
"""What arrived (the time at which it was sent), and when."""
Way = Callable[[Peer, int], tuple[list[int], Received]]


def cases(settings: Settings) -> Iterator[Case]:
    """All cases of this workload. The payload is a number, whatever shape is asked for."""
    ways: tuple[tuple[Ability, Way, str], ...] = (
        (THREADS, thread_to_thread, "queue.Queue"),
        (ACROSS, thread_to_task, LOOP_CALL),
        (TASKS, task_to_task, "asyncio.Queue"),
    )
    for beside_busy in (False, True):
        for name, way, yardstick in ways:
            yield Case(
                workload="wake",
                name=name + BUSY if beside_busy else name,
                shape="B",
                yardstick=yardstick,
                contestants={
                    kind.name: partial(wake, kind, settings, way, beside_busy)
                    for kind in peers(name, settings)
                },
                absent=absent(name, settings),
            )
    yield Case(
        workload="wake",
        name=RESTLESS,
        shape="B",
        yardstick="queue.Queue",
        contestants={
            kind.name: partial(restless, kind, settings) for kind in peers(THREADS, settings)
        },
        absent=absent(THREADS, settings),
    )
    for kind in peers(THREADS, settings):
        if kind.role == "peer" and kind.name != SQLITE:
            # A server counts nobody who waits in this process.
            continue
        contestants = {
            ALONE: partial(idle, kind, settings, idle_threads, 0),
            BESIDE_THREADS: partial(idle, kind, settings, idle_threads, settings.idle),
        }
        if TASKS in kind.can:
            contestants[BESIDE_TASKS] = partial(idle, kind, settings, idle_tasks, settings.idle)
        yield Case(
            workload="wake",
            name=f"publish beside {settings.idle:,} subscribers of other channels, {kind.name}",
            shape="B",
            yardstick=ALONE,
            contestants=contestants,
        )


def wake(kind: type[Peer], settings: Settings, way: Way, beside_busy: bool) -> Sample:
    """Many single wake-ups, one after the other; the first, which may make what all others find,
    does not count."""
    count = max(2, round(settings.wakes * kind.wakes_share))
    with opened(kind, settings, SHAPES["B"]) as peer, busy(beside_busy):
        sent, received = way(peer, count + 1)
    check((data for data, _ in received), sent, len(sent))
    return percentiles([now - then for then, now in received[1:]])


def restless(kind: type[Peer], settings: Settings) -> Sample:
    """A message every 0.1 ms from a thread that computes in between and never waits for anything,
    so that the reader has to get the interpreter from it."""
    received: Received = []
    sent: list[int] = []
    clock = time.perf_counter_ns
    count = max(2, round(settings.wakes * 4 * kind.wakes_share))
    with opened(kind, settings, SHAPES["B"]) as peer:
        wait, signal = peer.waiter(CHANNEL), peer.signaller(CHANNEL)

        def receive() -> None:
            for _ in range(count):
                received.append((wait(), clock()))

        reader = threading.Thread(target=receive, daemon=True)
        reader.start()
        due = clock()
        for _ in range(count):
            while (now := clock()) < due:
                pass
            sent.append(now)
            signal(now)
            due = max(due + TICK_NS, now)
        reader.join(PATIENCE_SECONDS)
    check((data for data, _ in received), sent, count)
    return percentiles([now - then for then, now in received[1:]])


def send(signal: Callable[[Any], object], count: int, received: Received) -> list[int]:
    """Send the time; rest until it has arrived and the reader is waiting again."""
    sent = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    for done in range(count):
        while len(received) < done:
            _check_patience(deadline, done)
            time.sleep(REST_SECONDS)
        time.sleep(REST_SECONDS)
        now = time.perf_counter_ns()
        sent.append(now)
        signal(now)
    return sent


def _check_patience(deadline: float, done: int) -> None:
    if time.monotonic() > deadline:
        raise WrongResult(f"wake-up {done} never came")


def thread_to_thread(peer: Peer, count: int) -> tuple[list[int], Received]:
    """The publisher in this thread, the reader blocked in another."""
    received: Received = []
    wait = peer.waiter(CHANNEL)

    def receive() -> None:
        clock = time.perf_counter_ns
        for _ in range(count):
            received.append((wait(), clock()))

    reader = threading.Thread(target=receive, daemon=True)
    reader.start()
    sent = send(peer.signaller(CHANNEL), count, received)
    reader.join(PATIENCE_SECONDS)
    return sent, received


def thread_to_task(peer: Peer, count: int) -> tuple[list[int], Received]:
    """The publisher in a thread, the reader parked in this thread's loop."""
    received: Received = []

    async def run() -> list[int]:
        clock = time.perf_counter_ns
        wait = peer.task_waiter(CHANNEL)
        sender = asyncio.ensure_future(
            asyncio.to_thread(send, peer.thread_signaller(CHANNEL), count, received)
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(count):
                received.append((await wait(), clock()))
        sent = await sender
        await peer.leave_loop()
        return sent

    return asyncio.run(run()), received


def task_to_task(peer: Peer, count: int) -> tuple[list[int], Received]:
    """Publisher and reader are tasks of one loop."""
    received: Received = []

    async def receive() -> None:
        clock = time.perf_counter_ns
        wait = peer.task_waiter(CHANNEL)
        for _ in range(count):
            received.append((await wait(), clock()))

    async def run() -> list[int]:
        reader = asyncio.ensure_future(receive())
        signal = peer.signaller(CHANNEL)
        sent = []
        for _ in range(count):
            await asyncio.sleep(REST_SECONDS)
            now = time.perf_counter_ns()
            sent.append(now)
            signal(now)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await reader
        await peer.leave_loop()
        return sent

    return asyncio.run(run()), received


Idle = Callable[[Peer, list[str]], Any]


def idle(kind: type[Peer], settings: Settings, parked: Idle, count: int) -> Sample:
    """The rate of publishing while ``count`` readers wait for other channels."""
    items = payloads("B", settings.pool)
    with opened(kind, settings, SHAPES["B"]) as peer:
        with parked(peer, [f"idle-{number}" for number in range(count)]):
            pace = paced(peer.signaller(CHANNEL), items, settings.seconds)
        check(peer.reader(CHANNEL), items, pace.calls)
    return {RATE: pace.rate}


@contextmanager
def idle_threads(peer: Peer, names: list[str]) -> Iterator[None]:
    """A thread waits for each channel, and gets its message at the end."""
    got: list[Any] = []

    def receive(wait: Callable[[], Any]) -> None:
        got.append(wait())

    # The default stack is 8 MiB of address space each, which a small machine may not grant.
    stack_bytes = threading.stack_size(256 * 1024)
    readers = [threading.Thread(target=receive, args=(peer.waiter(name),)) for name in names]
    for reader in readers:
        reader.start()
    threading.stack_size(stack_bytes)
    try:
        yield
    finally:
        for name in names:
            peer.signaller(name)(name)
        for reader in readers:
            reader.join(PATIENCE_SECONDS)
    check(sorted(got), sorted(names), len(names))


@contextmanager
def idle_tasks(peer: Peer, names: list[str]) -> Iterator[None]:
    """A task of a loop in another thread waits for each channel, and gets its message."""
    got: list[Any] = []
    parked = threading.Event()

    async def run() -> None:
        tasks = [asyncio.ensure_future(peer.task_waiter(name)()) for name in names]
        await asyncio.sleep(0)
        parked.set()
        got.extend(await asyncio.gather(*tasks))

    loop = threading.Thread(target=asyncio.run, args=(run(),))
    loop.start()
    parked.wait(PATIENCE_SECONDS)
    try:
        yield
    finally:
        for name in names:
            peer.signaller(name)(name)
        loop.join(PATIENCE_SECONDS)
    check(got, names, len(names))

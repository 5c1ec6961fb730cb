"""The crowd of a soak: each actor is made once and takes steps for as long as it is told to.

A maker takes the world and its own source of randomness and returns a step; those in ``THREADS``
return a function, those in ``TASKS`` a coroutine function. A step that raises has found something.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import chanlog
from chanlog import Retention

from .payload import Checker, Wrong, letter

__all__ = ["KEPT", "STREAMS", "TASKS", "THREADS", "World"]

# What each stream keeps, so that every kind of retention is at work all the time.
STREAMS = {
    "stream-count": Retention(count=3000),
    "stream-bytes": Retention(bytes=400_000),
    "stream-age": Retention(age=5.0),
    "stream-trimmed": Retention(),
}
KEPT = 2000


class World(NamedTuple):
    """Where a soak lives: its log, and a folder for others."""

    log: chanlog.Log
    folder: Path


Step = Callable[[], None]
AsyncStep = Callable[[], Awaitable[None]]


def writer(world: World, random: Random) -> Step:
    """Publishes to each stream: one at a time, many, durably, expecting an offset."""
    name = f"thread-{random.getrandbits(32):x}"
    channels = [world.log.channel(stream, sender=name) for stream in STREAMS]
    numbers = [0] * len(channels)

    def step() -> None:
        place = random.randrange(len(channels))
        channel, number = channels[place], numbers[place]
        kind = random.random()
        if kind < 0.2:
            count = random.randrange(1, 30)
            items = [letter(random, name, number + n) for n in range(count)]
            offsets = channel.publish_many(items, type="many", durable=kind < 0.01)
            if list(offsets) != list(range(offsets[0], offsets[0] + count)):
                raise Wrong(f"publish_many returned {offsets}")
            numbers[place] += count
        elif kind < 0.25:
            end = channel.info().end_offset
            with contextlib.suppress(chanlog.UnexpectedOffset):
                channel.publish(letter(random, name, number), type="one", expect=end)
                numbers[place] += 1
        else:
            channel.publish(letter(random, name, number), type="one", durable=kind < 0.27)
            numbers[place] += 1

    return step


def task_writer(world: World, random: Random) -> AsyncStep:
    """The same from a task."""
    name = f"task-{random.getrandbits(32):x}"
    channels = [world.log.channel(stream, sender=name) for stream in STREAMS]
    numbers = [0] * len(channels)

    async def step() -> None:
        place = random.randrange(len(channels))
        channel, number = channels[place], numbers[place]
        if random.random() < 0.2:
            count = random.randrange(1, 30)
            items = [letter(random, name, number + n) for n in range(count)]
            await channel.apublish_many(items, type="many")
            numbers[place] += count
        else:
            durable = random.random() < 0.02
            await channel.apublish(letter(random, name, number), type="one", durable=durable)
            numbers[place] += 1

    return step


def reader(world: World, random: Random) -> Step:
    """Follows a stream, and begins anew at times, somewhere else."""
    subscription: chanlog.Subscription | None = None
    checker = Checker("")

    def begin() -> chanlog.Subscription:
        nonlocal checker
        stream = random.choice(list(STREAMS))
        kind = random.randrange(3)
        checker = Checker(f"a reader of {stream}", filtered=kind == 2)
        channel = world.log.channel(stream)
        if kind == 0:
            return channel.subscribe(last=random.randrange(200))
        return channel.subscribe(types={"one", "many"}) if kind == 2 else channel.subscribe()

    def step() -> None:
        nonlocal subscription
        if subscription is None or random.random() < 0.01:
            # Dropped at times, closed at others.
            if subscription is not None and random.random() < 0.5:
                subscription.close()
            subscription = begin()
        for _ in range(40):
            try:
                message = subscription.get(timeout=0.01)
            except chanlog.OffsetTrimmed as trimmed:
                checker.told(trimmed.start_offset)
                subscription.seek(trimmed.start_offset)
                continue
            if message is None:
                break
            checker.see(message)

    return step


def task_reader(world: World, random: Random) -> AsyncStep:
    """The same from a task, cancelled at times in the middle of a wait."""
    stream = random.choice(list(STREAMS))
    subscription = world.log.channel(stream).subscribe()
    checker = Checker(f"a task that reads {stream}")

    async def step() -> None:
        for _ in range(40):
            try:
                if random.random() < 0.05:
                    # Cancelling may lose nothing, so what is read next is checked all the same.
                    getting = asyncio.ensure_future(subscription.aget(timeout=0.01))
                    await asyncio.sleep(0)
                    if not getting.done():
                        getting.cancel()
                    await asyncio.wait([getting])
                    message = None if getting.cancelled() else getting.result()
                else:
                    message = await subscription.aget(timeout=0.01)
            except chanlog.OffsetTrimmed as trimmed:
                checker.told(trimmed.start_offset)
                subscription.seek(trimmed.start_offset)
                continue
            if message is None:
                break
            checker.see(message)

    return step


def mover(world: World, random: Random) -> Step:
    """Moves messages through a cursor, each exactly once: a frame writes the result and commits.

    At times the frame is given up before it is written, and the cursor's handle with it.
    """
    log = world.log
    jobs, results = log.channel("jobs"), log.channel("results")
    for channel in (jobs, results):
        channel.configure(Retention(count=KEPT))
    cursor = jobs.cursor("mover")
    published, moved = itertools.count(), 0

    def step() -> None:
        nonlocal cursor, moved
        jobs.publish_many([next(published) for _ in range(5)])
        for _ in range(5):
            message = cursor.get(timeout=0)
            if message is None:
                raise Wrong("the cursor does not see what was published")
            if message.data != moved:
                raise Wrong(f"the cursor gives {message.data} instead of {moved}")
            if random.random() < 0.1:
                with contextlib.suppress(ZeroDivisionError), log.atomic() as frame:
                    frame.publish(results, message.data)
                    frame.commit(cursor, message)
                    raise ZeroDivisionError
                cursor = jobs.cursor("mover")
                message = cursor.get(timeout=0)
                assert message is not None
            with log.atomic() as frame:
                frame.publish(results, message.data)
                frame.commit(cursor, message)
            if frame.offsets != [moved]:
                raise Wrong(f"result {moved} got the offsets {frame.offsets}")
            moved += 1
        if cursor.lag() or results.info().end_offset != moved:
            raise Wrong(f"{moved} moved, lag {cursor.lag()}, {results.info().end_offset} results")
        last = list(results.replay(moved - 5).data())
        if last != list(range(moved - 5, moved)):
            raise Wrong(f"the last results are {last}")

    return step


def retrier(world: World, random: Random) -> Step:
    """Publishes as a producer and retries what it has published; its epochs go up."""
    channel = world.log.channel("retried")
    channel.configure(Retention(count=KEPT))
    epoch = 0
    producer = channel.producer("retrier", epoch=epoch)
    offsets: dict[int, int] = {}

    def step() -> None:
        nonlocal producer, epoch
        sequence = producer.sequence()
        offsets[sequence] = producer.publish(sequence, sequence=sequence)
        again = random.choice(list(offsets))
        if producer.publish(again, sequence=again) != offsets[again]:
            raise Wrong(f"the retry of {again} got another offset than {offsets[again]}")
        if channel.info().end_offset != sequence + 1:
            raise Wrong(f"{sequence + 1} published, and the end is {channel.info().end_offset}")
        if len(offsets) > 50:
            del offsets[min(offsets)]
        if random.random() < 0.02:
            epoch += 1
            old, producer = producer, channel.producer("retrier", epoch=epoch)
            try:
                old.publish("late")
            except chanlog.ProducerFenced:
                return
            raise Wrong(f"epoch {epoch - 1} published after {epoch} had opened")

    return step


def forker(world: World, random: Random) -> Step:
    """Forks a stream, goes on in the fork, compares, deletes it."""
    numbers = itertools.count()

    def step() -> None:
        parent = world.log.channel(random.choice(list(STREAMS)))
        info = parent.info()
        at = random.randint(info.start_offset, info.end_offset)
        try:
            fork = parent.fork(f"fork-{next(numbers)}", at=at)
        except chanlog.OffsetTrimmed:
            return
        if fork.publish("own") != at:
            raise Wrong(f"a fork at {at} did not go on there")
        # The parent may be trimmed while this compares; then what the fork kept is compared alone.
        start = max(fork.info().start_offset, at - 50)
        mine = list(fork.replay(start, at))
        with contextlib.suppress(chanlog.OffsetTrimmed):
            if list(parent.replay(start, at)) != mine:
                raise Wrong(f"a fork of {parent.name} at {at} has another history")
        if [message.offset for message in mine] != list(range(start, at)):
            raise Wrong(f"a fork of {parent.name} at {at} has a gap behind {start}")
        fork.delete()

    return step


def trimmer(world: World, random: Random) -> Step:
    """Trims the stream that keeps everything else, and compacts at times."""
    channel = world.log.channel("stream-trimmed")

    def step() -> None:
        end = channel.info().end_offset
        channel.trim(before=max(0, end - random.randrange(KEPT)))
        if random.random() < 0.01:
            world.log.compact()

    return step


def passer(world: World, random: Random) -> Step:
    """Channels that come and go: created, read to the end, ended, deleted."""
    numbers = itertools.count()

    def step() -> None:
        number = next(numbers)
        channel = world.log.channel(f"passing-{number}")
        count = random.randrange(1, 20)
        channel.publish_many(range(count))
        if random.random() < 0.3:
            channel.configure(Retention(ttl=1.0))
        channel.end()
        if [message.data for message in channel.subscribe()] != list(range(count)):
            raise Wrong(f"the channel {channel.name} does not have what was published")
        if random.random() < 0.8:
            channel.delete()
        elif number % 50 == 0:
            # What was ended and not deleted is deleted in one go.
            for name in world.log.channels(prefix="passing-"):
                world.log.channel(name).delete()

    return step


def opener(world: World, random: Random) -> Step:
    """Opens, fills, closes and removes other logs, of every kind."""
    numbers = itertools.count()

    def step() -> None:
        on_disk = random.random() < 0.7
        path = world.folder / f"other-{next(numbers)}" if on_disk else None
        sync = random.choice(["always", "interval", "os"])
        with chanlog.open(path, sync=sync, segment_bytes=64 * 1024) as log:
            channel = log.channel("w")
            for n in range(20):
                channel.publish([n, b"x" * 2000])
            channel.publish_many([[n, b""] for n in range(20, 40)])
            log.compact()
            channel.publish([40, b""])
        if path is not None:
            with chanlog.open(path, read_only=random.random() < 0.3) as log:
                found = [n for n, _ in log.channel("w").replay().data()]
            if found != list(range(41)):
                raise Wrong(f"another log has {found} after reopening")
            shutil.rmtree(path)

    return step


def dropper(world: World, random: Random) -> Step:
    """Subscribes and drops: unread, waited in vain, in loops that end or die."""
    log = world.log

    async def wait(reader: chanlog.Subscription) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.aget(), 0.001)

    def step() -> None:
        idle = log.channel(f"idle-{random.randrange(5)}")
        for _ in range(20):
            idle.subscribe()
            idle.subscribe(types={"never"}).get(timeout=0.0001)
            idle.cursor("c")
        asyncio.run(wait(idle.subscribe()))
        # A loop that dies with a task in it.
        loop = asyncio.new_event_loop()
        task = loop.create_task(idle.subscribe().aget())
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        del task
        if random.random() < 0.05:
            idle.publish("noise")
            gc.collect()

    return step


def onlooker(world: World, random: Random) -> Step:
    """Asks for everything that can be asked for."""
    log = world.log

    def step() -> None:
        statistics = log.statistics()
        if statistics.failed:
            raise Wrong("the log says that it is failed")
        names = list(log.channels(pattern="stream-*"))
        if names != sorted(STREAMS):
            raise Wrong(f"the streams are {names}")
        info = log.channel(random.choice(names)).info()
        if info.durable_offset > info.end_offset:
            raise Wrong(f"more is durable than there is: {info}")
        if random.random() < 0.1:
            log.sync()

    return step


# How many of each.
THREADS: dict[Callable[[World, Random], Step], int] = {
    writer: 3, reader: 3, mover: 1, retrier: 1, forker: 1, trimmer: 1, passer: 1, opener: 1,
    dropper: 1, onlooker: 1,
}  # fmt: skip
TASKS: dict[Callable[[World, Random], AsyncStep], int] = {task_writer: 3, task_reader: 4}

"""Many channels, many loops, and readers that lag by everything."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from pathlib import Path
from random import Random

import chanlog

from ...support import LIMIT, gather, run, spawn, until_waiting

__all__ = ["channels_come_and_go", "lagging", "many_channels", "many_loops"]


def many_loops(log: chanlog.Log, loops: int, tasks: int, messages: int) -> None:
    """Tasks of many loops in as many threads follow one channel from its start; each gets it all,
    in order, though some loops leave early."""
    channel = log.channel("w")
    channel.publish(-1)

    async def follow(number: int) -> list[int]:
        seen = []
        async with channel.subscribe() as reader:
            async for message in reader:
                seen.append(message.data)
                if number % 4 == 3 and len(seen) == messages // 2:
                    break
        return seen

    async def main() -> list[list[int]]:
        return await asyncio.gather(*(follow(number) for number in range(tasks)))

    following = [spawn(lambda: run(main())) for _ in range(loops)]
    until_waiting(log, loops * tasks)
    for number in range(messages - 1):
        channel.publish(number)
    channel.end()
    expected = list(range(-1, messages - 1))
    for found in gather(following):
        for number, seen in enumerate(found):
            assert seen == (expected[: messages // 2] if number % 4 == 3 else expected)


def many_channels(log: chanlog.Log, channels: int, rounds: int, random: Random) -> None:
    """One publisher, and a reader that waits on each of many channels; each gets its own messages
    and no others. Half of the readers are threads while there are few, all of the rest tasks."""
    names = [f"w-{number}" for number in range(channels)]
    threads = min(channels // 2, 100)

    def walk(name: str) -> list[str]:
        return [message.data for message in log.channel(name).subscribe()]

    async def awalk(name: str) -> list[str]:
        return [message.data async for message in log.channel(name).subscribe()]

    async def main() -> list[list[str]]:
        return await asyncio.gather(*map(awalk, names[threads:]))

    reading = [spawn(walk, name) for name in names[:threads]]
    tasks = spawn(lambda: asyncio.run(main()))
    until_waiting(log, channels)
    for number in range(rounds):
        for name in random.sample(names, channels):
            log.channel(name).publish(f"{name} {number}")
    for name in names:
        log.channel(name).end()
    found = gather(reading) + tasks.result(LIMIT)
    assert found == [[f"{name} {number}" for number in range(rounds)] for name in names]


def lagging(path: Path, messages: int) -> list[int]:
    """The memory that Python has in use after so many messages beside no reader, and beside a
    hundred of them that have read one message and then never again."""
    found = []
    for readers in (0, 100):
        with chanlog.open(path / str(readers), sync="os", background=False) as log:
            channel = log.channel("w")
            channel.publish("first")
            lag = [channel.subscribe() for _ in range(readers)]
            for reader in lag:
                assert reader.get(timeout=0) is not None
            body = b"x" * 1000
            gc.collect()
            tracemalloc.start()
            for _ in range(messages):
                channel.publish(body)
            gc.collect()
            found.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
            for reader in lag:
                assert reader.offset == 1
                message = reader.get(timeout=0)
                assert message is not None
                assert message.offset == 1
    return found


def channels_come_and_go(log: chanlog.Log, channels: int) -> tuple[int, int]:
    """Create, fill, end and delete so many channels, in two halves; returns how many blocks of
    memory each half has left behind once it was compacted."""
    left = []
    for half in range(2):
        gc.collect()
        before = sys.getallocatedblocks()
        for number in range(channels // 2):
            channel = log.channel(f"w-{half}-{number}")
            channel.publish(number)
            channel.cursor("c").commit(0)
            if number % 3 == 0:
                reader = channel.subscribe(types={"t"})
                assert reader.get(timeout=0) is None
            if number % 2:
                channel.end()
            channel.delete()
        log.compact()
        gc.collect()
        left.append(sys.getallocatedblocks() - before)
    assert next(iter(log.channels()), None) is None
    return left[0], left[1]

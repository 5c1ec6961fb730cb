"""Cancelling a reader loses nothing, at whichever point it comes."""

from __future__ import annotations

import asyncio
import random

import pytest

from ..support import LIMIT, auntil_waiting, drain, run, spawn


async def finished(task):
    """What a task got before it was cancelled, if it did."""
    await asyncio.wait({task}, timeout=LIMIT)
    return None if task.cancelled() else task.result()


@pytest.mark.parametrize("seed", range(5))
def test_cancelled_at_random_points(channel, seed):
    draw = random.Random(seed)

    async def main():
        seen, published = [], 0
        async with channel.subscribe() as reader:
            for _ in range(300):
                task = asyncio.create_task(reader.aget(timeout=draw.choice([None, LIMIT])))
                for _ in range(draw.randrange(4)):
                    await asyncio.sleep(0)
                for _ in range(draw.randrange(3)):
                    channel.publish(published)
                    published += 1
                for _ in range(draw.randrange(4)):
                    await asyncio.sleep(0)
                task.cancel()
                message = await finished(task)
                if message is not None:
                    seen.append(message.data)
            seen += [message.data for message in drain(reader)]
        assert seen == list(range(published))

    run(main())


@pytest.mark.parametrize("seed", range(5))
def test_cancelled_while_a_thread_publishes(log, channel, seed):
    draw = random.Random(seed)
    count = 500

    def publish():
        for n in range(count):
            channel.publish(n)
        channel.end()

    async def main():
        seen = []
        async with channel.subscribe() as reader:
            publishing = spawn(publish)
            while len(seen) < count:
                task = asyncio.create_task(reader.aget())
                for _ in range(draw.randrange(5)):
                    await asyncio.sleep(0)
                task.cancel()
                message = await finished(task)
                if message is not None:
                    seen.append(message.data)
            publishing.result(LIMIT)
        assert seen == list(range(count))

    run(main())
    assert log.statistics().waiters == 0


@pytest.mark.parametrize("seed", range(3))
def test_cancelled_by_a_time_limit(channel, seed):
    """``wait_for`` around ``aget``, and the limit of ``aget`` itself, while messages come."""
    draw = random.Random(seed)
    count = 300

    def publish():
        for n in range(count):
            channel.publish(n)

    async def main():
        seen = []
        async with channel.subscribe() as reader:
            publishing = spawn(publish)
            while len(seen) < count:
                try:
                    limit = draw.choice([0, 1e-6, 1e-5, 1e-4])
                    if draw.random() < 0.5:
                        message = await asyncio.wait_for(reader.aget(), limit)
                    else:
                        message = await reader.aget(timeout=limit)
                except TimeoutError:
                    continue
                if message is not None:
                    seen.append(message.data)
            publishing.result(LIMIT)
        assert seen == list(range(count))

    run(main())


def test_cancelling_a_loop(log, channel):
    """A task in ``async for`` is cancelled and another goes on with the same subscription."""

    async def main():
        seen = []
        async with channel.subscribe() as reader:

            async def read():
                async for message in reader:
                    seen.append(message.data)

            for round_ in range(50):
                task = asyncio.create_task(read())
                await auntil_waiting(log)
                channel.publish(round_)
                for _ in range(round_ % 5):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait({task}, timeout=LIMIT)
                assert task.cancelled()
            seen.extend(message.data for message in drain(reader))
        assert seen == list(range(50))

    run(main())
    assert log.statistics().waiters == 0


def test_cancelling_one_of_many_leaves_the_others(log, channel):
    async def main():
        readers = [channel.subscribe() for _ in range(20)]
        tasks = [asyncio.create_task(reader.aget()) for reader in readers]
        await auntil_waiting(log, 20)
        for task in tasks[::2]:
            task.cancel()
        spawn(channel.publish, "now").result(LIMIT)
        found = [await finished(task) for task in tasks]
        assert [message.data for message in found[1::2]] == ["now"] * 10
        for reader in readers[::2]:
            assert reader.get(timeout=0).data == "now"
        for reader in readers:
            reader.close()

    run(main())


def test_cancelling_a_cursor_loses_nothing(log, channel):
    async def main():
        async with channel.cursor("c") as cursor:
            seen = []
            for n in range(30):
                task = asyncio.create_task(cursor.aget())
                while log.statistics().waiters == 0 and not task.done():
                    await asyncio.sleep(0)
                channel.publish(n)
                if n % 3:
                    await asyncio.sleep(0)
                task.cancel()
                message = await finished(task)
                if message is not None:
                    seen.append(message.data)
            seen += [message.data for message in drain(cursor)]
        assert seen == list(range(30))

    run(main())

"""Many writers and readers, threads and tasks at once: every reader sees the one sequence."""

from __future__ import annotations

import asyncio
import threading

import pytest

import chanlog

from ..support import LIMIT, gather, run, spawn, until

EACH = 150


def write(channel, name, items=EACH):
    """Singles and batches in turn; returns the offsets in the order of writing."""
    offsets, n = [], 0
    while n < items:
        if n % 5 == 0:
            offsets += channel.publish_many([[name, n], [name, n + 1]])
            n += 2
        else:
            offsets.append(channel.publish([name, n], durable=n % 50 == 49))
            n += 1
    return offsets


async def awrite(channel, name, items=EACH):
    offsets, n = [], 0
    while n < items:
        if n % 5 == 0:
            offsets += await channel.apublish_many([[name, n], [name, n + 1]])
            n += 2
        else:
            offsets.append(await channel.apublish([name, n], durable=n % 50 == 49))
            n += 1
        await asyncio.sleep(0)
    return offsets


def read(channel, **options):
    with channel.subscribe(**options) as reader:
        return list(reader)


async def aread(channel, **options):
    async with channel.subscribe(**options) as reader:
        return [message async for message in reader]


def check(messages, writers):
    """Gapless from the first on, and in the order of each writer."""
    first = messages[0].offset if messages else 0
    assert [message.offset for message in messages] == list(range(first, first + len(messages)))
    if first == 0:
        for name in writers:
            found = [message.data[1] for message in messages if message.data[0] == name]
            assert found == sorted(set(found))
            assert len(found) >= EACH


@pytest.mark.parametrize("background", [False, True])
def test_every_reader_sees_the_gapless_sequence(store, background):
    with store.open(background=background, segment_bytes=64 * 1024, sync_interval=0.001) as log:
        channel = log.channel("w")
        readers = [spawn(read, channel) for _ in range(3)]
        readers += [spawn(read, channel, last=10**6), spawn(run, aread(channel))]
        written = [spawn(write, channel, f"thread-{n}") for n in range(3)]
        written += [spawn(run, awrite(channel, "loop"))]

        async def in_one_loop():
            before = [asyncio.create_task(aread(channel)) for _ in range(3)]
            writing = [asyncio.create_task(awrite(channel, f"task-{n}")) for n in range(3)]
            while channel.info().end_offset < EACH:
                await asyncio.sleep(0)
            amid = [asyncio.create_task(aread(channel)) for _ in range(2)]
            threads = [spawn(read, channel), spawn(read, channel, after=EACH // 2)]
            offsets = await asyncio.gather(*writing)
            offsets += await asyncio.to_thread(gather, written)
            await channel.aend()
            seen = await asyncio.gather(*before, *amid)
            return offsets, [*seen, *await asyncio.to_thread(gather, threads)]

        offsets, seen = run(in_one_loop())
        seen += gather(readers)
        seen.append(read(channel))
        history = list(channel.replay())
        names = [*(f"thread-{n}" for n in range(3)), *(f"task-{n}" for n in range(3)), "loop"]
        check(history, names)
        for messages in seen:
            assert messages == history[messages[0].offset :]
        assert len([messages for messages in seen if messages[0].offset == 0]) == len(seen) - 1
        assert sorted(offset for some in offsets for offset in some) == list(range(len(history)))
        for some in offsets:
            assert some == sorted(some)
            assert len({history[offset].data[0] for offset in some}) == 1


def test_two_sides_at_once(store):
    """Each side reads only the other, while both write as fast as they can."""
    with store.open() as log:

        def side(me, other):
            channel = log.channel("w", sender=me)
            reading = spawn(read, channel, echo=False)
            write(channel, me)
            channel.publish([me, "done"], type="done")
            return reading

        sides = [spawn(side, "a", "b"), spawn(side, "b", "a")]
        a, b = gather(sides)
        log.channel("w").end()
        seen = {"b": a.result(LIMIT), "a": b.result(LIMIT)}
        for name, messages in seen.items():
            assert {message.sender for message in messages} == {name}
            assert [message.data[1] for message in messages] == [*range(len(messages) - 1), "done"]


@pytest.mark.parametrize("background", [False, True])
def test_compaction_beside_readers_and_writers(disk, background):
    """Clustering moves what is being written behind and read ahead."""
    with disk.open(background=background, segment_bytes=64 * 1024) as log:
        channel, noise = log.channel("w"), log.channel("noise")
        done = threading.Event()

        def compact():
            rounds = 0
            while not done.is_set():
                log.compact()
                rounds += 1
            return rounds

        def fill(channel, count):
            for n in range(count):
                channel.publish([n, "x" * 300])

        def replay():
            rounds = 0
            while not done.is_set():
                found = list(channel.replay().data())
                assert [data[0] for data in found] == list(range(len(found)))
                rounds += 1
            return rounds

        readers = [spawn(read, channel), spawn(run, aread(channel))]
        others = [spawn(compact), spawn(replay), spawn(replay)]
        gather([spawn(fill, channel, 1000), spawn(fill, noise, 1000)])
        channel.end()
        seen = gather(readers)
        done.set()
        assert all(rounds > 0 for rounds in gather(others))
        for messages in seen:
            assert [message.data[0] for message in messages] == list(range(1000))


def test_trimming_beside_readers(store):
    """A slow reader is told that it was overtaken; it never skips."""
    with store.open(segment_bytes=64 * 1024) as log:
        channel = log.channel("w")
        done = threading.Event()

        def slow():
            skipped, seen, target = 0, [], None
            with channel.subscribe() as reader:
                while True:
                    try:
                        if target is not None:
                            reader.seek(target)
                            target = None
                        message = reader.get(timeout=LIMIT)
                        assert message is not None
                        seen.append(message.offset)
                    except chanlog.OffsetTrimmed as error:
                        assert error.start_offset > error.offset
                        skipped += error.start_offset - error.offset
                        target = error.start_offset
                    except chanlog.EndOfChannel:
                        return skipped, seen

        def trim():
            while not done.is_set():
                info = channel.info()
                channel.trim(before=(info.start_offset + info.end_offset) // 2)
                log.compact()

        readers = [spawn(slow) for _ in range(3)]
        trimming = spawn(trim)
        for n in range(1500):
            channel.publish([n, "x" * 200])
        channel.end()
        for skipped, seen in gather(readers):
            assert seen == sorted(set(seen))
            assert skipped + len(seen) == 1500
        done.set()
        trimming.result(LIMIT)


def test_channels_come_and_go_beside_each_other(store):
    """Create, fork, end and delete in many threads; a listing meanwhile stays sorted."""
    with store.open() as log:
        stable = log.channel("stable")
        stable.publish_many(range(10))

        def live(n):
            for life in range(20):
                channel = log.channel(f"w{n}")
                assert channel.publish([n, life]) == 0
                fork = stable.fork(f"fork-{n}-{life}", at=life % 10)
                assert fork.info().end_offset == life % 10
                fork.delete()
                assert [message.data for message in channel.replay()] == [[n, life]]
                channel.delete()

        done = threading.Event()

        def look():
            while not done.is_set():
                names = list(log.channels())
                assert names == sorted(set(names))
                assert "stable" in names

        looking = spawn(look)
        gather([spawn(live, n) for n in range(6)])
        done.set()
        looking.result(LIMIT)
        assert list(log.channels()) == ["stable"]


def test_cursor_workers_share_the_work_without_loss(store):
    """A worker that is replaced notices; together they handle each message at least once."""
    with store.open() as log:
        channel = log.channel("w")
        channel.publish_many(range(200))
        channel.end()

        def work():
            handled = []
            with channel.cursor("c") as cursor:
                for message in cursor:
                    handled.append(message.data)
                    try:
                        cursor.commit(message)
                    except chanlog.CommitBehind as error:
                        assert error.position > message.offset + 1
            return handled

        handled = {data for some in gather([spawn(work) for _ in range(4)]) for data in some}
        assert handled == set(range(200))
        assert channel.info().cursors == {"c": 200}


def test_the_background_keeps_up(disk):
    """With all the threads of a default log at work, nothing is lost over a reopening."""
    with disk.open(background=True, segment_bytes=64 * 1024, sync_interval=0.001) as log:
        names = [f"w{n}" for n in range(4)]
        gather([spawn(write, log.channel(name), name, 600) for name in names])
        until(lambda: log.statistics().unsynced_bytes == 0)
        expected = {name: list(log.channel(name).replay()) for name in names}
    with disk.open(background=True) as log:
        for name in names:
            assert list(log.channel(name).replay()) == expected[name]
            assert [message.data[1] for message in expected[name]] == list(range(600))

"""Ending a channel: no more messages, and every loop comes to its end."""

from __future__ import annotations

import asyncio

import pytest

import chanlog

from ..support import (
    LIMIT,
    auntil_waiting,
    datas,
    drain,
    gather,
    replayed,
    run,
    spawn,
    until_waiting,
)


def test_it_returns_the_end_offset(channel, face):
    channel.publish_many(range(3))
    assert face(channel).end() == 3
    assert channel.info().ended
    assert channel.info().end_offset == 3


def test_ending_twice_does_nothing(channel, face):
    channel.publish("a")
    assert face(channel).end() == 1
    assert face(channel).end(durable=True) == 1
    assert replayed(channel) == ["a"]


def test_nothing_can_be_published(channel, face):
    channel.publish("a")
    channel.end()
    for attempt in (
        lambda: face(channel).publish("x"),
        lambda: face(channel).publish_many(["x"]),
        lambda: face(channel).publish("x", expect=1),
    ):
        with pytest.raises(chanlog.ChannelEnded) as caught:
            attempt()
        assert (caught.value.channel, caught.value.end_offset) == ("workflow-42", 1)
    assert replayed(channel) == ["a"]


def test_an_empty_channel_can_end(channel, face):
    assert face(channel).end() == 0
    info = channel.info()
    assert (info.exists, info.ended, info.end_offset) == (True, True, 0)
    assert face.walk(channel.subscribe()) == []
    with pytest.raises(chanlog.ChannelEnded):
        channel.publish("x")


def test_every_loop_comes_to_its_end(log, channel):
    """Threads and tasks, plain, filtered, live, through a cursor, before and after."""

    def count(make):
        return len(datas(make()))

    async def acount(make):
        return len([message async for message in make()])

    makers = [
        channel.subscribe,
        lambda: channel.subscribe(live=True),
        lambda: channel.subscribe(types={"never"}),
        lambda: channel.cursor("c"),
    ]
    threads = [spawn(count, make) for make in makers]
    until_waiting(log, 4)

    async def main():
        tasks = [asyncio.create_task(acount(make)) for make in makers]
        await auntil_waiting(log, 8)
        await channel.apublish_many(range(10))
        await channel.aend()
        return await asyncio.gather(*tasks)

    assert run(main()) == [10, 10, 0, 10]
    assert gather(threads) == [10, 10, 0, 10]
    assert [count(make) for make in makers] == [10, 0, 0, 10]


def test_waiting_gets_are_told(log, channel):
    with channel.subscribe() as one, channel.subscribe(types={"x"}) as two:
        waiting = [spawn(reader.get) for reader in (one, two)]
        until_waiting(log, 2)
        channel.end()
        for future in waiting:
            with pytest.raises(chanlog.EndOfChannel):
                future.result(LIMIT)


def test_history_stays_readable(channel):
    channel.publish_many(range(5))
    channel.end()
    assert replayed(channel) == [0, 1, 2, 3, 4]
    with channel.subscribe(after=2) as reader:
        assert [reader.get(timeout=0).data for _ in range(2)] == [3, 4]
    with channel.subscribe(after=4) as reader, pytest.raises(chanlog.EndOfChannel):
        drain(reader)


def test_closing_a_reader_ends_nothing(channel):
    with channel.subscribe():
        pass
    for _ in channel.replay():
        pass
    channel.publish("a")
    assert channel.info().ended is False


def test_it_survives_reopening_and_compaction(disk):
    with disk.open(segment_bytes=64 * 1024) as log:
        for _ in range(200):
            log.channel("w").publish("x" * 600)
        log.channel("w").end()
        log.channel("empty").end()
        for n in range(200):
            log.channel("noise").publish([n, "x" * 600])
        log.compact()
    for _ in range(2):
        with disk.open(segment_bytes=64 * 1024) as log:
            assert (log.channel("w").info().ended, log.channel("w").info().end_offset) == (
                True,
                200,
            )
            assert log.channel("empty").info().ended
            with pytest.raises(chanlog.ChannelEnded):
                log.channel("w").publish("x")
            assert len(datas(log.channel("w").subscribe())) == 200
            log.compact()

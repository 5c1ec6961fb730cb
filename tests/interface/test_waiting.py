"""Waiting for messages: ``get``, both loops, ``ready``, time limits, seeking and closing."""

from __future__ import annotations

import asyncio

import pytest

import chanlog
from chanlog.channels import waking

from ..support import (
    LIMIT,
    auntil_waiting,
    datas,
    drain,
    offsets,
    run,
    spawn,
    take,
    until,
    until_waiting,
)


def test_get_returns_what_is_there(channel, face):
    channel.publish("a")
    with channel.subscribe() as reader:
        assert face(reader).get().data == "a"
        assert face(reader).get(timeout=0) is None


@pytest.mark.parametrize("timeout", [0, 0.001, 0.02])
def test_get_gives_up(channel, face, timeout):
    with channel.subscribe() as reader:
        assert face(reader).get(timeout=timeout) is None
        channel.publish("a")
        assert face(reader).get(timeout=timeout).data == "a"


def test_a_thread_waits_for_a_message(log, channel):
    with channel.subscribe() as reader:
        got = spawn(reader.get, timeout=LIMIT)
        until_waiting(log)
        channel.publish("now")
        assert got.result(LIMIT).data == "now"


def test_a_task_waits_for_a_message(log, channel):
    async def main():
        async with channel.subscribe() as reader:
            got = asyncio.create_task(reader.aget(timeout=LIMIT))
            await auntil_waiting(log)
            await channel.apublish("now")
            return (await got).data

    assert run(main()) == "now"


def test_a_get_without_limit_waits_until_there_is_one(log, channel):
    with channel.subscribe() as reader:
        got = spawn(reader.get)
        until_waiting(log)
        channel.publish("now")
        assert got.result(LIMIT).data == "now"


def test_a_thread_loops_until_the_end(channel):
    seen = spawn(lambda: datas(channel.subscribe()))
    for n in range(100):
        channel.publish(n)
    channel.end()
    assert seen.result(LIMIT) == list(range(100))


def test_a_task_loops_until_the_end(channel):
    async def read():
        return [message.data async for message in channel.subscribe()]

    async def main():
        reading = asyncio.create_task(read())
        for n in range(100):
            await channel.apublish(n)
        await channel.aend()
        return await reading

    assert run(main()) == list(range(100))


def test_the_end_is_an_exception_for_get(channel, face):
    channel.publish("a")
    channel.end()
    with channel.subscribe() as reader:
        assert face(reader).get(timeout=0).data == "a"
        for _ in range(3):
            with pytest.raises(chanlog.EndOfChannel) as caught:
                face(reader).get(timeout=LIMIT)
        assert (caught.value.channel, caught.value.end_offset) == ("workflow-42", 1)
        assert face.walk(reader) == []


def test_next_by_hand(channel):
    channel.publish_many("ab")
    channel.end()
    reader = channel.subscribe()
    assert [next(reader).data, next(reader).data] == ["a", "b"]
    with pytest.raises(StopIteration):
        next(reader)


def test_anext_by_hand(channel):
    channel.publish("a")
    channel.end()

    async def main():
        reader = channel.subscribe()
        assert (await anext(reader)).data == "a"
        with pytest.raises(StopAsyncIteration):
            await anext(reader)

    run(main())


def test_a_loop_can_be_left_and_taken_up_again(channel):
    channel.publish_many(range(6))
    channel.end()
    reader = channel.subscribe()
    seen = []
    for message in reader:
        seen.append(message.data)
        if len(seen) == 2:
            break

    async def two_more():
        async for message in reader:
            seen.append(message.data)
            if len(seen) == 4:
                break

    run(two_more())
    seen += datas(reader)
    assert seen == list(range(6))


def test_one_subscription_from_threads_and_loops_in_turn(log, channel):
    """The consumer may change between calls; each loop is a new one."""
    with channel.subscribe() as reader:
        for n in range(5):
            got = spawn(reader.get, timeout=LIMIT)
            until_waiting(log)
            channel.publish(n)
            assert got.result(LIMIT).data == n

            async def through_a_loop(n=n):
                got = asyncio.create_task(reader.aget(timeout=LIMIT))
                await auntil_waiting(log)
                channel.publish(-n)
                return await got

            assert run(through_a_loop()).data == -n


def test_ready_says_whether_get_would_answer(channel):
    with channel.subscribe() as reader:
        assert reader.ready is False
        channel.publish("a")
        assert reader.ready is True
        assert reader.ready is True
        reader.get(timeout=0)
        assert reader.ready is False
        channel.end()
        assert reader.ready is True
        with pytest.raises(chanlog.EndOfChannel):
            reader.get(timeout=0)
        assert reader.ready is True


def test_ready_knows_the_filter(log):
    agent, person = log.channel("w", sender="agent"), log.channel("w", sender="person")
    with agent.subscribe(types={"steer"}) as typed, agent.subscribe(echo=False) as others:
        for _ in range(50):
            agent.publish("token", type="token")
            assert (typed.ready, others.ready) == (False, False)
        agent.publish_many(["token"] * 3, type="token")
        assert (typed.ready, others.ready) == (False, False)
        person.publish("go left", type="steer")
        assert (typed.ready, others.ready) == (True, True)
        assert typed.get(timeout=0).data == others.get(timeout=0).data == "go left"
        assert (typed.ready, others.ready) == (False, False)


def test_ready_tells_true_for_history_that_a_filter_hides(channel):
    channel.publish_many(range(100), type="token")
    with channel.subscribe(types={"steer"}) as reader:
        assert reader.ready is False
        assert reader.get(timeout=0) is None
        channel.end()
        assert reader.ready is True


def test_a_filtered_reader_is_at_the_end_when_the_channel_is(channel, face):
    channel.publish("token", type="token")
    channel.end()
    with channel.subscribe(types={"steer"}) as reader:
        with pytest.raises(chanlog.EndOfChannel):
            face(reader).get(timeout=LIMIT)
        assert face.walk(reader) == []


def test_seek_forward_and_back(channel, face):
    channel.publish_many(range(10))
    with channel.subscribe() as reader:
        take(reader, 3)
        face(reader).seek(7)
        assert reader.offset == 7
        assert face(reader).get(timeout=0).data == 7
        face(reader).seek(2)
        assert reader.ready
        assert datas(drain(reader)) == list(range(2, 10))
        face(reader).seek(10)
        assert not reader.ready
        channel.publish("new")
        assert datas(drain(reader)) == ["new"]
        face(reader).seek(0)
        assert len(drain(reader)) == 11


def test_seek_keeps_the_filter(channel):
    for n in range(10):
        channel.publish(n, type="ab"[n % 2])
    with channel.subscribe(types={"b"}) as reader:
        drain(reader)
        reader.seek(4)
        assert datas(drain(reader)) == [5, 7, 9]


def test_seek_into_the_future(channel):
    channel.publish_many(range(3))
    with channel.subscribe() as reader:
        with pytest.raises(chanlog.UnknownOffset):
            reader.seek(4)
        assert datas(drain(reader)) == [0, 1, 2]


def test_seek_to_what_was_trimmed(channel):
    channel.publish_many(range(5))
    channel.trim(before=3)
    with channel.subscribe() as reader:
        with pytest.raises(chanlog.OffsetTrimmed):
            reader.seek(1)
            reader.get(timeout=0)


def test_a_closed_reader(channel, face):
    channel.publish("a")
    reader = channel.subscribe()
    reader.close()
    reader.close()
    with pytest.raises(chanlog.HandleClosed):
        face(reader).get(timeout=0)
    assert face.walk(reader) == []
    assert channel.info().end_offset == 1
    assert offsets(drain(channel.subscribe())) == [0]


def test_with_closes(channel):
    with channel.subscribe() as reader:
        pass
    with pytest.raises(chanlog.HandleClosed):
        reader.get(timeout=0)

    async def main():
        async with channel.subscribe() as reader:
            pass
        with pytest.raises(chanlog.HandleClosed):
            await reader.aget(timeout=0)

    run(main())


def test_closing_wakes_a_waiting_thread(log, channel):
    reader = channel.subscribe()
    got = spawn(reader.get, timeout=LIMIT)
    until_waiting(log)
    reader.close()
    with pytest.raises(chanlog.HandleClosed):
        got.result(LIMIT)


def test_closing_ends_a_waiting_loop(log, channel):
    reader = channel.subscribe()
    channel.publish("a")
    seen = spawn(lambda: datas(reader))
    until_waiting(log)
    reader.close()
    assert seen.result(LIMIT) == ["a"]


def test_closing_ends_a_waiting_async_loop(log, channel):
    async def main():
        reader = channel.subscribe()

        async def read():
            return [message async for message in reader]

        reading = asyncio.create_task(read())
        await auntil_waiting(log)
        reader.close()
        return await reading

    assert run(main()) == []


def test_closing_from_a_thread_wakes_a_task(log, channel):
    async def main():
        reader = channel.subscribe()
        got = asyncio.create_task(reader.aget(timeout=LIMIT))
        await auntil_waiting(log)
        spawn(reader.close).result(LIMIT)
        with pytest.raises(chanlog.HandleClosed):
            await got

    run(main())


def test_trimming_past_a_reader_is_said(channel, face):
    channel.publish_many(range(10))
    with channel.subscribe() as reader:
        take(reader, 2)
        channel.trim(before=6)
        assert reader.ready
        with pytest.raises(chanlog.OffsetTrimmed) as caught:
            face(reader).get(timeout=0)
        assert (caught.value.offset, caught.value.start_offset) == (2, 6)
        reader.seek(caught.value.start_offset)
        assert datas(drain(reader)) == [6, 7, 8, 9]


def test_trimming_to_where_a_reader_is_disturbs_nobody(channel):
    channel.publish_many(range(10))
    with channel.subscribe() as reader:
        take(reader, 6)
        channel.trim(before=6)
        assert datas(drain(reader)) == [6, 7, 8, 9]


def test_it_says_where_it_is(channel):
    channel.publish_many(range(5))
    with channel.subscribe(after=1) as reader:
        assert repr(reader) == "<Subscription 'workflow-42' at 2>"


@pytest.mark.parametrize("timeout", [-1, "soon", True, float("nan")])
def test_a_timeout_that_is_none_is_refused(channel, face, timeout):
    with channel.subscribe() as reader:
        with pytest.raises(chanlog.InvalidOption) as caught:
            face(reader).get(timeout=timeout)
        assert caught.value.option == "timeout"


def test_the_main_thread_is_woken_too(log, channel, monkeypatch):
    """It waits in turns, so that a signal is never lost, and goes on where one ends."""
    turns = []
    monotonic = waking.monotonic
    monkeypatch.setattr(waking, "_SIGNAL_SECONDS", 0.001)
    monkeypatch.setattr(waking, "monotonic", lambda: turns.append(1) or monotonic())

    def publish(data):
        until_waiting(log)
        until(lambda: len(turns) > 3)
        channel.publish(data)

    with channel.subscribe() as reader:
        publishing = spawn(publish, "here")
        assert reader.get(timeout=LIMIT).data == "here"
        publishing.result(LIMIT)
        publishing = spawn(publish, "there")
        assert reader.get().data == "there"
        publishing.result(LIMIT)


def test_waiting_while_the_interpreter_exits_is_refused(log, channel):
    """Nobody will publish any more, and the interpreter would wait for whoever waits."""
    channel.publish("x")
    with channel.subscribe() as reader:
        log._store.exiting = True
        assert reader.get().data == "x"
        with pytest.raises(chanlog.LogClosed, match="exiting"):
            reader.get()
        assert reader.get(timeout=0) is None

"""Each fault happens where the script says, and does what its kind says; from threads and tasks."""

from __future__ import annotations

import asyncio

import pytest

import chanlog
from chanlog.testing.clock import VirtualClock
from chanlog.testing.faults import Faults

from ..support import LIMIT, datas, drain, replayed, run, spawn


def test_a_lost_acknowledgement(make, face):
    faults = make()
    faults.on("publish", channel="orders", nth=2).lose_ack()
    orders = faults.log.channel("orders")
    assert face(orders).publish("a") == 0
    with pytest.raises(chanlog.Disconnected) as caught:
        face(orders).publish("b")
    assert (caught.value.happened, caught.value.engine) == (None, "redis")
    assert face(orders).publish("c") == 2
    assert replayed(orders) == ["a", "b", "c"]


def test_a_disconnect(make, face):
    faults = make()
    faults.on("publish", nth=1).disconnect()
    channel = faults.log.channel("a")
    with pytest.raises(chanlog.Disconnected) as caught:
        face(channel).publish("a")
    assert caught.value.happened is False
    assert replayed(channel) == []


def test_a_disconnected_reader_goes_on_where_it_was(make, face):
    faults = make()
    channel = faults.log.channel("a")
    channel.publish_many("xy")
    faults.on("get", nth=2).disconnect()
    reader = channel.subscribe()
    assert face(reader).get().data == "x"
    with pytest.raises(chanlog.Disconnected):
        face(reader).get()
    assert face(reader).get().data == "y"


def test_a_duplicate(make, face):
    faults = make()
    faults.on("publish", nth=1).duplicate()
    faults.on("publish_many", nth=1).duplicate()
    channel = faults.log.channel("a")
    assert face(channel).publish("a") == 0
    assert face(channel).publish("b") == 2
    assert list(face(channel).publish_many(iter("cd"))) == [3, 4]
    assert replayed(channel) == ["a", "a", "b", "c", "d", "c", "d"]


def test_what_is_guarded_is_never_doubled(make, face):
    faults = make()
    faults.on("publish").duplicate()
    channel = faults.log.channel("a")
    assert face(channel).publish("a", expect=0) == 0
    assert face(channel.producer("p")).publish("b") == 1
    assert face(channel).publish("c") == 2
    assert replayed(channel) == ["a", "b", "c", "c"]


def test_a_lost_write(make, face):
    faults = make()
    faults.on("publish", nth=2).lose_write()
    channel = faults.log.channel("a")
    assert [face(channel).publish(data) for data in "abc"] == [0, 1, 1]
    assert replayed(channel) == ["a", "c"]


def test_a_lost_commit_that_nobody_hears_of(make, face):
    faults = make("redis")
    faults.on("commit", nth=2).lose_commit()
    channel = faults.log.channel("a")
    channel.publish_many("xyz")
    cursor = channel.cursor("c")
    face(cursor).commit(0)
    face(cursor).commit(1)
    assert cursor.position() == 1
    assert datas(drain(channel.cursor("c"))) == ["y", "z"]
    face(cursor).commit(2)
    assert cursor.position() == 3


def test_a_lost_commit_that_fails(make, face):
    faults = make("kafka")
    faults.on("commit", nth=1).lose_commit()
    channel = faults.log.channel("a")
    channel.publish("x")
    cursor = channel.cursor("c")
    with pytest.raises(chanlog.Disconnected):
        face(cursor).commit(0)
    assert cursor.position() == 0


def test_a_redelivery(make, face):
    faults = make("kafka")
    faults.on("get", nth=4).redeliver()
    channel = faults.log.channel("a")
    channel.publish_many("wxyz")
    cursor = channel.cursor("c")
    got = []
    for _ in range(5):
        message = face(cursor).get()
        got.append(message.data)
        if message.data == "w":
            cursor.commit(message)
    assert got == ["w", "x", "y", "x", "y"]


def test_a_delay(make, face, clock):
    faults = make()
    faults.on("publish", nth=2).delay(5)
    channel = faults.log.channel("a")
    for data in "xyz":
        channel.publish(data)
    reader = channel.subscribe()
    assert face(reader).get().data == "x"
    assert face(reader).get(timeout=0) is None
    assert (reader.ready, reader.offset) == (False, 1)
    clock.advance(5)
    assert reader.ready
    assert datas(drain(reader)) == ["y", "z"]


def test_a_delay_is_waited_for(make, clock):
    faults = make()
    faults.on("publish").delay(5)
    channel = faults.log.channel("a")
    reader, other = channel.subscribe(), channel.subscribe()
    channel.publish("x")
    got, late = spawn(reader.get), spawn(other.get, timeout=3)
    clock.settle()
    clock.advance(4)
    clock.settle()
    assert late.result(LIMIT) is None
    assert not got.done()
    clock.advance(1)
    assert got.result(LIMIT).data == "x"
    assert other.get(timeout=0).data == "x"


def test_a_delay_is_waited_for_in_tasks(make, clock):
    faults = make()
    faults.on("publish").delay(5)
    channel = faults.log.channel("a")

    async def body():
        await channel.apublish("x")
        async with channel.subscribe() as reader:
            cancelled = asyncio.create_task(reader.aget())
            await clock.asettle()
            cancelled.cancel()
            await clock.asettle()
            task = asyncio.create_task(reader.aget())
            await clock.asettle()
            assert not task.done()
            clock.advance(5)
            assert (await task).data == "x"

    run(body())


def test_closing_a_reader_that_waits_for_what_is_held_back(make, clock):
    faults = make()
    faults.on("publish").delay(5)
    channel = faults.log.channel("a")
    reader = channel.subscribe()
    channel.publish("x")
    got = spawn(reader.get)
    clock.settle()
    reader.close()
    with pytest.raises(chanlog.HandleClosed):
        got.result(LIMIT)


def test_another_order_of_channels(make, face):
    faults = make()
    faults.on("publish", channel="a", nth=1).reorder(behind=2)
    first, second = faults.log.channel("a"), faults.log.channel("b")
    face(first).publish("a0")
    reader, other = first.subscribe(), second.subscribe()
    face(second).publish("b0")
    assert face(other).get(timeout=0).data == "b0"
    assert face(reader).get(timeout=0) is None
    face(first).publish("a1")
    assert face(reader).get(timeout=0) is None
    face(second).publish("b1")
    assert datas(drain(reader)) == ["a0", "a1"]


def test_a_slow_consumer(make, clock):
    faults = make()
    faults.on("get", nth=1).slow(10)
    channel = faults.log.channel("a")
    channel.publish_many("xy")
    reader = channel.subscribe()
    got = spawn(reader.get)
    clock.settle()
    assert not got.done()
    clock.advance(10)
    assert got.result(LIMIT).data == "x"
    assert reader.get().data == "y"


def test_cancelling_a_slow_consumer_loses_nothing(make, clock):
    faults = make()
    faults.on("get", nth=1).slow(10)
    channel = faults.log.channel("a")
    channel.publish_many("xy")

    async def body():
        reader = channel.subscribe()
        task = asyncio.create_task(reader.aget())
        await clock.asettle()
        task.cancel()
        await clock.asettle()
        assert (await reader.aget()).data == "x"

    run(body())


def test_a_fence(make, face):
    faults = make()
    faults.on("publish", nth=2).fence()
    channel = faults.log.channel("a")
    producer = channel.producer("p", epoch=4)
    # Not by a producer, so it is not counted.
    channel.publish("z")
    face(producer).publish("a")
    with pytest.raises(chanlog.ProducerFenced) as caught:
        face(producer).publish("b")
    assert caught.value.current_epoch == 5
    assert replayed(channel) == ["z", "a"]


def test_no_room(make, face):
    faults = make()
    faults.on("publish", every=2).full()
    channel = faults.log.channel("a")
    for data in "abcd":
        try:
            face(channel).publish(data)
        except chanlog.DiskFull as error:
            assert "redis has no room" in str(error)
    assert replayed(channel) == ["a", "c"]


def test_a_frame_whose_acknowledgement_is_lost(make, face):
    faults = make("kafka")
    faults.on("atomic", channel="b", nth=1).lose_ack()
    faults.on("atomic", channel="b", nth=2).disconnect()
    log = faults.log
    cursor = log.channel("a").cursor("c")
    log.channel("a").publish("x")

    def write():
        with log.atomic() as frame:
            frame.publish("a", "y")
            frame.publish(log.channel("b", sender="me"), "z")
            frame.commit(cursor, 0)

    for happened, end in ((None, 1), (False, 1)):
        with pytest.raises(chanlog.Disconnected) as caught:
            write()
        assert caught.value.happened is happened
        assert log.channel("b").info().end_offset == end
    write()
    assert replayed(log.channel("b")) == ["z", "z"]
    assert cursor.position() == 1


def test_a_frame_of_tasks(make):
    faults = make("kafka")
    faults.on("atomic", nth=2).disconnect()

    async def body():
        async with faults.log.atomic() as frame:
            frame.publish("a", 1)
        assert frame.offsets == [0]
        with pytest.raises(chanlog.Disconnected):
            async with faults.log.atomic() as frame:
                frame.publish("a", 2)
        with pytest.raises(ZeroDivisionError):
            async with faults.log.atomic() as frame:
                frame.publish("a", 3)
                raise ZeroDivisionError

    run(body())
    assert replayed(faults.log.channel("a")) == [1]


@pytest.mark.parametrize(
    ("operation", "work"),
    [
        ("end", lambda face, channel: face(channel).end()),
        ("trim", lambda face, channel: face(channel).trim(1)),
        ("delete", lambda face, channel: face(channel).delete()),
        ("configure", lambda face, channel: face(channel).configure(chanlog.Retention(count=1))),
        ("producer", lambda face, channel: face(channel).producer("p")),
        ("publish_many", lambda face, channel: face(channel).publish_many([1])),
        ("seek", lambda face, channel: face(channel.cursor("c")).seek(0)),
    ],
)
def test_every_write_can_be_lost_on_the_way_there_or_back(make, face, operation, work):
    faults = make()
    channel = faults.log.channel("a")
    channel.publish_many("xyz")
    before = channel.info()
    faults.on(operation, nth=1).disconnect()
    faults.on(operation, nth=2).lose_ack()
    for happened in (False, None):
        with pytest.raises(chanlog.Disconnected) as caught:
            work(face, channel)
        assert caught.value.happened is happened
        if happened is False:
            assert channel.info() == before
    if operation == "delete":
        assert list(faults.log.channels()) == []
    else:
        assert channel.info() != before


def test_faults_by_pattern_and_times(make):
    faults = make()
    faults.on("publish", channel="orders-*", times=2).disconnect()
    failed = []
    for name in ("orders-1", "other", "orders-2", "orders-3"):
        try:
            faults.log.channel(name).publish(1)
        except chanlog.Disconnected:
            failed.append(name)
    assert failed == ["orders-1", "orders-2"]


def test_clearing(make, clock):
    faults = make()
    channel = faults.log.channel("a")
    faults.on("publish").delay(100)
    channel.publish(1)
    faults.mix(full=1.0)
    faults.clear()
    channel.publish(2)
    assert datas(drain(channel.subscribe())) == [1, 2]


def test_on_the_clock_of_the_machine():
    """A delay ends by itself; what is published after it is not delayed."""
    with chanlog.open() as log:
        faults = Faults(log, profile="nats", seed=1)
        faults.on("publish", nth=1).delay(0.01)
        channel = faults.log.channel("a")
        channel.publish(1)
        assert channel.subscribe().get(timeout=LIMIT).data == 1


def test_loops_meet_faults_too(make):
    faults = make()
    faults.on("get", nth=3).disconnect()
    channel = faults.log.channel("a")
    channel.publish_many("xyz")
    channel.end()
    got = []
    reader = channel.subscribe()
    with pytest.raises(chanlog.Disconnected):
        for message in reader:
            got.append(message.data)
    got += [message.data for message in reader]
    assert got == ["x", "y", "z"]

    async def body():
        return [message.data async for message in channel.cursor("c")]

    assert run(body()) == ["x", "y", "z"]


def test_a_double_of_a_double_is_refused(make):
    with pytest.raises(chanlog.InvalidOption, match="double already"):
        Faults(make().log, profile="redis")


def test_a_clock_by_itself_is_no_log():
    assert VirtualClock().host.timer is not None

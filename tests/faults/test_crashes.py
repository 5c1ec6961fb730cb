"""The engine dies between any two operations, and the handles go on with the one that follows."""

from __future__ import annotations

import asyncio

import pytest

import chanlog
from chanlog.testing.faults import Faults

from ..support import LIMIT, datas, drain, gather, replayed, run, spawn


def test_nothing_is_lost_that_need_not_be(make, face):
    faults = make("kafka")
    channel = faults.log.channel("a", sender="me")
    reader, cursor = channel.subscribe(), channel.cursor("c")
    producer = channel.producer("p", epoch=2)
    channel.publish("w")
    producer.publish("x")
    cursor.commit(reader.get())
    face(faults).crash()
    assert reader.get().data == "x"
    assert cursor.position() == 1
    assert face(producer).publish("x", sequence=0) == 1
    assert face(producer).publish("y") == 2
    assert face(channel).publish("z") == 3
    assert datas(drain(reader)) == ["y", "z"]
    assert datas(drain(cursor)) == ["x", "y", "z"]
    assert {message.sender for message in channel.replay()} == {"me"}


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_around_an_operation(make, face, after):
    faults = make()
    faults.on("publish", nth=2).crash(after=after)
    channel = faults.log.channel("a")
    face(channel).publish("a")
    with pytest.raises(chanlog.Disconnected) as caught:
        face(channel).publish("b")
    assert caught.value.happened is (None if after else False)
    face(channel).publish("c")
    assert replayed(channel) == (["a", "b", "c"] if after else ["a", "c"])


def test_what_was_acknowledged_may_be_lost(make):
    faults = make("redis", sync="os")
    channel = faults.log.channel("a")
    for data in "abcd":
        channel.publish(data)
    reader = channel.subscribe(live=True)
    faults.crash(lose=2)
    assert replayed(channel) == ["a", "b"]
    channel.publish("e")
    assert channel.info().end_offset == 3
    assert datas(drain(reader)) == ["e"]


def test_what_was_made_durable_is_never_lost(tmp_path):
    with chanlog.open(tmp_path, sync="os") as log:
        faults = Faults(log, profile="redis", seed=1)
        channel = faults.log.channel("a")
        for data in "ab":
            channel.publish(data)
        faults.inner.sync()
        channel.publish("c")
        faults.crash(lose=10)
        assert replayed(channel) == ["a", "b"]
        faults.log.close()


def test_under_always_nothing_is_lost(tmp_path):
    with chanlog.open(tmp_path, sync="always") as log:
        faults = Faults(log, profile="redis", seed=1)
        channel = faults.log.channel("a")
        channel.publish("a")
        faults.crash(lose=10)
        assert replayed(channel) == ["a"]
        faults.log.close()


def test_an_engine_that_loses_nothing(make):
    faults = make("kafka")
    with pytest.raises(chanlog.InvalidOption, match="loses nothing"):
        faults.crash(lose=1)
    with pytest.raises(chanlog.InvalidOption, match="loses nothing"):
        faults.on("publish").crash(lose=1)


def test_a_torn_tail(make, face):
    faults = make()
    faults.on("publish", nth=2).tear()
    channel = faults.log.channel("a")
    face(channel).publish("a")
    with pytest.raises(chanlog.Disconnected) as caught:
        face(channel).publish("b")
    assert caught.value.happened is None
    assert len(faults.inner.recovery.torn) == 1
    face(channel).publish("c")
    assert replayed(channel) == ["a", "c"]


def test_whoever_waits_goes_on_waiting(make, clock):
    faults = make()
    channel = faults.log.channel("a")
    got = spawn(channel.subscribe().get)
    clock.settle()
    faults.crash()
    clock.settle()
    assert not got.done()
    channel.publish("x")
    assert got.result(LIMIT).data == "x"


def test_a_task_that_waits_goes_on_waiting(make, clock):
    faults = make()
    channel = faults.log.channel("a")

    async def body():
        task = asyncio.create_task(channel.subscribe().aget())
        await clock.asettle()
        await faults.acrash()
        await clock.asettle()
        assert not task.done()
        await channel.apublish("x")
        assert (await task).data == "x"

    run(body())


def test_a_frame_that_was_begun_before(make):
    faults = make("kafka")
    frame = faults.log.atomic()
    with pytest.raises(chanlog.Disconnected):
        with frame:
            frame.publish("a", 1)
            faults.crash()
    assert list(faults.log.channels()) == []


def test_dying_between_any_two_operations(make):
    """Whatever is done, all that was acknowledged before is there after each crash."""
    faults = make("kafka")
    channel = faults.log.channel("a")
    cursor = channel.cursor("c")
    for number in range(10):
        channel.publish(number)
        faults.crash(torn=number % 2 == 0)
        message = cursor.get()
        faults.crash()
        cursor.commit(message)
        faults.crash()
        assert cursor.position() == number + 1
    assert replayed(channel) == list(range(10))


def test_dying_under_many_threads(make):
    """What was acknowledged while others let the log die is there, in order, and once; what was
    not may be there."""
    faults = make("kafka", sync="os")
    faults.mix(crash=0.01, lose_ack=0.05, tear=0.01)

    def write(name):
        producer = faults.log.channel(name)
        told = []
        for number in range(60):
            try:
                producer.publish(number)
                told.append(number)
            except chanlog.Disconnected:
                continue
        return told

    def read(name):
        reader, got = faults.log.channel(name).subscribe(), []
        while not got or got[-1] != "end":
            try:
                got.append(reader.get(timeout=LIMIT).data)
            except chanlog.Disconnected:
                continue
        return got[:-1]

    writing = [spawn(write, name) for name in "abc"]
    reading = [spawn(read, name) for name in "abc"]
    told = gather(writing)
    assert faults.generation > 0
    faults.clear()
    for name in "abc":
        faults.log.channel(name).publish("end")
    for name, acknowledged, got in zip("abc", told, gather(reading), strict=True):
        *there, _ = replayed(faults.log.channel(name))
        assert got == there == sorted(set(there))
        assert set(acknowledged) <= set(there)


def test_another_log_comes_back_by_restart(make):
    inner = [chanlog.open(), chanlog.open()]
    for log in inner:
        log.channel("a").publish("x")

    def restart():
        inner[0].close()
        return inner[1]

    faults = Faults(Wrapped(inner[0]), profile="nats", restart=restart, seed=1)
    channel = faults.log.channel("a")
    faults.crash()
    channel.publish("y")
    assert replayed(inner[1].channel("a")) == ["x", "y"]
    inner[1].close()


def test_a_log_that_cannot_crash_says_so():
    with chanlog.open() as log:
        faults = Faults(Wrapped(log), profile="nats", seed=1)
        for ask in (
            faults.crash,
            lambda: faults.mix(crash=0.1),
            lambda: faults.on("get").crash(),
            lambda: faults.on("publish").tear(),
        ):
            with pytest.raises(chanlog.InvalidOption, match="restart"):
                ask()


class Wrapped:
    """A log of somebody else's."""

    def __init__(self, log):
        self._log = log

    def __getattr__(self, name):
        if name == "_store":
            raise AttributeError(name)
        return getattr(self._log, name)

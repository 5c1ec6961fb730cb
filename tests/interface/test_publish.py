"""Publishing: offsets, what a message carries, all or nothing."""

from __future__ import annotations

import asyncio
import math

import msgpack
import pytest

import chanlog

from ..support import LIMIT, datas, drain, host_with, offsets, replayed, run

PAYLOADS = [
    None,
    True,
    False,
    0,
    -1,
    2**64 - 1,
    -(2**63),
    1.5,
    math.inf,
    "",
    "täxt \u2028 \U0001f600",
    "\x00\n",
    b"",
    b"\x00\xff" * 100,
    b"\xc1",
    [],
    {},
    [1, [2, [3, {"a": None}]]],
    {"t": "delta", "i": 123, "s": " token"},
    {1: "integer key", b"k": "bytes key", None: 0},
    {"": {"": {"": []}}},
    msgpack.ExtType(5, b"own type"),
    msgpack.Timestamp(1, 2),
    [b"x" * 3000, "y" * 3000],
]


def test_offsets_are_dense_and_belong_to_the_channel(log, face):
    one, two = log.channel("one"), log.channel("two")
    assert [face(one).publish(n) for n in range(5)] == [0, 1, 2, 3, 4]
    assert [face(two).publish(n) for n in range(3)] == [0, 1, 2]
    assert face(one).publish("next") == 5
    assert offsets(one.replay()) == list(range(6))


def test_opening_a_channel_creates_nothing(log):
    channel = log.channel("nobody")
    channel.subscribe().close()
    assert channel.info().exists is False
    assert channel.info().created is None
    assert list(log.channels()) == []


def test_a_message_carries_what_was_given(log, face):
    agent = log.channel("w", sender="agent")
    face(agent).publish({"x": 1}, type="token", key="k", headers={"h": [1, None]})
    (message,) = agent.replay()
    assert message == (0, message.time_ns, {"x": 1}, "token", "k", {"h": [1, None]}, "agent")
    assert isinstance(message, chanlog.Message)
    assert message.time.tzinfo is not None
    assert message.time_ns > 1_600_000_000_000_000_000


def test_what_was_not_given_is_none(channel, face):
    face(channel).publish("plain")
    (message,) = channel.replay()
    assert message[2:] == ("plain", None, None, None, None)


@pytest.mark.parametrize("field", ["type", "key", "headers", "sender"])
def test_each_field_travels_alone(log, face, field):
    given = {"headers": {"a": 1}}.get(field, "value")
    channel = log.channel("w", sender="value" if field == "sender" else None)
    face(channel).publish(1, **({} if field == "sender" else {field: given}))
    (message,) = channel.replay()
    fields = dict(zip(message._fields[3:], message[3:], strict=True))
    assert fields == {"type": None, "key": None, "headers": None, "sender": None, field: given}


def test_empty_strings_are_not_none(channel):
    channel.publish(None, type="", key="", headers={})
    (message,) = channel.replay()
    assert (message.type, message.key) == ("", "")
    assert not message.headers


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: repr(payload)[:20])
def test_payloads_come_back_equal(channel, face, payload):
    face(channel).publish(payload)
    face(channel).publish_many([payload, payload])
    found = replayed(channel)
    assert found == [payload] * 3
    assert {type(item) for item in found} == {type(payload)}
    assert list(channel.replay().data()) == [payload] * 3
    assert datas(drain(channel.subscribe())) == [payload] * 3


def test_nan_comes_back(channel):
    channel.publish(math.nan)
    assert math.isnan(replayed(channel)[0])


def test_tuples_come_back_as_lists(channel):
    channel.publish((1, (2, 3)))
    assert replayed(channel) == [[1, [2, 3]]]


def test_deep_payloads_come_back(channel):
    deep: list = []
    for _ in range(100):
        deep = [deep]
    channel.publish(deep)
    channel.publish_many([deep, deep])
    assert replayed(channel) == [deep] * 3


@pytest.mark.parametrize("size", [65_000, 65_536, 70_000, 300_000, 1_000_000])
def test_a_message_may_be_larger_than_a_segment(store, face, size):
    with store.open(segment_bytes=64 * 1024) as log:
        channel = log.channel("w")
        channel.publish("before")
        face(channel).publish(b"x" * size)
        channel.publish("after")
        assert replayed(channel) == ["before", b"x" * size, "after"]


def test_the_writer_keeps_its_object(channel):
    payload = {"list": [1]}
    headers = {"h": [1]}
    channel.publish(payload, headers=headers)
    channel.publish_many([payload], headers=headers)
    payload["list"].append(2)
    headers["h"].append(2)
    for message in channel.replay():
        assert message.data == {"list": [1]}
        assert message.headers == {"h": [1]}


def test_each_reader_has_its_own_object(channel):
    channel.publish_many([{"list": [1]}, {"list": [2]}])
    for message in channel.replay():
        message.data["list"].append("scribble")
    assert replayed(channel) == [{"list": [1]}, {"list": [2]}]
    with channel.subscribe() as one, channel.subscribe() as two:
        one.get(timeout=0).data["list"].append("scribble")
        assert two.get(timeout=0).data == {"list": [1]}


def test_many_return_their_offsets(channel, face):
    assert list(face(channel).publish_many(["a", "b", "c"])) == [0, 1, 2]
    assert face(channel).publish("d") == 3
    assert list(face(channel).publish_many(x for x in "ef")) == [4, 5]
    assert replayed(channel) == list("abcdef")


def test_many_of_none_is_nothing(channel, face):
    assert list(face(channel).publish_many([])) == []
    assert channel.info().exists is False
    channel.publish("a")
    assert list(face(channel).publish_many(iter(()))) == []
    assert list(face(channel).publish_many([], durable=True)) == []
    assert channel.info().end_offset == 1


def test_the_other_arguments_hold_for_all_of_many(log, face):
    channel = log.channel("w", sender="agent")
    face(channel).publish_many([1, 2], type="t", key="k", headers={"h": 1})
    for message in channel.replay():
        assert message[3:] == ("t", "k", {"h": 1}, "agent")


def test_many_are_all_or_nothing_when_one_cannot_be_carried(channel, face):
    with pytest.raises(chanlog.PayloadError):
        face(channel).publish_many([1, 2, object(), 4])
    assert channel.info().end_offset == 0
    assert face(channel).publish("next") == 0


def test_many_are_all_or_nothing_when_the_source_fails(channel, face):
    def source():
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        face(channel).publish_many(source())
    assert channel.info().exists is False


def test_many_may_fill_many_segments(store, face):
    items = [f"{n:05d}" * 20 for n in range(5000)]
    with store.open(segment_bytes=64 * 1024) as log:
        channel = log.channel("w")
        assert list(face(channel).publish_many(items)) == list(range(5000))
        assert replayed(channel) == items


def test_readers_see_many_at_once(log):
    """Whoever looks between two messages of one ``publish_many`` would see a part of it."""
    channel = log.channel("w")
    channel.publish_many(range(1000))
    assert channel.info().end_offset == 1000
    assert sum(len(batch) for batch in channel.replay().batches()) == 1000


def test_time_never_goes_back(timed, clock):
    channel, other = timed.channel("w"), timed.channel("other")
    channel.publish(1)
    clock.advance(10)
    channel.publish(2)
    clock.advance(-3600)
    other.publish("other")
    channel.publish_many([3, 4])
    clock.advance(7200)
    channel.publish(5)
    times = [message.time_ns for message in channel.replay()]
    assert times == sorted(times)
    assert times[1] - times[0] == 10 * 10**9
    assert next(iter(other.replay())).time_ns >= times[1]
    assert times[-1] - times[0] == 3610 * 10**9


def test_time_never_goes_back_over_a_reopening(disk, clock):
    with disk.open(host=host_with(clock)) as log:
        log.channel("w").publish(1)
    clock.advance(-3600)
    with disk.open(host=host_with(clock)) as log:
        channel = log.channel("w")
        channel.publish(2)
        first, second = (message.time_ns for message in channel.replay())
        assert second >= first


def test_many_tasks_publish_in_one_loop(channel):
    async def main():
        return await asyncio.gather(*(channel.apublish(n) for n in range(100)))

    found = run(main())
    assert sorted(found) == list(range(100))
    by_offset = {offset: n for n, offset in enumerate(found)}
    assert replayed(channel) == [by_offset[offset] for offset in range(100)]


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("steps", range(4))
def test_a_cancelled_publish_has_happened_once_or_not(channel, durable, steps):
    async def main():
        task = asyncio.create_task(channel.apublish("x", durable=durable))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        return (await asyncio.wait({task}, timeout=LIMIT))[0]

    (task,) = run(main())
    channel.publish("next", durable=True)
    found = replayed(channel)
    assert found in (["next"], ["x", "next"])
    if not task.cancelled():
        assert found == ["x", "next"]


def test_a_durable_publish_lets_the_loop_run(channel):
    """Other tasks go on while one waits for the disk."""

    async def main():
        turns = 0
        publishing = asyncio.create_task(channel.apublish("x", durable=True))
        while not publishing.done():
            turns += 1
            await asyncio.sleep(0)
        assert await publishing == 0
        return turns

    assert run(main()) >= 1


def test_channels_do_not_see_each_other(log):
    one, two = log.channel("one"), log.channel("two")
    for n in range(10):
        one.publish(("one", n))
        two.publish_many([("two", n), ("two", n)])
    assert {kind for kind, _ in replayed(one)} == {"one"}
    assert {kind for kind, _ in replayed(two)} == {"two"}
    assert (one.info().end_offset, two.info().end_offset) == (10, 20)


def test_handles_of_one_name_are_one_channel(log):
    one, two = log.channel("w"), log.channel("w", sender="b")
    assert (one.publish(1), two.publish(2), one.publish(3)) == (0, 1, 2)
    assert replayed(two) == [1, 2, 3]
    assert (one.name, one.sender, two.sender) == ("w", None, "b")

"""Where a subscription starts and what it lets pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import chanlog

from ..support import datas, drain, offsets, take


@pytest.fixture
def ten(channel):
    channel.publish_many(range(10))
    return channel


def test_from_the_start_by_default(ten, face):
    ten.end()
    assert datas(face.walk(ten.subscribe())) == list(range(10))


@pytest.mark.parametrize("after", [0, 4, 8, 9])
def test_exactly_after_an_offset(ten, face, after):
    with face(ten).subscribe(after=after) as reader:
        assert reader.offset == after + 1
        ten.publish("live")
        ten.end()
        assert offsets(face.walk(reader)) == list(range(after + 1, 11))


@pytest.mark.parametrize("last, first", [(0, 10), (1, 9), (3, 7), (10, 0), (11, 0), (10**9, 0)])
def test_the_last_so_many_and_then_live(ten, face, last, first):
    with face(ten).subscribe(last=last) as reader:
        assert offsets(drain(reader)) == list(range(first, 10))
        ten.publish("live")
        assert datas(drain(reader)) == ["live"]


def test_last_stops_at_the_first_readable(ten):
    ten.trim(before=8)
    assert offsets(drain(ten.subscribe(last=5))) == [8, 9]


def test_the_start_is_the_first_readable(ten):
    ten.trim(before=4)
    assert offsets(drain(ten.subscribe())) == [4, 5, 6, 7, 8, 9]


def test_live_sees_only_what_comes_after_the_call(ten):
    with ten.subscribe(live=True) as reader:
        assert reader.offset == 10
        assert reader.get(timeout=0) is None
        ten.publish("live")
        assert datas(drain(reader)) == ["live"]


def test_live_on_a_channel_that_does_not_exist_yet(channel):
    with channel.subscribe(live=True) as reader:
        channel.publish("first")
        assert datas(drain(reader)) == ["first"]


def test_each_way_on_a_channel_that_does_not_exist_yet(channel):
    with channel.subscribe() as start, channel.subscribe(last=3) as last:
        with channel.subscribe(since=0) as since:
            assert [reader.get(timeout=0) for reader in (start, last, since)] == [None] * 3
            channel.publish("first")
            assert [datas(drain(reader)) for reader in (start, last, since)] == [["first"]] * 3


@pytest.mark.parametrize("as_datetime", [False, True])
def test_since_a_time(timed, clock, as_datetime):
    channel = timed.channel("w")
    times = []
    for n in range(6):
        clock.advance(1)
        times.append(clock.now_ns)
        channel.publish(n) if n % 2 else channel.publish_many([n])

    def since(ns):
        if as_datetime:
            ns = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)
        return datas(drain(channel.subscribe(since=ns)))

    for n, ns in enumerate(times):
        assert since(ns) == list(range(n, 6))
        assert since(ns - 1000) == list(range(n, 6))
        assert since(ns + 1000) == list(range(n + 1, 6))
    assert since(0) == list(range(6))


def test_since_a_time_in_another_zone(timed, clock):
    channel = timed.channel("w")
    channel.publish("old")
    clock.advance(60)
    channel.publish("new")
    zone = datetime.fromtimestamp(clock.now_ns / 10**9, UTC).astimezone()
    assert datas(drain(channel.subscribe(since=zone))) == ["new"]


def test_since_with_many_messages_of_one_time(timed, clock):
    channel = timed.channel("w")
    channel.publish("old")
    clock.advance(1)
    channel.publish_many(["a", "b"])
    channel.publish("c")
    assert datas(drain(channel.subscribe(since=clock.now_ns))) == ["a", "b", "c"]


def test_since_a_time_over_many_segments_and_after_compaction(store, clock):
    from ..support import host_with

    with store.open(host=host_with(clock), segment_bytes=64 * 1024) as log:
        channel, other = log.channel("w"), log.channel("other")
        times = []
        for n in range(300):
            clock.advance(1)
            times.append(clock.now_ns)
            channel.publish([n, "x" * 500])
            other.publish("y" * 500)
        for _ in range(2):
            for n in (0, 1, 99, 100, 150, 298, 299):
                found = [data[0] for data in datas(drain(channel.subscribe(since=times[n])))]
                assert found == list(range(n, 300))
            log.compact()


@pytest.mark.parametrize(
    "arguments",
    [
        {"after": 1, "last": 1},
        {"after": 1, "since": 0},
        {"after": 1, "live": True},
        {"last": 1, "since": 0},
        {"last": 1, "live": True},
        {"since": 0, "live": True},
        {"last": -1},
        {"last": "1"},
        {"last": 1.5},
        {"after": "1"},
        {"after": 1.5},
        {"since": datetime(2024, 1, 1)},
        {"since": "yesterday"},
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(ten, arguments):
    with pytest.raises(chanlog.InvalidOption) as caught:
        ten.subscribe(**arguments)
    assert caught.value.option


@pytest.mark.parametrize("after", [10, 11, 10**12])
def test_an_offset_from_the_future(ten, after):
    with pytest.raises(chanlog.UnknownOffset) as caught:
        ten.subscribe(after=after)
    assert caught.value.channel == "workflow-42"
    assert caught.value.end_offset == 10


def test_an_offset_of_a_channel_that_does_not_exist(channel):
    with pytest.raises(chanlog.UnknownOffset):
        channel.subscribe(after=0)


def test_an_offset_that_was_trimmed(ten, face):
    ten.trim(before=5)
    with pytest.raises(chanlog.OffsetTrimmed) as caught:
        with ten.subscribe(after=1) as reader:
            face(reader).get(timeout=0)
    assert (caught.value.channel, caught.value.start_offset) == ("workflow-42", 5)
    assert caught.value.offset == 2
    assert offsets(drain(ten.subscribe(after=4))) == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "types", [{"b"}, ["b"], ("b", "never"), frozenset("b"), {"b": 1}.keys()], ids=str
)
def test_types_let_only_these_pass(channel, face, types):
    for n, kind in enumerate(["a", "b", None, "b", "c", ""]):
        channel.publish(n, type=kind)
    channel.publish_many([6, 7], type="b")
    channel.publish_many([8, 9])
    channel.end()
    assert datas(face.walk(face(channel).subscribe(types=types))) == [1, 3, 6, 7]


def test_types_of_later_messages(channel):
    with channel.subscribe(types={"stop"}) as reader:
        for kind in ["token", "stop", "token", "stop"]:
            channel.publish(kind, type=kind)
        assert offsets(drain(reader)) == [1, 3]


def test_last_counts_before_filtering(channel):
    for n in range(10):
        channel.publish(n, type="even" if n % 2 == 0 else "odd")
    assert datas(drain(channel.subscribe(last=4, types={"odd"}))) == [7, 9]


def test_echo_leaves_out_my_own(log, face):
    agent, person, nobody = (log.channel("w", sender=sender) for sender in ("agent", "p", None))
    agent.publish("a1")
    person.publish("p1")
    nobody.publish("n1")
    agent.publish_many(["a2", "a3"])
    person.publish_many(["p2", "p3"])
    agent.end()
    assert datas(face.walk(face(agent).subscribe(echo=False))) == ["p1", "n1", "p2", "p3"]
    assert datas(face.walk(person.subscribe(echo=False))) == ["a1", "n1", "a2", "a3"]
    assert len(face.walk(agent.subscribe())) == 7
    assert len(face.walk(agent.subscribe(echo=True))) == 7


def test_types_and_echo_together(log):
    agent, person = log.channel("w", sender="agent"), log.channel("w", sender="person")
    for channel in (agent, person):
        for kind in ("steer", "token"):
            channel.publish((channel.sender, kind), type=kind)
    reader = agent.subscribe(types={"steer"}, echo=False)
    assert datas(drain(reader)) == [["person", "steer"]]


def test_filters_after_compaction_and_reopening(disk):
    with disk.open(segment_bytes=64 * 1024) as log:
        agent, person = log.channel("w", sender="agent"), log.channel("w", sender="person")
        for n in range(400):
            agent.publish([n, "x" * 400], type="token")
            if n % 50 == 0:
                person.publish(n, type="steer")
        log.compact()
        found = datas(drain(agent.subscribe(types={"steer"}, echo=False)))
        assert found == list(range(0, 400, 50))
    with disk.open() as log:
        assert datas(drain(log.channel("w").subscribe(types={"steer"}))) == found


def test_the_offset_it_will_look_at_next(ten):
    with ten.subscribe() as reader:
        assert reader.offset == 0
        for n in range(10):
            assert reader.get(timeout=0).offset == n
            assert reader.offset == n + 1


def test_a_reader_that_knows_its_offset_can_be_replaced(ten):
    with ten.subscribe() as reader:
        seen = datas(take(reader, 4))
        offset = reader.offset
    with ten.subscribe(after=offset - 1) as reader:
        assert seen + datas(drain(reader)) == list(range(10))


def test_history_to_live_has_no_gap(channel):
    """Publish between any two steps of a reader; it must see each message once."""
    with channel.subscribe() as reader:
        seen = []
        for n in range(200):
            channel.publish(n) if n % 3 else channel.publish_many([n])
            if n % 7 == 0:
                seen += take(reader, 1)
        seen += drain(reader)
    assert datas(seen) == list(range(200))


def test_subscriptions_do_not_share_a_position(ten):
    with ten.subscribe() as one, ten.subscribe() as two:
        take(one, 7)
        assert datas(take(two, 2)) == [0, 1]
        assert datas(take(one, 1)) == [7]

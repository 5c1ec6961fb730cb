"""Forks: a branch that shares history without copying it."""

from __future__ import annotations

import pytest

import chanlog

from ..support import datas, drain, offsets, replayed, take


@pytest.fixture
def parent(log):
    parent = log.channel("parent")
    parent.publish_many(range(4))
    for n in range(4, 10):
        parent.publish(n)
    return parent


@pytest.mark.parametrize("at", [0, 1, 3, 4, 7, 10, None])
def test_it_shares_what_lies_below_and_goes_its_own_way(log, parent, face, at):
    fork = face(parent).fork("fork", at=at)
    end = 10 if at is None else at
    assert fork.name == "fork"
    assert fork.info().parent == ("parent", end)
    assert (fork.info().start_offset, fork.info().end_offset) == (0, end)
    assert fork.publish("mine") == end
    assert parent.publish("yours") == 10
    assert list(fork.publish_many(["m", "n"])) == [end + 1, end + 2]
    for channel in (fork, log.channel("fork")):
        assert replayed(channel) == [*range(end), "mine", "m", "n"]
        assert offsets(channel.replay()) == list(range(end + 3))
        assert list(channel.replay().data()) == [*range(end), "mine", "m", "n"]
        assert datas(drain(channel.subscribe())) == [*range(end), "mine", "m", "n"]
    assert replayed(parent) == [*range(10), "yours"]


@pytest.mark.parametrize("start", range(9))
@pytest.mark.parametrize("stop", [3, 5, 6, 8])
def test_ranges_across_the_branch(parent, start, stop):
    fork = parent.fork("fork", at=5)
    fork.publish_many([105, 106, 107])
    expected = [0, 1, 2, 3, 4, 105, 106, 107]
    if start <= stop:
        assert replayed(fork, start, stop) == expected[start:stop]
        assert list(fork.replay(start, stop).data()) == expected[start:stop]
    with fork.subscribe(last=start) as reader:
        assert datas(drain(reader)) == expected[8 - min(start, 8) :]


def test_the_messages_are_the_same(log):
    parent = log.channel("parent", sender="me")
    parent.publish({"x": 1}, type="t", key="k", headers={"h": 1})
    fork = parent.fork("fork")
    assert list(fork.replay()) == list(parent.replay())


def test_filters_reach_into_the_parent(log):
    agent, person = log.channel("w", sender="agent"), log.channel("w", sender="person")
    agent.publish("a", type="token")
    person.publish("p", type="steer")
    agent.fork("fork")
    fork = log.channel("fork", sender="agent")
    fork.publish("b", type="steer")
    assert datas(drain(fork.subscribe(types={"steer"}))) == ["p", "b"]
    assert datas(drain(fork.subscribe(echo=False))) == ["p"]


def test_since_reaches_into_the_parent(timed, clock):
    parent = timed.channel("parent")
    times = []
    for n in range(5):
        clock.advance(1)
        times.append(clock.now_ns)
        parent.publish(n)
    fork = parent.fork("fork", at=3)
    clock.advance(1)
    fork.publish("mine")
    assert datas(drain(fork.subscribe(since=times[1]))) == [1, 2, "mine"]
    assert datas(drain(fork.subscribe(since=times[3]))) == ["mine"]


def test_a_fork_of_an_ended_channel_goes_on(parent):
    parent.end()
    fork = parent.fork("fork")
    assert fork.info().ended is False
    assert fork.publish("on") == 10
    assert parent.info().end_offset == 10


def test_an_end_stays_with_its_channel(parent):
    fork = parent.fork("fork", at=5)
    fork.end()
    assert parent.info().ended is False
    parent.publish("on")
    assert datas(fork.subscribe()) == [0, 1, 2, 3, 4]


def test_cursors_and_producers_stay_with_the_parent(parent):
    parent.cursor("c").commit(3)
    parent.producer("p").publish("x")
    fork = parent.fork("fork")
    assert (fork.info().cursors, fork.info().producers) == ({}, {})
    assert fork.cursor("c").position() == 0


def test_a_cursor_walks_across_the_branch(parent):
    fork = parent.fork("fork", at=3)
    fork.publish_many(["x", "y"])
    with fork.cursor("c") as cursor:
        messages = take(cursor, 5)
        assert datas(messages) == [0, 1, 2, "x", "y"]
        cursor.commit(messages[1])
        assert (cursor.position(), cursor.lag()) == (2, 3)


def test_forks_of_forks(parent):
    one = parent.fork("one", at=6)
    one.publish_many(["1a", "1b"])
    two = one.fork("two", at=7)
    two.publish("2a")
    three = two.fork("three", at=3)
    three.publish("3a")
    four = two.fork("four")
    assert replayed(one) == [0, 1, 2, 3, 4, 5, "1a", "1b"]
    assert replayed(two) == [0, 1, 2, 3, 4, 5, "1a", "2a"]
    assert replayed(three) == [0, 1, 2, "3a"]
    assert replayed(four) == replayed(two)
    assert replayed(four, 4, 8) == [4, 5, "1a", "2a"]


def test_a_fork_keeps_what_its_parent_trims(log, parent):
    fork = parent.fork("fork", at=6)
    parent.trim(before=10)
    log.compact()
    assert replayed(fork) == [0, 1, 2, 3, 4, 5]
    assert replayed(parent) == []
    assert fork.info().start_offset == 0


def test_a_fork_keeps_what_its_parent_deletes(log, parent):
    fork = parent.fork("fork", at=6)
    fork.publish("mine")
    parent.delete()
    log.compact()
    assert replayed(fork) == [0, 1, 2, 3, 4, 5, "mine"]
    assert fork.info().parent == (None, 6)
    log.channel("parent").publish("another life")
    assert replayed(fork) == [0, 1, 2, 3, 4, 5, "mine"]
    assert fork.info().parent == (None, 6)


def test_a_parent_keeps_what_its_fork_trims_and_deletes(log, parent):
    fork = parent.fork("fork", at=6)
    fork.trim(before=4)
    assert replayed(fork) == [4, 5]
    fork.delete()
    log.compact()
    assert replayed(parent) == list(range(10))


def test_a_fork_of_a_trimmed_parent(parent):
    parent.trim(before=4)
    fork = parent.fork("fork", at=7)
    assert (fork.info().start_offset, fork.info().end_offset) == (4, 7)
    assert replayed(fork) == [4, 5, 6]
    with pytest.raises(chanlog.OffsetTrimmed) as caught:
        parent.fork("other", at=3)
    assert (caught.value.channel, caught.value.offset, caught.value.start_offset) == (
        "parent",
        3,
        4,
    )


def test_what_cannot_be_forked(log, parent, face):
    log.channel("there").publish(1)
    for name in ("there", "parent"):
        with pytest.raises(chanlog.ChannelExists) as exists:
            face(parent).fork(name)
        assert exists.value.channel == name
    with pytest.raises(chanlog.UnknownOffset) as unknown:
        face(parent).fork("fork", at=11)
    assert unknown.value.end_offset == 10
    with pytest.raises(chanlog.ChannelNotFound) as missing:
        face(log.channel("nobody")).fork("fork")
    assert missing.value.channel == "nobody"
    with pytest.raises(chanlog.InvalidName):
        face(parent).fork("")
    assert list(log.channels()) == ["parent", "there"]


def test_nothing_is_copied(store):
    with store.open(segment_bytes=64 * 1024) as log:
        parent = log.channel("parent")
        for _ in range(500):
            parent.publish(b"x" * 2000)
        log.compact()
        before = log.statistics().disk_bytes
        for n in range(50):
            fork = parent.fork(f"fork{n}", at=n * 10)
            assert fork.info().end_offset == n * 10
        log.compact()
        assert log.statistics().disk_bytes < before + 200_000


def test_they_survive_reopening_and_compaction(disk):
    options = {"segment_bytes": 64 * 1024}
    with disk.open(**options) as log:
        parent = log.channel("parent")
        for n in range(200):
            parent.publish([n, "x" * 600])
        one = parent.fork("one", at=120)
        for n in range(100):
            one.publish([1000 + n, "x" * 600])
            parent.publish([200 + n, "x" * 600])
        two = one.fork("two", at=150)
        two.publish([2000, ""])
        parent.trim(before=100)
    first, second, third = (
        list(range(100, 300)),
        [*range(120), *range(1000, 1100)],
        [*range(120), *range(1000, 1030), 2000],
    )
    for round_ in range(4):
        with disk.open(**options) as log:
            expected = {"one": second, "two": third}
            if round_ < 2:
                expected["parent"] = first
            assert list(log.channels()) == sorted(expected)
            for name, numbers in expected.items():
                assert [data[0] for data in replayed(log.channel(name))] == numbers
            assert log.channel("two").info().parent == ("one", 150)
            log.compact()
            if round_ == 1:
                log.channel("parent").delete()
                log.compact()

"""Retention: age, count, bytes, idle time, expiry; per channel and for the whole log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import chanlog
from chanlog import Retention
from chanlog.storage.retention import trim_to_size

from ..support import (
    LIMIT,
    datas,
    drain,
    host_with,
    offsets,
    replayed,
    spawn,
    until_waiting,
)

HOUR = 3600


def moment(ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)


@pytest.fixture(params=["channel", "log"])
def keeping(request, store, clock):
    """``keeping(retention)``: a log and a channel "w" under it, by either way of saying so."""

    def make(retention):
        options = {"host": host_with(clock), "segment_bytes": 64 * 1024}
        if request.param == "log":
            options["retention"] = retention
        log = store.open(**options)
        if request.param == "channel":
            log.channel("w").configure(retention)
        return log, log.channel("w")

    return make


def test_nothing_is_forgotten_by_default(timed, clock):
    channel = timed.channel("w")
    channel.publish_many(range(100))
    clock.advance(10**9)
    timed.compact()
    assert replayed(channel) == list(range(100))
    assert channel.info().retention == Retention()


@pytest.mark.parametrize("count", [1, 7, 299, 300, 301])
def test_count(keeping, count):
    log, channel = keeping(Retention(count=count))
    for n in range(300):
        channel.publish([n, "x" * 300])
    log.compact()
    assert offsets(channel.replay()) == list(range(max(0, 300 - count), 300))
    assert channel.info().start_offset == max(0, 300 - count)


def test_count_inside_a_batch(keeping):
    log, channel = keeping(Retention(count=3))
    channel.publish_many(range(10))
    log.compact()
    assert replayed(channel) == [7, 8, 9]
    channel.publish_many([10, 11])
    log.compact()
    assert replayed(channel) == [9, 10, 11]


def test_age(keeping, clock):
    log, channel = keeping(Retention(age=HOUR))
    for n in range(100):
        channel.publish([n, "x" * 1000])
        clock.advance(60)
    log.compact()
    # Message n is (100 - n) minutes old now.
    assert [data[0] for data in replayed(channel)] in (
        list(range(40, 100)),
        list(range(41, 100)),
    )
    clock.advance(HOUR)
    log.compact()
    assert replayed(channel) == []
    assert channel.info().exists
    assert channel.publish("next") == 100


def test_age_of_a_timedelta(keeping, clock):
    log, channel = keeping(Retention(age=timedelta(hours=1)))
    channel.publish("old")
    clock.advance(HOUR / 2)
    channel.publish("new")
    clock.advance(HOUR / 2 + 1)
    log.compact()
    assert replayed(channel) == ["new"]


def test_bytes(keeping):
    log, channel = keeping(Retention(bytes=50_000))
    for n in range(200):
        channel.publish(n.to_bytes(2, "big") + b"x" * 998)
    log.compact()
    kept = offsets(channel.replay())
    assert kept == list(range(kept[0], 200))
    assert 49 <= len(kept) <= 51


def test_bytes_keep_never_less(keeping):
    log, channel = keeping(Retention(bytes=10_000))
    channel.publish_many([b"x" * 1000] * 100)
    log.compact()
    assert 9 <= channel.info().count <= 12


def test_bytes_of_a_fork_count_what_it_inherited(log):
    """Only its own batches were counted once, and all it had inherited was forgotten."""
    parent = log.channel("parent")
    parent.publish_many([b"x" * 1000] * 10)
    for name, own in (("none", 0), ("some", 3)):
        fork = parent.fork(name)
        fork.publish_many([b"y" * 1000] * own)
        fork.configure(Retention(bytes=10**6))
        log.compact()
        assert offsets(fork.replay()) == list(range(10 + own))
        fork.configure(Retention(bytes=5500))
        log.compact()
        assert offsets(fork.replay()) in (
            list(range(4 + own, 10 + own)),
            list(range(5 + own, 10 + own)),
        )


def test_the_strictest_wins(keeping, clock):
    log, channel = keeping(Retention(age=HOUR, count=5))
    channel.publish_many(range(10))
    log.compact()
    assert replayed(channel) == [5, 6, 7, 8, 9]
    clock.advance(HOUR + 1)
    channel.publish("new")
    log.compact()
    assert replayed(channel) == ["new"]


def test_ttl_deletes_an_idle_channel(keeping, clock):
    log, channel = keeping(Retention(ttl=HOUR))
    channel.publish("a")
    clock.advance(HOUR - 1)
    log.compact()
    assert replayed(channel) == ["a"]
    clock.advance(2)
    log.compact()
    assert list(log.channels()) == []
    with pytest.raises(chanlog.ChannelDeleted):
        channel.publish("x")
    assert log.channel("w").publish("anew") == 0


def test_ttl_slides_with_each_message(keeping, clock):
    log, channel = keeping(Retention(ttl=HOUR))
    for n in range(5):
        channel.publish(n)
        clock.advance(HOUR - 1)
        log.compact()
    assert replayed(channel) == list(range(5))


def test_ttl_slides_with_each_commit(keeping, clock):
    log, channel = keeping(Retention(ttl=HOUR))
    channel.publish_many(range(5))
    with channel.cursor("c") as cursor:
        for n in range(5):
            clock.advance(HOUR - 1)
            cursor.commit(n)
            log.compact()
        assert replayed(channel) == list(range(5))
        clock.advance(HOUR + 1)
        log.compact()
    assert list(log.channels()) == []


def test_ttl_waits_for_who_waits(keeping, clock):
    log, channel = keeping(Retention(ttl=HOUR))
    channel.publish("a")
    with channel.subscribe(live=True) as reader:
        got = spawn(reader.get, timeout=LIMIT)
        until_waiting(log)
        clock.advance(2 * HOUR)
        log.compact()
        assert list(log.channels()) == ["w"]
        channel.publish("b")
        assert got.result(LIMIT).data == "b"
    clock.advance(2 * HOUR)
    log.compact()
    assert list(log.channels()) == []


def test_ttl_slides_over_a_reopening(disk, clock):
    options = {"host": host_with(clock), "retention": Retention(ttl=HOUR)}
    with disk.open(**options) as log:
        log.channel("idle").publish("a")
        clock.advance(HOUR / 2)
        log.channel("busy").publish("b")
    clock.advance(HOUR / 2 + 1)
    with disk.open(**options) as log:
        log.compact()
        assert list(log.channels()) == ["busy"]


def test_absolute_expiry(keeping, clock):
    log, channel = keeping(Retention(expires_at=moment(clock.now_ns + HOUR * 10**9)))
    channel.publish("a")
    clock.advance(HOUR - 1)
    channel.publish("b")
    log.compact()
    assert replayed(channel) == ["a", "b"]
    clock.advance(2)
    log.compact()
    assert list(log.channels()) == []
    with pytest.raises(chanlog.ChannelDeleted):
        channel.publish("x")


def test_a_waiting_reader_is_told_of_the_expiry(store, clock):
    log = store.open(host=host_with(clock))
    channel = log.channel("w")
    channel.configure(Retention(expires_at=moment(clock.now_ns + HOUR * 10**9)))
    with channel.subscribe() as reader:
        got = spawn(reader.get, timeout=LIMIT)
        until_waiting(log)
        clock.advance(HOUR + 1)
        log.compact()
        with pytest.raises(chanlog.ChannelDeleted):
            got.result(LIMIT)


def test_a_channel_of_its_own_mind(store, face):
    log = store.open(retention=Retention(count=2))
    own, plain = log.channel("own"), log.channel("plain")
    face(own).configure(Retention(count=5))
    assert own.info().retention == Retention(count=5)
    assert plain.info().retention == Retention(count=2)
    for channel in (own, plain):
        channel.publish_many(range(10))
    log.compact()
    assert replayed(own) == [5, 6, 7, 8, 9]
    assert replayed(plain) == [8, 9]
    face(own).configure(None)
    assert own.info().retention == Retention(count=2)
    log.compact()
    assert replayed(own) == [8, 9]


def test_a_channel_may_keep_everything(store):
    log = store.open(retention=Retention(count=2))
    log.channel("own").configure(Retention())
    log.channel("own").publish_many(range(10))
    log.compact()
    assert replayed(log.channel("own")) == list(range(10))


def test_configure_creates(log, face):
    face(log.channel("w")).configure(Retention(count=5))
    assert list(log.channels()) == ["w"]
    assert log.channel("w").info().end_offset == 0


def test_it_survives_reopening_and_compaction(disk):
    retention = Retention(
        age=timedelta(days=1),
        count=5,
        bytes=10**6,
        ttl=timedelta(days=9),
        expires_at=datetime(2200, 1, 1, tzinfo=UTC),
    )
    with disk.open(segment_bytes=64 * 1024) as log:
        log.channel("w").configure(retention)
        for _ in range(200):
            log.channel("noise").publish("x" * 1000)
        log.compact()
    for _ in range(2):
        with disk.open() as log:
            channel = log.channel("w")
            assert channel.info().retention == retention
            channel.publish_many(range(9))
            log.compact()
            assert channel.info().count == 5


def test_what_it_forgets_is_trimmed_for_readers(keeping):
    log, channel = keeping(Retention(count=2))
    channel.publish_many(range(10))
    with channel.subscribe() as reader:
        log.compact()
        with pytest.raises(chanlog.OffsetTrimmed) as caught:
            reader.get(timeout=0)
        assert caught.value.start_offset == 8
        reader.seek(8)
        assert datas(drain(reader)) == [8, 9]


def test_forks_keep_what_they_hold(keeping):
    log, channel = keeping(Retention(count=2))
    channel.publish_many(range(10))
    fork = channel.fork("fork", at=8)
    fork.configure(Retention())
    log.compact()
    assert replayed(channel) == [8, 9]
    assert replayed(fork) == list(range(8))


def test_cursors_and_producers_outlive_the_messages(keeping):
    log, channel = keeping(Retention(count=1))
    producer = channel.producer("p", epoch=2)
    producer.publish_many(range(10))
    channel.cursor("c").commit(8)
    log.compact()
    info = channel.info()
    assert (info.cursors, info.producers, info.end_offset) == ({"c": 9}, {"p": (2, 10)}, 10)


def test_the_whole_log_has_a_size(disk):
    limit = 512 * 1024
    with disk.open(segment_bytes=64 * 1024, log_bytes_max=limit) as log:
        for n in range(2000):
            log.channel(f"w{n % 3}").publish([n, "x" * 1000])
            if n % 100 == 0:
                log.compact()
        log.compact()
        assert log.statistics().disk_bytes <= limit + 2 * 64 * 1024
        kept = sorted(data[0] for n in range(3) for data in replayed(log.channel(f"w{n}")))
        assert kept == list(range(kept[0], 2000))
        assert 100 <= len(kept) <= 600
        assert log.channel("w0").info().start_offset > 0
    with disk.open(segment_bytes=64 * 1024, log_bytes_max=limit) as log:
        found = sorted(data[0] for n in range(3) for data in replayed(log.channel(f"w{n}")))
        assert found == kept


def test_the_segment_that_is_written_stays_however_small_the_log_may_be(disk):
    with disk.open(segment_bytes=256 * 1024, log_bytes_max=64 * 1024) as log:
        channel = log.channel("w")
        channel.publish_many([[n, "x" * 1000] for n in range(100)])
        trim_to_size(log._store)
        assert [data[0] for data in replayed(channel)] == list(range(100))
        log.compact()
        channel.publish("what comes next")
        assert replayed(channel) == ["what comes next"]


@pytest.mark.parametrize(
    "options",
    [
        {"age": 0},
        {"age": -1},
        {"age": "1h"},
        {"age": timedelta(0)},
        {"age": float("nan")},
        {"ttl": 0},
        {"ttl": True},
        {"count": 0},
        {"count": 1.5},
        {"count": True},
        {"bytes": -1},
        {"expires_at": datetime(2024, 1, 1)},
        {"expires_at": 5},
    ],
    ids=str,
)
def test_options_that_make_no_sense(options):
    with pytest.raises(chanlog.InvalidOption) as caught:
        Retention(**options)
    assert caught.value.option == next(iter(options))


def test_configure_wants_a_retention(channel):
    with pytest.raises((chanlog.InvalidOption, TypeError)):
        channel.configure({"count": 5})
    assert channel.info().exists is False

"""``info()``: one snapshot of a channel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import chanlog


def moment(ns):
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)


def test_a_channel_that_does_not_exist(channel, face):
    info = face(channel).info()
    assert (info.name, info.exists, info.ended) == ("workflow-42", False, False)
    assert (info.start_offset, info.end_offset, info.durable_offset, info.count) == (0, 0, 0, 0)
    assert (info.created, info.last, info.parent) == (None, None, None)
    assert (dict(info.cursors), dict(info.producers)) == ({}, {})


def test_a_channel_that_does(channel, face):
    channel.publish_many(range(10))
    channel.trim(before=3)
    info = face(channel).info()
    assert (info.exists, info.start_offset, info.end_offset, info.count) == (True, 3, 10, 7)


def test_it_is_a_snapshot(channel):
    before = channel.info()
    channel.publish(1)
    channel.cursor("c").commit(0)
    assert (before.end_offset, before.exists, dict(before.cursors)) == (0, False, {})
    with pytest.raises(AttributeError):
        before.end_offset = 5


def test_created_and_last_are_times_of_the_channel(timed, clock):
    channel = timed.channel("w")
    channel.configure(chanlog.Retention(count=5))
    created = clock.now_ns
    assert channel.info().created == moment(created)
    assert channel.info().last is None
    clock.advance(5)
    channel.publish(1)
    assert channel.info().last == moment(clock.now_ns)
    assert channel.info().created == moment(created)


def test_last_is_the_time_of_the_last_message(timed, clock):
    """A cursor commit once moved it, because both slide the idle time."""
    channel = timed.channel("w")
    channel.publish_many([1, 2])
    published = moment(clock.now_ns)
    clock.advance(5)
    channel.cursor("c").commit(0)
    channel.producer("p")
    channel.trim(before=1)
    channel.end()
    timed.compact()
    assert channel.info().last == published


def test_last_survives_reopening_and_compaction(disk, clock):
    from ..support import host_with

    with disk.open(host=host_with(clock), segment_bytes=64 * 1024) as log:
        log.channel("w").publish(1)
        published = moment(clock.now_ns)
        clock.advance(5)
        log.channel("w").cursor("c").commit(0)
        for _ in range(200):
            log.channel("noise").publish("x" * 1000)
        log.compact()
    for _ in range(2):
        clock.advance(5)
        with disk.open(host=host_with(clock), segment_bytes=64 * 1024) as log:
            info = log.channel("w").info()
            assert (info.created, info.last) == (published, published)
            log.compact()

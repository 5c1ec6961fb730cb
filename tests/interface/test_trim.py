"""Trimming: forgetting the oldest."""

from __future__ import annotations

import pytest

import chanlog

from ..support import offsets, replayed


@pytest.fixture
def ten(channel):
    for n in (0, 1):
        channel.publish(n)
    channel.publish_many(range(2, 8))
    channel.publish_many([8, 9])
    return channel


@pytest.mark.parametrize("before", range(11))
def test_everything_below_is_gone(ten, face, before):
    assert face(ten).trim(before=before) == before
    info = ten.info()
    assert (info.start_offset, info.end_offset, info.count) == (before, 10, 10 - before)
    assert offsets(ten.replay()) == list(range(before, 10))
    assert list(ten.replay().data()) == list(range(before, 10))


def test_it_goes_only_forward(ten, face):
    face(ten).trim(before=6)
    assert face(ten).trim(before=3) == 6
    assert face(ten).trim(before=6) == 6
    assert ten.info().start_offset == 6


@pytest.mark.parametrize("before", [11, 10**12])
def test_beyond_the_end(ten, face, before):
    with pytest.raises(chanlog.UnknownOffset) as caught:
        face(ten).trim(before=before)
    assert caught.value.end_offset == 10
    assert replayed(ten) == list(range(10))


@pytest.mark.parametrize("before", ["1", 1.5, None])
def test_what_is_no_offset(ten, before):
    with pytest.raises((chanlog.InvalidOption, TypeError)):
        ten.trim(before)
    assert ten.info().start_offset == 0


def test_offsets_are_never_reused(ten):
    ten.trim(before=10)
    assert replayed(ten) == []
    assert ten.publish("next") == 10
    assert offsets(ten.replay()) == [10]


def test_an_ended_channel_can_be_trimmed(ten, face):
    ten.end()
    assert face(ten).trim(before=7) == 7
    assert replayed(ten) == [7, 8, 9]
    assert ten.info().ended


def test_other_channels_keep_theirs(log, ten):
    other = log.channel("other")
    other.publish_many(range(3))
    ten.trim(before=10)
    log.compact()
    assert replayed(other) == [0, 1, 2]


@pytest.mark.parametrize("before", [1, 150, 299, 300])
def test_it_survives_reopening_and_compaction(disk, before):
    options = {"segment_bytes": 64 * 1024}
    with disk.open(**options) as log:
        for n in range(300):
            log.channel("w").publish([n, "x" * 600])
            log.channel("noise").publish(n)
        log.channel("w").trim(before=before)
    for _ in range(3):
        with disk.open(**options) as log:
            channel = log.channel("w")
            assert (channel.info().start_offset, channel.info().end_offset) == (before, 300)
            assert [data[0] for data in replayed(channel)] == list(range(before, 300))
            assert replayed(log.channel("noise")) == list(range(300))
            log.compact()
            assert [data[0] for data in replayed(channel)] == list(range(before, 300))


def test_space_is_given_back(store):
    with store.open(segment_bytes=64 * 1024) as log:
        channel = log.channel("w")
        for _ in range(1000):
            channel.publish(b"x" * 2000)
        before = log.statistics().disk_bytes
        channel.trim(before=1000)
        log.compact()
        if store.path is not None:
            assert log.statistics().disk_bytes < before / 4
            assert sum(f.stat().st_size for f in store.path.rglob("*")) < before / 4
        assert channel.publish("next") == 1000


def test_a_hole_among_what_was_forgotten_is_no_problem(disk):
    """Compaction rewrites some of the dead and not others; ``verify`` once missed those between."""
    with disk.open(segment_bytes=64 * 1024) as log:
        channel, other = log.channel("w"), log.channel("other")
        for _ in range(100):
            channel.publish(b"x" * 700)
        for _ in range(150):
            other.publish(b"x" * 700)
        channel.configure(chanlog.Retention(count=50))
        log.compact()
        for _ in range(150):
            channel.publish(b"x" * 100)
        log.compact()
        assert offsets(channel.replay()) == list(range(200, 250))
    assert chanlog.verify(disk.path).problems == []

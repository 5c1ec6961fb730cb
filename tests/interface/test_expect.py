"""Optimistic concurrency: ``expect`` is the end offset or nothing is written."""

from __future__ import annotations

import itertools
import threading

import pytest

import chanlog

from ..support import LIMIT, gather, replayed, spawn


def test_it_is_written_when_it_holds(channel, face):
    assert face(channel).publish("a", expect=0) == 0
    assert list(face(channel).publish_many(["b", "c"], expect=1)) == [1, 2]
    assert face(channel).publish("d", expect=3) == 3


@pytest.mark.parametrize("expected", [0, 1, 3, 10**12])
def test_nothing_is_written_when_it_does_not(channel, face, expected):
    channel.publish_many(["a", "b"])
    for attempt in (
        lambda: face(channel).publish("x", expect=expected),
        lambda: face(channel).publish_many(["x", "y"], expect=expected),
    ):
        with pytest.raises(chanlog.UnexpectedOffset) as caught:
            attempt()
        assert caught.value.channel == "workflow-42"
        assert caught.value.expected == expected
        assert caught.value.end_offset == 2
    assert replayed(channel) == ["a", "b"]


def test_a_new_channel_is_not_created_by_a_failure(channel):
    with pytest.raises(chanlog.UnexpectedOffset):
        channel.publish("x", expect=1)
    assert channel.info().exists is False


def test_it_counts_offsets_and_not_messages(channel):
    channel.publish_many(range(5))
    channel.trim(before=3)
    with pytest.raises(chanlog.UnexpectedOffset):
        channel.publish("x", expect=2)
    assert channel.publish("x", expect=5) == 5


def test_a_fork_starts_where_it_branched(log):
    parent = log.channel("parent")
    parent.publish_many(range(5))
    fork = parent.fork("fork", at=3)
    assert fork.publish("x", expect=3) == 3


@pytest.mark.parametrize("wrong", [-1, "0", 1.0, True])
def test_what_cannot_be_an_offset(channel, wrong):
    with pytest.raises((chanlog.InvalidOption, chanlog.UnexpectedOffset)):
        channel.publish("x", expect=wrong)
    assert channel.info().end_offset == 0


def test_of_many_that_expect_the_same_one_wins(channel):
    barrier = threading.Barrier(8)

    def attempt(n):
        won = []
        for expected in range(20):
            barrier.wait(LIMIT)
            try:
                channel.publish((n, expected), expect=expected)
                won.append(expected)
            except chanlog.UnexpectedOffset:
                pass
        return won

    won = gather([spawn(attempt, n) for n in range(8)])
    assert sorted(itertools.chain(*won)) == list(range(20))
    assert [expected for _, expected in replayed(channel)] == list(range(20))

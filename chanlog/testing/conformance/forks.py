"""Forks: to branch at an offset."""

from __future__ import annotations

import pytest

from ...errors import ChannelExists, ChannelNotFound, OffsetTrimmed, UnknownOffset
from ...interface import Channel, Log
from ..harness import Harness
from .base import Face, Scenarios, datas, needs

__all__ = ["Forks"]

BEYOND = 1 << 20


class Forks(Scenarios):
    """A fork shares what came before, and goes its own way from there."""

    @needs("forks")
    def test_a_fork_goes_its_own_way(self, channel: Channel, harness: Harness, face: Face) -> None:
        """Both have what came before ``at``, and each only its own behind it."""
        offsets = channel.publish_many("abcd")
        fork = face(channel).fork(harness.new_name("fork"), at=offsets[2])
        fork.publish("x")
        channel.publish("e")
        assert datas(fork.replay()) == ["a", "b", "x"]
        assert datas(channel.replay()) == list("abcde")
        assert fork.info().parent == (channel.name, offsets[2])

    @needs("forks")
    def test_a_fork_at_the_end(self, channel: Channel, harness: Harness) -> None:
        """By default a fork shares all there is."""
        channel.publish_many("ab")
        fork = channel.fork(harness.new_name("fork"))
        channel.publish("c")
        assert datas(fork.replay()) == ["a", "b"]

    @needs("forks")
    def test_a_fork_keeps_what_its_parent_loses(self, channel: Channel, harness: Harness) -> None:
        """Trimming or deleting the parent takes nothing from a fork."""
        channel.publish_many("abc")
        fork = channel.fork(harness.new_name("fork"))
        channel.trim(channel.info().end_offset)
        assert datas(fork.replay()) == ["a", "b", "c"]
        channel.delete()
        assert datas(fork.replay()) == ["a", "b", "c"]
        parent = fork.info().parent
        assert parent is not None and parent[0] is None

    @needs("forks")
    def test_a_fork_of_an_ended_channel_goes_on(self, channel: Channel, harness: Harness) -> None:
        """An ended workflow can be tried again from any point."""
        offsets = channel.publish_many("ab")
        channel.end()
        fork = channel.fork(harness.new_name("fork"), at=offsets[1])
        fork.publish("c")
        assert datas(fork.replay()) == ["a", "c"]
        assert not fork.info().ended

    @needs("forks")
    def test_a_fork_has_no_cursors(self, channel: Channel, harness: Harness) -> None:
        """Consumers of the parent are not consumers of the fork."""
        offsets = channel.publish_many("ab")
        channel.cursor("worker").commit(offsets[0])
        fork = channel.fork(harness.new_name("fork"))
        assert dict(fork.info().cursors) == {}

    @needs("forks")
    def test_forks_that_cannot_be(self, log: Log, channel: Channel, harness: Harness) -> None:
        """Each reason has an exception of its own, and nothing is created."""
        offsets = channel.publish_many("abc")
        taken = log.channel(harness.new_name())
        taken.publish("mine")
        name = harness.new_name("fork")
        with pytest.raises(ChannelExists):
            channel.fork(taken.name)
        with pytest.raises(UnknownOffset):
            channel.fork(name, at=channel.info().end_offset + BEYOND)
        with pytest.raises(ChannelNotFound):
            log.channel(harness.new_name()).fork(name)
        channel.trim(offsets[2])
        with pytest.raises(OffsetTrimmed):
            channel.fork(name, at=offsets[1])
        assert not log.channel(name).info().exists
        assert datas(taken.replay()) == ["mine"]

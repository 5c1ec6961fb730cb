"""Expecting: to write only if nobody else has."""

from __future__ import annotations

import pytest

from ...errors import UnexpectedOffset
from ...interface import Channel, Log
from .base import Face, Scenarios, datas, gather, spawn

__all__ = ["Expecting"]

BEYOND = 1 << 20


class Expecting(Scenarios):
    """``expect=`` decides at the moment of writing."""

    def test_the_expected_end_is_written(self, channel: Channel, face: Face) -> None:
        """What expects the end offset that ``info`` tells is written, also into a channel that
        does not exist yet."""
        for letter in "abc":
            face(channel).publish(letter, expect=channel.info().end_offset)
        face(channel).publish_many("de", expect=channel.info().end_offset)
        assert datas(channel.replay()) == list("abcde")

    def test_another_end_is_refused(self, channel: Channel, face: Face) -> None:
        """``UnexpectedOffset`` says where the end is, and nothing is written."""
        before = channel.info().end_offset
        channel.publish("a")
        end = channel.info().end_offset
        for wrong in (before, end + BEYOND):
            with pytest.raises(UnexpectedOffset) as caught:
                face(channel).publish("b", expect=wrong)
            assert (caught.value.expected, caught.value.end_offset) == (wrong, end)
            with pytest.raises(UnexpectedOffset):
                face(channel).publish_many("bc", expect=wrong)
        assert datas(channel.replay()) == ["a"]
        face(channel).publish("b", expect=end)

    def test_of_many_that_expect_the_same_one_wins(self, log: Log, channel: Channel) -> None:
        """Of writers that expect one end exactly one writes, and each round has a winner."""
        for number in range(10):
            end = channel.info().end_offset

            def write(writer: int, number: int = number, end: int = end) -> bool:
                try:
                    log.channel(channel.name).publish([number, writer], expect=end)
                except UnexpectedOffset:
                    return False
                return True

            assert sum(gather([spawn(write, writer) for writer in range(4)])) == 1
        assert [number for number, _ in datas(channel.replay())] == list(range(10))

    def test_after_a_trim(self, channel: Channel) -> None:
        """The end stays the end when all before it is forgotten."""
        channel.publish_many("abc")
        end = channel.info().end_offset
        channel.trim(end)
        assert channel.info().end_offset == end
        channel.publish("d", expect=end)
        assert datas(channel.replay()) == ["d"]

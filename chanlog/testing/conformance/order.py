"""Order: what was published first is read first, by everybody."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ...interface import Channel, Log
from ..harness import Harness
from .base import Face, Scenarios, datas, gather, needs, spawn, take

__all__ = ["Order"]


class Order(Scenarios):
    """Within a channel there is one order, and offsets are its tokens."""

    def test_messages_come_in_the_order_of_publishing(self, channel: Channel, face: Face) -> None:
        """What one writer publishes is read in the order in which it was published."""
        for number in range(30):
            face(channel).publish(number)
        assert datas(channel.replay()) == list(range(30))
        assert datas(take(channel.subscribe(), 30)) == list(range(30))

    def test_offsets_grow(self, channel: Channel) -> None:
        """Each offset is an int, larger than all before it."""
        offsets = [channel.publish(number) for number in range(20)]
        offsets += channel.publish_many(range(20))
        assert all(isinstance(offset, int) for offset in offsets)
        assert all(a < b for a, b in pairwise(offsets))

    @needs("dense_offsets")
    def test_offsets_are_dense(self, channel: Channel) -> None:
        """Where offsets are said to be dense, they count the messages from 0."""
        assert channel.publish("a") == 0
        assert list(channel.publish_many("bc")) == [1, 2]
        assert channel.info().end_offset == 3

    def test_publish_returns_the_offset_that_readers_see(
        self, channel: Channel, face: Face
    ) -> None:
        """A writer can say to a reader where its message is."""
        offsets = [face(channel).publish(letter) for letter in "abc"]
        offsets += face(channel).publish_many("de")
        assert [message.offset for message in channel.replay()] == offsets

    def test_an_offset_round_trips_through_str(self, channel: Channel) -> None:
        """An offset can be sent as text, in a URL or a header, and be used where it comes back."""
        channel.publish_many("abc")
        offset = int(str(take(channel.subscribe(), 2)[1].offset))
        assert datas(take(channel.subscribe(after=offset), 1)) == ["c"]

    def test_time_never_goes_back(self, channel: Channel) -> None:
        """The time of a message is not before that of an earlier one, and is aware."""
        channel.publish_many(range(10))
        channel.publish("last")
        messages = list(channel.replay())
        assert all(a.time_ns <= b.time_ns for a, b in pairwise(messages))
        assert messages[0].time.tzinfo is not None

    def test_channels_do_not_mix(self, log: Log, harness: Harness) -> None:
        """What is published in turns to several channels is in each as if it were alone."""
        channels = [log.channel(harness.new_name()) for _ in range(5)]
        for number in range(50):
            channels[number % 5].publish(number)
        for place, channel in enumerate(channels):
            assert datas(channel.replay()) == list(range(place, 50, 5))

    def test_two_writers_keep_their_order(self, channel: Channel) -> None:
        """Two threads that publish at once lose nothing, and each finds its own order kept."""

        def write(writer: str) -> None:
            for number in range(100):
                channel.publish([writer, number])

        gather([spawn(write, writer) for writer in "ab"])
        _each_in_order(datas(channel.replay()), "ab", 100)

    @needs("remote")
    def test_two_handles_write_to_one_channel(self, harness: Harness) -> None:
        """Two handles, as two processes would have them, write to one channel in one order."""
        name = harness.new_name()
        logs = [harness.open(), harness.open()]

        def write(writer: int) -> None:
            for number in range(50):
                logs[writer].channel(name).publish([writer, number])

        gather([spawn(write, writer) for writer in range(2)])
        _each_in_order(datas(logs[0].channel(name).replay()), [0, 1], 50)
        assert datas(logs[0].channel(name).replay()) == datas(logs[1].channel(name).replay())

    def test_all_readers_see_one_order(self, channel: Channel) -> None:
        """Readers that follow two writers at work see the same messages in the same order."""
        readers = [channel.subscribe() for _ in range(4)]
        reading = [spawn(take, reader, 100) for reader in readers]

        def write(writer: str) -> None:
            for number in range(50):
                channel.publish([writer, number])

        gather([spawn(write, writer) for writer in "ab"])
        seen = [datas(messages) for messages in gather(reading)]
        _each_in_order(seen[0], "ab", 50)
        assert all(other == seen[0] for other in seen)


def _each_in_order(seen: list[Any], writers: Any, count: int) -> None:
    for writer in writers:
        assert [number for name, number in seen if name == writer] == list(range(count))
    assert len(seen) == count * len(writers)

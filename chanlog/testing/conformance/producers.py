"""Producers: a retry never doubles, and a writer that was replaced no longer writes."""

from __future__ import annotations

import pytest

from ...errors import ProducerFenced, SequenceGap
from ...interface import Channel, Log
from ..harness import Harness
from .base import Face, Scenarios, datas, gather, needs, spawn

__all__ = ["Producers"]


class Producers(Scenarios):
    """Sequences make retries safe, epochs keep the old from writing."""

    @needs("producers")
    def test_a_retry_is_not_doubled(self, channel: Channel, face: Face) -> None:
        """A sequence that was published gives the same offset again, and writes nothing."""
        producer = channel.producer("agent")
        first = face(producer).publish("a", sequence=0)
        second = face(producer).publish("b", sequence=1)
        assert face(producer).publish("a", sequence=0) == first
        assert face(producer).publish("b", sequence=1) == second
        assert [(m.offset, m.data) for m in channel.replay()] == [(first, "a"), (second, "b")]

    @needs("producers")
    def test_a_retry_through_another_handle(self, log: Log, channel: Channel) -> None:
        """It is the engine that knows, not the handle: a process that came back retries safely."""
        offset = channel.producer("agent", epoch=3).publish("a", sequence=0)
        again = log.channel(channel.name).producer("agent", epoch=3)
        assert again.sequence() == 1
        assert again.publish("a", sequence=0) == offset
        assert datas(channel.replay()) == ["a"]

    @needs("producers")
    def test_messages_are_numbered_by_themselves(self, channel: Channel, face: Face) -> None:
        """Without a sequence each message gets the next one."""
        producer = channel.producer("agent")
        for letter in "abc":
            face(producer).publish(letter)
        assert producer.sequence() == 3
        assert channel.info().producers["agent"] == (0, 3)
        producer.publish("c", sequence=2)
        assert datas(channel.replay()) == ["a", "b", "c"]

    @needs("producers")
    def test_a_sequence_gap_is_refused(self, channel: Channel, face: Face) -> None:
        """A sequence from the future raises ``SequenceGap`` with the expected one: something in
        between was lost."""
        producer = channel.producer("agent")
        producer.publish("a", sequence=0)
        with pytest.raises(SequenceGap) as caught:
            face(producer).publish("c", sequence=2)
        assert (caught.value.sequence, caught.value.expected) == (2, 1)
        assert datas(channel.replay()) == ["a"]

    @needs("producers")
    def test_a_retry_of_many(self, channel: Channel, face: Face) -> None:
        """``publish_many`` again gives the same offsets, and of a batch that was half known only
        what is new is written."""
        producer = channel.producer("agent")
        offsets = list(face(producer).publish_many("abc", sequence=0))
        assert list(face(producer).publish_many("abc", sequence=0)) == offsets
        more = list(face(producer).publish_many("bcde", sequence=1))
        assert more[:2] == offsets[1:]
        assert datas(channel.replay()) == list("abcde")

    @needs("producers")
    def test_an_older_epoch_is_fenced(self, channel: Channel, face: Face) -> None:
        """Once a newer epoch has opened, the older raises ``ProducerFenced`` and writes nothing."""
        old = channel.producer("agent", epoch=1)
        old.publish("a")
        new = face(channel).producer("agent", epoch=2)
        with pytest.raises(ProducerFenced) as caught:
            face(old).publish("from the grave")
        assert (caught.value.epoch, caught.value.current_epoch) == (1, 2)
        with pytest.raises(ProducerFenced):
            face(old).publish_many(["from", "the", "grave"])
        new.publish("b")
        assert datas(channel.replay()) == ["a", "b"]

    @needs("producers")
    def test_an_older_epoch_cannot_open(self, channel: Channel) -> None:
        """Who comes with an epoch that is over is told at once."""
        channel.producer("agent", epoch=5)
        with pytest.raises(ProducerFenced):
            channel.producer("agent", epoch=4)

    @needs("producers")
    def test_sequences_go_on_across_epochs(self, channel: Channel) -> None:
        """A new epoch goes on where the old one stopped, and what the old one published is not
        published again."""
        first = channel.producer("agent", epoch=1).publish("a", sequence=0)
        new = channel.producer("agent", epoch=2)
        assert new.sequence() == 1
        assert new.publish("a", sequence=0) == first
        new.publish("b")
        assert datas(channel.replay()) == ["a", "b"]

    @needs("producers")
    def test_producers_are_independent(self, channel: Channel) -> None:
        """Each name has its own sequence and epoch, and messages without one have none."""
        one, other = channel.producer("one", epoch=9), channel.producer("other")
        one.publish("a", sequence=0)
        channel.publish("nobody's")
        other.publish("b", sequence=0)
        assert datas(channel.replay()) == ["a", "nobody's", "b"]
        assert channel.info().producers == {"one": (9, 1), "other": (0, 1)}

    @needs("producers")
    def test_retries_from_many_threads(self, log: Log, channel: Channel) -> None:
        """Threads that publish the same sequences at once write each exactly once."""

        def publish() -> list[int]:
            producer = log.channel(channel.name).producer("agent")
            return [producer.publish(number, sequence=number) for number in range(40)]

        offsets = gather([spawn(publish) for _ in range(4)])
        assert all(found == offsets[0] for found in offsets)
        assert datas(channel.replay()) == list(range(40))

    @needs("producers")
    def test_what_is_beside_the_payload_is_kept(self, channel: Channel) -> None:
        """Type, key and headers go with a producer's message as with any other."""
        channel.producer("agent").publish("a", type="t", key="k", headers={"h": 1})
        (message,) = channel.replay()
        assert (message.type, message.key, message.headers) == ("t", "k", {"h": 1})

    @needs("producers", "reopen")
    def test_retries_are_known_after_reopening(
        self, log: Log, channel: Channel, harness: Harness
    ) -> None:
        """Sequences and epochs are stored with the messages."""
        offset = channel.producer("agent", epoch=2).publish("a", sequence=0)
        log.close()
        again = harness.open().channel(channel.name)
        with pytest.raises(ProducerFenced):
            again.producer("agent", epoch=1)
        producer = again.producer("agent", epoch=2)
        assert producer.publish("a", sequence=0) == offset
        producer.publish("b")
        assert datas(again.replay()) == ["a", "b"]

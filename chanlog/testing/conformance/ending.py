"""Ends: of a channel for everyone, of what was trimmed, of a channel that is deleted."""

from __future__ import annotations

import pytest

from ...errors import (
    ChannelDeleted,
    ChannelEnded,
    EndOfChannel,
    OffsetTrimmed,
    UnknownOffset,
)
from ...interface import Channel, Log, Subscription
from ..harness import Harness
from .base import LIMIT_SECONDS, Face, Scenarios, datas, drain, gather, spawn, take

__all__ = ["Deleting", "Ending", "Trimming"]

BEYOND = 1 << 20


class Ending(Scenarios):
    """``end()`` is for everyone and for good."""

    def test_the_end_comes_behind_the_last_message(self, channel: Channel, face: Face) -> None:
        """A reader gets all that was published before the end, and then ``EndOfChannel``, again
        and again."""
        channel.publish_many("ab")
        end = face(channel).end()
        assert end == channel.info().end_offset
        reader = channel.subscribe()
        assert datas(take(reader, 2)) == ["a", "b"]
        for _ in range(2):
            with pytest.raises(EndOfChannel) as caught:
                face(reader).get(timeout=LIMIT_SECONDS)
        assert (caught.value.channel, caught.value.end_offset) == (channel.name, end)

    def test_nothing_is_published_behind_the_end(self, log: Log, channel: Channel) -> None:
        """Publishing to an ended channel raises ``ChannelEnded``, through any handle."""
        channel.publish("a")
        channel.end()
        for handle in (channel, log.channel(channel.name)):
            with pytest.raises(ChannelEnded) as caught:
                handle.publish("b")
            with pytest.raises(ChannelEnded):
                handle.publish_many("cd")
        assert caught.value.channel == channel.name
        assert datas(channel.subscribe()) == ["a"]

    def test_ending_twice_is_fine(self, channel: Channel, face: Face) -> None:
        """Ending an ended channel does nothing, and gives the same end."""
        channel.publish("a")
        assert face(channel).end() == face(channel).end()

    def test_a_channel_without_messages_can_end(self, channel: Channel) -> None:
        """A channel may end before anything was published: readers learn that there is nothing."""
        channel.end()
        assert list(channel.subscribe()) == []
        assert channel.info().ended
        with pytest.raises(ChannelEnded):
            channel.publish("a")

    def test_a_late_reader_of_an_ended_channel(self, channel: Channel) -> None:
        """Whoever comes after the end reads all of it, however it begins."""
        offsets = channel.publish_many("abc")
        channel.end()
        assert datas(channel.subscribe()) == ["a", "b", "c"]
        assert datas(channel.subscribe(last=1)) == ["c"]
        assert datas(channel.subscribe(after=offsets[0])) == ["b", "c"]
        assert list(channel.subscribe(live=True)) == []
        assert datas(channel.replay()) == ["a", "b", "c"]

    def test_an_end_against_writers(self, channel: Channel) -> None:
        """Of publishes that race with the end each has happened, before it, or raised."""
        channel.publish(-1)

        def write(writer: int) -> list[int]:
            done = []
            try:
                for number in range(10_000):
                    channel.publish([writer, number])
                    done.append(number)
            except ChannelEnded:
                pass
            return done

        writing = [spawn(write, writer) for writer in range(2)]
        take(channel.subscribe(), 20)
        channel.end()
        done = gather(writing)
        seen = datas(channel.subscribe())[1:]
        for writer in range(2):
            assert [number for name, number in seen if name == writer] == done[writer]

    def test_closing_a_reader_ends_nothing(self, channel: Channel) -> None:
        """``close()`` gives a reader back; the channel goes on, and so do other readers."""
        other = channel.subscribe()
        channel.subscribe().close()
        channel.publish("a")
        assert datas(take(other, 1)) == ["a"]
        assert not channel.info().ended


class Trimming(Scenarios):
    """What was trimmed is gone, and whoever asks for it is told."""

    def test_trim_forgets_what_is_before(self, channel: Channel, face: Face) -> None:
        """All below the offset is gone, all from it on is there."""
        offsets = channel.publish_many("abcde")
        start = face(channel).trim(offsets[2])
        assert datas(channel.replay()) == ["c", "d", "e"]
        assert datas(drain(channel.subscribe())) == ["c", "d", "e"]
        assert start == channel.info().start_offset
        assert offsets[1] < start <= offsets[2]

    def test_trim_under_a_reader(self, channel: Channel) -> None:
        """A reader under whom messages are trimmed is told with ``OffsetTrimmed`` and never skips
        one in silence; it can go on from the start offset that the error names. Across a network
        it may still get what was under way to it."""
        offsets = channel.publish_many(range(5000))
        reader = channel.subscribe()
        seen = datas(take(reader, 1))
        channel.trim(offsets[4998])
        with pytest.raises(OffsetTrimmed) as caught:
            while (message := reader.get(timeout=LIMIT_SECONDS)) is not None:
                seen.append(message.data)
        assert seen == list(range(len(seen)))
        assert offsets[4997] < caught.value.start_offset <= offsets[4998]
        reader.seek(caught.value.start_offset)
        assert datas(take(reader, 2)) == [4998, 4999]

    def test_resuming_at_what_was_trimmed(self, channel: Channel) -> None:
        """A client that resumes behind an offset and missed messages since is told so."""
        offsets = channel.publish_many("abcde")
        channel.trim(offsets[3])
        with pytest.raises(OffsetTrimmed):
            channel.subscribe(after=offsets[0]).get(timeout=LIMIT_SECONDS)
        # It has seen all that is gone, so nothing is missing.
        assert datas(drain(channel.subscribe(after=offsets[2]))) == ["d", "e"]

    def test_trim_everything(self, channel: Channel) -> None:
        """Offsets that were given out are not given out again, even if nothing is left."""
        offsets = channel.publish_many("abc")
        channel.trim(channel.info().end_offset)
        assert list(channel.replay()) == []
        assert channel.info().exists
        again = channel.publish("d")
        assert again > offsets[-1]
        assert [(m.offset, m.data) for m in channel.replay()] == [(again, "d")]

    def test_trim_again_and_less(self, channel: Channel) -> None:
        """To trim what is gone already does nothing."""
        offsets = channel.publish_many("abcd")
        start = channel.trim(offsets[2])
        assert channel.trim(offsets[2]) == start
        assert channel.trim(offsets[1]) == start
        assert datas(channel.replay()) == ["c", "d"]

    def test_trim_beyond_the_end_is_refused(self, channel: Channel) -> None:
        """``UnknownOffset``, and nothing is gone."""
        channel.publish_many("ab")
        with pytest.raises(UnknownOffset):
            channel.trim(channel.info().end_offset + BEYOND)
        assert datas(channel.replay()) == ["a", "b"]

    def test_an_ended_channel_can_be_trimmed(self, channel: Channel) -> None:
        """History can be forgotten after the end too."""
        offsets = channel.publish_many("abc")
        channel.end()
        channel.trim(offsets[1])
        assert datas(channel.subscribe()) == ["b", "c"]


class Deleting(Scenarios):
    """A deleted channel is gone for all who hold it, and its name is free."""

    def test_an_unknown_channel(self, log: Log, harness: Harness, face: Face) -> None:
        """Looking at a channel that does not exist says so and creates nothing."""
        channel = log.channel(harness.new_name())
        info = face(channel).info()
        assert (info.exists, info.ended, info.count, info.created) == (False, False, 0, None)
        assert list(channel.replay()) == []
        assert channel.subscribe().get(timeout=0) is None
        assert not channel.info().exists
        assert list(log.channels(prefix=channel.name)) == []

    def test_info_of_a_channel(self, channel: Channel, face: Face) -> None:
        """One snapshot says what is there."""
        offsets = channel.publish_many("abc")
        info = face(channel).info()
        assert (info.name, info.exists, info.ended, info.count) == (channel.name, True, False, 3)
        assert info.start_offset <= offsets[0]
        assert info.end_offset > offsets[-1]
        last = list(channel.replay())[-1]
        assert info.last is not None and abs((info.last - last.time).total_seconds()) < 1
        assert info.created is not None and info.created <= info.last

    def test_a_deleted_channel_is_gone(self, log: Log, channel: Channel, face: Face) -> None:
        """It is not listed, and a new handle finds nothing of it."""
        channel.publish_many("ab")
        face(channel).delete()
        assert list(log.channels(prefix=channel.name)) == []
        again = log.channel(channel.name)
        assert not again.info().exists
        assert list(again.replay()) == []

    def test_who_holds_a_deleted_channel_is_told(self, channel: Channel) -> None:
        """Handles and readers of it raise ``ChannelDeleted``, rather than to write elsewhere."""
        channel.publish_many("ab")
        reader = channel.subscribe()
        take(reader, 1)
        channel.delete()
        for use in (
            lambda: channel.publish("c"),
            lambda: channel.publish_many("de"),
            channel.info,
            lambda: _read_on(reader),
        ):
            with pytest.raises(ChannelDeleted):
                use()

    def test_delete_and_recreate(self, log: Log, channel: Channel) -> None:
        """What is published under the name afterwards is another channel: nothing of the first is
        seen in it, and nobody who held the first reads or writes it."""
        channel.publish_many("abc", type="old")
        channel.cursor("worker").commit(take(channel.subscribe(), 2)[-1])
        reader = channel.subscribe()
        channel.delete()
        again = log.channel(channel.name)
        again.publish("new")
        assert datas(again.replay()) == ["new"]
        assert datas(drain(again.subscribe())) == ["new"]
        assert datas(drain(again.cursor("worker"))) == ["new"]
        with pytest.raises(ChannelDeleted):
            channel.publish("d")
        with pytest.raises(ChannelDeleted):
            _read_on(reader)
        assert datas(again.replay()) == ["new"]

    def test_an_ended_channel_can_be_deleted_and_recreated(
        self, log: Log, channel: Channel
    ) -> None:
        """The new channel has not ended."""
        channel.publish("a")
        channel.end()
        channel.delete()
        again = log.channel(channel.name)
        again.publish("b")
        assert datas(again.replay()) == ["b"]
        assert not again.info().ended

    def test_what_does_not_exist_can_be_deleted(self, log: Log, harness: Harness) -> None:
        """Deleting nothing is fine, and what comes afterwards is not touched by it."""
        name = harness.new_name()
        log.channel(name).delete()
        log.channel(name).publish("a")
        assert datas(log.channel(name).replay()) == ["a"]

    def test_others_are_not_touched(self, log: Log, harness: Harness) -> None:
        """A delete takes exactly one channel, also among names that begin alike."""
        name = harness.new_name()
        for suffix in ("", "-2", ".b", ":c", "*"):
            log.channel(name + suffix).publish(suffix)
        log.channel(name).delete()
        assert sorted(log.channels(prefix=name)) == [name + s for s in ("*", "-2", ".b", ":c")]
        for suffix in ("-2", ".b", ":c", "*"):
            assert datas(log.channel(name + suffix).replay()) == [suffix]


def _read_on(reader: Subscription) -> None:
    """Read what is left, and wait for more: whoever was to be told is told then."""
    while reader.get(timeout=LIMIT_SECONDS) is not None:
        pass

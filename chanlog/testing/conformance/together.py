"""Together: many messages at once, and frames across channels and cursors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ...errors import ChannelEnded, CommitBehind, PayloadError, UnexpectedOffset
from ...interface import Channel, Log
from ..harness import Harness
from .base import Face, Scenarios, datas, needs, run, spawn, take

__all__ = ["Frames", "Many"]


class Many(Scenarios):
    """``publish_many`` is all or nothing."""

    def test_many_are_published_in_order(self, channel: Channel, face: Face) -> None:
        """Many messages come one behind the other, each at the offset that was returned."""
        offsets = list(face(channel).publish_many(range(1000)))
        messages = list(channel.replay())
        assert datas(messages) == list(range(1000))
        assert [message.offset for message in messages] == offsets

    def test_many_of_none_write_nothing(self, channel: Channel, face: Face) -> None:
        """Without items nothing is written, and nothing returned."""
        assert list(face(channel).publish_many([])) == []
        assert list(channel.replay()) == []

    def test_many_are_all_or_nothing(self, channel: Channel, face: Face) -> None:
        """One item that cannot be carried keeps all the others from being written."""
        with pytest.raises(PayloadError):
            face(channel).publish_many(["a", "b", object(), "d"])
        assert list(channel.replay()) == []

    def test_items_that_raise_write_nothing(self, channel: Channel, face: Face) -> None:
        """Items are walked to their end before anything is written."""

        def items() -> Iterator[str]:
            yield "a"
            raise LookupError("no more")

        with pytest.raises(LookupError, match="no more"):
            face(channel).publish_many(items())
        assert list(channel.replay()) == []

    def test_readers_never_see_a_part_of_many(self, channel: Channel) -> None:
        """Whenever a reader looks, it sees all of ``publish_many`` or nothing of it."""

        def write() -> None:
            for _ in range(40):
                channel.publish_many(range(25))

        writing = spawn(write)
        seen = 0
        while seen < 1000:
            found = datas(channel.replay())
            assert len(found) % 25 == 0
            assert len(found) >= seen
            seen = len(found)
            if writing.done():
                writing.result()
                assert len(datas(channel.replay())) == 1000
                break


@pytest.mark.usefixtures("log")
class Frames(Scenarios):
    """A frame becomes visible all together, or not at all."""

    @needs("frames")
    def test_a_frame_is_published_together(self, log: Log, harness: Harness) -> None:
        """What a frame holds is in each of its channels, in its order, once the block ends."""
        a, b = log.channel(harness.new_name()), log.channel(harness.new_name(), sender="agent")
        with log.atomic() as frame:
            frame.publish(a.name, 1)
            frame.publish(b, 2, type="token", key="k", headers={"h": 1})
            frame.publish(a.name, 3)
            assert list(a.replay()) == []
        assert datas(a.replay()) == [1, 3]
        (message,) = b.replay()
        assert (message.data, message.type, message.key, message.sender) == (
            2,
            "token",
            "k",
            "agent",
        )
        assert message.headers == {"h": 1}
        first, last = (message.offset for message in a.replay())
        assert frame.offsets == [first, message.offset, last]

    @needs("frames")
    def test_a_frame_in_an_event_loop(self, log: Log, harness: Harness) -> None:
        """``async with`` is the same, without blocking the loop."""
        a, b = log.channel(harness.new_name()), log.channel(harness.new_name())

        async def body() -> None:
            async with log.atomic() as frame:
                frame.publish(a, 1)
                frame.publish(b, 2)

        run(body())
        assert datas(a.replay()) + datas(b.replay()) == [1, 2]

    @needs("frames")
    def test_a_frame_that_raises_writes_nothing(self, log: Log, harness: Harness) -> None:
        """An exception inside of the block leaves nothing behind."""
        channel = log.channel(harness.new_name())
        with pytest.raises(LookupError, match="changed my mind"):
            with log.atomic() as frame:
                frame.publish(channel, 1)
                raise LookupError("changed my mind")
        assert list(channel.replay()) == []
        channel.publish("on it goes")

    @needs("frames")
    def test_a_frame_that_is_refused_writes_nothing(self, log: Log, harness: Harness) -> None:
        """One part that cannot be keeps all others from being written."""
        good, ended = log.channel(harness.new_name()), log.channel(harness.new_name())
        ended.publish("last")
        ended.end()
        with pytest.raises(ChannelEnded):
            with log.atomic() as frame:
                frame.publish(good, 1)
                frame.publish(ended, 2)
        with pytest.raises(UnexpectedOffset):
            with log.atomic() as frame:
                frame.publish(good, 1)
                frame.publish(good, 1, expect=good.info().end_offset + 1_000)
        assert list(good.replay()) == []
        assert datas(ended.replay()) == ["last"]

    @needs("frames")
    def test_a_frame_commits_a_cursor(self, log: Log, harness: Harness) -> None:
        """A message is handled once: its result and the cursor go together, or neither."""
        orders, results = log.channel(harness.new_name()), log.channel(harness.new_name())
        orders.publish_many("abc")
        cursor = orders.cursor("worker")
        first, second = take(cursor, 2)
        with log.atomic() as frame:
            frame.publish(results, "A")
            frame.commit(cursor, first)
        cursor.commit(second)
        with pytest.raises(CommitBehind):
            with log.atomic() as frame:
                frame.publish(results, "A again")
                frame.commit(cursor, first)
        assert datas(results.replay()) == ["A"]
        assert datas(take(orders.cursor("worker"), 1)) == ["c"]

    @needs("frames")
    def test_a_frame_ends_a_channel(self, log: Log, harness: Harness) -> None:
        """The last message and the end of a channel can go together."""
        channel = log.channel(harness.new_name())
        with log.atomic() as frame:
            frame.publish(channel, "answer")
            frame.end(channel)
        assert datas(channel.subscribe()) == ["answer"]
        assert channel.info().ended

    @needs("frames")
    def test_nobody_sees_a_part_of_a_frame(self, log: Log, harness: Harness) -> None:
        """Who finds a message of a frame in one channel finds the others in theirs."""
        a, b = log.channel(harness.new_name()), log.channel(harness.new_name())

        def write() -> None:
            for number in range(50):
                with log.atomic() as frame:
                    frame.publish(a, number)
                    frame.publish(b, number)

        writing = spawn(write)
        for message in take(a.subscribe(), 50):
            assert message.data in datas(b.replay())
        writing.result()

    @needs("frames", "reopen")
    def test_a_frame_survives_reopening(self, log: Log, harness: Harness) -> None:
        """What a frame wrote is there together when the log is opened again."""
        names = [harness.new_name(), harness.new_name()]
        with log.atomic() as frame:
            for name in names:
                frame.publish(name, name)
        log.close()
        log = harness.open()
        assert [datas(log.channel(name).replay()) for name in names] == [[n] for n in names]

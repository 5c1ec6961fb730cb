"""Coming late: where a reader begins, and how history goes over into what is live."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ...errors import InvalidOption, UnknownOffset
from ...interface import Channel, Log, Subscription
from ..harness import Harness
from .base import LIMIT_SECONDS, Face, Scenarios, datas, drain, spawn, take

__all__ = ["LateJoin"]

# Far behind whatever an engine gives out as offsets, and small enough for 63 bits.
BEYOND = 1 << 20


class LateJoin(Scenarios):
    """A reader begins where it says, and misses nothing from there."""

    def test_a_late_reader_gets_all(self, channel: Channel, face: Face) -> None:
        """By default a reader gets everything from the first message on."""
        channel.publish_many("abc")
        reader = channel.subscribe()
        assert [face(reader).get(timeout=LIMIT_SECONDS).data for _ in range(3)] == ["a", "b", "c"]
        assert face(reader).get(timeout=0) is None

    def test_a_late_reader_gets_the_last_n(self, channel: Channel, face: Face) -> None:
        """``last=n`` rewinds n messages, or as many as there are; then it goes on live."""
        channel.publish_many("abcde")
        reader = face(channel).subscribe(last=2)
        assert datas(take(reader, 2)) == ["d", "e"]
        assert datas(drain(face(channel).subscribe(last=99))) == ["a", "b", "c", "d", "e"]
        assert drain(face(channel).subscribe(last=0)) == []
        channel.publish("f")
        assert datas(take(reader, 1)) == ["f"]

    def test_a_live_reader_gets_only_what_comes(self, channel: Channel, face: Face) -> None:
        """``live=True`` leaves out all that was published before the call, and nothing after."""
        channel.publish_many("abc")
        reader = face(channel).subscribe(live=True)
        assert reader.get(timeout=0) is None
        channel.publish_many("de")
        assert datas(take(reader, 2)) == ["d", "e"]

    def test_a_live_reader_of_nothing_yet(self, channel: Channel, face: Face) -> None:
        """``live=True`` on a channel that does not exist yet gets its first message."""
        reader = face(channel).subscribe(live=True)
        channel.publish("first")
        assert datas(take(reader, 1)) == ["first"]

    def test_a_reader_since_a_time(self, channel: Channel, harness: Harness, face: Face) -> None:
        """``since`` begins with the first message at or after a time, as ``datetime`` or ns."""
        channel.publish("old")
        harness.advance(0.01)
        channel.publish_many("bc")
        new = list(channel.replay())[1]
        assert datas(drain(face(channel).subscribe(since=new.time_ns))) == ["b", "c"]
        # To the microsecond, which is all that a datetime can say.
        since = new.time
        assert datas(drain(face(channel).subscribe(since=since))) == ["b", "c"]
        assert len(drain(face(channel).subscribe(since=since - timedelta(days=1)))) == 3
        assert drain(face(channel).subscribe(since=since + timedelta(days=1))) == []

    def test_a_reader_after_an_offset(self, channel: Channel, face: Face) -> None:
        """``after`` resumes exactly behind a known message; ``-1`` is the start."""
        offsets = channel.publish_many("abcd")
        for place, offset in enumerate(offsets):
            assert datas(drain(face(channel).subscribe(after=offset))) == list("abcd")[place + 1 :]
        assert datas(drain(face(channel).subscribe(after=-1))) == list("abcd")

    def test_a_reader_resumes_where_another_stopped(self, channel: Channel) -> None:
        """A client that lost its connection goes on behind the last message it has, whatever was
        published meanwhile."""
        channel.publish_many("abc")
        with channel.subscribe() as reader:
            last = take(reader, 2)[-1]
        channel.publish_many("de")
        assert datas(take(channel.subscribe(after=last.offset), 3)) == ["c", "d", "e"]

    def test_an_offset_from_the_future_is_refused(self, channel: Channel, face: Face) -> None:
        """A reader, a seek or a replay from beyond the end raises ``UnknownOffset`` with the end
        as a fact, rather than to wait for what is not what was meant."""
        channel.publish("a")
        end = channel.info().end_offset
        with pytest.raises(UnknownOffset) as caught:
            face(channel).subscribe(after=end + BEYOND)
        assert caught.value.end_offset == end
        with pytest.raises(UnknownOffset):
            face(channel).replay(end + BEYOND)
        with pytest.raises(UnknownOffset):
            face(channel.subscribe()).seek(end + BEYOND)

    def test_beginnings_that_exclude_each_other(self, channel: Channel, face: Face) -> None:
        """Two beginnings at once are a mistake, and raise ``InvalidOption``."""
        with pytest.raises(InvalidOption):
            face(channel).subscribe(last=1, live=True)
        with pytest.raises(InvalidOption):
            face(channel).subscribe(after=-1, since=0)
        with pytest.raises(InvalidOption):
            face(channel).subscribe(last=-1)

    def test_history_goes_over_into_live_without_a_gap(self, channel: Channel) -> None:
        """Readers that begin in the middle of publishing miss nothing and repeat nothing."""
        count = 300

        def write() -> None:
            for number in range(count):
                channel.publish(number)

        writing = spawn(write)
        readers: list[Subscription] = []
        while not writing.done() and len(readers) < 20:
            readers.append(channel.subscribe())
            take(readers[-1], 1)
        readers.append(channel.subscribe())
        writing.result()
        for place, reader in enumerate(readers):
            begun = place < len(readers) - 1
            assert datas(take(reader, count - begun)) == list(range(count))[begun:]
            assert reader.get(timeout=0) is None

    def test_seek_goes_back_and_forward(self, channel: Channel) -> None:
        """A reader can be moved to any offset it knows, and goes on from there."""
        offsets = channel.publish_many("abcd")
        reader = channel.subscribe()
        take(reader, 3)
        reader.seek(offsets[1])
        assert reader.offset == offsets[1]
        assert datas(take(reader, 1)) == ["b"]
        reader.seek(offsets[3])
        assert datas(drain(reader)) == ["d"]
        reader.seek(channel.info().end_offset)
        assert drain(reader) == []

    def test_replay_is_history_only(self, channel: Channel, face: Face) -> None:
        """A replay gives what is there, or a part of it, and does not wait for more."""
        offsets = channel.publish_many("abcde")
        assert datas(face.walk(channel.replay())) == list("abcde")
        part = face(channel).replay(offsets[1], offsets[3])
        assert datas(face.walk(part)) == ["b", "c"]
        assert list(part.data()) == ["b", "c"]
        assert [m.data for batch in part.batches() for m in batch] == ["b", "c"]
        assert datas(face.walk(part)) == ["b", "c"], "a replay can be walked many times"
        assert list(channel.replay(channel.info().end_offset)) == []

    def test_replay_of_ten_thousand(self, channel: Channel, face: Face) -> None:
        """A long history comes whole and in order, whatever pages it is read in."""
        for start in range(0, 10_000, 1000):
            channel.publish_many(range(start, start + 1000))
        assert datas(face.walk(channel.replay())) == list(range(10_000))
        assert list(channel.replay().data()) == list(range(10_000))

    def test_what_is_published_does_not_reach_into_a_replay(
        self, log: Log, harness: Harness
    ) -> None:
        """A replay ends where the channel ended when it was asked for."""
        channel = log.channel(harness.new_name())
        channel.publish_many("abc")
        replay = channel.replay()
        channel.publish("d")
        assert datas(replay) == ["a", "b", "c"]

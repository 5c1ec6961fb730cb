"""Cursors: a consumer goes on where it had committed."""

from __future__ import annotations

import pytest

from ...errors import CommitBehind, UnknownOffset
from ...interface import Channel, Log
from ..harness import Harness
from .base import LIMIT_SECONDS, Face, Scenarios, datas, drain, needs, take

__all__ = ["Cursors"]

BEYOND = 1 << 20


class Cursors(Scenarios):
    """What was committed is not read again; what was not is."""

    def test_a_new_cursor_begins_at_the_start(self, channel: Channel, face: Face) -> None:
        """Whoever has never committed reads everything."""
        channel.publish_many("ab")
        cursor = channel.cursor("worker")
        assert [face(cursor).get(timeout=LIMIT_SECONDS).data for _ in range(2)] == ["a", "b"]
        assert face(cursor).get(timeout=0) is None

    def test_it_resumes_behind_what_was_committed(self, channel: Channel, face: Face) -> None:
        """A consumer that comes again gets the first message that was not committed."""
        channel.publish_many("abc")
        cursor = channel.cursor("worker")
        _, second = take(cursor, 2)
        face(cursor).commit(second)
        again = channel.cursor("worker")
        assert again.position() == cursor.position()
        assert datas(drain(again)) == ["c"]

    def test_what_was_not_committed_comes_again(self, channel: Channel) -> None:
        """Reading is not committing: a consumer that died before it committed loses nothing."""
        channel.publish_many("abc")
        cursor = channel.cursor("worker")
        first = take(cursor, 3)[0]
        cursor.commit(first)
        cursor.close()
        assert datas(drain(channel.cursor("worker"))) == ["b", "c"]

    def test_nobody_commits_by_leaving(self, log: Log, channel: Channel) -> None:
        """Closing a cursor, or ending a loop over it, commits nothing."""
        channel.publish_many("ab")
        with channel.cursor("worker") as cursor:
            for _ in cursor:
                break
        assert datas(drain(log.channel(channel.name).cursor("worker"))) == ["a", "b"]

    def test_a_commit_covers_all_before_it(self, channel: Channel) -> None:
        """Committing a message is committing all that come before it."""
        offsets = channel.publish_many("abcd")
        cursor = channel.cursor("worker")
        cursor.commit(offsets[2])
        assert datas(drain(channel.cursor("worker"))) == ["d"]

    def test_committing_again_is_fine_and_less_is_not(self, channel: Channel, face: Face) -> None:
        """A consumer that was replaced notices by ``CommitBehind``, and moves nothing."""
        offsets = channel.publish_many("abcd")
        cursor = channel.cursor("worker")
        face(cursor).commit(offsets[1])
        face(cursor).commit(offsets[1])
        with pytest.raises(CommitBehind) as caught:
            face(cursor).commit(offsets[0])
        assert (caught.value.channel, caught.value.cursor) == (channel.name, "worker")
        assert datas(drain(channel.cursor("worker"))) == ["c", "d"]

    def test_a_commit_from_the_future_is_refused(self, channel: Channel) -> None:
        """What is not there yet cannot be done with: ``UnknownOffset``."""
        channel.publish("a")
        with pytest.raises(UnknownOffset):
            channel.cursor("worker").commit(channel.info().end_offset + BEYOND)
        assert datas(drain(channel.cursor("worker"))) == ["a"]

    def test_cursors_are_independent(self, channel: Channel) -> None:
        """Each name has its own position."""
        offsets = channel.publish_many("abc")
        channel.cursor("one").commit(offsets[1])
        channel.cursor("other").commit(offsets[0])
        assert datas(drain(channel.cursor("one"))) == ["c"]
        assert datas(drain(channel.cursor("other"))) == ["b", "c"]
        assert datas(drain(channel.cursor("third"))) == ["a", "b", "c"]
        assert set(channel.info().cursors) == {"one", "other"}

    def test_two_handles_of_one_cursor(self, channel: Channel) -> None:
        """Handles share what is committed, and each reads for itself."""
        channel.publish_many("abc")
        one, other = channel.cursor("worker"), channel.cursor("worker")
        messages = take(one, 3)
        assert datas(take(other, 1)) == ["a"]
        one.commit(messages[1])
        assert other.position() == one.position()

    def test_seek_goes_back_on_purpose(self, channel: Channel, face: Face) -> None:
        """``seek`` moves the position either way, and reading goes on from there."""
        offsets = channel.publish_many("abcd")
        cursor = channel.cursor("worker")
        cursor.commit(offsets[2])
        face(cursor).seek(offsets[1])
        assert datas(take(cursor, 1)) == ["b"]
        assert datas(drain(channel.cursor("worker"))) == ["b", "c", "d"]
        face(cursor).seek(channel.info().end_offset)
        assert drain(channel.cursor("worker")) == []

    def test_lag_counts_what_is_not_committed(self, channel: Channel, face: Face) -> None:
        """Lag is 0 when all is committed, and more when not."""
        channel.publish_many("abc")
        cursor = channel.cursor("worker")
        behind = face(cursor).lag()
        assert behind > 0
        cursor.commit(take(cursor, 3)[-1])
        assert face(cursor).lag() == 0
        channel.publish("d")
        assert 0 < face(cursor).lag() < behind

    @needs("dense_offsets")
    def test_lag_is_exact_where_offsets_are_dense(self, channel: Channel) -> None:
        """Lag is the end offset less the position."""
        channel.publish_many("abcde")
        cursor = channel.cursor("worker")
        cursor.commit(1)
        assert (cursor.position(), cursor.lag()) == (2, 3)

    def test_a_deleted_cursor_begins_anew(self, channel: Channel, face: Face) -> None:
        """Deleting forgets the position, and no other cursor's."""
        offsets = channel.publish_many("abc")
        channel.cursor("worker").commit(offsets[1])
        channel.cursor("other").commit(offsets[1])
        face(channel.cursor("worker")).delete()
        assert set(channel.info().cursors) == {"other"}
        assert datas(drain(channel.cursor("worker"))) == ["a", "b", "c"]
        assert datas(drain(channel.cursor("other"))) == ["c"]

    def test_a_cursor_waits_for_more(self, channel: Channel, face: Face) -> None:
        """A loop over a cursor goes on with what is published, until the end."""
        channel.publish("a")
        cursor = channel.cursor("worker")
        cursor.commit(take(cursor, 1)[0])
        channel.publish_many("bc")
        channel.end()
        assert datas(face.walk(channel.cursor("worker"))) == ["b", "c"]

    @needs("reopen")
    def test_a_cursor_survives_reopening(
        self, log: Log, channel: Channel, harness: Harness
    ) -> None:
        """What was committed is committed when the log is opened again."""
        offsets = channel.publish_many("abc")
        channel.cursor("worker").commit(offsets[0])
        log.close()
        again = harness.open().channel(channel.name)
        assert datas(drain(again.cursor("worker"))) == ["b", "c"]

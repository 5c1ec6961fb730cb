"""Durable cursors: a consumer's named position."""

from __future__ import annotations

import asyncio

import pytest

import chanlog

from ..support import (
    LIMIT,
    auntil_waiting,
    datas,
    drain,
    offsets,
    run,
    spawn,
    take,
    until_waiting,
)


@pytest.fixture
def ten(channel):
    channel.publish_many(range(10))
    return channel


def test_a_new_one_stands_at_the_start(ten):
    with ten.cursor("billing") as cursor:
        assert cursor.name == "billing"
        assert cursor.position() == 0
        assert cursor.lag() == 10
        assert datas(drain(cursor)) == list(range(10))


def test_a_new_one_on_a_trimmed_channel_stands_at_the_first_readable(ten):
    ten.trim(before=4)
    with ten.cursor("billing") as cursor:
        assert cursor.position() == 4
        assert datas(drain(cursor)) == [4, 5, 6, 7, 8, 9]


def test_reading_does_not_commit(ten, face):
    with ten.cursor("billing") as cursor:
        face(cursor).get(timeout=0)
        take(cursor, 3)
        assert cursor.position() == 0
        assert face(cursor).lag() == 10


def test_commit_by_message_or_offset(ten, face):
    with ten.cursor("billing") as cursor:
        message = face(cursor).get(timeout=0)
        face(cursor).commit(message)
        assert cursor.position() == 1
        face(cursor).commit(4)
        assert cursor.position() == 5
        assert face(cursor).lag() == 5
        assert ten.info().cursors == {"billing": 5}


def test_what_was_not_committed_is_read_again(ten):
    with ten.cursor("billing") as cursor:
        messages = take(cursor, 6)
        cursor.commit(messages[2])
    with ten.cursor("billing") as cursor:
        assert datas(drain(cursor)) == [3, 4, 5, 6, 7, 8, 9]


def test_commits_do_not_move_the_reading(ten):
    with ten.cursor("billing") as cursor:
        take(cursor, 2)
        cursor.commit(7)
        assert datas(take(cursor, 1)) == [2]


def test_committing_again_is_fine_and_less_is_not(ten, face):
    with ten.cursor("billing") as cursor:
        face(cursor).commit(5)
        face(cursor).commit(5)
        for less in (4, 0):
            with pytest.raises(chanlog.CommitBehind) as caught:
                face(cursor).commit(less)
        assert cursor.position() == 6
        error = caught.value
        assert (error.channel, error.cursor, error.position) == ("workflow-42", "billing", 6)


def test_a_replaced_consumer_notices(ten):
    with ten.cursor("billing") as old, ten.cursor("billing") as new:
        first = take(old, 1)[0]
        new.commit(take(new, 4)[-1])
        with pytest.raises(chanlog.CommitBehind):
            old.commit(first)


@pytest.mark.parametrize("offset", [10, 11, 10**12])
def test_commit_in_the_future(ten, face, offset):
    with ten.cursor("billing") as cursor:
        with pytest.raises(chanlog.UnknownOffset):
            face(cursor).commit(offset)
        assert cursor.position() == 0
        face(cursor).commit(9)
        assert face(cursor).lag() == 0


@pytest.mark.parametrize("wrong", ["3", 1.5, None])
def test_commit_of_what_is_no_offset(ten, wrong):
    with ten.cursor("billing") as cursor:
        with pytest.raises((chanlog.ChanlogError, TypeError)):
            cursor.commit(wrong)
        assert cursor.position() == 0


def test_the_loops_read_on_and_then_wait(channel, face):
    channel.publish_many(range(5))
    with channel.cursor("billing") as cursor:
        cursor.commit(1)
    channel.end()
    with channel.cursor("billing") as cursor:
        assert datas(face.walk(cursor)) == [2, 3, 4]


def test_a_thread_waits_through_a_cursor(log, channel):
    with channel.cursor("billing") as cursor:
        got = spawn(cursor.get, timeout=LIMIT)
        until_waiting(log)
        assert cursor.ready is False
        channel.publish("now")
        assert got.result(LIMIT).data == "now"


def test_a_task_waits_through_a_cursor(log, channel):
    async def main():
        async with channel.cursor("billing") as cursor:
            got = asyncio.create_task(cursor.aget(timeout=LIMIT))
            await auntil_waiting(log)
            channel.publish("now")
            await cursor.acommit(await got)
            return cursor.position()

    assert run(main()) == 1


def test_ready_and_the_end(channel, face):
    with channel.cursor("billing") as cursor:
        assert not cursor.ready
        assert face(cursor).get(timeout=0) is None
        channel.publish(1)
        assert cursor.ready
        face(cursor).get(timeout=0)
        assert not cursor.ready
        channel.end()
        assert cursor.ready
        with pytest.raises(chanlog.EndOfChannel):
            face(cursor).get(timeout=0)


def test_seek_moves_the_position_and_the_reading(ten, face):
    with ten.cursor("billing") as cursor:
        cursor.commit(take(cursor, 6)[-1])
        face(cursor).seek(2)
        assert cursor.position() == 2
        assert datas(take(cursor, 2)) == [2, 3]
        face(cursor).seek(9)
        assert cursor.position() == 9
        assert datas(drain(cursor)) == [9]
    with ten.cursor("billing") as cursor:
        assert cursor.position() == 9


def test_seek_into_the_future(ten, face):
    with ten.cursor("billing") as cursor:
        with pytest.raises(chanlog.UnknownOffset):
            face(cursor).seek(11)
        face(cursor).seek(10)
        assert face(cursor).lag() == 0


def test_they_survive_reopening(disk):
    with disk.open() as log:
        channel = log.channel("w")
        channel.publish_many(range(10))
        channel.cursor("a").commit(3)
        channel.cursor("b").seek(7)
        channel.cursor("c").commit(9)
        channel.cursor("c").delete()
    with disk.open() as log:
        channel = log.channel("w")
        assert channel.info().cursors == {"a": 4, "b": 7}
        assert channel.cursor("a").position() == 4
        assert channel.cursor("b").lag() == 3
        assert channel.cursor("c").position() == 0


def test_they_survive_compaction_and_reopening(disk):
    with disk.open(segment_bytes=64 * 1024) as log:
        channel = log.channel("w")
        for n in range(400):
            channel.publish("x" * 500)
            channel.cursor("a").commit(n)
            if n % 10 == 0:
                channel.cursor("b").commit(n)
        log.compact()
        assert channel.info().cursors == {"a": 400, "b": 391}
    for _ in range(2):
        with disk.open(segment_bytes=64 * 1024) as log:
            assert log.channel("w").info().cursors == {"a": 400, "b": 391}
            log.compact()


def test_delete_forgets(ten, face):
    cursor = ten.cursor("billing")
    cursor.commit(5)
    face(cursor).delete()
    assert ten.info().cursors == {}
    with ten.cursor("billing") as cursor:
        assert cursor.position() == 0


def test_they_belong_to_one_channel_and_one_name(log):
    one, two = log.channel("one"), log.channel("two")
    for channel in (one, two):
        channel.publish_many(range(5))
    one.cursor("c").commit(2)
    two.cursor("c").commit(3)
    one.cursor("d").commit(0)
    assert one.info().cursors == {"c": 3, "d": 1}
    assert two.info().cursors == {"c": 4}


def test_a_cursor_behind_what_was_trimmed_is_told(ten, face):
    with ten.cursor("billing") as cursor:
        cursor.commit(take(cursor, 2)[-1])
        ten.trim(before=5)
        with pytest.raises(chanlog.OffsetTrimmed) as caught:
            face(cursor).get(timeout=0)
        assert (caught.value.offset, caught.value.start_offset) == (2, 5)
        cursor.seek(5)
        assert offsets(drain(cursor)) == [5, 6, 7, 8, 9]


def test_closing_gives_back_only_the_reader(log, ten, face):
    cursor = ten.cursor("billing")
    cursor.commit(4)
    cursor.close()
    cursor.close()
    with pytest.raises(chanlog.HandleClosed):
        face(cursor).get(timeout=0)
    assert ten.info().cursors == {"billing": 5}


def test_closing_wakes_who_waits(log, channel):
    cursor = channel.cursor("billing")
    got = spawn(cursor.get, timeout=LIMIT)
    until_waiting(log)
    cursor.close()
    with pytest.raises(chanlog.HandleClosed):
        got.result(LIMIT)


def test_an_ended_channel_can_still_be_worked_off(ten, face):
    ten.end()
    with ten.cursor("billing") as cursor:
        for message in drain_to_end(cursor):
            face(cursor).commit(message, durable=True)
        assert face(cursor).lag() == 0
        assert cursor.position() == 10


def drain_to_end(cursor):
    try:
        while (message := cursor.get(timeout=0)) is not None:
            yield message
    except chanlog.EndOfChannel:
        return


def test_a_commit_is_not_a_message(ten):
    with ten.subscribe(live=True) as reader:
        ten.cursor("billing").commit(3)
        assert reader.get(timeout=0) is None
    assert ten.info().end_offset == 10
    assert ten.publish("next") == 10


def test_a_new_one_cannot_be_committed_below_the_start(ten):
    """It stands at the first readable message, so that would go back."""
    ten.trim(before=5)
    with ten.cursor("billing") as cursor:
        with pytest.raises(chanlog.CommitBehind) as caught:
            cursor.commit(2)
        assert caught.value.position == 5
        assert cursor.position() == 5


def test_closing_never_raises(ten):
    """A cursor that was never read once looked its channel up to close itself."""
    cursor = ten.cursor("billing")
    ten.delete()
    cursor.close()


def test_going_back_by_seek_reads_again(ten, face):
    with ten.cursor("billing") as cursor:
        take(cursor, 5)
        face(cursor).seek(3)
        assert cursor.position() == 3
        assert datas(drain(cursor)) == [3, 4, 5, 6, 7, 8, 9]


def test_a_seek_of_what_has_read_nothing(ten, face):
    with ten.cursor("billing") as cursor:
        face(cursor).seek(8)
        assert datas(drain(cursor)) == [8, 9]


def test_deleting_one_that_never_committed(ten, face):
    cursor = ten.cursor("billing")
    face(cursor).delete()
    assert dict(ten.info().cursors) == {}
    assert cursor.position() == 0


def test_it_says_what_it_is(ten):
    assert repr(ten.cursor("billing")) == "<Cursor 'billing' of 'workflow-42'>"

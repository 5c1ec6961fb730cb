"""Atomic frames: across channels and cursors, all of it or nothing."""

from __future__ import annotations

import threading

import pytest

import chanlog

from ..support import LIMIT, datas, gather, replayed, run, spawn, take


class Work:
    """Runs ``add(frame)`` inside a frame, with ``with`` or ``async with``."""

    def __init__(self, log, face):
        self.log, self.face = log, face

    def __call__(self, add, **options):
        if self.face.kind == "thread":
            with self.log.atomic(**options) as frame:
                add(frame)
            return frame

        async def main():
            async with self.log.atomic(**options) as frame:
                add(frame)
            return frame

        return run(main())


@pytest.fixture
def work(log, face):
    return Work(log, face)


def test_across_channels(log, work):
    def add(frame):
        frame.publish("one", 1, type="t", key="k", headers={"h": 1})
        frame.publish("two", 2)
        frame.publish("one", 3)
        assert list(log.channels()) == []

    frame = work(add)
    assert frame.offsets == [0, 0, 1]
    assert replayed(log.channel("one")) == [1, 3]
    assert replayed(log.channel("two")) == [2]
    first = next(iter(log.channel("one").replay()))
    assert first[3:] == ("t", "k", {"h": 1}, None)


def test_offsets_follow_those_before(log, work):
    log.channel("one").publish_many(range(5))
    assert work(lambda frame: [frame.publish("one", n) for n in range(3)]).offsets == [5, 6, 7]
    assert log.channel("one").publish("after") == 8
    assert replayed(log.channel("one")) == [0, 1, 2, 3, 4, 0, 1, 2, "after"]


def test_a_channel_brings_its_sender(log, work):
    def add(frame):
        frame.publish(log.channel("w", sender="agent"), 1)
        frame.publish("w", 2)
        frame.publish(log.channel("w", sender="person"), 3)

    work(add)
    assert [m.sender for m in log.channel("w").replay()] == ["agent", None, "person"]


def test_nothing_is_visible_inside(log, work):
    with log.channel("w").subscribe() as reader:

        def add(frame):
            frame.publish("w", 1)
            assert not reader.ready
            assert log.channel("w").info().end_offset == 0

        work(add, durable=True)
        assert datas(take(reader, 1)) == [1]


def test_an_exception_writes_nothing(log, work):
    cursor = log.channel("w").cursor("c")
    log.channel("w").publish_many(range(3))

    def add(frame):
        frame.publish("w", "x")
        frame.publish("new", "y")
        frame.commit(cursor, 2)
        frame.end("w")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work(add)
    assert replayed(log.channel("w")) == [0, 1, 2]
    assert list(log.channels()) == ["w"]
    assert cursor.position() == 0
    assert log.channel("w").info().ended is False
    cursor.close()


def test_cursor_and_output_move_together(log, work):
    source = log.channel("in")
    source.publish_many(range(5))
    with source.cursor("c") as cursor:
        for message in take(cursor, 5):
            work(lambda frame, m=message: (frame.publish("out", m.data), frame.commit(cursor, m)))
        assert cursor.position() == 5
    assert replayed(log.channel("out")) == [0, 1, 2, 3, 4]


def test_commit_by_offset(log, work):
    log.channel("w").publish_many(range(5))
    with log.channel("w").cursor("c") as cursor:
        work(lambda frame: frame.commit(cursor, 3))
        assert cursor.position() == 4
        assert log.channel("w").info().cursors == {"c": 4}


def test_a_commit_behind_spoils_all(log, work):
    log.channel("w").publish_many(range(5))
    with log.channel("w").cursor("c") as cursor:
        cursor.commit(4)
        with pytest.raises(chanlog.CommitBehind):
            work(lambda frame: (frame.publish("new", 1), frame.commit(cursor, 1)))
        assert cursor.position() == 5
    assert list(log.channels()) == ["w"]


def test_an_end_closes_after_the_last_message(log, work, face):
    work(lambda frame: (frame.publish("w", "last"), frame.end("w"), frame.publish("v", "more")))
    assert log.channel("w").info().ended
    assert datas(face.walk(log.channel("w").subscribe())) == ["last"]
    with pytest.raises(chanlog.ChannelEnded):
        log.channel("w").publish("x")
    assert not log.channel("v").info().ended


def test_an_end_wakes_readers(log, work):
    seen = spawn(lambda: datas(log.channel("w").subscribe()))
    work(lambda frame: (frame.publish("w", 1), frame.end(log.channel("w"))))
    assert seen.result(LIMIT) == [1]


def test_an_ended_channel_spoils_all(log, work):
    log.channel("w").publish(1)
    log.channel("w").end()
    with pytest.raises(chanlog.ChannelEnded):
        work(lambda frame: (frame.publish("new", 1), frame.publish("w", 2)))
    assert list(log.channels()) == ["w"]


def test_a_wrong_expectation_spoils_all(log, work):
    log.channel("w").publish(1)
    with pytest.raises(chanlog.UnexpectedOffset) as caught:
        work(lambda frame: (frame.publish("new", 1), frame.publish("w", 2, expect=0)))
    assert (caught.value.channel, caught.value.expected, caught.value.end_offset) == ("w", 0, 1)
    assert list(log.channels()) == ["w"]
    assert work(lambda frame: frame.publish("w", 2, expect=1)).offsets == [1]


def test_what_cannot_be_carried_spoils_all(log, work):
    with pytest.raises(chanlog.PayloadError):
        work(lambda frame: (frame.publish("new", 1), frame.publish("w", object())))
    assert list(log.channels()) == []


def test_an_empty_frame_is_nothing(log, work):
    assert work(lambda frame: None).offsets == []
    assert list(log.channels()) == []


def test_names_are_checked(log, work):
    with pytest.raises(chanlog.InvalidName):
        work(lambda frame: frame.publish("", 1))


def test_the_writer_keeps_its_object(log, work):
    payload = [1]

    def add(frame):
        frame.publish("w", payload)
        payload.append(2)

    work(add)
    assert replayed(log.channel("w"))[0] in ([1], [1, 2])
    payload.append(3)
    assert 3 not in replayed(log.channel("w"))[0]


def test_a_large_frame_over_segments(store, face):
    with store.open(segment_bytes=64 * 1024) as log:
        work = Work(log, face)

        def add(frame):
            for n in range(500):
                frame.publish(f"w{n % 5}", [n, "x" * 1000])

        assert len(work(add).offsets) == 500
        for place in range(5):
            found = [data[0] for data in replayed(log.channel(f"w{place}"))]
            assert found == list(range(place, 500, 5))


def test_frames_survive_reopening_and_compaction(disk):
    with disk.open(segment_bytes=64 * 1024) as log:
        source = log.channel("in")
        source.publish_many(range(300))
        with source.cursor("c") as cursor:
            for message in take(cursor, 300):
                with log.atomic() as frame:
                    frame.publish("a", [message.data, "x" * 300])
                    frame.publish("b", message.data)
                    frame.commit(cursor, message)
    for _ in range(3):
        with disk.open(segment_bytes=64 * 1024) as log:
            assert [data[0] for data in replayed(log.channel("a"))] == list(range(300))
            assert replayed(log.channel("b")) == list(range(300))
            assert log.channel("in").info().cursors == {"c": 300}
            log.compact()


def test_nobody_sees_a_half(log):
    """Whenever a reader looks, the second channel of a frame is there if the first is."""
    rounds = 300
    done = threading.Event()

    def write():
        for n in range(rounds):
            with log.atomic() as frame:
                frame.publish("one", n)
                frame.publish("two", n)
        done.set()

    def look():
        looks = 0
        while not done.is_set():
            one = log.channel("one").info().end_offset
            two = log.channel("two").info().end_offset
            assert two >= one
            looks += 1
        return looks

    gather([spawn(write), spawn(look), spawn(look)])
    assert replayed(log.channel("one")) == replayed(log.channel("two")) == list(range(rounds))


def test_two_frames_at_once_do_not_mix(log):
    with log.atomic() as one:
        with log.atomic() as two:
            one.publish("w", "1a")
            two.publish("w", "2a")
            one.publish("w", "1b")
            two.publish("w", "2b")
    assert two.offsets == [0, 1]
    assert one.offsets == [2, 3]
    assert replayed(log.channel("w")) == ["2a", "2b", "1a", "1b"]


def test_an_end_of_what_has_ended_does_nothing(log, work):
    """``Channel.end`` may be called twice; in a frame it once spoiled everything."""
    log.channel("w").end()
    assert work(lambda frame: (frame.end("w"), frame.publish("v", 1))).offsets == [0]
    assert replayed(log.channel("v")) == [1]


def test_two_commits_of_one_cursor_in_one_frame(log, work):
    """The second was once compared with the position before the frame, and went back."""
    log.channel("w").publish_many(range(9))
    with log.channel("w").cursor("c") as cursor:
        with pytest.raises(chanlog.CommitBehind):
            work(lambda frame: (frame.commit(cursor, 5), frame.commit(cursor, 2)))
        assert cursor.position() == 0
        work(lambda frame: (frame.commit(cursor, 2), frame.commit(cursor, 5)))
        assert cursor.position() == 6


def test_what_is_not_of_this_log_is_refused(log, work):
    """A frame is one append in one log: a channel or cursor of another has no place in it."""
    with chanlog.open() as other:
        elsewhere = other.channel("w")
        elsewhere.publish("x")
        with pytest.raises(chanlog.InvalidOption) as caught:
            work(lambda frame: frame.publish(elsewhere, 1))
        assert caught.value.option == "channel"
        with pytest.raises(chanlog.InvalidOption):
            work(lambda frame: frame.commit(elsewhere.cursor("c"), 0))
        with pytest.raises(chanlog.InvalidOption) as caught:
            work(lambda frame: frame.commit("c", 0))
        assert caught.value.option == "cursor"
    assert list(log.channels()) == []


def test_a_frame_that_was_written_takes_nothing_more(log, work):
    """It was accepted, and nobody would ever have written it."""
    frame = work(lambda frame: frame.publish("w", 1))
    for late in (lambda: frame.publish("w", 2), lambda: frame.end("w")):
        with pytest.raises(chanlog.HandleClosed):
            late()
    assert replayed(log.channel("w")) == [1]

"""What clustering leaves out must not be needed by anybody."""

from __future__ import annotations

import contextlib
import gc
import os
import weakref

import chanlog

from ..support import LIMIT, spawn, take, until_waiting
from .worlds import Recorder, contents, open_log


def test_offsets_are_not_reused_when_all_was_trimmed(tmp_path):
    """Compaction drops every message of a channel that was trimmed to its end. The record of the
    trim was all that told of them, and without a catalog the offsets were given out again."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.channel("a").publish_many(range(100))
        log.channel("a").trim(100)
        log.compact()
        before = contents(log)
    os.remove(path / "catalog")
    with open_log(path) as log:
        assert log.recovery.catalog_rebuilt
        assert contents(log).keys() == before.keys()
        assert log.channel("a").info().end_offset == 100
        assert log.channel("a").publish("x") == 100


def test_a_segment_that_comes_back_does_not_delete_its_successor(tmp_path):
    """A segment of which nothing is left is removed without another that covers it. When a power
    cut brought it back, the record that created the old channel took the name, and the new channel
    of that name was deleted."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.channel("a").publish("old")
        log._store.roll()
        log.channel("a").delete()
        log.channel("a").publish("new")
        old = (path / "0000000001.log").read_bytes()
        log.compact()
    assert not (path / "0000000001.log").exists()
    (path / "0000000001.log").write_bytes(old)
    with open_log(path) as log:
        assert [message.data for message in log.channel("a").replay()] == ["new"]
        assert list(log.channels()) == ["a"]


def test_a_removed_segment_is_gone_before_the_record_of_its_end(tmp_path):
    """The removal of an empty segment was not synced, so a power cut could bring back the
    messages of a deleted channel and not the record that it was deleted."""
    path, images = tmp_path / "log", tmp_path / "images"
    recorder = Recorder(path, images)
    with open_log(path, host=recorder.host()) as log:
        log.channel("a").publish("old")
        log._store.roll()
        log.channel("a").delete()
        recorder.recording = True
        log.compact()
    calls = [call for call, _ in recorder]
    first = calls.index("remove 0000000001.log")
    assert "sync folder" in calls[first : calls.index("remove 0000000002.log")]


def test_a_fork_of_a_deleted_parent_through_compaction(tmp_path):
    path = tmp_path / "log"
    with open_log(path) as log:
        parent = log.channel("parent")
        parent.publish_many([f"p{number}" * 200 for number in range(20)])
        fork = parent.fork("fork", at=15)
        fork.trim(5)
        younger = fork.fork("younger", at=10)
        parent.delete()
        log.compact()
        fork.delete()
        log.compact()
        assert [m.data for m in younger.replay()] == [f"p{n}" * 200 for n in range(5, 10)]
        before = contents(log)
    for _ in range(2):
        with open_log(path) as log:
            assert contents(log) == before
        os.remove(path / "catalog")
    with open_log(path) as log:
        log.channel("younger").delete()
        assert list(log.channels()) == []
        log.compact()
        # What is left are records, to be dropped when their segments are joined.
        assert all(not segment.index.messages for segment in log._store.segments[:-1])


def test_dead_space_is_given_back(tmp_path):
    path = tmp_path / "log"
    with open_log(path) as log:
        for number in range(40):
            log.channel(f"channel-{number % 4}").publish(b"x" * 5000)
        log.compact()
        full = log.statistics().disk_bytes
        for number in range(1, 4):
            log.channel(f"channel-{number}").delete()
        log.compact()
        assert log.statistics().disk_bytes < full / 2
        assert [len(m.data) for m in log.channel("channel-0").replay()] == [5000] * 10


def test_small_segments_are_joined(tmp_path):
    path = tmp_path / "log"
    with open_log(path, segment_bytes=1 << 20) as log:
        for number in range(6):
            log.channel("a").publish(number)
            log.channel(f"b-{number}").publish(number)
            log._store.roll()
        log.channel("a").publish("last")
        before = contents(log)
        log.compact()
        assert contents(log) == before
        assert (path / "0000000001-0000000007.seg").exists()
    with open_log(path) as log:
        assert contents(log) == before


def test_readers_of_segments_that_go_away_finish(tmp_path):
    with open_log(tmp_path / "log", segment_bytes=1 << 20) as log:
        channel = log.channel("a")
        for number in range(2000):
            channel.publish(number)
            if number % 400 == 399:
                log._store.roll()
        readers = [iter(channel.replay(start)) for start in (0, 350, 399, 1200)]
        subscription = channel.subscribe()
        seen = [[next(reader).data] for reader in readers]
        heard = [subscription.get().data]
        for _ in range(2):
            log.compact()
            for reader, found in zip(readers, seen, strict=True):
                found += [next(reader).data for _ in range(300)]
            heard += [subscription.get().data for _ in range(300)]
        channel.trim(1000)
        log.compact()
        assert seen[3] + [m.data for m in readers[3]] == list(range(1200, 2000))
        # What was trimmed meanwhile is refused, never skipped.
        for reader, found in zip(readers[:3], seen[:3], strict=True):
            with contextlib.suppress(chanlog.OffsetTrimmed):
                found += [message.data for message in reader]
            assert found == list(range(found[0], found[0] + len(found)))


def test_a_fork_of_what_is_being_trimmed(tmp_path):
    """Between looking at the parent's start and writing the fork's record the parent was trimmed
    and compacted: the fork began with messages that were gone, and gave a ``Gap`` for them."""
    with open_log(tmp_path / "log") as log:
        channel = log.channel("a")
        for number in range(300):
            channel.publish(number)
        look = type(channel)._forking
        looks = []

        def trimmed_meanwhile(self, name, at):
            found = look(self, name, at)
            if not looks:
                channel.trim(290)
                log.compact()
            looks.append(found)
            return found

        type(channel)._forking = trimmed_meanwhile
        try:
            fork = channel.fork("f", at=295)
        finally:
            type(channel)._forking = look
        assert [message.data for message in fork.replay()] == list(range(290, 295))
        assert len(looks) == 2


def test_a_reader_that_waits_keeps_no_segment(tmp_path):
    """Whoever had read to the end and waited for more kept the segment it had last read in, with
    its descriptor and its room on the disk, for as long as nothing came: a thousand quiet
    subscribers could keep a thousand files that compaction had removed."""
    with open_log(tmp_path / "log") as log:
        readers = []
        for number in range(5):
            channel = log.channel(f"quiet-{number}")
            channel.publish(number)
            readers.append(channel.subscribe())
            take(readers[-1], 1)
        waiting = spawn(readers[0].get, timeout=LIMIT)
        until_waiting(log)
        segment = weakref.ref(log._store.active)
        log.compact()
        gc.collect()
        assert segment() is None
        log.channel("quiet-0").publish("more")
        assert waiting.result(LIMIT).data == "more"
        for number, reader in enumerate(readers[1:], 1):
            log.channel(f"quiet-{number}").publish("more")
            assert take(reader, 1)[0].data == "more"


def test_a_segment_that_was_rewritten_is_not_kept_mapped(tmp_path):
    """The bound on mapped files kept the newest 256 of them, removed ones included, so up to 256
    segments that were rewritten went on taking their room on the disk."""
    with open_log(tmp_path / "log") as log:
        channel = log.channel("a")
        channel.publish_many([b"x" * 100] * 100)
        log.compact()
        segment = weakref.ref(log._store.segments[0])
        assert len(list(channel.replay())) == 100
        channel.trim(before=50)
        log.compact()
        assert len(list(channel.replay())) == 50
        gc.collect()
        assert segment() is None

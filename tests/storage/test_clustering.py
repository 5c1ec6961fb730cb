"""What clustering leaves out must not be needed by anybody."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import weakref
from pathlib import Path

import pytest

import chanlog
from chanlog.host import DiskFolder
from chanlog.storage import clustered as segments
from chanlog.storage import clustering
from chanlog.storage.maintenance import maintain
from chanlog.storage.snapshot import write_catalog

from ..meanwhile import Meanwhile
from ..support import LIMIT, spawn, take, until_waiting
from .worlds import Recorder, contents, files_of, fixed_host, open_log


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
        # This one has several batches in hand, and decodes each when it is asked for.
        lean = channel.replay(1200).data()
        subscription = channel.subscribe()
        seen = [[next(reader).data] for reader in readers]
        read = [next(lean)]
        heard = [subscription.get().data]
        for _ in range(2):
            log.compact()
            for reader, found in zip(readers, seen, strict=True):
                found += [next(reader).data for _ in range(300)]
            heard += [subscription.get().data for _ in range(300)]
            read += [next(lean) for _ in range(230)]
        channel.trim(1000)
        log.compact()
        assert read + list(lean) == list(range(1200, 2000))
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


def test_more_than_is_written_at_once(tmp_path):
    with open_log(tmp_path / "log", segment_bytes=1 << 23) as log:
        items = [bytes([number]) * 100_000 for number in range(40)]
        for item in items:
            log.channel("a").publish(item)
        log.compact()
        assert [message.data for message in log.channel("a").replay()] == items
    assert chanlog.verify(tmp_path / "log").problems == []


def test_forks_that_need_nothing_keep_nothing(tmp_path):
    """Of a deleted parent only what a fork can still read is kept: not what it has trimmed, and
    nothing for forks of forks that have trimmed it too."""
    path = tmp_path / "log"
    with open_log(path) as log:
        parent = log.channel("parent")
        parent.publish_many([f"p{number}" * 500 for number in range(20)])
        fork = parent.fork("fork", at=10)
        younger = fork.fork("younger", at=8)
        youngest = younger.fork("youngest", at=6)
        parent.delete()
        for channel in (fork, younger, youngest):
            channel.trim(channel.info().end_offset)
        log.compact()
        (entries,) = [list(s.index) for s in log._store.segments[:-1]]
        assert entries == []
        for channel, end in ((fork, 10), (younger, 8), (youngest, 6)):
            assert channel.publish("own") == end
    os.remove(path / "catalog")
    with open_log(path) as log:
        for name in ("fork", "younger", "youngest"):
            assert [message.data for message in log.channel(name).replay()] == ["own"]


def damaged_in_front(path: Path, what: bytes) -> None:
    """A log whose first segment has ``what`` damaged, so that compaction has left it as it is,
    and whose second is clustered and has the end of ``a``. The catalog is lost."""
    with open_log(path) as log:
        log.channel("damaged").publish("x" * 100)
        log.channel("a").publish("old")
        log.channel("last").publish("at the end")
        log._store.roll()
        file = path / "0000000001.log"
        content = file.read_bytes()
        with file.open("r+b") as damaging:
            damaging.seek(content.index(what) + 2)
            damaging.write(b"?")
        log.channel("a").delete()
        log.channel("b").publish("new")
        log._store.roll()
        for _ in range(2):
            maintain(log._store)
        assert file.exists()
        assert (path / "0000000002-0000000002.seg").exists()
    os.remove(path / "catalog")


def test_the_record_of_a_delete_outlives_what_it_deletes(tmp_path):
    """The clustered segments were applied before all raw ones: a channel that an older raw one
    created came back to life behind the record of its delete."""
    path = tmp_path / "log"
    damaged_in_front(path, b"x" * 100)
    with open_log(path, on_corruption="gap") as log:
        assert list(log.channels()) == ["b", "damaged", "last"]


def test_what_stands_before_a_clustered_segment_was_durable(tmp_path):
    """No batch of a clustered segment has a mark, so damage at the end of a raw one in front of it
    passed for a torn tail, and was cut."""
    path = tmp_path / "log"
    damaged_in_front(path, b"at the end")
    found = chanlog.verify(path)
    assert [problem.path.name for problem in found.problems] == ["0000000001.log"]
    assert found.torn == []
    before = files_of(path)
    with pytest.raises(chanlog.CorruptionError) as caught:
        open_log(path)
    assert caught.value.path == path / "0000000001.log"
    assert files_of(path) == before
    with open_log(path, on_corruption="gap") as log:
        assert log.recovery.torn == []
        assert [message.data for message in log.channel("b").replay()] == ["new"]
        assert [message.data for message in log.channel("damaged").replay()] == ["x" * 100]


def test_a_deleted_fork_that_its_parent_still_lists(tmp_path):
    """A signal came between the two steps of forgetting it: compaction of the parent keeps
    nothing for it."""
    with open_log(tmp_path / "log") as log:
        parent = log.channel("parent")
        parent.publish_many(range(10))
        fork = parent.fork("fork", at=5)
        id = fork.state.id
        fork.delete()
        parent.state.children.append(id)
        # And the same one generation on.
        other = parent.fork("other", at=3)
        other.state.children.append(id)
        other.trim(3)
        parent.trim(10)
        log.compact()
        assert all(not s.index.messages for s in log._store.segments[:-1])


def test_a_channel_deleted_while_the_catalog_is_written(tmp_path):
    """It was captured and gone when its turn came: the catalog has it not, and its end is in the
    log behind the catalog's mark."""
    path = tmp_path / "log"
    with open_log(path) as log:
        for name in "abc":
            log.channel(name).publish(name)
        log._store.lock = Meanwhile(log._store.lock, log.channel("b").delete, at=2)
        write_catalog(log._store)
        assert log._store.lock.done
        assert log._store.table.base.visible == 2
        files = files_of(path)
    shutil.rmtree(path)
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    with open_log(path) as log:
        assert list(log.channels()) == ["a", "c"]


def test_a_catalog_that_cannot_be_read_back(tmp_path):
    """The disk gave back other bytes than it was given: the log goes on with what it knows, and
    the next opening rebuilds the catalog."""

    class Forgetful(DiskFolder):
        def rename(self, name: str, to: str) -> None:
            super().rename(name, to)
            if to == "catalog":
                content = bytearray((self.path / to).read_bytes())
                content[30] ^= 1
                (self.path / to).write_bytes(bytes(content))

    path = tmp_path / "log"
    with open_log(path, host=fixed_host(disk=Forgetful)) as log:
        log.channel("a").publish("x")
        log.compact()
        log.channel("a").publish("y")
        before = contents(log)
    with open_log(path) as log:
        assert log.recovery.catalog_rebuilt
        assert contents(log) == before


def test_only_so_many_files_are_mapped(tmp_path, monkeypatch):
    """Each holds a descriptor. Those mapped longest ago are let go of, and come back when they
    are read."""
    monkeypatch.setattr(segments, "_MAPPED_MAX", 2)
    path = tmp_path / "log"
    with open_log(path) as log:
        for number in range(5):
            log.channel("a").publish([number, "x" * 20_000])
            log.channel(f"b{number}").publish(number)
            log.compact()
        for _ in range(2):
            found = [message.data[0] for message in log.channel("a").replay()]
            assert found == list(range(5))
            sealed = log._store.segments[:-1]
            assert len(sealed) > 2
            assert sum(segment._map is not None for segment in sealed) <= 2
        oldest = sealed[0]
        oldest.unmap()
        assert bytes(oldest.map[:4]) == (path / oldest.name).read_bytes()[:4]


def test_a_handle_of_a_deleted_channel_keeps_no_segment(tmp_path):
    """The last segment that a channel was published in was kept by whoever still had a handle of
    it after it was deleted, with all that was known of the other channels in there."""
    with open_log(tmp_path / "log") as log:
        handle = log.channel("a")
        handle.publish("x")
        segment = weakref.ref(log._store.active)
        handle.delete()
        log.compact()
        gc.collect()
        assert segment() is None


def test_a_log_that_is_being_closed_is_not_rewritten_to_its_end(tmp_path, monkeypatch):
    """Closing waits for the segment under way, which may have a million channels."""
    records = clustering.Writer.records

    def closing(writer, *arguments):
        records(writer, *arguments)
        log._store.stopping = True

    log = chanlog.open(tmp_path / "log", background=False)
    log.channel("a").publish("x")
    monkeypatch.setattr(clustering.Writer, "records", closing)
    with pytest.raises(chanlog.LogClosed):
        log.compact()
    log.close()
    assert not list((tmp_path / "log").glob("*.tmp"))
    with chanlog.open(tmp_path / "log") as again:
        assert list(again.channel("a").replay().data()) == ["x"]

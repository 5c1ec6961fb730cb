"""What recovery makes of segments that say just this: each of its decisions, at its boundary."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any

import pytest

import chanlog
from chanlog.format.batch import CREATED, ENDED, HEADER_BYTES, MESSAGES
from chanlog.format.payload import pack
from chanlog.format.segment import SEGMENT_HEADER_BYTES
from chanlog.host import MemoryFolder
from chanlog.host.memory import MemoryFile
from chanlog.storage.recovery import Damage

from .forged import ROOM, Forged, ForgedClustered, forged_log
from .worlds import START_NS, Recorder, open_image, open_log


def damages(log: Any) -> list[tuple[int, int, str | None, int | None, int | None]]:
    """The damage that was found: where, and of which channel and offsets."""
    return [tuple(getattr(found, name) for name in Damage.__slots__[1:])
            for found in log.recovery.damage]  # fmt: skip


def torn(log: Any) -> list[tuple[int, int]]:
    return [(found.start, found.stop) for found in log.recovery.torn]


def seen(log: Any, name: str = "a") -> list[Any]:
    return [
        ("gap", m.offset, m.missing) if isinstance(m, chanlog.Gap) else m.data
        for m in log.channel(name).replay()
    ]


def refused(folder: MemoryFolder, **options: Any) -> chanlog.CorruptionError:
    with pytest.raises(chanlog.CorruptionError) as caught:
        open_image(folder, **options)
    return caught.value


def written(*payloads: str, number: int = 1) -> Forged:
    """A segment with a channel and messages."""
    segment = Forged(number)
    segment.created("a")
    for base, payload in enumerate(payloads):
        segment.message(base, payload)
    return segment


# Segments without a header.


def headless(mark: int = 0) -> tuple[Forged, Forged]:
    """A sealed segment, and one whose header is not right."""
    first = written("0", "1")
    first.rolled(mark=0)
    second = Forged(2)
    second.message(2, "2")
    second.message(3, "3", mark=mark)
    second.zero(0, SEGMENT_HEADER_BYTES)
    return first, second


def test_a_header_of_which_nothing_else_was_durable() -> None:
    """The mark says that the header was synced and nothing behind it: no message is lost, so this
    is what power took and no damage."""
    first, second = headless(mark=2 << 32 | SEGMENT_HEADER_BYTES)
    with open_image(forged_log(first, second)) as log:
        assert seen(log) == ["0", "1"]
        assert torn(log) == [(0, second.end)]
    first, second = headless(mark=(2 << 32 | SEGMENT_HEADER_BYTES) + 1)
    error = refused(forged_log(first, second))
    assert (error.start, error.stop) == (0, SEGMENT_HEADER_BYTES)


def test_what_lies_behind_a_damaged_header() -> None:
    """It is found by the salt that its batches have; only the header is damaged then."""
    first, second = headless()
    second.message(4, "4", mark=second.mark)
    with open_image(forged_log(first, second), on_corruption="gap") as log:
        assert seen(log) == ["0", "1", "2", "3", "4"]
        assert damages(log) == [(0, SEGMENT_HEADER_BYTES, None, None, None)]
        # The next one goes on where a salt is known.
        assert log.channel("a").publish("5") == 5
        assert log.statistics().segments == 2


def test_a_damaged_header_with_nothing_behind_it() -> None:
    """The batches that told of the rest are gone: all of the file is damaged, to its end."""
    first, second = headless()
    third = Forged(3)
    third.message(4, "4", mark=second.mark)
    second.zero(0, second.end)
    second.content[-1] = 1
    folder = forged_log(first, second, third)
    assert refused(folder).stop == SEGMENT_HEADER_BYTES
    with open_image(folder, on_corruption="gap") as log:
        assert damages(log) == [
            (0, SEGMENT_HEADER_BYTES, None, None, None),
            (SEGMENT_HEADER_BYTES, ROOM, None, None, None),
        ]
        assert seen(log) == ["0", "1", ("gap", 2, 2), "4"]
        assert log._store.segments[1].tail == ROOM


# Files that are not there.


def test_a_file_that_is_not_there_has_no_bytes() -> None:
    first, third = written("0"), Forged(3)
    first.rolled()
    third.message(2, "2", mark=third.mark)
    folder = forged_log(first, third)
    error = refused(folder)
    assert (error.start, error.stop, error.first_offset, error.stop_offset) == (0, 0, None, None)
    with open_image(folder, on_corruption="gap") as log:
        assert damages(log) == [(0, 0, None, None, None)]
        assert not log.recovery.clean


def test_a_mark_that_is_nonsense() -> None:
    """It speaks of any number of segments, and not each of them is worth a line."""
    first = written("0")
    first.message(1, "1", mark=0)
    first.rolled()
    last = Forged(5000)
    last.message(2, "2", mark=last.mark)
    with open_image(forged_log(first, last), on_corruption="gap") as log:
        assert len(log.recovery.damage) == 1000
        assert seen(log) == ["0", "1", "2"]


# Where a segment stops.


def test_how_much_was_read() -> None:
    """What opening has cost, to the byte; an end that is zeros is not read."""
    first, second = written("0", "1"), Forged(2)
    first.rolled()
    second.message(2, "2")
    with open_image(forged_log(first, second)) as log:
        assert log.recovery.scanned_bytes == first.end + second.end - 2 * SEGMENT_HEADER_BYTES
        assert not log.recovery.torn


def test_how_much_was_read_around_damage() -> None:
    segment = written("0", "1", "2")
    damaged = segment.message(3, "3")
    behind = segment.message(4, "4")
    segment.message(5, "5", mark=segment.mark)
    segment.flip(damaged + HEADER_BYTES)
    folder = forged_log(segment)
    error = refused(folder)
    assert (error.start, error.stop) == (damaged, behind)
    assert (error.channel, error.first_offset, error.stop_offset) == ("a", 3, 4)
    with open_image(folder, on_corruption="gap") as log:
        assert damages(log) == [(damaged, behind, "a", 3, 4)]
        assert log.recovery.scanned_bytes == segment.end - SEGMENT_HEADER_BYTES - (behind - damaged)
        assert seen(log) == ["0", "1", "2", ("gap", 3, 1), "4", "5"]


def test_nothing_follows_the_record_that_ends_a_segment() -> None:
    """Whatever lies there is no part of the log, and is neither read nor told of."""
    first, second = written("0"), Forged(2)
    first.rolled()
    end = first.end
    first.message(1, "never written by the log")
    second.message(1, "1", mark=second.mark)
    with open_image(forged_log(first, second)) as log:
        assert seen(log) == ["0", "1"]
        assert log._store.segments[0].tail == end


def test_a_segment_that_nothing_ends() -> None:
    """Zeros end the last segment alone. In front of another one a record is missing there: that
    is a torn tail, or damage if the other says that all of this was durable."""
    for mark, end in (((1 << 32) + 1, None), (2 << 32, "gap")):
        first, second = written("0", "1"), Forged(2)
        second.message(2, "2", mark=mark)
        folder = forged_log(first, second)
        if end is None:
            with open_image(folder) as log:
                assert seen(log) == ["0", "1"]
                assert torn(log) == [(0, second.end)]
                assert log.channel("a").publish("new") == 2
        else:
            error = refused(folder)
            assert (error.start, error.stop) == (first.end, first.end + HEADER_BYTES)
            with open_image(folder, on_corruption="gap") as log:
                assert damages(log) == [(first.end, first.end + HEADER_BYTES, None, None, None)]
                assert seen(log) == ["0", "1", "2"]
                assert log._store.segments[0].tail == first.end + HEADER_BYTES


# Batches that were written in the wrong place.


def test_a_batch_that_speaks_of_what_comes_behind_it() -> None:
    """Nothing can have been durable that was not yet written: a sector of another place was
    written here, and what it holds is read where it belongs."""
    segment = written("0")
    wrong = segment.message(1, "not 1", mark=0)
    behind = segment.message(2, "2")
    segment.message(3, "3", mark=segment.mark)
    end = segment.end
    # The same, but of a time when all of this was durable.
    honest = bytes(segment.content)
    segment.content = segment.content[:wrong]
    segment.message(1, "not 1", mark=1 << 32 | wrong + 1)
    segment.content += honest[behind:]
    folder = forged_log(segment)
    assert segment.end == end
    error = refused(folder)
    assert (error.start, error.stop) == (wrong, behind)
    with open_image(folder, on_corruption="gap") as log:
        assert damages(log) == [(wrong, behind, "a", 1, 2)]
        assert seen(log) == ["0", ("gap", 1, 1), "2", "3"]


def test_a_batch_may_speak_of_all_that_is_before_it() -> None:
    segment = written("0")
    segment.message(1, "1", mark=segment.mark)
    segment.message(2, "2", mark=segment.mark)
    with open_image(forged_log(segment)) as log:
        assert seen(log) == ["0", "1", "2"]
        assert not log.recovery.damage


def test_a_batch_that_was_written_twice() -> None:
    """Two sectors of a segment were swapped, or one written over another. Behind damage, messages
    that their channel has already are told as damage; where they took its place, readers would be
    given them twice."""
    segment = written("0", "1")
    damaged = segment.message(2, "2")
    twice = segment.message(1, "1")
    third = segment.message(3, "3")
    segment.message(4, "4", mark=segment.mark)
    segment.flip(damaged + HEADER_BYTES)
    folder = forged_log(segment)
    assert refused(folder).start == damaged
    with open_image(folder, on_corruption="gap") as log:
        assert damages(log) == [(damaged, twice, "a", 2, 3), (twice, third, "a", 1, 2)]
        assert seen(log) == ["0", "1", ("gap", 2, 1), "3", "4"]
        assert twice not in log._store.segments[0].positions(1)


def test_a_frame_that_was_written_twice() -> None:
    """Its messages are there already, in the middle of what their channel has: each counts once."""
    segment, inner = written("0"), Forged()
    inner.message(1, "1")
    inner.message(2, "2")
    segment.frame(inner)
    segment.message(3, "3")
    damaged = segment.message(4, "4")
    segment.frame(inner)
    segment.message(5, "5", mark=segment.mark)
    segment.flip(damaged + HEADER_BYTES)
    with open_image(forged_log(segment), on_corruption="gap") as log:
        assert seen(log) == ["0", "1", "2", "3", ("gap", 4, 1), "5"]


def test_a_record_that_ends_a_segment_in_the_wrong_place() -> None:
    """It says where it belongs. All behind it was taken for unwritten."""
    segment = written("0")
    wrong = segment.rolled(base=1 << 32 | 2000)
    behind = segment.message(1, "1")
    segment.message(2, "2", mark=segment.mark)
    folder = forged_log(segment)
    error = refused(folder)
    assert (error.start, error.stop) == (wrong, behind)
    with open_image(folder, on_corruption="gap") as log:
        assert damages(log) == [(wrong, behind, None, None, None)]
        assert seen(log) == ["0", "1", "2"]
    right = written("0")
    right.rolled(base=right.mark)
    with open_image(forged_log(right)) as log:
        assert seen(log) == ["0"]
        assert log._store.segments[0].tail == right.end


def test_a_batch_inside_of_another() -> None:
    """The same where many messages are one batch: the second begins at none of its ends."""
    segment = Forged()
    segment.created("a")
    segment.batch(MESSAGES, pack(["0", "1", "2"]), base=0, count=3)
    damaged = segment.message(3, "3")
    inside = segment.message(1, "1")
    behind = segment.message(4, "4")
    segment.created("b", channel=2, mark=segment.mark)
    segment.flip(damaged + HEADER_BYTES)
    with open_image(forged_log(segment), on_corruption="gap") as log:
        assert damages(log)[-1] == (inside, behind, "a", 1, 2)
        assert seen(log) == ["0", "1", "2", ("gap", 3, 1), "4"]


def test_channels_and_records_behind_damage() -> None:
    """A channel whose first message lies behind the damage, and records that have no offsets, are
    taken as they are."""
    segment = written("0")
    damaged = segment.message(1, "1")
    behind = segment.created("b", channel=2)
    segment.message(0, "b0", channel=2)
    segment.batch(ENDED, b"", channel=2, base=1)
    segment.message(2, "2", mark=segment.mark)
    segment.flip(damaged + HEADER_BYTES)
    with open_image(forged_log(segment), on_corruption="gap") as log:
        assert damages(log) == [(damaged, behind, "a", 1, 2)]
        assert seen(log) == ["0", ("gap", 1, 1), "2"]
        assert seen(log, "b") == ["b0"]
        assert log.channel("b").info().ended


def test_the_messages_of_a_channel_whose_name_is_lost() -> None:
    """The record that made it is damaged. What was published is read under a name that says so,
    from the first message that is left."""
    segment = Forged()
    damaged = segment.created("a")
    first = segment.message(0, "0")
    second = segment.message(1, "1")
    segment.message(2, "2", mark=segment.mark)
    segment.flip(damaged + HEADER_BYTES)
    for lost, left in ((damaged, ["0", "1", "2"]), (first, [("gap", 0, 1), "1", "2"])):
        if lost != damaged:
            segment.flip(lost + HEADER_BYTES)
        with open_image(forged_log(segment), on_corruption="gap") as log:
            assert list(log.channels()) == ["unnamed-1"]
            assert seen(log, "unnamed-1") == left
            assert damages(log)[-1][1] == (first if lost == damaged else second)


def test_a_record_of_nonsense() -> None:
    """Its checksums are right. It is told as damage of just this record, and no more is lost."""
    segment = written("0")
    wrong = segment.batch(CREATED, b"\xc0", channel=2)
    behind = segment.message(1, "1")
    folder = forged_log(segment)
    error = refused(folder)
    assert (error.start, error.stop, error.channel) == (wrong, behind, None)
    with open_image(folder, on_corruption="gap") as log:
        assert damages(log) == [(wrong, behind, None, None, None)]
        assert seen(log) == ["0", "1"]


def test_the_time_of_a_log_is_that_of_its_newest_batch() -> None:
    """Messages are given no earlier time than those before them, though the clock went back."""
    segment = Forged()
    segment.created("a")
    segment.message(0, "0", time_ns=START_NS + 10**15)
    segment.message(1, "1", time_ns=START_NS + 10**15 - 1)
    with open_image(forged_log(segment)) as log:
        log.channel("a").publish("2")
        assert next(iter(log.channel("a").replay(2))).time_ns == START_NS + 10**15


# Frames.


def framed() -> tuple[Forged, int, int, int]:
    """A frame of three messages: the segment, where the frame is, its second, its third."""
    segment, inner = written("0"), Forged()
    places = [inner.message(base, str(base)) - SEGMENT_HEADER_BYTES for base in (1, 2, 3)]
    at = segment.frame(inner)
    first = at + HEADER_BYTES
    return segment, at, first + places[1], first + places[2]


def test_a_frame_whose_content_is_damaged() -> None:
    """What is right inside of it is read; only what is not is told."""
    segment, _, second, third = framed()
    segment.message(4, "4", mark=segment.mark)
    segment.flip(second + HEADER_BYTES)
    folder = forged_log(segment)
    error = refused(folder)
    assert (error.start, error.stop, error.first_offset) == (second, third, 2)
    with open_image(folder, on_corruption="gap") as log:
        assert damages(log) == [(second, third, "a", 2, 3)]
        assert seen(log) == ["0", "1", ("gap", 2, 1), "3", "4"]


def test_a_frame_at_the_tail_is_torn_as_a_whole() -> None:
    segment, at, second, _ = framed()
    segment.flip(second + HEADER_BYTES)
    with open_image(forged_log(segment)) as log:
        assert torn(log) == [(at, segment.end)]
        assert seen(log) == ["0"]


# Damage with nothing behind it.


def test_damage_up_to_the_end_of_a_segment() -> None:
    """No batch follows: what is not zero is damaged, and where all is zero one batch at least."""
    for kept in (20, HEADER_BYTES + 5):
        first, second = written("0"), Forged(2)
        at = first.message(1, "1" * 30)
        end = first.end
        first.zero(at, end)
        first.content[at + kept - 1] = 1
        second.message(2, "2", mark=second.mark)
        folder = forged_log(first, second)
        with open_image(folder, on_corruption="gap") as log:
            stop = at + max(kept, HEADER_BYTES)
            assert damages(log) == [(at, stop, None, None, None)]
            assert log._store.segments[0].tail == stop
            assert seen(log) == ["0", ("gap", 1, 1), "2"]


def test_damage_up_to_the_mark() -> None:
    """In the segment that the mark lies in, all below it is missing, though the file is shorter or
    zero there; and what is behind the mark as well, as long as it is not zero."""
    for kept, cut in ((20, 0), (200, 0), (20, 50)):
        first, second = written("0"), Forged(2)
        at = first.end
        first.content += bytes(kept - 1) + b"\1"
        second.message(2, "2", mark=1 << 32 | at + 100)
        folder = forged_log(first, second)
        if cut:
            folder.open(first.name, writable=True).truncate(at + cut)
        with open_image(folder, on_corruption="gap") as log:
            stop = at + max(kept, 100)
            assert damages(log) == [(at, stop, None, None, None)]
            assert log._store.segments[0].tail == (at + cut if cut else stop)
            assert seen(log) == ["0", ("gap", 1, 1), "2"]


def test_offsets_of_damaged_messages_are_not_given_out_again() -> None:
    """Also if nothing of the channel follows; and a batch that is there twice gives out none."""
    segment = written("0")
    damaged = segment.message(1, "1")
    behind = segment.created("b", channel=2, mark=segment.mark)
    segment.flip(damaged + HEADER_BYTES)
    folder = forged_log(segment)
    error = refused(folder)
    assert f"bytes {damaged} to {behind}, channel 'a': " in str(error)
    assert (error.channel, error.first_offset, error.stop_offset) == ("a", 1, 2)
    with open_image(folder, on_corruption="gap") as log:
        assert log.channel("a").info().end_offset == 2
        assert seen(log) == ["0", ("gap", 1, 1)]
        log.compact()
    with open_image(folder, on_corruption="gap") as log:
        assert log.channel("a").publish("2") == 2
    segment = written("0", "1")
    damaged = segment.message(0, "0")
    segment.created("b", channel=2, mark=segment.mark)
    segment.flip(damaged + HEADER_BYTES)
    with open_image(forged_log(segment), on_corruption="gap") as log:
        assert log.channel("a").info().end_offset == 2
        assert seen(log) == ["0", "1"]


def test_a_damaged_length_does_not_lead_past_a_record() -> None:
    """Compaction steps from message to message by what their headers say, and where one is damaged
    it left out the record behind it: the channel had lost its name once the catalog was gone."""
    segment = written("0")
    damaged = segment.message(1, "1")
    record = segment.created("b", channel=2)
    behind = segment.message(0, "b0", channel=2)
    segment.message(2, "2", mark=segment.mark)
    assert record - damaged < 256 > behind - record
    segment.content[damaged + 8] += behind - record
    folder = forged_log(segment)
    for _ in range(2):
        with open_image(folder, on_corruption="gap") as log:
            assert sorted(log.channels()) == ["a", "b"]
            assert seen(log, "b") == ["b0"]
            log.compact()
        folder.remove("catalog")


def test_damage_behind_the_catalog(tmp_path: Path) -> None:
    """The catalog knew the channel up to its last message but one; the last was damaged, and what
    opening had learned of its offset was forgotten at once: it was given out again."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.channel("a").publish("0")
    log = open_log(path)
    log.channel("a").publish("1")
    log.sync()
    log.channel("b").publish("what was durable")
    shutil.copytree(path, tmp_path / "copy")
    log.close()
    raw = tmp_path / "copy" / "0000000001.log"
    content = raw.read_bytes()
    place = content.index(pack("1"), content.index(pack("0")) + HEADER_BYTES)
    raw.write_bytes(content[:place] + b"\0" + content[place + 1 :])
    with open_log(tmp_path / "copy", on_corruption="gap") as log:
        gc.collect()
        assert log.channel("a").info().end_offset == 2
        assert log.channel("a").publish("2") == 2
        assert seen(log) == ["0", ("gap", 1, 1), "2"]


# Tails.


def cuts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where files are cut from now on."""
    found: list[int] = []
    truncate = MemoryFile.truncate

    def noting(file: MemoryFile, size: int) -> None:
        if size < file.size():
            found.append(size)
        truncate(file, size)

    monkeypatch.setattr(MemoryFile, "truncate", noting)
    return found


def test_a_segment_that_ends_in_zeros_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its room is reserved already, and whoever opens after a crash would wait for the disk."""
    segment = written("0", "1")
    folder = forged_log(segment)
    found = cuts(monkeypatch)
    with open_image(folder, segment_bytes=1 << 16) as log:
        assert found == []
        assert log.recovery.torn == []
        assert log._store.active.tail == segment.end


def test_a_tail_is_kept_aside_and_zeros_are_left() -> None:
    """A batch whose end was never written: as much is kept as its header says, and where it was
    are zeros up to the old end, so that nothing of it can follow what is written next."""
    segment = written("0")
    at = segment.message(1, "1" * 30)
    segment.zero(segment.end - 10, segment.end)
    folder = forged_log(segment, room=1 << 16)
    with open_image(folder, segment_bytes=1 << 16) as log:
        (kept,) = log.recovery.torn
        assert (kept.start, kept.stop, kept.path) == (at, segment.end, None)
        assert not log.recovery.clean
        assert log._store.active.tail == at
        left = folder.open(segment.name, writable=False)
        assert left.size() == 1 << 16
        assert left.read(at, 1 << 16).strip(b"\0") == b""
    aside = folder.open(f"{segment.name}.torn-{at}", writable=False)
    assert aside.read(0, ROOM) == bytes(segment.content[at:])


def test_all_segments_behind_a_torn_tail_go_with_it() -> None:
    """Each of them is kept aside, and none is left for the next opening to go on in."""
    first, second, third = written("0"), Forged(2), Forged(3)
    at = first.message(1, "1")
    first.zero(first.end - 1, first.end)
    second.message(2, "2")
    third.message(3, "3")
    folder = forged_log(first, second, third)
    with open_image(folder) as log:
        assert torn(log) == [(at, first.end), (0, second.end), (0, third.end)]
        assert [segment.first for segment in log._store.segments] == [1]
        assert seen(log) == ["0"]
    assert not {second.name, third.name} & set(folder.names())


def test_what_was_created_and_never_written_is_not_kept() -> None:
    """A segment of which only the header came to the disk, behind one that nothing ends."""
    first, second = written("0"), Forged(2)
    folder = forged_log(first, second)
    with open_image(folder) as log:
        assert log.recovery.torn == []
        assert not log.recovery.clean
        assert seen(log) == ["0"]
        assert log.channel("a").publish("1") == 1
        assert not [name for name in folder.names() if "torn" in name]


def test_a_tail_that_was_kept_before_is_not_kept_twice() -> None:
    """The last opening died when it had kept the tail and not cut it yet. A copy that is not the
    same in length, or anywhere in it, stays beside another."""
    segment = written("0")
    at = segment.message(1, "1" * 3_000_000)
    segment.zero(segment.end - 10, segment.end)
    whole = bytes(segment.content[at:])
    name = f"{segment.name}.torn-{at}"
    room = 1 << 22
    early, late = bytearray(whole), bytearray(whole)
    early[100] ^= 1
    late[2_500_000] ^= 1
    for before, names in (
        (whole, [name]),
        (whole[:-1], [name, f"{name}.1"]),
        (whole + b"x", [name, f"{name}.1"]),
        (bytes(early), [name, f"{name}.1"]),
        (bytes(late), [name, f"{name}.1"]),
    ):
        folder = forged_log(segment, room=room)
        folder.create(name).write(0, before)
        with open_image(folder, segment_bytes=room) as log:
            assert len(log.recovery.torn) == 1
        assert [found for found in folder.names() if "torn" in found] == names
        assert folder.open(names[0], writable=False).read(0, room) == before
        assert folder.open(names[-1], writable=False).read(0, room) == whole


def test_a_tail_is_durable_aside_before_it_is_cut(tmp_path: Path) -> None:
    """Power may go at any moment of it, also when the copy is of an opening before."""
    path = tmp_path / "log"
    log = open_log(path)
    log.channel("a").publish_many(["0", "1"])
    shutil.copytree(path, tmp_path / "torn")
    log.close()
    path = tmp_path / "torn"
    raw = path / "0000000001.log"
    content = raw.read_bytes()
    tail = len(content.rstrip(b"\0"))
    raw.write_bytes(content[: tail - 2].ljust(len(content), b"\0"))
    aside = f"{raw.name}.torn-64"
    for number in range(2):
        recorder = Recorder(path, tmp_path / f"images-{number}")
        shutil.copytree(path, tmp_path / f"again-{number}")
        recorder.recording = True
        with open_log(path, host=recorder.host()) as log:
            assert log.recovery.torn[0].kept_as == path / aside
        calls = [call for call, _ in recorder.calls]
        cut = calls.index(f"truncate {raw.name}")
        if number == 0:
            kept = [call for call in calls[:cut] if aside in call or call == "sync folder"]
            temporary = kept[0].removeprefix("create ")
            assert kept[-4:] == [
                f"write {temporary}", f"sync {temporary}", f"rename {temporary} {aside}",
                "sync folder",
            ]  # fmt: skip
        else:
            assert calls[cut - 1] == "sync folder"
            assert not any(aside in call for call in calls)
        # The same again, but for what is kept: as if the opening had died before it cut.
        raw.write_bytes((tmp_path / f"again-{number}" / raw.name).read_bytes())
        (path / "catalog").unlink(missing_ok=True)


# Clustered segments that no catalog knows.


def clustered_log() -> tuple[ForgedClustered, Forged, int, int]:
    """A clustered segment with two channels, and one behind it; the record of each channel."""
    clustered, raw = ForgedClustered(), Forged(2)
    one = clustered.created("a")
    two = clustered.created("b", channel=2)
    clustered.channel(1, 0, "0", "1")
    clustered.channel(2, 0, "b0", time_ns=START_NS + 10**15)
    raw.message(2, "2")
    return clustered.finish(), raw, one, two


def test_a_damaged_record_of_a_clustered_segment() -> None:
    """All other records and all messages of it are read, its channel under another name."""
    clustered, raw, one, two = clustered_log()
    clustered.flip(one + HEADER_BYTES)
    folder = forged_log(clustered, raw)
    error = refused(folder)
    assert (error.start, error.stop) == (one, two)
    with open_image(folder, on_corruption="gap") as log:
        assert damages(log) == [(one, two, None, None, None)]
        assert not log.recovery.clean
        assert sorted(log.channels()) == ["b", "unnamed-1"]
        assert seen(log, "unnamed-1") == ["0", "1", "2"]
        assert seen(log, "b") == ["b0"]
        assert log.channel("b").publish("b1") == 1


def test_a_record_of_nonsense_in_a_clustered_segment() -> None:
    clustered, raw = ForgedClustered(), Forged(2)
    wrong = clustered.batch(CREATED, b"\xc0", channel=2, time_ns=START_NS + 10**15)
    behind = clustered.created("a")
    clustered.channel(1, 0, "0", "1")
    raw.message(2, "2")
    folder = forged_log(clustered.finish(), raw)
    error = refused(folder)
    assert (error.start, error.stop) == (wrong, behind)
    with open_image(folder, on_corruption="gap") as log:
        assert damages(log) == [(wrong, behind, None, None, None)]
        assert seen(log) == ["0", "1", "2"]
        log.channel("a").publish("3")
        # Its time counts all the same.
        assert next(iter(log.channel("a").replay(3))).time_ns >= START_NS + 10**15


def test_an_index_that_is_made_anew() -> None:
    """Its batches tell all that it did; that it was damaged is told of the whole file."""
    clustered, raw, _, _ = clustered_log()
    clustered.flip(clustered.end - 10)
    folder = forged_log(clustered, raw)
    assert refused(folder).path is None
    with open_image(folder, on_corruption="gap") as log:
        assert damages(log) == [(0, clustered.end, None, None, None)]
        assert seen(log) == ["0", "1", "2"]
        assert seen(log, "b") == ["b0"]


def test_a_clustered_segment_that_is_newer_than_the_catalog(tmp_path: Path) -> None:
    """The process died between the two. What the segment tells of a channel that the catalog knew
    was forgotten at once, and its last messages could not be seen."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.channel("a").publish("0")
    before = (path / "catalog").read_bytes()
    with open_log(path) as log:
        log.channel("a").publish("1")
        log.compact()
    (path / "catalog").write_bytes(before)
    with open_log(path) as log:
        gc.collect()
        assert log.channel("a").info().end_offset == 2
        assert seen(log) == ["0", "1"]


def test_times_and_ends_of_a_clustered_segment() -> None:
    """What its index says of a channel holds before a message of it is read."""
    clustered, raw, _, _ = clustered_log()
    with open_image(forged_log(clustered, raw)) as log:
        info = log.channel("b").info()
        assert (info.end_offset, info.ended) == (1, False)
        log.channel("a").publish("3")
        assert next(iter(log.channel("a").replay(3))).time_ns >= START_NS + 10**15


def test_messages_of_a_channel_that_is_gone() -> None:
    """What told of the channel was dropped with it, and compaction has not come to its messages in
    another file. They are passed over, and only their time is not."""
    clustered, raw = ForgedClustered(), Forged(2)
    clustered.created("a")
    clustered.channel(1, 0, "0", "1")
    clustered.channel(2, 0, "of nobody", time_ns=START_NS + 10**15)
    raw.message(2, "2")
    with open_image(forged_log(clustered.finish(), raw)) as log:
        assert log.recovery.damage == []
        assert list(log.channels()) == ["a"]
        assert seen(log) == ["0", "1", "2"]
        log.channel("b").publish("new")
        assert next(iter(log.channel("b").replay())).time_ns == START_NS + 10**15

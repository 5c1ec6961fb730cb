"""Going on without what is damaged: readers see a gap there, and upkeep forgets nothing for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import chanlog
from chanlog.storage.maintenance import maintain
from chanlog.storage.reading import Reader

from ..support import datas, drain, offsets
from .worlds import files_of, open_log

RAW = "0000000001.log"
SEALED = "0000000001-0000000001.seg"
COUNT = 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def payload(number: int) -> str:
    """So large that each is a batch of its own, also when clustered."""
    return f"message-{number}." * 2500


def write(path: Path, *, clustered: bool = False, **options: Any) -> None:
    with open_log(path, segment_bytes=1 << 20, **options) as log:
        for number in range(COUNT):
            log.channel("a").publish(payload(number), type="odd" if number % 2 else "even")
            log.channel("b").publish(number)
        if clustered:
            log.compact()


def damage(path: Path, name: str, *numbers: int, header: bool = False) -> None:
    """Damage the batches that hold these messages of ``a``, or only their headers."""
    content = bytearray((path / name).read_bytes())
    for number in numbers:
        place = content.index(f"message-{number}.".encode())
        # The text is packed behind 3 bytes of its own and 48 of the batch.
        content[place - 3 - 48 + 20 if header else place + 100] ^= 1
    (path / name).write_bytes(bytes(content))


def shown(log: Any, start: int | None = None) -> list[Any]:
    """What a replay shows: numbers, and how many are missing where some are."""
    return [
        -message.missing if isinstance(message, chanlog.Gap) else int(message.data[8])
        for message in log.channel("a").replay(start)
    ]


def gapped(path: Path) -> Any:
    return open_log(path, segment_bytes=1 << 20, on_corruption="gap")


@pytest.fixture(params=[RAW, SEALED])
def name(request: pytest.FixtureRequest, path: Path) -> str:
    """A closed log, and the file of it that has the messages."""
    write(path, clustered=request.param == SEALED)
    return str(request.param)


def test_reading_from_behind_a_gap(path, name):
    """Whatever lies in front of where one begins, what follows is there."""
    damage(path, name, 0, 2)
    with gapped(path) as log:
        assert shown(log) == [-1, 1, -1, 3, 4]
        for start, expected in ((1, [1, -1, 3, 4]), (2, [-1, 3, 4]), (3, [3, 4]), (4, [4])):
            assert shown(log, start) == expected
        with log.channel("a").subscribe(after=2) as reader:
            assert offsets(drain(reader)) == [3, 4]
            reader.seek(1)
            assert offsets(drain(reader)) == [1, 2, 3, 4]


def test_a_header_that_is_damaged(path, name):
    """What follows in a raw segment is found through the catalog, in a clustered one by looking
    for it: the length in the damaged header leads nowhere."""
    damage(path, name, 2, header=True)
    with gapped(path) as log:
        assert shown(log) == [0, 1, -1, 3, 4]
        assert shown(log, 4) == [4]
        assert log.channel("a").publish(payload(5)) == 5
        assert shown(log, 5) == [5]


def test_a_filter_lets_gaps_pass(path, name):
    """What was lost may have been what somebody waits for."""
    damage(path, name, 2)
    with gapped(path) as log, log.channel("a").subscribe(types={"odd"}) as reader:
        found = drain(reader)
        assert [type(message) for message in found] == [
            chanlog.Message, chanlog.Gap, chanlog.Message,
        ]  # fmt: skip
        assert offsets(found) == [1, 2, 3]


def test_a_gap_has_no_data(path, name):
    """``data()`` has no way to show it, and does not leave it out."""
    damage(path, name, 2)
    with gapped(path) as log:
        found = log.channel("a").replay().data()
        assert [next(found), next(found)] == [payload(0), payload(1)]
        with pytest.raises(chanlog.CorruptionError) as caught:
            next(found)
        error = caught.value
        assert (error.channel, error.first_offset, error.stop_offset) == ("a", 2, 3)


def test_a_cursor_goes_on_behind_a_gap(path, name):
    damage(path, name, 1, 2)
    with gapped(path) as log, log.channel("a").cursor("c") as cursor:
        for message in drain(cursor):
            cursor.commit(message)
            expected = message.offset + getattr(message, "missing", 1)
            assert cursor.position() == expected
        assert cursor.position() == COUNT


def test_a_gap_at_the_end_has_no_time(path, name):
    """A gap is as old as what follows it. Where nothing does, nothing is younger."""
    damage(path, name, 3, 4)
    with gapped(path) as log:
        channel = log.channel("a")
        last = next(iter(channel.replay(2, 3))).time_ns
        assert drain(channel.subscribe(since=last))[0].offset == 2
        assert [m.offset for m in drain(channel.subscribe(since=last + 1))] in ([3, 4], [3])
        assert drain(channel.subscribe(since=last + (1 << 40))) in ([], drain(
            channel.subscribe(after=2)
        ))  # fmt: skip


def test_a_gap_that_was_clustered(path):
    """Compaction left the damaged batch out, and only the offsets tell that something is
    missing between two batches."""
    write(path)
    damage(path, RAW, 2)
    with gapped(path) as log:
        log.compact()
        assert (path / SEALED).exists()
        assert shown(log) == [0, 1, -1, 3, 4]
        assert shown(log, 2) == [-1, 3, 4]
    with open_log(path) as log:
        assert shown(log) == [0, 1, -1, 3, 4]
        assert log.recovery.clean


@pytest.mark.parametrize("retention", ["count", "bytes", "age"])
def test_retention_forgets_nothing_for_what_is_damaged(path, name, retention, clock):
    """Whoever reads it is told; and of what is damaged nobody knows how large or old it is."""
    damage(path, name, 1)
    limits = {"count": {"count": 3}, "bytes": {"bytes": 1 << 30}, "age": {"age": 10**9}}
    with open_log(path, segment_bytes=1 << 20) as log:
        log.channel("a").configure(chanlog.Retention(**limits[retention]))
        maintain(log._store)
        start = 2 if retention == "count" else 0
        assert log.channel("a").info().start_offset == start
        assert log.channel("a").info().end_offset == COUNT
        assert len(list(log.channel("b").replay())) == COUNT


def test_the_size_of_what_is_damaged_is_not_counted(path, name):
    damage(path, name, 3, header=name == RAW)
    with gapped(path) as log:
        log.channel("a").configure(chanlog.Retention(bytes=2 * len(payload(0))))
        maintain(log._store)
        assert log.channel("a").info().start_offset <= 2


def test_a_length_that_leads_astray_in_a_clustered_segment(path):
    """Rewritten for what has died in it, a segment is walked by lengths that nobody had verified:
    one that points out of the channel's stretch leads to what follows all the same."""
    write(path, clustered=True)
    content = bytearray((path / SEALED).read_bytes())
    place = content.index(b"message-3.") - 3 - 48
    content[place + 8 : place + 12] = (1 << 30).to_bytes(4, "little")
    (path / SEALED).write_bytes(bytes(content))
    with gapped(path) as log:
        log.channel("a").trim(2)
        log.compact()
        assert shown(log) == [2, -1, 4]
    (problem,) = chanlog.verify(path).problems
    assert problem.text == "offsets 3 to 4 of 'a' are missing"


def test_a_clustered_segment_that_is_cut_short(path):
    """Even to less than a header: the error says which file it is, and looking at it maps
    nothing."""
    write(path, clustered=True)
    whole = (path / SEALED).read_bytes()
    for length in (0, 10, 63, 64, 1000, len(whole) - 1):
        (path / SEALED).write_bytes(whole[:length])
        with open_log(path) as log:
            with pytest.raises(chanlog.CorruptionError) as caught:
                list(log.channel("a").replay())
            assert caught.value.path == path / SEALED
            with pytest.raises(chanlog.CorruptionError):
                log.compact()
    (path / SEALED).write_bytes(whole[:64])
    with gapped(path) as log:
        assert shown(log) == [-COUNT]
        # The others are kept up though this one is not.
        log.channel("later").publish("x")
        log._store.roll()
        maintain(log._store)
        assert len(list(path.glob("*.log"))) == 1


def test_a_fork_whose_parent_is_lost(path):
    """The parent's record and its messages were damaged, and the catalog is gone: the fork has a
    gap there, and its own messages behind it."""
    with open_log(path) as log:
        parent = log.channel("parent")
        parent.publish("of the parent")
        fork = parent.fork("fork", at=1)
        fork.publish("of the fork", durable=True)
        log.channel("mark").publish("x")
    os.remove(path / "catalog")
    content = bytearray((path / RAW).read_bytes())
    # The frame that made the parent ends with its first message.
    content[64 + 20] ^= 1
    start = content.index(b"\xa6parent")
    content[start] ^= 1
    content[content.index(b"of the parent")] ^= 1
    (path / RAW).write_bytes(bytes(content))
    with gapped(path) as log:
        assert list(log.channels()) == ["fork", "mark"]
        (gap, message) = list(log.channel("fork").replay())
        assert (gap.offset, gap.missing, message.data) == (0, 1, "of the fork")


def test_messages_of_a_channel_that_nobody_knows(path):
    """The record of a channel is damaged and so is its message: what is said of it cannot name
    the channel, and has at least the offsets."""
    with open_log(path) as log:
        log.channel("a").configure(chanlog.Retention(count=9))
        log.channel("b").publish("x")
        log.channel("a").publish("message", durable=True)
        log.channel("b").publish("y")
    os.remove(path / "catalog")
    content = bytearray((path / RAW).read_bytes())
    content[content.index(b"\x94\xa1a")] ^= 1
    content[content.index(b"message")] ^= 1
    (path / RAW).write_bytes(bytes(content))
    with gapped(path) as log:
        last = log.recovery.damage[-1]
        assert (last.channel, last.first_offset, last.stop_offset) == (None, 0, 1)
        assert list(log.channels()) == ["b"]
        assert datas(log.channel("b").replay()) == ["x", "y"]


def test_a_name_for_what_lost_its_own(path):
    """A channel whose record is damaged is called by its number, unless somebody has that name:
    then its messages are reported as damage and nobody's are mixed with them."""
    with open_log(path) as log:
        log.channel("unnamed-2").publish("mine")
        log.channel("lost").publish("first")
        log.channel("lost").publish("second", durable=True)
        log.channel("mark").publish("x")
    os.remove(path / "catalog")
    content = bytearray((path / RAW).read_bytes())
    content[content.index(b"\xa4lost") + 2] ^= 1
    (path / RAW).write_bytes(bytes(content))
    with gapped(path) as log:
        assert list(log.channels()) == ["mark", "unnamed-2"]
        assert datas(log.channel("unnamed-2").replay()) == ["mine"]
        assert log.recovery.damage


def test_the_end_of_a_segment_that_is_damaged(path):
    """The record that ends a segment is durable when the next one is written to and synced."""
    with open_log(path) as log:
        log.channel("a").publish("first")
        log._store.roll()
        log.channel("a").publish("second")
        log.sync()
        log.channel("a").publish("the mark")
        tail = log._store.segments[0].tail
    os.remove(path / "catalog")
    content = bytearray((path / RAW).read_bytes())
    content[tail - 48] ^= 1
    (path / RAW).write_bytes(bytes(content))
    with pytest.raises(chanlog.CorruptionError) as caught:
        open_log(path)
    assert caught.value.path == path / RAW
    assert tail - 48 == caught.value.start < caught.value.stop <= tail
    with gapped(path) as log:
        assert datas(log.channel("a").replay()) == ["first", "second", "the mark"]


def test_a_reader_that_gets_nowhere_says_so(path, monkeypatch):
    """Whether an index contradicts its batches or chanlog has an error of its own: neither must
    become a loop for ever."""
    with open_log(path) as log:
        log.channel("a").publish("x")
        monkeypatch.setattr(Reader, "_take", lambda *_: None)
        with pytest.raises(chanlog.CorruptionError, match="contradicts itself") as raised:
            list(log.channel("a").replay())
        assert (raised.value.channel, raised.value.first_offset) == ("a", 0)


def test_sizes_of_the_oldest_segments_with_a_deleted_channel(path):
    """Forgetting the oldest passes over channels that are gone, also those that live on for their
    forks."""
    with open_log(path, log_bytes_max=1 << 17) as log:
        parent = log.channel("parent")
        parent.publish("inherited")
        fork = parent.fork("fork")
        log.channel("gone").publish("x")
        parent.delete()
        log.channel("gone").delete()
        for number in range(40):
            log.channel("a").publish([number, "x" * 10_000])
        maintain(log._store)
        kept = [data[0] for data in datas(log.channel("a").replay())]
        assert kept == list(range(kept[0], 40))
        assert 0 < kept[0] < 35
        assert fork.info().end_offset == 1


def test_what_is_new_is_read_without_what_is_old(path):
    """Behind a reopening the catalog knows where the old batches are; whoever reads only new ones
    need not have them verified, and is not stopped by damage in them."""
    write(path)
    damage(path, RAW, 1, header=True)
    with open_log(path, segment_bytes=1 << 20) as log:
        assert log.channel("a").publish(payload(5)) == 5
        assert shown(log, 5) == [5]
        with pytest.raises(chanlog.CorruptionError):
            shown(log)


def test_a_segment_of_which_nothing_can_be_read(path):
    """Its numbers are known from its neighbours, so it is damage and not a gap in the numbers."""
    with open_log(path) as log:
        for number in range(3):
            log.channel("a").publish(number, durable=True)
            log._store.roll()
        log.channel("b").publish("x", durable=True)
        log.channel("b").publish("the mark")
    os.remove(path / "catalog")
    size = (path / "0000000002.log").stat().st_size
    (path / "0000000002.log").write_bytes(b"?" * size)
    with pytest.raises(chanlog.CorruptionError) as caught:
        open_log(path)
    assert caught.value.path == path / "0000000002.log"
    with gapped(path) as log:
        assert [m.offset for m in log.channel("a").replay()] == [0, 1, 2]
        assert isinstance(list(log.channel("a").replay())[1], chanlog.Gap)
        assert datas(log.channel("b").replay()) == ["x", "the mark"]
        assert {damage.path for damage in log.recovery.damage} == {path / "0000000002.log"}
        found = [(damage.start, damage.stop) for damage in log.recovery.damage]
        assert found == [(0, 64), (64, size)]


def test_an_active_segment_of_which_nothing_can_be_read(path):
    """The log went on in it, in batches without a salt, which no opening finds: what was synced
    was lost in the next crash. What is left of it stays as it is, and another one is begun."""
    with open_log(path) as log:
        log.channel("a").publish("first", durable=True)
        log._store.roll()
        log.channel("a").publish("second", durable=True)
    content = b"?" * (path / "0000000002.log").stat().st_size
    (path / "0000000002.log").write_bytes(content)
    with pytest.raises(chanlog.CorruptionError):
        open_log(path)
    with gapped(path) as log:
        end = log.channel("a").publish("next", durable=True) + 1
        crashed = files_of(path)
    for name, left in crashed.items():
        (path / name).write_bytes(left)
    with gapped(path) as log:
        assert list(log.channel("a").replay())[-1].data == "next"
        assert log.channel("a").info().end_offset == end
        assert (path / "0000000002.log").read_bytes() == content

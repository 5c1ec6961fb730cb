"""What damage takes with it, and what must not go with it."""

from __future__ import annotations

from pathlib import Path

import pytest

import chanlog
from chanlog.format.batch import CREATED, HEADER
from chanlog.format.segment import FOOTER, read_index

from .worlds import fixed_host, open_log

RAW = "0000000001.log"
CLUSTERED = "0000000001-0000000001.seg"


def positions(content: bytes, salt: int) -> list[tuple[int, tuple[int, ...]]]:
    """Every batch with its header, one behind the other."""
    found, at = [], 64
    while at + HEADER.size <= len(content):
        header = HEADER.unpack_from(content, at)
        if header[3] != salt:
            break
        found.append((at, header))
        at += header[4]
    return found


def change(path: Path, position: int, bits: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= bits
    path.write_bytes(content)


def batches(path: Path) -> list[tuple[int, tuple[int, ...]]]:
    content = path.read_bytes()
    return positions(content, int.from_bytes(content[10:12], "little"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def seen(log: chanlog.Log, name: str) -> list[object]:
    return [
        ("gap", m.offset, m.missing) if isinstance(m, chanlog.Gap) else m.data
        for m in log.channel(name).replay()
    ]


def test_lost_offsets_at_the_end_are_not_given_out_again(path: Path) -> None:
    """The last message of a channel was damaged, the log was opened to go on, and compacted; then
    the catalog was lost, and with it the only one who knew of the offset: it was given out again,
    to another message."""
    with open_log(path, host=fixed_host()) as log:
        log.channel("a").publish_many(["0", "1"])
        log.channel("a").publish("2")
    change(path / RAW, batches(path / RAW)[-1][0] + HEADER.size)
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "a") == ["0", "1", ("gap", 2, 1)]
        log.compact()
    (path / "catalog").unlink()
    with open_log(path) as log:
        assert seen(log, "a") == ["0", "1", ("gap", 2, 1)]
        assert log.channel("a").publish("3") == 3


def test_what_was_given_out_survives_a_new_retention(path: Path) -> None:
    """The record that says so is one of a configuration, of which the last one counts."""
    test_lost_offsets_at_the_end_are_not_given_out_again(path)
    with open_log(path) as log:
        log.channel("a").trim(4)
        log.channel("b").publish("0")
    change(path / RAW.replace("1", "2"), batches(path / RAW.replace("1", "2"))[-1][0] + 100)
    with open_log(path, on_corruption="gap") as log:
        log.channel("b").configure(chanlog.Retention(count=5))
        log.compact()
        log.channel("b").configure(chanlog.Retention(count=6))
        for _ in range(4):
            log._store.roll()
            log.channel("c").publish("x")
        log.compact()
    (path / "catalog").unlink()
    with open_log(path) as log:
        assert log.channel("b").publish("1") == 1


def test_an_end_tells_of_lost_messages(path: Path) -> None:
    """The header of the last message was damaged, and the channel ended behind it: its readers
    came to the end one message early, and nobody told them."""
    with open_log(path, host=fixed_host(), sync="always") as log:
        log.channel("a").publish("0")
        log.channel("a").publish("1")
        log.channel("a").end()
        log.channel("b").publish("0")
    (path / "catalog").unlink()
    last = max(at for at, header in batches(path / RAW) if header[1] == 1 and header[6] == 1)
    change(path / RAW, last + 24)
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "a") == ["0", ("gap", 1, 1)]


def clustered(path: Path) -> None:
    """Three batches of one channel, and others before and behind it."""
    with open_log(path, host=fixed_host()) as log:
        log.channel("before").publish_many([f"before-{number}" for number in range(20)])
        for part in range(3):
            log.channel("a").publish_many([part] * 150)
        log.channel("behind").publish_many([f"behind-{number}" for number in range(20)])
        log.compact()


def test_a_damaged_header_takes_no_more_than_its_batch(path: Path) -> None:
    """Behind a damaged header in a clustered segment nothing of the channel was found any more."""
    clustered(path)
    middle = next(at for at, header in batches(path / CLUSTERED) if header[8] == 150)
    change(path / CLUSTERED, middle + 8)
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "a") == [0] * 150 + [("gap", 150, 150)] + [2] * 150
    with open_log(path) as log, pytest.raises(chanlog.CorruptionError) as raised:
        seen(log, "a")
    assert (raised.value.first_offset, raised.value.stop_offset) == (150, 300)
    with open_log(path) as log:
        assert [m.data for m in log.channel("a").replay(300)] == [2] * 150


@pytest.mark.parametrize("back", [1, FOOTER.size + 1])
@pytest.mark.parametrize("has_catalog", [True, False])
def test_a_damaged_index_takes_nothing(path: Path, back: int, has_catalog: bool) -> None:
    """One bit of the index or footer, and not one message of the file could be read, though every
    batch was whole."""
    clustered(path)
    change(path / CLUSTERED, len((path / CLUSTERED).read_bytes()) - back)
    if not has_catalog:
        (path / "catalog").unlink()
    with open_log(path, on_corruption="gap") as log:
        assert bool(log.recovery.damage) is not has_catalog
        assert seen(log, "a") == [0] * 150 + [1] * 150 + [2] * 150
        assert seen(log, "behind") == [f"behind-{number}" for number in range(20)]


def test_a_batch_of_another_channel_is_not_read(path: Path) -> None:
    """Two sectors of a clustered segment were swapped, and each channel was given the messages of
    the other: their checksums were right."""
    clustered(path)
    content = (path / CLUSTERED).read_bytes()
    before, _, behind = read_index(memoryview(content))
    assert before.stop - before.position == behind.stop - behind.position
    swapped = bytearray(content)
    swapped[before.position : before.stop] = content[behind.position : behind.stop]
    swapped[behind.position : behind.stop] = content[before.position : before.stop]
    (path / CLUSTERED).write_bytes(swapped)
    with open_log(path) as log:
        for name in ("before", "behind"):
            with pytest.raises(chanlog.CorruptionError) as raised:
                seen(log, name)
            assert raised.value.channel == name
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "before") == seen(log, "behind") == [("gap", 0, 20)]


def test_damaged_records_are_written_anew(path: Path) -> None:
    """A closed log does not look at its old records, and compaction left out one that it found
    damaged: without its catalog, the log had forgotten the channel."""
    with open_log(path, host=fixed_host()) as log:
        log.channel("a").publish_many(["0", "1"])
        log.channel("a").cursor("c").commit(1)
        log.channel("a").trim(1)
    created = next(at for at, header in batches(path / RAW) if header[1] == 2) + HEADER.size
    assert HEADER.unpack_from((path / RAW).read_bytes(), created)[1] == CREATED
    change(path / RAW, created + HEADER.size)
    with open_log(path) as log:
        log.compact()
    (path / "catalog").unlink()
    with open_log(path) as log:
        assert seen(log, "a") == ["1"]
        assert log.channel("a").cursor("c").position() == 2
        assert chanlog.verify(path).problems == []


def test_a_damaged_record_does_not_hide_the_others(path: Path) -> None:
    """Without a catalog, what followed a damaged record in a clustered segment was not looked at,
    and new channels were given the ids, and with them the messages, of those it hid."""
    clustered(path)
    (path / "catalog").unlink()
    change(path / CLUSTERED, 64 + HEADER.size)
    with pytest.raises(chanlog.CorruptionError) as raised:
        open_log(path)
    assert (raised.value.path, raised.value.start) == (path / CLUSTERED, 64)
    with open_log(path, on_corruption="gap") as log:
        assert list(log.channels()) == ["a", "behind", "unnamed-1"]
        assert seen(log, "unnamed-1") == [f"before-{number}" for number in range(20)]
        log.channel("before").publish("new")
        assert seen(log, "before") == ["new"]


def test_a_segment_of_zeros_is_a_problem(path: Path) -> None:
    """A clustered segment that was nothing but zeros was passed over by ``verify``."""
    clustered(path)
    (path / CLUSTERED).write_bytes(bytes((path / CLUSTERED).stat().st_size))
    assert [problem.path.name for problem in chanlog.verify(path).problems] == [CLUSTERED]

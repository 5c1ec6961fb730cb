"""What is written anew where damage may have taken records, and what a made index can find."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest

import chanlog
from chanlog.format.batch import CREATED, ENDED, HEADER, HEADER_BYTES, MESSAGES
from chanlog.format.segment import read_index

from .test_damage_behind import CLUSTERED, RAW, batches, change, clustered, seen
from .worlds import contents, fixed_host, open_log, tell


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def without_times(log: chanlog.Log) -> dict[str, object]:
    """All that can be read but for when a channel was used last, which a record may move on."""
    return {name: (info.start_offset, info.end_offset, info.ended, info.retention, messages)
            for name, (info, messages) in contents(log).items()}  # fmt: skip


@pytest.mark.parametrize("kind", [CREATED, ENDED])
def test_everything_is_written_anew(path: Path, kind: int) -> None:
    """Forks whose parents are gone, ends, cursors, producers, retention: all of it survives the
    loss of the catalog, though a record that told of it was damaged."""
    with open_log(path, host=fixed_host()) as log:
        tell(log)
        whole = without_times(log)
    starts = [at for at, header in batches(path / RAW) if header[1] in (kind, 2)]
    inner = starts[0] + HEADER_BYTES if kind == CREATED else starts[-1]
    if kind == ENDED:
        inner = next(at for at, header in batches(path / RAW) if header[1] == ENDED)
    change(path / RAW, inner + 20)
    with open_log(path) as log:
        log.compact()
        assert without_times(log) == whole
    (path / "catalog").unlink()
    with open_log(path) as log:
        assert without_times(log) == whole
        assert log.channel("agent").cursor("billing").position() == 10
        producer = log.channel("produced").producer("p", epoch=3)
        assert producer.publish("p4") == whole["produced"][1]
    assert chanlog.verify(path).problems == []


def test_a_damaged_record_of_a_clustered_segment(path: Path) -> None:
    """It is written anew as well, when the segment is rewritten."""
    clustered(path)
    change(path / CLUSTERED, 64 + HEADER_BYTES)
    with open_log(path) as log:
        log.channel("a").trim(400)
        log.compact()
    assert not (path / CLUSTERED).exists() or not chanlog.verify(path).problems
    (path / "catalog").unlink()
    with open_log(path) as log:
        assert list(log.channels()) == ["a", "before", "behind"]
        assert seen(log, "before") == [f"before-{number}" for number in range(20)]
        assert seen(log, "a") == [2] * 50


def forge(path: Path, at: int, body: bytes) -> None:
    """Another body of the same length for the batch at ``at``, with checksums that are right."""
    content = bytearray(path.read_bytes())
    start, stop = at + HEADER_BYTES, at + HEADER.unpack_from(content, at)[4]
    content[start:stop] = body.ljust(stop - start, b"\xc0")
    content[at + 12 : at + 16] = crc32(content[start:stop]).to_bytes(4, "little")
    content[at : at + 4] = crc32(content[at + 4 : start]).to_bytes(4, "little")
    path.write_bytes(content)


def test_a_record_of_nonsense_in_a_clustered_segment(path: Path) -> None:
    clustered(path)
    (path / "catalog").unlink()
    forge(path / CLUSTERED, 64, b"\x91\x05")
    with pytest.raises(chanlog.CorruptionError) as raised:
        open_log(path)
    assert (raised.value.path, raised.value.start) == (path / CLUSTERED, 64)
    with open_log(path, on_corruption="gap") as log:
        assert [damage.start for damage in log.recovery.damage] == [64]
        assert list(log.channels()) == ["a", "behind", "unnamed-1"]


def test_headers_that_are_damaged_side_by_side(path: Path) -> None:
    """The gap goes on to the first batch that can be read, or to the end of the channel."""
    clustered(path)
    first, second, third = [
        at for at, header in batches(path / CLUSTERED) if header[1] == MESSAGES and header[6] == 2
    ]
    change(path / CLUSTERED, second + 8)
    change(path / CLUSTERED, third + 8)
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "a") == [0] * 150 + [("gap", 150, 300)]
        assert seen(log, "behind") == [f"behind-{number}" for number in range(20)]
    change(path / CLUSTERED, third + 8)
    change(path / CLUSTERED, first + 8)
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "a") == [("gap", 0, 300)] + [2] * 150
        [message] = log.channel("a").replay(310, 311)
        assert message.data == 2
        log.compact()
        assert seen(log, "a") == [("gap", 0, 300)] + [2] * 150


def test_damaged_headers_with_others_between_them(path: Path) -> None:
    """The gap of the second begins where the last batch before it ends that can be read, past the
    first; and a batch of another channel, written over one of these, does not end it."""
    with open_log(path, host=fixed_host()) as log:
        for part in range(6):
            log.channel("a").publish_many([part] * 150)
            log.channel("b").publish_many([part] * 150)
        log.compact()
    a, b = [
        [at for at, header in batches(path / CLUSTERED) if header[1] == MESSAGES and header[6] == n]
        for n in (1, 2)
    ]
    content = bytearray((path / CLUSTERED).read_bytes())
    for damaged in (a[1], a[3]):
        content[damaged + 8] ^= 1
    content[a[4] : a[5]] = content[b[4] : b[5]]
    (path / CLUSTERED).write_bytes(content)
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "a") == [
            *[0] * 150, ("gap", 150, 150), *[2] * 150, ("gap", 450, 300), *[5] * 150,
        ]  # fmt: skip
        assert seen(log, "b") == [part for part in range(6) for _ in range(150)]


def test_an_index_made_of_batches_out_of_place(path: Path) -> None:
    """A later batch of a channel was written over the records, and the index is lost: each
    message is read from where it belongs, or from where it is."""
    clustered(path)
    content = bytearray((path / CLUSTERED).read_bytes())
    entry = read_index(memoryview(bytes(content))).find(2)
    assert entry is not None
    places = [at for at, header in batches(path / CLUSTERED) if header[6] == 2 and header[7]]
    size = entry.stop - places[-1]
    content[64:64] = content[places[1] : places[1] + size]
    (path / CLUSTERED).write_bytes(content)
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "a") == [0] * 150 + [1] * 150 + [2] * 150


def test_a_clustered_segment_of_which_nothing_is_left(path: Path) -> None:
    clustered(path)
    (path / CLUSTERED).write_bytes(bytes((path / CLUSTERED).stat().st_size))
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "a") == [("gap", 0, 450)]
        log.compact()
        assert seen(log, "a") == [("gap", 0, 450)]


def test_a_sector_of_the_same_segment_in_the_wrong_place(path: Path) -> None:
    """The copy of a later message was found before the first, and all before it were skipped."""
    with open_log(path, host=fixed_host(), sync="always") as log:
        for number in range(6):
            log.channel("a").publish(str(number))
        log.channel("b").publish("last")
    (path / "catalog").unlink()
    content = bytearray((path / RAW).read_bytes())
    places = [at for at, header in batches(path / RAW) if header[1] == MESSAGES]
    size = places[1] - places[0]
    content[places[1] : places[1] + size] = content[places[4] : places[4] + size]
    (path / RAW).write_bytes(content)
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "a") == ["0", "1", ("gap", 2, 1), "3", "4", "5"]
    with pytest.raises(chanlog.CorruptionError):
        (path / "catalog").unlink()
        open_log(path)

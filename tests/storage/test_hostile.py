"""A log whose checksums are right and whose content is nonsense: refused, or gone on without."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest

import chanlog
from chanlog.format.batch import CREATED, CURSOR, ENDED, FRAME, MESSAGES, encode
from chanlog.format.catalog import HEADER, WORD, Catalog, Entry, build
from chanlog.format.payload import pack
from chanlog.format.records import encode_record
from chanlog.storage.snapshot import CatalogMeta
from chanlog.storage.state import ChannelState

from .worlds import fixed_host, open_log

RAW = "0000000001.log"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of one durable message, with room behind it."""
    path = tmp_path / "log"
    with open_log(path, host=fixed_host()) as log:
        log.channel("a").publish("0", durable=True)
    (path / "catalog").unlink()
    return path


def append(path: Path, *batches: bytes, mark: int = 0) -> None:
    """Put batches at the end, and one that says that they were durable."""
    content = (path / RAW).read_bytes()
    end = (1 << 32) + len(content) + sum(map(len, batches))
    last = of(path, MESSAGES, pack("last"), count=1, base=1, mark=mark or end)
    (path / RAW).write_bytes(content + b"".join(batches) + last)


def of(path: Path, kind: int, body: bytes, *, channel: int = 1, **fields: int) -> bytes:
    salt = int.from_bytes((path / RAW).read_bytes()[10:12], "little")
    fields = {"time_ns": 5, "mark": 0, **fields}
    return encode(kind, body, salt=salt, channel=channel, **fields)


def refused_or_gone_on_without(path: Path) -> None:
    """Refused as usual; with ``on_corruption="gap"`` all else is there."""
    with pytest.raises(chanlog.CorruptionError):
        open_log(path)
    chanlog.verify(path)
    with open_log(path, on_corruption="gap") as log:
        assert log.recovery.damage
        assert [message.data for message in log.channel("a").replay()] == ["0", "last"]


def test_a_record_of_nonsense(path: Path) -> None:
    append(
        path, of(path, CREATED, encode_record("b", "retention", "parent", -5), channel=2),
        of(path, CURSOR, pack({"not": "a record"})),
    )  # fmt: skip
    refused_or_gone_on_without(path)
    assert chanlog.verify(path)


def test_a_frame_with_a_batch_of_no_length(path: Path) -> None:
    """Walking it never came to its end."""
    inner = bytearray(of(path, ENDED, b""))
    inner[8:12] = bytes(4)
    append(path, of(path, FRAME, bytes(inner), channel=0))
    refused_or_gone_on_without(path)


def test_a_frame_in_a_frame(path: Path) -> None:
    inner = of(path, FRAME, of(path, CURSOR, encode_record("c"), base=1), channel=0)
    append(path, of(path, FRAME, inner, channel=0))
    with open_log(path) as log:
        # It is passed over, and the one inside is right.
        assert [message.data for message in log.channel("a").replay()] == ["0", "last"]
        assert log.channel("a").cursor("c").position() == 1


def test_a_mark_that_speaks_of_a_billion_segments(path: Path) -> None:
    """Each of the segments that were missing by its word was noted, until memory was full."""
    append(path, mark=1 << 62)
    with pytest.raises(chanlog.CorruptionError):
        open_log(path)
    with open_log(path, on_corruption="gap") as log:
        assert 0 < len(log.recovery.damage) <= 1001


def test_positions_that_lead_out_of_the_segment(tmp_path: Path) -> None:
    """The positions that a catalog tells of were believed, but for those at the end."""
    path = tmp_path / "log"
    with open_log(path, host=fixed_host()) as log:
        log.channel("a").publish("0")
        log.channel("a").publish("1")
    content = bytearray((path / "catalog").read_bytes())
    at = Catalog(bytes(content))._sections.words_at + 2 * WORD.size
    WORD.pack_into(content, at, 1 << 31)
    WORD.pack_into(content, 12, crc32(content[HEADER.size :]))
    WORD.pack_into(content, HEADER.size - 4, crc32(content[: HEADER.size - 4]))
    (path / "catalog").write_bytes(content)
    with open_log(path, on_corruption="gap") as log:
        first, second = log.channel("a").replay()
        assert isinstance(first, chanlog.Gap)
        assert (second.offset, second.data) == (1, "1")


def test_a_catalog_of_nonsense(path: Path) -> None:
    """What a catalog says beside its checksum is looked at when it is used."""
    for extra in ([1], {"parent": 5}, {"children": 5}, {"cursors": {"c": "x"}},
                  {"cursors": []}, {"producers": [[1, 2]]},
                  {"producers": [["p", 1, 1, 1, [5]]]}):  # fmt: skip
        with pytest.raises(chanlog.FormatError):
            ChannelState.from_entry(Entry(1, "a", 0, 1, 0, 0, extra=pack(extra)))
    for start, end in ((2, 1), (0, 1 << 63)):
        with pytest.raises(chanlog.FormatError):
            ChannelState.from_entry(Entry(1, "a", start, end, 0, 0))
    for meta in (5, [1], [b"", [], 0, True, True], [b"", {1: 5}, 0, True, True],
                 [b"", {"x": 64}, 0, True, True], [b"", {}, -1, True, True]):  # fmt: skip
        with pytest.raises(chanlog.FormatError):
            CatalogMeta.decode(pack(meta))
    parts = build(None, [], [], mark=0, next_id=1 << 33, time_ns=0, tails={})
    (path / "catalog").write_bytes(b"".join(parts))
    with open_log(path) as log:
        assert log.recovery.catalog_rebuilt

"""Directories written by another version, and parts of one that are only a help."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from zlib import crc32

import pytest

import chanlog

from ..support import replayed, tree

MARKER = "CHANLOG"  # The file that makes a directory a log; docs/format.md describes its bytes.


@pytest.fixture
def path(tmp_path):
    with chanlog.open(tmp_path / "log", segment_bytes=64 * 1024, background=False) as log:
        for n in range(300):
            log.channel(f"w{n % 3}").publish([n, "x" * 500])
        log.channel("w0").cursor("c").commit(5)
        log.channel("w0").producer("p", epoch=2).publish_many(["p"] * 3)
        log.channel("w1").trim(before=10)
        log.channel("w2").end()
        log.compact()
        for n in range(300, 330):
            log.channel(f"w{n % 2}").publish([n, "x" * 500])
    return tmp_path / "log"


def newer(marker: bytes) -> bytes:
    """The same marker, but of the next version: two bytes behind the magic; a checksum last."""
    (version,) = struct.unpack_from("<H", marker, 8)
    head = marker[:8] + struct.pack("<H", version + 1) + marker[10:-4]
    return head + struct.pack("<I", crc32(head))


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_format_is_refused_and_untouched(path, read_only):
    marker = path / MARKER
    marker.write_bytes(newer(marker.read_bytes()))
    before = tree(path)
    with pytest.raises(chanlog.FormatTooNew) as caught:
        chanlog.open(path, read_only=read_only)
    assert caught.value.found == caught.value.supported + 1
    assert Path(caught.value.path) == path or path in Path(caught.value.path).parents
    assert "upgrade" in str(caught.value)
    assert tree(path) == before


def test_a_newer_marker_may_be_longer(path):
    """What a later version appends or sums otherwise is not damage."""
    marker = path / MARKER
    marker.write_bytes(newer(marker.read_bytes())[:-4] + b"something that is not known yet")
    with pytest.raises(chanlog.FormatTooNew):
        chanlog.open(path)


def state(path):
    with chanlog.open(path, background=False) as log:
        assert log.recovery.damage == []
        names = list(log.channels())
        infos = [log.channel(name).info() for name in names]
        return (
            names,
            [replayed(log.channel(name)) for name in names],
            [
                (i.start_offset, i.end_offset, i.ended, i.cursors, i.producers, i.created)
                for i in infos
            ],
        )


def test_the_log_is_the_only_truth(path, tmp_path):
    """Whatever is neither segment nor marker can be lost, and is built again."""
    shutil.copytree(path, tmp_path / "copy")
    expected = state(tmp_path / "copy")
    helpers = [
        name for name in tree(path) if name != MARKER and not name.endswith((".log", ".seg"))
    ]
    assert "catalog" in helpers
    for place, name in enumerate(helpers):
        copy = tmp_path / f"without-{place}"
        shutil.copytree(path, copy)
        (copy / name).unlink()
        assert state(copy) == expected
    for name in helpers:
        (path / name).unlink()
    assert state(path) == expected
    assert state(path) == expected


@pytest.mark.parametrize("flip", range(0, 2000, 61))
def test_a_damaged_catalog_is_built_again(path, flip):
    content = bytearray((path / "catalog").read_bytes())
    expected = state(shutil.copytree(path, path.parent / "copy"))
    content[flip % len(content)] ^= 0x10
    (path / "catalog").write_bytes(content)
    assert state(path) == expected


def test_a_rebuilt_catalog_is_reported(path):
    (path / "catalog").unlink()
    with chanlog.open(path, background=False) as log:
        assert log.recovery.catalog_rebuilt
    with chanlog.open(path, background=False) as log:
        assert not log.recovery.catalog_rebuilt


def test_unfinished_files_are_removed(path):
    """A crash amid a compaction leaves its half behind."""
    expected = state(path)
    (path / "0000000001-0000000002.seg.tmp").write_bytes(b"half")
    (path / "catalog.tmp").write_bytes(b"half")
    assert state(path) == expected
    assert not list(path.glob("*.tmp"))

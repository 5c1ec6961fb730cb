"""Opening what a crash, a copy or a careless hand has left: put right, or refused and untouched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

import chanlog
from chanlog.format.names import MARKER
from chanlog.format.segment import SEGMENT_HEADER_BYTES
from chanlog.host import DiskFolder
from chanlog.host.disk import DiskFile

from ..support import datas, replayed, tree
from .worlds import files_of, fixed_host, open_log

RAW = "0000000001.log"
SEALED = "0000000001-0000000001.seg"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def refused(path: Path, error: type[Exception], **options: Any) -> Any:
    """Opening raises and changes nothing; returns the error."""
    before = tree(path)
    with pytest.raises(error) as caught:
        open_log(path, **options)
    assert tree(path) == before
    return caught.value


def test_a_damaged_marker(path):
    """The id of the log is in it, so nothing else can be trusted to belong here."""
    with open_log(path) as log:
        log.channel("a").publish("x")
    content = bytearray((path / MARKER).read_bytes())
    content[20] ^= 1
    (path / MARKER).write_bytes(bytes(content))
    for options in ({}, {"read_only": True}):
        assert refused(path, chanlog.NotALog, **options).path == path


def upgrade(file: Path) -> None:
    """Let a segment be one of a later version."""
    content = bytearray(file.read_bytes())
    content[8] = 99
    head = bytes(content[: SEGMENT_HEADER_BYTES - 4])
    content[SEGMENT_HEADER_BYTES - 4 : SEGMENT_HEADER_BYTES] = crc32(head).to_bytes(4, "little")
    file.write_bytes(bytes(content))


def test_a_segment_of_a_newer_version(path):
    """Its log was upgraded: older code says so, and which file it is."""
    with open_log(path) as log:
        log.channel("a").publish("x")
    upgrade(path / RAW)
    assert refused(path, chanlog.FormatTooNew).path == path / RAW


def test_a_clustered_segment_of_a_newer_version(path):
    """The same; it is looked at by whoever needs it, and is no damage to go on behind."""
    with open_log(path) as log:
        log.channel("a").publish("x")
        log.compact()
    upgrade(path / SEALED)
    for options in ({}, {"on_corruption": "gap"}):
        with open_log(path, **options) as log, pytest.raises(chanlog.FormatTooNew) as caught:
            replayed(log.channel("a"))
        assert caught.value.path == path / SEALED
    os.remove(path / "catalog")
    assert refused(path, chanlog.FormatTooNew).path == path / SEALED


def test_a_segment_that_belongs_elsewhere(path, tmp_path):
    """A file restored under a wrong name, or from another log, is not read as what it is not."""
    for place in (path, tmp_path / "other"):
        with open_log(place) as log:
            log.channel("a").publish("x")
            log._store.roll()
            log.channel("a").publish("y")
    whole = files_of(path)
    for foreign in (whole["0000000002.log"], (tmp_path / "other" / RAW).read_bytes()):
        (path / RAW).write_bytes(foreign)
        error = refused(path, chanlog.CorruptionError)
        assert error.path == path / RAW
    (path / RAW).write_bytes(whole[RAW])
    with open_log(path) as log:
        assert replayed(log.channel("a")) == ["x", "y"]


def test_the_active_segment_that_a_power_cut_took(path):
    """A log had rolled, and the name of the new, empty file was not durable: it goes on in a new
    one, and so does whoever looks at it meanwhile."""
    with open_log(path) as log:
        log.channel("a").publish("x")
        log._store.roll()
        files = files_of(path)
    shutil.rmtree(path)
    path.mkdir()
    for name, content in files.items():
        if name != "0000000002.log":
            (path / name).write_bytes(content)
    with open_log(path, read_only=True) as looking:
        assert replayed(looking.channel("a")) == ["x"]
        with open_log(path) as log:
            assert replayed(log.channel("a")) == ["x"]
            assert log.channel("a").publish("y") == 1
            assert replayed(looking.channel("a")) == ["x", "y"]


def test_the_same_where_all_before_is_clustered(path):
    """There is no segment to append to or to sync, and both may be asked for at once."""
    with open_log(path) as log:
        log.channel("a").publish("x")
        log.compact()
        files = files_of(path)
    shutil.rmtree(path)
    path.mkdir()
    for name, content in files.items():
        if name in (MARKER, SEALED):
            (path / name).write_bytes(content)
    with open_log(path) as log:
        log.sync()
        assert replayed(log.channel("a")) == ["x"]
        assert log.channel("a").publish("y", durable=True) == 1
        assert log.channel("a").info().durable_offset == 2


def test_looking_removes_nothing(path):
    """Both the clustered file and what it was made from are there, as after a crash between the
    two: an owner removes the latter, a reader passes it over."""
    with open_log(path) as log:
        log.channel("a").publish("x")
        log._store.roll()
        raw = (path / RAW).read_bytes()
        log.compact()
    (path / RAW).write_bytes(raw)
    before = tree(path)
    with open_log(path, read_only=True) as looking:
        assert replayed(looking.channel("a")) == ["x"]
    assert tree(path) == before
    with open_log(path) as log:
        assert replayed(log.channel("a")) == ["x"]
    assert not (path / RAW).exists()


def test_a_damaged_clustered_segment_without_a_catalog(path):
    """Opening raises, or says which file it was; where only the index is damaged, nothing is lost,
    and where nothing is left, what it told of channels is."""
    with open_log(path) as log:
        log.channel("a").publish("x")
        log.compact()
        log.channel("b").publish("y")
    os.remove(path / "catalog")
    content = bytearray((path / SEALED).read_bytes())
    content[-70] ^= 1
    (path / SEALED).write_bytes(bytes(content))
    assert refused(path, chanlog.CorruptionError).path == path / SEALED
    with open_log(path, on_corruption="gap") as log:
        assert [damage.path for damage in log.recovery.damage] == [path / SEALED]
        assert not log.recovery.clean
        assert list(log.channels()) == ["a", "b"]
        assert replayed(log.channel("a")) == ["x"]
    os.remove(path / "catalog")
    (path / SEALED).write_bytes(bytes(len(content)))
    assert refused(path, chanlog.CorruptionError).path == path / SEALED
    with open_log(path, on_corruption="gap") as log:
        assert [damage.path for damage in log.recovery.damage] == [path / SEALED]
        assert list(log.channels()) == ["b"]
        assert replayed(log.channel("b")) == ["y"]


def test_a_name_that_leads_nowhere(path):
    """A reader looks again for what has just vanished, and gives up on what is never there."""
    with open_log(path) as log:
        log.channel("a").publish("x")
        (path / "0000000002.log").symlink_to(path / "nowhere")
        with pytest.raises(FileNotFoundError):
            open_log(path, read_only=True)


class Cutting(DiskFolder):
    """A folder whose owner cuts a file between the look at its size and the map."""

    cuts = 1

    def open(self, name: str, *, writable: bool) -> DiskFile:
        file = super().open(name, writable=writable)
        if name != RAW:
            return file
        folder = self

        class Cut(DiskFile):
            def map(self, size: int, *, writable: bool) -> Any:
                if folder.cuts:
                    folder.cuts -= 1
                    raise ValueError("mmap length is greater than file size")
                return super().map(size, writable=writable)

        file.__class__ = Cut
        return file


def test_a_file_that_is_cut_while_it_is_looked_at(path):
    """The owner closed the log, which cuts the active segment to what it holds."""
    with open_log(path) as log:
        log.channel("a").publish("x")
        folders: list[Cutting] = []

        def disk(path: Path) -> Cutting:
            folders.append(Cutting(path))
            return folders[-1]

        with open_log(path, read_only=True, host=fixed_host(disk=disk)) as looking:
            assert folders[0].cuts == 0
            assert datas(looking.channel("a").replay()) == ["x"]

"""Whole files and headers that are not there: lost in a power cut, or lost for good."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import chanlog
from chanlog.format.segment import SEGMENT_HEADER_BYTES

from .worlds import files_of, open_log

BLOCK = b"x" * 1000


def written(path: Path, count: int, synced: int) -> None:
    """A log of several segments as a crash leaves it: ``count`` messages, ``synced`` of them
    synced. It has no catalog, so that only what the batches say of each other counts."""
    with open_log(path) as log:
        channel = log.channel("a")
        for number in range(count):
            channel.publish(b"%d " % number + BLOCK)
            if number + 1 == synced:
                log.sync()
        files = files_of(path)
    shutil.rmtree(path)
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)


def numbers(path: Path, **options) -> list[int]:
    """The messages that a log has, by their numbers; none changed."""
    with open_log(path, **options) as log:
        found = [m.data for m in log.channel("a").replay() if not isinstance(m, chanlog.Gap)]
        assert all(data.endswith(BLOCK) for data in found)
        return [int(data.split()[0]) for data in found]


def without_header(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[:4096] = bytes(4096)
    file.write_bytes(content)


def test_a_header_that_power_took(tmp_path):
    """A segment is begun and written to, and nothing of it synced; the power cut keeps the later
    pages and not the first one. Nothing durable is lost, so this is no corruption: opening raised
    for it once."""
    written(tmp_path / "log", 100, synced=50)
    without_header(tmp_path / "log" / "0000000002.log")
    with open_log(tmp_path / "log") as log:
        end = log.channel("a").info().end_offset
        assert [torn.kept_as.name for torn in log.recovery.torn] == [
            "0000000002.log.torn-0",
        ]
        assert log.channel("a").publish(b"100 " + BLOCK) == end
    assert end >= 50
    assert numbers(tmp_path / "log") == [*range(end), 100]


def test_a_header_below_the_durable_mark(tmp_path):
    """The batches behind it tell that it was durable, so it is damaged."""
    path = tmp_path / "log"
    written(path, 100, synced=80)
    before = files_of(path)
    (last,) = [name for name in before if name.endswith("2.log")]
    without_header(path / last)
    before = files_of(path)
    with pytest.raises(chanlog.CorruptionError) as caught:
        open_log(path)
    assert (caught.value.path, caught.value.start) == (path / last, 0)
    assert caught.value.stop == SEGMENT_HEADER_BYTES
    assert {**files_of(path), "lock": b""} == {**before, "lock": b""}
    # On request, all but the damaged page is there.
    found = numbers(path, on_corruption="gap")
    assert len(found) >= 95
    assert found == sorted(found)
    assert found[-1] == 99


def test_several_segments_that_power_took(tmp_path):
    """Under ``os`` many segments may be begun without a sync, and any of them be lost whole. What
    lies behind the first that is lost goes, and is kept aside."""
    written(tmp_path / "log", 250, synced=0)
    names = sorted(file.name for file in (tmp_path / "log").glob("*.log"))
    assert len(names) == 5
    for lost in range(len(names)):
        for how in ("gone", "empty", "headless"):
            path = tmp_path / f"{how}-{lost}"
            shutil.copytree(tmp_path / "log", path)
            file = path / names[lost]
            if how == "gone":
                file.unlink()
            elif how == "empty":
                file.write_bytes(b"")
            else:
                without_header(file)
            with open_log(path) as log:
                kept = {torn.kept_as.name for torn in log.recovery.torn}
            later = {f"{name}.torn-0" for name in names[lost + 1 :]}
            assert kept - {f"{names[lost]}.torn-0"} == later
            found = numbers(path)
            assert found == list(range(len(found)))
            assert lost == 0 or len(found) > 60 * lost


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_a_file_that_is_gone(tmp_path, clustered, lost):
    """Somebody removes a segment of a log at rest. It used to open as if nothing was wrong."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.channel("a").publish_many([b"%d " % number + BLOCK for number in range(250)])
        for number in range(250, 400):
            log.channel("a").publish(b"%d " % number + BLOCK)
        if clustered:
            log.compact()
        log.channel("a").publish(b"400 " + BLOCK)
    names = sorted(file.name for file in path.glob("00*"))
    (path / names[lost]).unlink()
    before = files_of(path)
    with pytest.raises(chanlog.CorruptionError, match=r"is not there") as caught:
        open_log(path)
    assert caught.value.path is not None
    with pytest.raises(chanlog.CorruptionError):
        open_log(path, read_only=True)
    assert {**files_of(path), "lock": b""} == {**before, "lock": b""}
    assert any("is not there" in problem.text for problem in chanlog.verify(path).problems)
    with open_log(path, on_corruption="gap") as log:
        assert log.recovery.damage
        items = list(log.channel("a").replay())
        assert log.channel("a").publish(b"401 " + BLOCK) == 401
    assert any(isinstance(item, chanlog.Gap) for item in items) or lost == len(names) - 1


def test_a_segment_of_which_nothing_is_left(tmp_path):
    """All that a sealed segment held was deleted. Its number is still taken by a file, so that a
    missing one always shows."""
    path = tmp_path / "log"
    with open_log(path) as log:
        for number in range(150):
            log.channel("a").publish(b"%d " % number + BLOCK)
        log.channel("a").delete()
        log.channel("b").publish("kept")
        log.compact()
        log.compact()
    with open_log(path) as log:
        assert log.recovery.clean
        assert list(log.channels()) == ["b"]
    assert sum(file.stat().st_size for file in path.glob("*.seg")) < 4096
    assert chanlog.verify(path).problems == []

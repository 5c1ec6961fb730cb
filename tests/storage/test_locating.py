"""Which segment holds an offset: by bisection it is the same one as by looking through all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import chanlog
from chanlog.storage import clustered as segments
from chanlog.storage import reading
from chanlog.storage.clustered import ClusteredSegment
from chanlog.storage.maintenance import maintain
from chanlog.storage.reading import Reader

from .worlds import open_log

SEGMENTS = 23


def written(path: Path) -> None:
    """A log of many small segments: one channel is in all of them, one in every fifth, others in
    few; the first segments are clustered, the last ones are not."""
    with open_log(path) as log:
        for number in range(SEGMENTS):
            log.channel("dense").publish_many(range(number % 4 + 1))
            if number % 5 == 2:
                log.channel("sparse").publish_many(range(3))
            if number in (4, 17):
                log.channel("rare").publish(number)
            if number == 12:
                log.channel("dense").fork("fork", at=17)
            if number > 12:
                log.channel("fork").publish(number)
            log._store.roll()
            if number == 16:
                maintain(log._store)
        log.channel("dense").trim(3)


def found(log: Any, name: str) -> list[Any]:
    """Where each offset of a channel is, or how far the gap reaches that it is in."""
    state = log._store.table.find(name)
    places: list[Any] = []
    for offset in range(state.start_offset, state.end_offset):
        segment, after = Reader(log._store, state)._locate(offset)
        places.append(after if segment is None else segment.name)
    return places


@pytest.fixture
def joined_by_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small segments stay apart."""
    monkeypatch.setattr("chanlog.storage.maintenance._JOIN_MIN", 1000)


@pytest.mark.parametrize("name", ["dense", "sparse", "rare", "fork"])
@pytest.mark.parametrize("lost", [(), (1,), (7, 8), (17,)])
@pytest.mark.usefixtures("joined_by_none")
def test_bisection_finds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, lost: tuple[int, ...]
) -> None:
    """A channel that is in few segments is looked for on the wrong side of one without it; or a
    gap ends too late."""
    written(tmp_path / "log")
    for number in lost:
        file = next((tmp_path / "log").glob(f"{number:010}*"))
        content = bytearray(file.read_bytes())
        content[100:] = bytes(len(content) - 100)
        file.write_bytes(content)
    with open_log(tmp_path / "log", on_corruption="gap") as log:
        assert len({segment.name for segment in log._store.segments}) >= SEGMENTS
        monkeypatch.setattr(reading, "_LOOKED_THROUGH", 0)
        looked_through = found(log, name)
        for count in (1, 2, 4, 11):
            monkeypatch.setattr(reading, "_LOOKED_THROUGH", count)
            assert found(log, name) == looked_through


@pytest.mark.usefixtures("joined_by_none")
def test_damage_in_what_is_older_is_nothing_to_who_does_not_read_there(tmp_path: Path) -> None:
    """The bisection looks into an older segment whose index is damaged, and what is right in a
    newer one cannot be read any more."""
    written(tmp_path / "log")
    with open_log(tmp_path / "log") as log:
        expected = [message.data for message in log.channel("dense").replay(20)]
    places = 0
    for file in sorted((tmp_path / "log").glob("*.seg"))[2:8]:
        content = file.read_bytes()
        file.write_bytes(content[:-60] + bytes([content[-60] ^ 1]) + content[-59:])
        with open_log(tmp_path / "log") as log:
            assert [message.data for message in log.channel("dense").replay(20)] == expected
            with pytest.raises(chanlog.CorruptionError):
                list(log.channel("dense").replay())
            places += 1
        file.write_bytes(content)
    assert places == 6


@pytest.mark.usefixtures("joined_by_none")
def test_looking_for_an_offset_maps_no_file_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more segments than may be mapped, each look maps some anew and unmaps as many."""
    written(tmp_path / "log")
    monkeypatch.setattr(segments, "_MAPPED_MAX", 2)
    with open_log(tmp_path / "log") as log:
        known = [s for s in log._store.segments if isinstance(s, ClusteredSegment)]
        for segment in known:
            assert segment.index.count
        mapped: list[str] = []
        for segment in known:
            segment.opened = lambda opened: mapped.append(opened.name)
            segment.unmap()
        assert next(iter(log.channel("rare").replay(0, 1))).data == 4
        assert mapped == ["0000000005-0000000005.seg"]


def test_a_file_that_was_rewritten_under_the_same_name(tmp_path: Path) -> None:
    """What is kept of its index is of the file before: read with it, the new one looks damaged."""
    with open_log(tmp_path / "log") as log:
        log.channel("a").publish_many(["x" * 90] * 90)
        log.channel("b").publish_many(range(9))
        log._store.roll()
        maintain(log._store)
        with open_log(tmp_path / "log", read_only=True) as follower:
            assert len(list(follower.channel("b").replay())) == 9
            segment = follower._store.segments[0]
            assert isinstance(segment, ClusteredSegment)
            segment.unmap()
            log.channel("a").trim(80)
            maintain(log._store)
            assert log._store.compactions == 2
            assert segment.name == log._store.segments[0].name
            assert not segment.is_current()
            assert [message.data for message in follower.channel("b").replay()] == list(range(9))
            assert segment.retired

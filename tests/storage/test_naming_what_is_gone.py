"""Segments that are not there: exactly those are named, and only where they were durable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import chanlog

from ..support import replayed
from .test_missing import BLOCK, numbers, written
from .worlds import open_log

NAMES = [f"{number:010}.log" for number in range(1, 7)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.mark.parametrize(
    "lost", [(1,), (2,), (1, 2), (3, 4), (2, 3, 4), (2, 4), (5, 6), (6,), (4, 5, 6)]
)
def test_each_one_and_no_other(path, lost):
    """With ``on_corruption="gap"`` the report says which files to look for in a copy."""
    with open_log(path) as log:
        for number in range(6):
            log.channel("a").publish(number)
            if number < 5:
                log._store.roll()
    missing = {NAMES[number - 1] for number in lost}
    for name in missing:
        os.remove(path / name)
    with pytest.raises(chanlog.CorruptionError) as caught:
        open_log(path)
    assert caught.value.path == path / min(missing)
    with open_log(path, on_corruption="gap") as log:
        assert {damage.path.name for damage in log.recovery.damage} == missing
        assert not log.recovery.clean


def test_one_that_nothing_was_written_to(path):
    """A log had rolled and was closed: its active segment is empty, and losing it loses nothing."""
    with open_log(path) as log:
        log.channel("a").publish("x")
        log._store.roll()
        log.sync()
    os.remove(path / NAMES[1])
    with open_log(path) as log:
        assert log.recovery.damage == []
        assert replayed(log.channel("a")) == ["x"]
        assert log.channel("a").publish("y") == 1


def test_one_that_was_durable_in_front_of_one_that_was_not(path):
    """The later segment is torn, and says all the same how far the log was durable: into the one
    that is not there."""
    written(path, 200, synced=100)
    assert len(list(path.glob("*.log"))) == 4
    os.remove(path / NAMES[1])
    with pytest.raises(chanlog.CorruptionError) as caught:
        open_log(path)
    assert caught.value.path == path / NAMES[1]
    kept = numbers(path, on_corruption="gap")
    assert kept[:60] == list(range(60))
    assert all(len(BLOCK) == 1000 and number < 200 for number in kept)


def test_what_is_found_right_is_clean(path):
    """And says so, also after the log was opened and not written to."""
    with open_log(path) as log:
        log.channel("a").publish("x")
    for _ in range(2):
        with open_log(path) as log:
            assert log.recovery.clean
            assert not log.recovery.catalog_rebuilt
            assert log.recovery.scanned_bytes == 0
    with open_log(path, read_only=True) as log:
        assert log.recovery.clean

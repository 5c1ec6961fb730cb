"""Whoever syncs for all of them passes it on when leaving, however that is."""

from __future__ import annotations

import pytest

import chanlog

from ..support import LIMIT, gather, spawn, until
from .test_syncing import Disk
from .worlds import open_log


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def log(tmp_path, disk):
    with open_log(tmp_path / "log", host=disk.host()) as log:
        log.channel("a").publish("first", durable=True)
        yield log
        disk.failing = None
        disk.go.set()


def queued(log, disk, count):
    """A leader that the disk holds, and ``count`` more who wait behind it."""
    disk.hold()
    channel = log.channel("a")
    leader = spawn(channel.publish, "leader", durable=True)
    assert disk.held.wait(LIMIT)
    others = [spawn(channel.publish, number, durable=True) for number in range(count)]
    until(lambda: len(log._store.row) == count)
    return [leader, *others]


def test_the_next_one_leads(log, disk):
    """They came too late for the sync of the leader, so one of them has to begin another."""
    futures = queued(log, disk, 3)
    before = disk.count()
    disk.go.set()
    assert sorted(gather(futures)) == [1, 2, 3, 4]
    assert disk.count() == before + 1
    assert log._store.row is None


def test_all_are_told_of_a_failure(log, disk):
    futures = queued(log, disk, 3)
    disk.failing = OSError(5, "planted")
    disk.go.set()
    for future in futures:
        with pytest.raises(chanlog.LogFailed):
            future.result(LIMIT)
    assert log._store.row is None

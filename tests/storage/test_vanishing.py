"""Files that go between a look at their names and the use of them: the owner rewrites them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chanlog.host import DiskFolder
from chanlog.storage.clustered import ClusteredSegment, MapBudget
from chanlog.storage.following import relist
from chanlog.storage.maintenance import maintain

from ..support import datas
from .worlds import fixed_host, open_log


class Overtaken(DiskFolder):
    """A folder in which something happens before a file is opened, or before names are read."""

    __slots__ = ("before", "hidden")

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.before: dict[str, Callable[[], object]] = {}
        self.hidden: set[str] = set()

    def open(self, name: str, *, writable: bool) -> Any:
        if name in self.before:
            self.before.pop(name)()
        return super().open(name, writable=writable)

    def names(self) -> list[str]:
        hidden, self.hidden = self.hidden, set()
        return [name for name in super().names() if name not in hidden]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def overtaken(path: Path, **options: Any) -> tuple[Any, Overtaken]:
    log = open_log(path, host=fixed_host(disk=Overtaken), segment_bytes=1 << 20, **options)
    return log, log._store.folder


def test_a_segment_that_is_joined_while_it_is_located(path):
    """A reader had chosen a segment it had not mapped yet, and upkeep joined it with others: the
    reader looks again, and finds all of it."""
    log, folder = overtaken(path)
    with log:
        for number in range(5):
            log.channel("a").publish(number)
            log._store.roll()
            if number < 3:
                maintain(log._store)
    log, folder = overtaken(path)
    with log:
        names = [segment.name for segment in log._store.segments]
        assert names[0] == "0000000001-0000000001.seg"
        folder.before[names[0]] = lambda: maintain(log._store)
        assert datas(log.channel("a").replay()) == [0, 1, 2, 3, 4]
        assert not folder.before


def test_a_follower_does_not_pass_over_a_segment(path):
    """The one between was clustered while the names were read, so neither of its names was there:
    the follower stays where it is and looks again, or would miss what the one between holds."""
    with open_log(path) as owner:
        owner.channel("a").publish(0)
        log, folder = overtaken(path, read_only=True)
        with log:
            assert datas(log.channel("a").replay()) == [0]
            owner._store.roll()
            owner.channel("a").publish(1)
            owner._store.roll()
            owner.channel("a").publish(2)
            folder.hidden = {"0000000002.log"}
            assert datas(log.channel("a").replay()) == [0]
            assert datas(log.channel("a").replay()) == [0, 1, 2]


def test_a_mapped_segment_whose_file_is_gone(path):
    """The owner has joined it with others or dropped it: the follower lets go of its map."""
    with open_log(path, segment_bytes=1 << 20) as owner:
        for name in ("a", "b"):
            owner.channel(name).publish(name)
            owner.compact()
        log, folder = overtaken(path, read_only=True)
        with log:
            segment = log._store.segments[0]
            assert segment.index
            assert segment.is_current()
            folder.before[segment.name] = (path / segment.name).unlink
            assert not segment.is_current()
            owner.channel("b").publish("more")
            relist(log._store)
            assert segment not in log._store.segments
            assert datas(log.channel("b").replay()) == ["b", "more"]


def test_a_retired_segment_that_a_reader_maps_once_more(path):
    """Whoever was in it may map it once more: that must not keep it beyond the reader."""
    with open_log(path) as log:
        log.channel("a").publish("x")
        log.compact()
        budget = MapBudget()
        segment = ClusteredSegment(log._store.folder, 1, 1, budget)
        segment.retired = True
        assert segment.index.messages == 1
        known = weakref.ref(segment)
        del segment
        gc.collect()
        assert known() is None

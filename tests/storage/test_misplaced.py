"""Batches that are right, and stand where they were not written: a disk swapped or doubled them."""

from __future__ import annotations

from pathlib import Path

import pytest

import chanlog
from chanlog.format.batch import HEADER, MESSAGES, ROLLED

from .test_damage_behind import RAW, batches, change, seen
from .worlds import fixed_host, open_log

COUNT = 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with one message a batch, all of one length and all durable, in a sealed segment."""
    path = tmp_path / "log"
    with open_log(path, host=fixed_host(), background=False) as log:
        log.channel("damaged").publish("it")
        for number in range(COUNT):
            log.channel("a").publish(number)
        log.sync()
        log.channel("b").publish("what was durable")
        log._store.roll()
        log.channel("b").publish("behind")
    return path


def places(path: Path) -> dict[int, tuple[int, int]]:
    """Where the batch of each message of ``a`` begins and stops."""
    content = (path / RAW).read_bytes()
    found = [(at, header) for at, header in batches(path / RAW) if header[1] == MESSAGES]
    channel = found[1][1][6]
    return {
        header[8]: (at, at + header[4])
        for at, header in found
        if header[6] == channel and at + header[4] <= len(content)
    }


def put(path: Path, position: int, content: bytes) -> None:
    whole = bytearray((path / RAW).read_bytes())
    whole[position : position + len(content)] = content
    (path / RAW).write_bytes(whole)


def swap(path: Path, one: int, other: int) -> None:
    """Exchange the batches of two messages of ``a``."""
    content = (path / RAW).read_bytes()
    where = places(path)
    first, second = where[one], where[other]
    put(path, first[0], content[slice(*second)])
    put(path, second[0], content[slice(*first)])


@pytest.mark.parametrize("has_catalog", [True, False])
@pytest.mark.parametrize(("one", "other"), [(2, 6), (2, 3), (1, 7)])
def test_swapped_batches_are_read_in_their_order(
    path: Path, has_catalog: bool, one: int, other: int
) -> None:
    """A later batch stood before an earlier one, which then counted as written in the wrong
    place: its message was called lost, and every byte of it was there."""
    swap(path, one, other)
    # Without its catalog a log reads all, and looks closer where something is damaged.
    if not has_catalog:
        (path / "catalog").unlink()
        change(path / RAW, batches(path / RAW)[1][0] - 1)
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "a") == list(range(COUNT))
        assert seen(log, "b") == ["what was durable", "behind"]
        log.channel("a").publish(COUNT)
        log.compact()
        assert seen(log, "a") == list(range(COUNT + 1))
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "a") == list(range(COUNT + 1))


def test_swapped_batches_are_refused_if_nothing_may_be_wrong(path: Path) -> None:
    """Which of both was moved nobody can tell, so who asked to be told is."""
    swap(path, 2, 6)
    with open_log(path) as log:
        with pytest.raises(chanlog.CorruptionError) as raised:
            seen(log, "a")
        assert (raised.value.channel, raised.value.start) == ("a", places(path)[6][0])


def test_a_batch_that_was_doubled_counts_once(path: Path) -> None:
    """A batch stood twice, and the second hid what came between."""
    content = (path / RAW).read_bytes()
    where = places(path)
    put(path, where[2][0], content[slice(*where[6])])
    with open_log(path, on_corruption="gap") as log:
        assert seen(log, "a") == [0, 1, ("gap", 2, 1), *range(3, COUNT)]


@pytest.mark.parametrize("place", [2, COUNT - 1])
def test_a_segment_does_not_end_before_its_last_batch(path: Path, place: int) -> None:
    """The record that ends a segment stood in the middle of it, and all behind it was lost
    without a word."""
    content = (path / RAW).read_bytes()
    end = next(at for at, header in batches(path / RAW) if header[1] == ROLLED)
    start, stop = places(path)[place]
    put(path, start, content[end : end + HEADER.size])
    (path / "catalog").unlink()
    assert stop - start > HEADER.size
    with pytest.raises(chanlog.CorruptionError) as raised:
        open_log(path)
    assert (raised.value.path, raised.value.start) == (path / RAW, start)
    assert [problem.start for problem in chanlog.verify(path).problems] == [
        start,
        start + HEADER.size,
    ]
    with open_log(path, on_corruption="gap") as log:
        left = [number for number in range(COUNT) if number != place]
        assert [found for found in seen(log, "a") if isinstance(found, int)] == left
        assert seen(log, "b") == ["what was durable", "behind"]

"""Reading clustered segments: hints are only hints."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest

import chanlog
from chanlog.format.batch import HEADER_BYTES
from chanlog.storage.clustered import ClusteredSegment
from chanlog.storage.run import Run

from ..support import datas, offsets, take
from .worlds import open_log

COUNT = 1000


@pytest.fixture
def log(tmp_path):
    with open_log(tmp_path / "log") as log:
        for number in range(COUNT):
            log.channel("a").publish(number)
            log.channel("b").publish(-number)
        log.compact()
        yield log


def test_seeking_back_in_a_clustered_segment(log):
    """A reader remembered where it was in the segment, and took everything before that place for
    lost: after ``seek`` a cursor was given a ``Gap`` of messages that were there."""
    cursor = log.channel("a").cursor("c")
    assert offsets(take(cursor, 600)) == list(range(600))
    for offset in (3, 599, 0, 300, 257, 256, 255):
        cursor.seek(offset)
        assert datas(take(cursor, 3)) == [offset, offset + 1, offset + 2]


def test_an_interrupted_read_in_a_clustered_segment(log, monkeypatch):
    """An interrupt while a batch was decoded left the hint behind that batch and the offset before
    it, and the next ``get`` answered with a ``Gap``."""
    subscription = log.channel("a").subscribe()
    decode = Run.messages
    interrupted = []

    def messages(self):
        if self.start not in interrupted:
            interrupted.append(self.start)
            raise KeyboardInterrupt
        return decode(self)

    monkeypatch.setattr(Run, "messages", messages)
    found = []
    for _ in range(COUNT + 100):
        try:
            message = subscription.get(timeout=0)
        except KeyboardInterrupt:
            continue
        if message is not None:
            found.append(message.data)
    assert found == list(range(COUNT))
    assert len(interrupted) > 2


def test_a_stretch_ends_before_damage(tmp_path):
    """Replay takes up several batches at once, and would have run over what is damaged."""
    path = tmp_path / "log"
    with open_log(path) as log:
        for number in range(4 * 256):
            log.channel("a").publish(number)
        log.compact()
        (segment,) = (s for s in log._store.segments if isinstance(s, ClusteredSegment))
        batches = [position for position, _ in segment.walk(segment.index.find(1))]
    assert len(batches) == 4
    content = bytearray((path / segment.name).read_bytes())
    content[batches[2] + HEADER_BYTES + 9] ^= 1
    (path / segment.name).write_bytes(bytes(content))
    with open_log(path) as log, pytest.raises(chanlog.CorruptionError) as raised:
        deque(log.channel("a").replay().data())
    assert (raised.value.first_offset, raised.value.stop_offset) == (512, 768)
    with open_log(path, on_corruption="gap") as log:
        assert list(log.channel("a").replay(0, 512).data()) == list(range(512))
        assert list(log.channel("a").replay(768).data()) == list(range(768, 1024))
        assert [m.offset for m in log.channel("a").replay(512, 768)] == [512]


def test_a_stretch_ends_before_a_gap(tmp_path):
    """A message was damaged before its segment was compacted: what was left lies in batches one
    behind the other, with an offset missing between them."""
    path = tmp_path / "log"
    with open_log(path) as log:
        for number in range(4 * 256):
            log.channel("a").publish(number)
        position = log._store.active.positions(1)[300]
        log.sync()
        log.channel("a").publish("what was durable")
    content = bytearray((path / "0000000001.log").read_bytes())
    content[position + HEADER_BYTES] ^= 1
    (path / "0000000001.log").write_bytes(bytes(content))
    (path / "catalog").unlink()
    with open_log(path, on_corruption="gap") as log:
        log.compact()
        channel = log.channel("a")
        assert list(channel.replay(0, 300).data()) == list(range(300))
        assert [(m.offset, m.missing) for m in channel.replay(300, 301)] == [(300, 1)]
        assert list(channel.replay(301, 1024).data()) == list(range(301, 1024))
        with pytest.raises(chanlog.CorruptionError):
            deque(channel.replay().data())


@pytest.mark.parametrize("damage", ["none", "header", "swapped"])
def test_any_one_of_many_batches(tmp_path, damage):
    """Whoever wants one message goes to its batch at once, and where one of them is wrong looks at
    each: it finds the same, and the same gaps."""
    path, count = tmp_path / "log", 10 * 256
    with open_log(path, segment_bytes=1 << 20) as log:
        for number in range(count):
            log.channel("a").publish(number + 1000)
            log.channel("b").publish(number)
        log.compact()
        (segment,) = (s for s in log._store.segments if isinstance(s, ClusteredSegment))
        places = [position for position, _ in segment.walk(segment.index.find(1))]
    content = bytearray((path / segment.name).read_bytes())
    gone = range(0)
    if damage == "header":
        content[places[6] + 20] ^= 1
        gone = range(6 * 256, 7 * 256)
    if damage == "swapped":
        sizes = [after - before for before, after in pairwise(places)]
        one, other = next((i, j) for i in range(9) for j in range(i + 2, 9) if sizes[i] == sizes[j])
        there, here = slice(*places[one : one + 2]), slice(*places[other : other + 2])
        content[there], content[here] = content[here], content[there]
        gone = range(one * 256, (other + 1) * 256)
    (path / segment.name).write_bytes(bytes(content))
    with open_log(path, on_corruption="gap") as log:
        channel = log.channel("a")
        for offset in [*range(0, count, 97), 255, 256, 257, count - 1, 0]:
            (message,) = channel.replay(offset, offset + 1)
            if offset in gone and isinstance(message, chanlog.Gap):
                continue
            assert (message.offset, message.data) == (offset, offset + 1000)
        if gone:
            assert isinstance(next(iter(channel.replay(gone[0], gone[0] + 1))), chanlog.Gap)

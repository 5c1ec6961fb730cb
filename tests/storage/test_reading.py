"""Reading clustered segments: hints are only hints."""

from __future__ import annotations

import pytest

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

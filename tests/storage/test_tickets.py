"""What is waited for must cover what was appended."""

from __future__ import annotations

from typing import Any

from chanlog.host import NO_BUFFER
from chanlog.storage.segment import RawSegment, log_position
from chanlog.storage.store import Store


def segment(number: int, tail: int) -> RawSegment:
    return RawSegment(number, None, NO_BUFFER, 0, 1 << 20, tail)


class Rolling(Store):
    """A store that another thread rolls between any two looks at its active segment."""

    def __init__(self) -> None:
        self._looks = iter([segment(1, 1000), segment(2, 64)])

    @property
    def active(self) -> Any:
        return next(self._looks)


def test_the_end_is_not_put_together_from_two_segments() -> None:
    """A durable publish read the number of the old segment and the tail of the new one, because a
    roll came in between. Its ticket lay before its own message, so it returned with nothing
    synced."""
    assert Rolling().end_position >= log_position(1, 1000)

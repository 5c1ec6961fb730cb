"""Messages that say who sent them and whether they are whole, and the reader that believes none."""

from __future__ import annotations

from random import Random
from typing import Any
from zlib import crc32

import chanlog

__all__ = ["Checker", "Wrong", "letter"]

SIZES = (0, 10, 60, 100, 300, 2000)


class Wrong(AssertionError):
    """A reader has got what it must not get."""


def letter(random: Random, writer: str, sequence: int) -> list[Any]:
    """The message number ``sequence`` of ``writer``."""
    size = 40_000 if random.random() < 0.003 else random.choice(SIZES)
    body = random.randbytes(size)
    return [writer, sequence, body, crc32(body, crc32(f"{writer} {sequence}".encode()))]


class Checker:
    """Follows one channel: offsets without a gap, each writer's messages in order, whole, once.

    ``told(offset)`` says that everything below was trimmed, as ``OffsetTrimmed`` did. With
    ``filtered`` some offsets are left out by a filter, and nothing of a writer is.
    """

    def __init__(self, place: str, *, filtered: bool = False) -> None:
        self.place = place
        self.count = 0
        self._filtered = filtered
        self._next: int | None = None
        self._sequences: dict[str, int] = {}

    def told(self, offset: int) -> None:
        """Messages below ``offset`` are gone, which somebody has said."""
        if self._next is not None and offset <= self._next:
            raise Wrong(f"{self.place}: told of a trim to {offset}, and stood at {self._next}")
        self._next = offset
        # Each writer may have lost some, and only once: the next message of it may jump.
        self._sequences.clear()

    def see(self, message: chanlog.Message) -> None:
        """The next message."""
        at = f"{self.place} at {message.offset}"
        if self._next is not None and (
            message.offset < self._next or (message.offset > self._next and not self._filtered)
        ):
            raise Wrong(f"{at}: expected offset {self._next}")
        writer, sequence, body, checksum = message.data
        if checksum != crc32(body, crc32(f"{writer} {sequence}".encode())):
            raise Wrong(f"{at}: the payload of {writer} is not what was sent")
        expected = self._sequences.get(writer)
        if expected is not None and sequence != expected:
            raise Wrong(f"{at}: {sequence} of {writer} instead of {expected}")
        self._sequences[writer] = sequence + 1
        self._next = message.offset + 1
        self.count += 1

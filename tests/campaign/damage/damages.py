"""All the ways in which a small file can be damaged: by the bit, by the length, by the sector."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .images import Files
from .layouts import Layout

__all__ = ["SECTOR_BYTES", "Damage", "bits", "sectors", "truncations"]

SECTOR_BYTES = 512


class Damage(NamedTuple):
    """What was done to a file: the new content of it, and how to say so."""

    name: str
    content: bytes
    text: str

    def files(self, layout: Layout) -> Files:
        """All files with this one damaged."""
        return {**layout.files, self.name: self.content}

    def changed(self, layout: Layout) -> set[int]:
        """The positions of the bytes that are not what they were, or gone."""
        before = layout.files[self.name]
        after = self.content.ljust(len(before), b"\0")
        changed = {at for at in range(len(before)) if before[at] != after[at]}
        return changed | set(range(len(self.content), len(before)))


class Kind(NamedTuple):
    """``count`` damages of a file of so many bytes, and the one of a number among them."""

    count: Callable[[int], int]
    make: Callable[[str, bytes, int], Damage]


def _flip(name: str, content: bytes, number: int) -> Damage:
    position, bit = divmod(number, 8)
    changed = bytearray(content)
    changed[position] ^= 1 << bit
    return Damage(name, bytes(changed), f"{name}: bit {bit} of byte {position} flipped")


bits = Kind(lambda size: 8 * size, _flip)


def _cut(name: str, content: bytes, number: int) -> Damage:
    length, zeros = divmod(number, 2)
    if zeros:
        text = f"{name}: zeros from byte {length} on"
        return Damage(name, content[:length].ljust(len(content), b"\0"), text)
    return Damage(name, content[:length], f"{name}: cut to {length} bytes")


truncations = Kind(lambda size: 2 * size, _cut)


def _sectors(size: int) -> int:
    return -(-size // SECTOR_BYTES)


def _spoil(name: str, content: bytes, number: int) -> Damage:
    count = _sectors(len(content))
    way, rest = divmod(number, count * count)
    first, second = divmod(rest, count)
    there = _sector(content, first)
    if first == second:
        # There is no other to take; zeros and ones instead.
        text = f"{name}: sector {first} {'full of ones' if way else 'zeroed'}"
        filling = (b"\xff" if way else b"\0") * len(there)
        return Damage(name, _with(content, first, filling), text)
    other = _sector(content, second)
    changed = _with(content, first, other)
    text = f"{name}: sector {first} overwritten by {second}"
    if way:
        changed = _with(changed, second, there)
        text = f"{name}: sectors {first} and {second} swapped"
    return Damage(name, changed, text)


sectors = Kind(lambda size: 2 * _sectors(size) ** 2, _spoil)


def _sector(content: bytes, number: int) -> bytes:
    return content[number * SECTOR_BYTES : (number + 1) * SECTOR_BYTES]


def _with(content: bytes, number: int, sector: bytes) -> bytes:
    start = number * SECTOR_BYTES
    size = min(SECTOR_BYTES, len(content) - start)
    return content[:start] + sector[:size].ljust(size, b"\0") + content[start + size :]

"""Walking a raw segment from its bytes: what is right, where it stops being right, what follows."""

from __future__ import annotations

from collections.abc import Iterator

from ..format.batch import FRAME, HEADER_BYTES, Header, body_checksum, read_header
from ..host import Buffer

__all__ = [
    "batch_at",
    "inside_damaged_frame",
    "last_nonzero",
    "next_batch",
    "salt_of_first",
    "walk",
]

_CHUNK_BYTES = 1 << 16
_ZEROS = bytes(_CHUNK_BYTES)
_SALT_POSITION = 6


def batch_at(buffer: Buffer | bytes, position: int, stop: int, salt: int) -> Header | None:
    """The header of the batch at ``position`` if all of the batch is there and right."""
    header = read_header(buffer, position, stop, salt)
    if header is None:
        return None
    end = position + header.length
    if body_checksum(buffer, position + HEADER_BYTES, end) != header.body_checksum:
        return None
    return header


def walk(
    buffer: Buffer | bytes, position: int, stop: int, salt: int
) -> Iterator[tuple[int, Header]]:
    """Batches one behind the other, until something is not one."""
    while (header := batch_at(buffer, position, stop, salt)) is not None:
        yield position, header
        position += header.length


def next_batch(buffer: Buffer | bytes, position: int, stop: int, salt: int) -> int | None:
    """The first position from ``position`` on where a right batch begins."""
    needle = salt.to_bytes(2, "little")
    place = buffer.find(needle, position + _SALT_POSITION, stop)
    while place >= 0:
        found = batch_at(buffer, place - _SALT_POSITION, stop, salt)
        if found is not None:
            return place - _SALT_POSITION
        place = buffer.find(needle, place + 1, stop)
    return None


def salt_of_first(buffer: Buffer | bytes, position: int) -> int | None:
    """The salt of a segment whose header is lost, from the batch at ``position`` if it is right."""
    place = position + _SALT_POSITION
    salt = int.from_bytes(buffer[place : place + 2], "little")
    return salt if batch_at(buffer, position, len(buffer), salt) is not None else None


def inside_damaged_frame(buffer: Buffer | bytes, position: int, stop: int, salt: int) -> bool:
    """Whether ``position`` has the right header of a frame whose content is damaged."""
    header = read_header(buffer, position, stop, salt)
    return header is not None and header.kind == FRAME


def last_nonzero(buffer: Buffer | bytes, position: int, stop: int) -> int:
    """The position behind the last byte in the range that is not zero, or ``position``."""
    while stop > position:
        start = max(position, stop - _CHUNK_BYTES)
        chunk = buffer[start:stop]
        if chunk != _ZEROS[: len(chunk)]:
            return start + len(chunk.rstrip(b"\0"))
        stop = start
    return position

"""Walking a raw segment from its bytes: what is right, where it stops being right, what follows."""

from __future__ import annotations

from collections.abc import Iterator
from re import DOTALL, compile

from ..format.batch import FRAME, HEADER_BYTES, ROLLED, Header, body_checksum, read_header
from ..host import Buffer

__all__ = [
    "batch_at",
    "batches_of_any_salt",
    "inside_damaged_frame",
    "last_nonzero",
    "next_batch",
    "walk",
]

_CHUNK_BYTES = 1 << 16
_ZEROS = bytes(_CHUNK_BYTES)
_KIND_POSITION = 4
_SALT_POSITION = 6


def batch_at(buffer: Buffer | bytes, position: int, stop: int, salt: int) -> Header | None:
    """The header of the batch at ``position`` if all of the batch is there and right."""
    header = read_header(buffer, position, stop, salt)
    if header is None:
        return None
    end = position + header.length
    if body_checksum(buffer, position + HEADER_BYTES, end) != header.body_checksum:
        return None
    if header.kind == FRAME and not _is_filled(buffer, position + HEADER_BYTES, end, salt):
        return None
    return header


def _is_filled(buffer: Buffer | bytes, position: int, stop: int, salt: int) -> bool:
    """Whether batches that are no frames lie one behind the other up to ``stop``."""
    while position < stop:
        header = read_header(buffer, position, stop, salt)
        if header is None or header.kind in (FRAME, ROLLED):
            return False
        position += header.length
    return True


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
    while place != -1:
        found = batch_at(buffer, place - _SALT_POSITION, stop, salt)
        if found is not None:
            return place - _SALT_POSITION
        place = buffer.find(needle, place + 1, stop)
    return None


def batches_of_any_salt(
    buffer: Buffer | bytes, position: int, stop: int
) -> Iterator[tuple[int, Header]]:
    """Every right batch, for a segment whose header is lost and with it the salt; those inside of
    others too."""
    for match in _LOOKS_LIKE_A_BATCH.finditer(buffer, position + _KIND_POSITION, stop):
        place = match.start() - _KIND_POSITION
        salt = int.from_bytes(buffer[place + _SALT_POSITION : place + _SALT_POSITION + 2], "little")
        header = batch_at(buffer, place, stop, salt)
        if header is not None:
            yield place, header


# Kind, flags and salt, where a batch can begin. Looked for ahead, so that matches may overlap.
_LOOKS_LIKE_A_BATCH = compile(rb"(?=[\x01-\x0a][\x00-\x03][^\x00][^\x00])", DOTALL)


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

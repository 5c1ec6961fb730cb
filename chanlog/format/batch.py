"""The batch: the unit of writing and of checksum. Everything in a segment is one.

A batch is a header of 48 bytes and a body; integers are little-endian::

     0  u32  header checksum   crc32 of bytes 4 to 48
     4  u8   kind              never 0, so that unwritten space shows
     5  u8   flags             META, SEQUENCED
     6  u16  salt              of the segment: tells its batches from look-alikes in payloads
     8  u32  length            of the whole batch, header included
    12  u32  body checksum     crc32 of the body
    16  u32  channel           its id; 0 for what belongs to no channel
    20  u32  count             messages in it; 0 for a control record
    24  u64  base offset       of its first message; see ``records`` for control records
    32  i64  time_ns           of its first message, in nanoseconds since 1970
    40  u64  mark              the log position below which all was durable at the time of writing
    48  ...  body

The header has a checksum of its own: damage in a body leaves the header to say exactly which
messages are gone, and a walk over headers alone can be trusted.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple
from zlib import crc32

__all__ = [
    "CONFIGURED",
    "CREATED",
    "CURSOR",
    "DELETED",
    "ENDED",
    "FRAME",
    "HEADER",
    "HEADER_BYTES",
    "HEADER_BY_SHAPE",
    "HEADER_REST",
    "KINDS",
    "MESSAGES",
    "META",
    "PRODUCER",
    "ROLLED",
    "SEQUENCED",
    "TRIMMED",
    "Bytes",
    "Header",
    "body_checksum",
    "encode",
    "read_header",
    "shape_of",
]

# ``bytes``, a ``memoryview`` or an ``mmap``: whatever can be sliced and unpacked from.
Bytes = Any

HEADER = Struct("<IBBHIIIIQqQ")
HEADER_REST = Struct("<BBHIIIIQqQ")
# The same with kind, flags and salt as one number, to be compared in one step.
HEADER_BY_SHAPE = Struct("<IIIIIIQqQ")
HEADER_BYTES = HEADER.size
CHECKSUM = Struct("<I")

MESSAGES = 1
FRAME = 2
CREATED = 3
CONFIGURED = 4
ENDED = 5
DELETED = 6
TRIMMED = 7
CURSOR = 8
PRODUCER = 9
ROLLED = 10

KINDS = {
    MESSAGES: "messages",
    FRAME: "frame",
    CREATED: "created",
    CONFIGURED: "configured",
    ENDED: "ended",
    DELETED: "deleted",
    TRIMMED: "trimmed",
    CURSOR: "cursor",
    PRODUCER: "producer",
    ROLLED: "rolled",
}

META = 1
SEQUENCED = 2
FLAGS_ALL = META | SEQUENCED

# Above every offset, sequence and segment number.
OFFSET_MAX = 1 << 62

# A checksum of more than 5 KiB lets go of the interpreter lock, and getting it back from a
# busy thread can take the whole switch interval. Up to this size it never does.
CHECKSUM_BYTES_HELD = 5120


def shape_of(kind: int, flags: int, salt: int) -> int:
    """What ``HEADER_BY_SHAPE`` has in one number."""
    return kind | flags << 8 | salt << 16


class Header(NamedTuple):
    """The fields of a batch header, in the order of the bytes."""

    checksum: int
    kind: int
    flags: int
    salt: int
    length: int
    body_checksum: int
    channel: int
    count: int  # type: ignore[assignment]
    base: int
    time_ns: int
    mark: int


def encode(
    kind: int,
    body: bytes,
    *,
    salt: int,
    channel: int,
    time_ns: int,
    mark: int,
    flags: int = 0,
    count: int = 0,
    base: int = 0,
) -> bytes:
    """A whole batch. The hot path of a publish does the same inline."""
    rest = HEADER_REST.pack(
        kind, flags, salt, HEADER_BYTES + len(body), crc32(body), channel, count, base, time_ns,
        mark,
    )  # fmt: skip
    return CHECKSUM.pack(crc32(rest)) + rest + body


def read_header(buffer: Bytes, position: int, stop: int, salt: int) -> Header | None:
    """The header at ``position`` if it is whole, right, and its batch ends by ``stop``."""
    if position + HEADER_BYTES > stop:
        return None
    header = Header._make(HEADER.unpack_from(buffer, position))
    if (
        header.kind not in KINDS
        or header.salt != salt
        or header.flags & ~FLAGS_ALL
        or header.length < HEADER_BYTES
        or position + header.length > stop
        or (header.kind == MESSAGES) != (header.count > 0)
        or (header.kind in (FRAME, ROLLED)) != (header.channel == 0)
        or header.base + header.count > OFFSET_MAX
        or header.checksum != crc32(buffer[position + 4 : position + HEADER_BYTES])
    ):
        return None
    return header


def body_checksum(buffer: Bytes, start: int, stop: int) -> int:
    """crc32 of ``buffer[start:stop]`` without ever letting go of the interpreter lock."""
    # A slice of it copies nothing.
    view = memoryview(buffer)
    checksum = 0
    while stop - start > CHECKSUM_BYTES_HELD:
        checksum = crc32(view[start : start + CHECKSUM_BYTES_HELD], checksum)
        start += CHECKSUM_BYTES_HELD
    return crc32(view[start:stop], checksum)

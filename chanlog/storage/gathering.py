"""The fast way to gather what lies scattered: a channel's messages in a raw segment, one by one.

Clustering meets mostly those. What is done here for a plain message is what ``batch_at``,
``read_meta`` and ``merge`` do for any batch, in a third of the time; at whatever is not plain it
stops and leaves it to them. A test holds the two ways together.
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import Any
from zlib import crc32

from ..errors import FormatError
from ..format.batch import (
    CHECKSUM_BYTES_HELD,
    HEADER_BY_SHAPE,
    HEADER_BYTES,
    MESSAGES,
    META,
    shape_of,
)
from ..format.body import META_LENGTH, META_LENGTH_BYTES, Meta, read_meta
from ..format.payload import array_header
from .segment import RawSegment

__all__ = ["BATCH_BYTES_MAX", "gather"]

# A batch of so many bytes is not merged further: larger ones decode no faster, and cost more to
# whoever wants one message.
BATCH_BYTES_MAX = 32 * 1024


def gather(
    segment: RawSegment, channel: int, positions: array[int], low: int, high: int
) -> tuple[int, int, int, Any, Meta] | None:
    """The messages at the first of ``positions``, as one batch: as long as each is a right batch
    of one message of ``channel``, at the next offset, from ``low`` on and below ``high``, and all
    have the same meta. As ``merge`` takes it; ``None`` if that is not more than one.
    """
    if len(positions) < _GATHERED_MIN:
        return None
    mapped, tail = segment.map, segment.tail
    unpack = HEADER_BY_SHAPE.unpack_from
    plain = shape_of(MESSAGES, 0, segment.salt)
    plain_with_meta = shape_of(MESSAGES, META, segment.salt)
    parts: list[bytes] = []
    instants: list[int] = []
    meta: bytes | None = None
    first, first_length, size = -1, 0, 0
    for position in positions:
        body = position + HEADER_BYTES
        if body > tail:
            break
        (checksum, shape, length, body_sum, id, count, base, time_ns, _) = unpack(mapped, position)
        stop = position + length
        if (
            shape not in (plain, plain_with_meta)
            or not HEADER_BYTES < length <= CHECKSUM_BYTES_HELD
            or stop > tail
            or id != channel
            or count != 1
            or base >= high
            or (base != first + len(parts) if parts else base < low)
            or checksum != crc32(mapped[position + 4 : body])
        ):
            break
        content = mapped[body:stop]
        if crc32(content) != body_sum:
            break
        tail_bytes = b""
        if shape != plain:
            at = len(content) - META_LENGTH_BYTES
            at -= META_LENGTH.unpack_from(content, at)[0] if at > 0 else 1
            if at <= 0:
                break
            content, tail_bytes = content[:at], content[at:]
        if meta is None:
            first, first_length, meta = base, length, tail_bytes
        elif tail_bytes != meta or size + len(content) > BATCH_BYTES_MAX:
            break
        parts.append(content)
        size += len(content)
        instants.append(time_ns)
    if len(parts) < _GATHERED_MIN:
        return None
    try:
        columns = read_meta(mapped, positions[0], first_length, META if meta else 0)
    except FormatError:
        return None
    if columns[0] is not None or any(type(column) is list for column in columns):
        # A batch of one is never written so.
        return None
    deltas = None
    if instants[-1] != instants[0]:
        deltas = [after - before for before, after in pairwise(instants)]
    count = len(parts)
    packed = array_header(count) + b"".join(parts)
    return first, count, instants[0], packed, (deltas, *columns[1:])


_GATHERED_MIN = 2

"""Creating a segment: a file with room reserved in it, mapped; or one for a file that is there."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ..format.batch import HEADER_BYTES
from ..format.names import raw_name
from ..format.segment import SEGMENT_HEADER_BYTES, encode_segment_header
from .clustered import ClusteredSegment
from .segment import RawSegment

if TYPE_CHECKING:
    from .store import Store

__all__ = ["clustered_segment", "create_segment"]

_ALLOCATE_BYTES_MIN = 64 * 1024


def create_segment(store: Store, number: int, length: int) -> RawSegment:
    """Raw segment ``number``, with room for ``length`` bytes at least and for its end.

    Raises ``DiskFull`` and leaves nothing. What an interrupted try has left is replaced.
    """
    least = SEGMENT_HEADER_BYTES + length + HEADER_BYTES
    size = max(store.options.segment_bytes, least)
    limit = min(size, max(_ALLOCATE_BYTES_MIN, least))
    name = raw_name(number)
    # No byte of a salt is zero, so that unwritten space never looks like a batch.
    salt = int.from_bytes(store.host.random_bytes(2), "little") | 0x0101
    store.folder.remove(name)
    file = store.folder.create(name)
    try:
        file.truncate(size)
        file.allocate(0, limit)
        mapped = file.map(size, writable=True)
    except BaseException:
        file.close()
        with suppress(OSError):
            store.folder.remove(name)
        raise
    mapped[:SEGMENT_HEADER_BYTES] = encode_segment_header(
        salt=salt, first=number, last=number, created_ns=max(store.time_ns, store.clock()),
        log_id=store.log_id,
    )  # fmt: skip
    segment = RawSegment(number, file, mapped, salt, size, SEGMENT_HEADER_BYTES)
    segment.limit = limit - HEADER_BYTES
    return segment


def clustered_segment(store: Store, first: int, last: int) -> ClusteredSegment:
    """The clustered segment of these numbers; nothing of it is looked at yet."""
    forgiving = store.options.on_corruption == "gap"
    return ClusteredSegment(store.folder, first, last, store.opened, forgiving=forgiving)

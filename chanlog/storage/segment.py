"""Raw segments, as they were written, and places in the log."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..errors import DiskFull
from ..format.batch import (
    HEADER,
    HEADER_BYTES,
    MESSAGES,
    ROLLED,
    Header,
    body_checksum,
    read_header,
)
from ..format.names import raw_name
from ..format.segment import SEGMENT_HEADER_BYTES
from ..host import NO_BUFFER, Buffer, File

__all__ = [
    "POSITION_BITS",
    "Nowhere",
    "RawSegment",
    "ends",
    "log_position",
]

POSITION_BITS = 32
_read_base = HEADER.unpack_from
_NO_POSITIONS: array[int] = array("I")


def log_position(number: int, position: int) -> int:
    """A place in the log as one ordered number: the segment, and the position in it."""
    return (number << POSITION_BITS) | position


def ends(segment: int, position: int, header: Header) -> bool:
    """Whether a ``rolled`` batch at ``position`` was written there. One of the first files does
    not say where it belongs."""
    return header.base in (log_position(segment, position), segment + 1)


class RawSegment:
    """A segment as it was written: the active one, or a sealed one not clustered yet.

    ``tail`` is where the next batch goes, ``limit`` how far room is reserved, ``size`` how long
    the file can get. ``index`` has the positions of each channel's batches; those known from the
    catalog alone are loaded when asked for. Guarded by the store's lock, except that a reader may
    look at any position below ``tail``. ``damaged``: opening has found damage in it, and goes on.
    """

    __slots__ = (
        "__weakref__", "checked", "damaged", "file", "first", "index", "last", "limit", "load",
        "loadable", "map", "name", "retired", "salt", "size", "tail", "trusted", "verified",
    )  # fmt: skip

    def __init__(
        self, number: int, file: File | None, map: Buffer, salt: int, size: int, tail: int
    ) -> None:
        self.first = number
        self.last = number
        self.name = raw_name(number)
        self.file = file
        self.map = map
        self.salt = salt
        self.size = size
        self.tail = tail
        self.limit = tail
        self.retired = False
        self.damaged = False
        # From here on every batch was written or scanned by this process. What lies below is
        # known from the catalog, and verified when it is read.
        self.trusted = SEGMENT_HEADER_BYTES
        self.verified: set[int] = set()
        self.checked: set[int] = set()
        self.index: dict[int, array[int]] = {}
        self.load: Callable[[int], bytes | memoryview] | None = None
        self.loadable: Sequence[int] = ()

    def write(self, position: int, content: bytes) -> None:
        """Write all of it through the file or, where the room that was reserved is not given,
        nothing. Raises ``DiskFull``.

        For many pages that are to be synced: faulting each in costs more than the call.
        """
        assert self.file is not None
        try:
            self.file.write(position, content)
        except DiskFull:
            # Zeros get as far as the content did.
            with suppress(DiskFull):
                self.file.write(position, bytes(len(content)))
            raise

    def positions(self, channel: int) -> array[int]:
        """Where this channel's batches of messages are, in order; grows while the segment does."""
        found = self.index.get(channel)
        if found is None:
            if self.load is None:
                return _NO_POSITIONS
            found = array("I", bytes(self.load(channel)))
            last = self.tail - HEADER_BYTES
            if found and max(found) > last:
                # The file was cut since, and opening has told; or the catalog is nonsense.
                found = array("I", (position for position in found if position <= last))
            if found:
                # A writer and a reader may both come here; they must end up with one array.
                found = self.index.setdefault(channel, found)
        return found

    def writable_positions(self, channel: int) -> array[int]:
        """The same, to append to."""
        return self.positions(channel) or self.index.setdefault(channel, array("I"))

    def channels(self) -> list[int]:
        """The ids of the channels that have batches here, sorted."""
        return sorted({*self.index, *self.loadable})

    def header(self, position: int) -> Header:
        """The header at a position that is known to be right."""
        return Header._make(HEADER.unpack_from(self.map, position))

    def is_right(self, position: int, channel: int) -> bool:
        """Whether at ``position`` is a batch of messages of ``channel`` with its checksums;
        verified once per process."""
        if position >= self.trusted or position in self.verified:
            return True
        if not self.has_right_header(position, channel):
            return False
        header = self.header(position)
        stop = position + header.length
        if body_checksum(self.map, position + HEADER_BYTES, stop) != header.body_checksum:
            return False
        self.verified.add(position)
        return True

    def are_right(self, positions: Sequence[int], channel: int) -> bool:
        """Whether all of these batches are right."""
        if self.verified.issuperset(positions):
            return True
        trusted = self.trusted
        return all(p >= trusted or self.is_right(p, channel) for p in positions)

    def has_right_header(self, position: int, channel: int) -> bool:
        """Whether the header at ``position`` is right, and that of messages of ``channel``."""
        header = read_header(self.map, position, self.tail, self.salt)
        return header is not None and (header.channel, header.kind) == (channel, MESSAGES)

    @property
    def is_rolled(self) -> bool:
        """Whether the last record is the one that ends a segment."""
        position = self.tail - HEADER_BYTES
        if position < SEGMENT_HEADER_BYTES:
            return False
        header = read_header(self.map, position, self.tail, self.salt)
        return header is not None and header.kind == ROLLED

    def base_offset(self, position: int) -> int:
        """The base offset of the batch at ``position``."""
        base: int = _read_base(self.map, position)[8]
        return base

    def end_offset(self, position: int) -> int:
        """The offset behind the last message of the batch at ``position``."""
        fields = _read_base(self.map, position)
        end: int = fields[8] + fields[7]
        return end


class Nowhere(RawSegment):
    """The active segment when there is none: it has no room, so every append asks for some."""

    def __init__(self, last: int) -> None:
        super().__init__(last, None, NO_BUFFER, 0, 0, 0)
        self.limit = -1

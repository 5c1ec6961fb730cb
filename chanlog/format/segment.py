"""Segment files: the header of every one, and the index at the end of a clustered one.

Header, 64 bytes, little-endian::

     0  8s   magic "chanlog\\n"
     8  u16  format version
    10  u16  salt of its batches
    12  u32  zero
    16  u64  segment number (of a clustered file: the first)
    24  u64  last number (of a raw file: the same)
    32  i64  created, nanoseconds since 1970
    40  16s  id of the log
    56  u32  zero
    60  u32  checksum: crc32 of bytes 0 to 60

A clustered file goes on with control records, then each channel's batches together, in the order
of channel ids, then the index, one entry of 56 bytes for each channel, then the footer::

     0  u32  channel id                  0  8s   magic "chanidx\\n"
     4  u32  batches                     8  u64  position of the index
     8  u64  position of the first      16  u64  entries
    16  u64  position behind the last   24  u64  position behind the control records
    24  u64  base offset                32  u64  messages
    32  u64  end offset                 40  u64  length of the file
    40  i64  time of the first          48  u32  crc32 of the index
    48  i64  time of the last           52  u32  zero
                                        56  u32  zero
                                        60  u32  checksum: crc32 of bytes 0 to 60
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from ..errors import FormatError, FormatTooNew
from .batch import OFFSET_MAX

__all__ = [
    "ENTRY",
    "FOOTER",
    "FORMAT_VERSION",
    "SEGMENT_HEADER",
    "SEGMENT_HEADER_BYTES",
    "Entry",
    "Index",
    "encode_footer",
    "encode_marker",
    "encode_segment_header",
    "read_index",
    "read_marker",
    "read_segment_header",
]

FORMAT_VERSION = 1
MAGIC = b"chanlog\n"
INDEX_MAGIC = b"chanidx\n"
SEGMENT_HEADER = Struct("<8sHHIQQq16sII")
SEGMENT_HEADER_BYTES = SEGMENT_HEADER.size
ENTRY = Struct("<IIQQQQqq")
FOOTER = Struct("<8sQQQQQIIII")
MARKER = Struct("<8sHHI16sqI")
_U32 = Struct("<I")
_MAGIC_AND_VERSION = Struct("<8sH")


class SegmentHeader(NamedTuple):
    """What the first bytes of a segment file say."""

    salt: int
    first: int
    last: int
    created_ns: int
    log_id: bytes


class Entry(NamedTuple):
    """Where a clustered file has the batches of one channel."""

    channel: int
    batches: int
    position: int
    stop: int
    base: int
    end: int
    time_first_ns: int
    time_last_ns: int


def encode_segment_header(
    *, salt: int, first: int, last: int, created_ns: int, log_id: bytes
) -> bytes:
    """The 64 bytes at the start of a segment file."""
    head = SEGMENT_HEADER.pack(
        MAGIC, FORMAT_VERSION, salt, 0, first, last, created_ns, log_id, 0, 0
    )[:-4]
    return head + _U32.pack(crc32(head))


def read_segment_header(buffer: bytes | memoryview) -> SegmentHeader:
    """The inverse. Raises ``FormatError``, or ``FormatTooNew`` (its ``path`` is for the caller)."""
    if len(buffer) < SEGMENT_HEADER_BYTES:
        raise FormatError("too short for the header of a segment", position=0)
    magic, version, salt, _, first, last, created_ns, log_id, _, checksum = (
        SEGMENT_HEADER.unpack_from(buffer)
    )
    if magic != MAGIC or checksum != crc32(buffer[: SEGMENT_HEADER_BYTES - 4]):
        raise FormatError("the header of a segment is damaged", position=0)
    _check_version(version)
    return SegmentHeader(salt, first, last, created_ns, log_id)


def encode_marker(log_id: bytes, created_ns: int) -> bytes:
    """The content of the marker file: magic, version, log id, creation time, checksum."""
    head = MARKER.pack(b"CHANLOG\n", FORMAT_VERSION, 0, 0, log_id, created_ns, 0)[:-4]
    return head + _U32.pack(crc32(head))


def read_marker(content: bytes) -> tuple[bytes, int]:
    """(log id, creation time) of a marker. Raises ``FormatError`` or ``FormatTooNew``."""
    if len(content) < _MAGIC_AND_VERSION.size or not content.startswith(b"CHANLOG\n"):
        raise FormatError("not a log marker", position=0)
    # Only the first ten bytes are the same in every format.
    _check_version(_MAGIC_AND_VERSION.unpack_from(content)[1])
    if len(content) != MARKER.size:
        raise FormatError("the log marker is damaged", position=0)
    _, _, _, _, log_id, created_ns, checksum = MARKER.unpack(content)
    if checksum != crc32(content[:-4]):
        raise FormatError("the log marker is damaged", position=0)
    return log_id, created_ns


def _check_version(version: int) -> None:
    if version > FORMAT_VERSION:
        raise FormatTooNew(
            f"written in format {version}, and this version of chanlog reads up to "
            f"{FORMAT_VERSION}; upgrade chanlog",
            found=version,
            supported=FORMAT_VERSION,
        )


def encode_footer(
    entries: Iterable[Entry], *, index_position: int, control_stop: int, messages: int
) -> bytes:
    """The index and footer that follow the last batch of a clustered file."""
    index = b"".join(ENTRY.pack(*entry) for entry in entries)
    length = index_position + len(index) + FOOTER.size
    head = FOOTER.pack(
        INDEX_MAGIC, index_position, len(index) // ENTRY.size, control_stop, messages, length,
        crc32(index), 0, 0, 0,
    )[:-4]  # fmt: skip
    return index + head + _U32.pack(crc32(head))


class Index:
    """The index of a clustered file, read where it lies: nothing is loaded that is not asked."""

    __slots__ = ("_batches_stop", "_buffer", "_position", "control_stop", "count", "messages")

    def __init__(
        self,
        buffer: memoryview,
        position: int,
        count: int,
        control_stop: int,
        messages: int,
        batches_stop: int,
    ) -> None:
        self._buffer = buffer
        self._position = position
        self._batches_stop = batches_stop
        self.count = count
        self.control_stop = control_stop
        self.messages = messages

    @classmethod
    def of(cls, entries: Iterable[Entry], control_stop: int) -> Index:
        """An index that is in no file, of these entries in the order of channel ids."""
        packed = b"".join(ENTRY.pack(*entry) for entry in entries)
        known = [Entry._make(fields) for fields in ENTRY.iter_unpack(packed)]
        stop = max((entry.stop for entry in known), default=control_stop)
        return cls(memoryview(packed), 0, len(known), control_stop, 0, stop)

    @property
    def size_bytes(self) -> int:
        """How many bytes its entries take."""
        return self.count * ENTRY.size

    def copied(self) -> Index:
        """The same with its entries in memory of its own, so that the file need not stay mapped."""
        start = self._position
        entries = memoryview(bytes(self._buffer[start : start + self.size_bytes]))
        return Index(entries, 0, self.count, self.control_stop, self.messages, self._batches_stop)

    def find(self, channel: int) -> Entry | None:
        """The entry of ``channel``, or ``None`` if the file has nothing of it."""
        low, high = 0, self.count
        buffer, start, size, read = self._buffer, self._position, ENTRY.size, _U32.unpack_from
        while low < high:
            middle = (low + high) // 2
            if read(buffer, start + middle * size)[0] < channel:
                low = middle + 1
            else:
                high = middle
        if low < self.count:
            entry = Entry._make(ENTRY.unpack_from(buffer, start + low * size))
            if entry.channel == channel:
                return self._checked(entry)
        return None

    def __iter__(self) -> Iterator[Entry]:
        stop = self._position + self.count * ENTRY.size
        entries = map(Entry._make, ENTRY.iter_unpack(self._buffer[self._position : stop]))
        return map(self._checked, entries)

    def _checked(self, entry: Entry) -> Entry:
        if not (
            min(entry.position, entry.stop) >= SEGMENT_HEADER_BYTES
            and max(entry.position, entry.stop) <= self._batches_stop
            and entry.base <= entry.end <= OFFSET_MAX
        ):
            raise FormatError("an entry of an index leads out of its file", position=self._position)
        return entry


def read_index(buffer: memoryview) -> Index:
    """The index of a whole clustered file. Raises ``FormatError`` with the position."""
    start = len(buffer) - FOOTER.size
    if start < SEGMENT_HEADER_BYTES:
        raise FormatError("too short for a clustered segment", position=0)
    magic, position, count, control_stop, messages, length, index_checksum, _, _, checksum = (
        FOOTER.unpack_from(buffer, start)
    )
    if (
        magic != INDEX_MAGIC
        or checksum != crc32(buffer[start:-4])
        or length != len(buffer)
        or position + count * ENTRY.size != start
        or not SEGMENT_HEADER_BYTES <= control_stop <= position
    ):
        raise FormatError("the footer of a clustered segment is damaged", position=start)
    if index_checksum != crc32(buffer[position:start]):
        raise FormatError("the index of a clustered segment is damaged", position=position)
    return Index(buffer, position, count, control_stop, messages, position)

"""The bytes of a catalog: where everything lies, and bounds-checked access to it.

A catalog is the state of every channel of a log as of one log position, the *mark*. It is read in
place, from a memory map: opening it loads nothing, and a channel that nobody asks for costs no
memory. Everything is found by bisection, so the sections are arrays of fixed-size items.

::

    position          bytes   section
    0                 128     header
    128               64 n    records: one per slot, by ascending channel id
    + 64 n            24 s    directory: one per unclustered segment, by ascending segment
    + 24 s            4 v     order: the slots of the visible records, by ascending name bytes
    + 4 v             4 w     tail words: for each segment in the directory
                                u32 ids[ids]      channel ids, ascending
                                u32 stops[ids]    where a channel's positions stop, counted in
                                                  words from the first position of the segment
                                u32 positions[]   positions of batches, channel by channel
    + 4 w             h       heap: names (UTF-8) and extras, in no particular order
    + h               m       meta: a blob that belongs to the storage floor

    header                                          record
     0  8s  magic "CHANCATL"                         0  u32 id
     8  u32 version                                  4  u32 flags
    12  u32 crc32 of all that follows the header     8  u64 start_offset
    16  u64 mark                                    16  u64 end_offset
    24  u64 next_id                                 24  i64 created_ns
    32  i64 time_ns                                 32  i64 time_ns
    40  u64 slots: n                                40  u64 extra_at: position in the heap
    48  u64 live: records that are not removed      48  u32 extra_bytes
    56  u64 visible: v                              52  u16 state: 0 live, 1 removed
    64  u64 segments: s                             54  u16 name_bytes
    72  u64 tail_words: w                           56  u64 name_at: position in the heap
    80  u64 heap_bytes: h
    88  u64 meta_bytes: m                           directory item
    96  u64 garbage_bytes                            0  u64 segment
    104 20s zero                                     8  u64 first: its first tail word
    124 u32 crc32 of the 124 bytes above            16  u32 ids
                                                    20  u32 positions

All integers are little-endian. A catalog ends exactly where its header says. The sections follow
each other without gaps and their starts are computed, never stored, so no two places can disagree;
their order keeps every item aligned. A removed channel leaves its record behind, zero but for
``id`` and ``state``, so that slots never move between rewrites and ``order`` can be reused as it
is. ``garbage_bytes`` counts such records and everything in the heap that no record refers to.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from chanlog.errors import FormatError

Buffer: TypeAlias = Any
"""``bytes``, a ``memoryview`` or an ``mmap``."""

MAGIC = b"CHANCATL"
VERSION = 1
HEADER = struct.Struct("<8sIIQQqQQQQQQQQ20sI")
RECORD = struct.Struct("<IIQQqqQIHHQ")
SEGMENT = struct.Struct("<QQII")
WORD = struct.Struct("<I")

NAME = struct.Struct("<HQ")
NAME_POSITION = 54
VERSION_POSITION = 8
CRC_POSITION = 12

LIVE = 0
REMOVED = 1
HIDDEN = 1 << 31
NAME_BYTES_MAX = 512

RUN_BYTES = 1024 * RECORD.size
_LANDMARKS = 1024
_ID_STOP = 1 << 32

# Looked up once instead of at every step of a bisection.
_WORD_FROM = WORD.unpack_from
_NAME_FROM = NAME.unpack_from
_WORD_BYTES = WORD.size
_RECORD_BYTES = RECORD.size


@dataclass(slots=True, frozen=True)
class Entry:
    """One channel as of the mark. ``flags`` and ``extra`` are opaque here, but for ``HIDDEN``:
    such an entry is found by its id alone, and its name may be used again."""

    id: int
    name: str
    start_offset: int
    end_offset: int
    created_ns: int
    time_ns: int
    flags: int = 0
    extra: bytes = b""


class Record(NamedTuple):
    """An entry as it is stored, its name and extra being references into the heap."""

    id: int
    flags: int
    start_offset: int
    end_offset: int
    created_ns: int
    time_ns: int
    extra_at: int
    extra_bytes: int
    state: int
    name_bytes: int
    name_at: int

    @property
    def is_live(self) -> bool:
        return self.state == LIVE

    @property
    def is_visible(self) -> bool:
        return self.state == LIVE and not self.flags & HIDDEN

    @property
    def total_bytes(self) -> int:
        """What becomes garbage when this record is removed."""
        return RECORD.size + self.name_bytes + self.extra_bytes


class Tail(NamedTuple):
    """Where the tail words of one segment are, and how many."""

    segment: int
    first: int
    ids: int
    positions: int

    @property
    def stops(self) -> int:
        return self.first + self.ids

    @property
    def stop(self) -> int:
        return self.first + 2 * self.ids + self.positions


class Header(NamedTuple):
    """The numbers of the header; magic, version, padding and its own checksum are not kept."""

    body_crc: int
    mark: int
    next_id: int
    time_ns: int
    slots: int
    live: int
    visible: int
    segments: int
    tail_words: int
    heap_bytes: int
    meta_bytes: int
    garbage_bytes: int

    def pack(self) -> bytes:
        head = HEADER.pack(MAGIC, VERSION, *self, b"", 0)[: -WORD.size]
        return head + WORD.pack(zlib.crc32(head))

    @classmethod
    def parse(cls, head: bytes) -> Header:
        if len(head) < HEADER.size:
            raise FormatError("a catalog is cut short within its header", position=len(head))
        magic, version, *numbers, _, crc = HEADER.unpack(head)
        if magic != MAGIC:
            raise FormatError("not a catalog: it begins with other bytes", position=0)
        if version != VERSION:
            text = f"this catalog has version {version}, and this code reads version {VERSION}"
            raise FormatError(text, position=VERSION_POSITION)
        if crc != zlib.crc32(head[: -WORD.size]):
            text = "the header of the catalog does not match its checksum"
            raise FormatError(text, position=HEADER.size - WORD.size)
        return cls._make(numbers)


def text_of(name: bytes) -> str:
    try:
        return str(name, "utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"a name in the catalog is not UTF-8: {name!r}") from error


def _astray(position: int) -> FormatError:
    return FormatError("a reference in the catalog leaves its section", position=position)


def swap_if_big(words: array[int]) -> array[int]:
    """``words`` between the order of the host and little-endian, either way."""
    if sys.byteorder == "big":
        words = array("I", words)
        words.byteswap()
    return words


class Sections:
    """Raw access to the sections of one catalog; safe to share between threads, for nothing
    about it changes but what it remembers.

    Every read is checked against the bounds of its section, because a buffer that was opened
    without verifying may hold anything. Only ``FormatError`` is raised for what the bytes say.
    The buffer is not kept exported: a memory map can be closed at any time, after which reads
    raise ``ValueError``.
    """

    __slots__ = (
        "buffer",
        "directory_at",
        "header",
        "heap_at",
        "id_first",
        "id_last",
        "landmarks",
        "meta_at",
        "names_at",
        "order_at",
        "records_at",
        "slots",
        "stride",
        "verified",
        "visible",
        "words_at",
    )

    def __init__(self, buffer: Buffer) -> None:
        if isinstance(buffer, memoryview):
            buffer = buffer.cast("B")
        self.buffer = buffer
        self.header = header = Header.parse(bytes(buffer[: HEADER.size]))
        self.records_at = HEADER.size
        self.directory_at = self.records_at + RECORD.size * header.slots
        self.order_at = self.directory_at + SEGMENT.size * header.segments
        self.words_at = self.order_at + WORD.size * header.visible
        self.heap_at = self.words_at + WORD.size * header.tail_words
        self.meta_at = self.heap_at + header.heap_bytes
        stop = self.meta_at + header.meta_bytes
        if stop != len(buffer):
            text = f"a catalog of {stop} bytes, by its header, has {len(buffer)}"
            raise FormatError(text, position=min(stop, len(buffer)))
        if not header.visible <= header.live <= header.slots:
            raise FormatError("the counts of the catalog contradict each other", position=40)
        if not 0 < header.next_id <= _ID_STOP:
            raise FormatError("the next id of the catalog is not one", position=24)
        self.slots = header.slots
        self.visible = header.visible
        self.names_at = self.records_at + NAME_POSITION
        self.landmarks: list[bytes] | None = None
        self.stride = max(1, header.visible // _LANDMARKS)
        self.id_first = self.id_at(0) if header.slots else 0
        self.id_last = self.id_at(header.slots - 1) if header.slots else 0
        self.verified = False

    def verify(self) -> None:
        """Compare the body with its checksum, once."""
        if self.verified:
            return
        with memoryview(self.buffer) as view, view[HEADER.size :] as body:
            crc = zlib.crc32(body)
        if crc != self.header.body_crc:
            text = "the catalog does not match its checksum"
            raise FormatError(text, position=CRC_POSITION)
        self.verified = True

    def view(self, start: int, stop: int) -> memoryview:
        """The bytes between two positions of the buffer, without a copy."""
        return memoryview(self.buffer)[start:stop]

    def id_at(self, slot: int) -> int:
        id: int = _WORD_FROM(self.buffer, self.records_at + _RECORD_BYTES * slot)[0]
        return id

    def record(self, slot: int) -> Record:
        position = self.records_at + RECORD.size * slot
        return Record._make(RECORD.unpack_from(self.buffer, position))

    def records(self) -> Iterator[Record]:
        """All records by ascending id, removed ones included. A run of them is copied at a time,
        so that a long walk neither calls for each one nor keeps the buffer exported."""
        for start in range(self.records_at, self.directory_at, RUN_BYTES):
            run = bytes(self.buffer[start : min(start + RUN_BYTES, self.directory_at)])
            yield from map(Record._make, RECORD.iter_unpack(run))

    def slot_of(self, id: int) -> int | None:
        """The slot of an id, removed or not. Ids ascend strictly, so the distance to the first
        and the last one bounds the slot from both sides: without gaps, to just one."""
        if not self.id_first <= id <= self.id_last:
            return None
        slots = self.slots
        low = max(0, slots - 1 - (self.id_last - id))
        stop = min(slots, id - self.id_first)
        slot = bisect_left(range(slots), id, low, stop, key=self.id_at)
        return slot if slot < slots and self.id_at(slot) == id else None

    def name(self, record: Record) -> bytes:
        return self.blob(record.name_at, record.name_bytes)

    def extra(self, record: Record) -> bytes:
        return self.blob(record.extra_at, record.extra_bytes) if record.extra_bytes else b""

    def blob(self, at: int, length: int) -> bytes:
        start = self.heap_at + at
        stop = start + length
        if stop > self.meta_at:
            raise _astray(start)
        return bytes(self.buffer[start:stop])

    def slot_at(self, rank: int) -> int:
        """The slot of the visible record whose name is the ``rank``-th, from 0."""
        position = self.order_at + _WORD_BYTES * rank
        slot: int = _WORD_FROM(self.buffer, position)[0]
        if slot >= self.slots:
            raise _astray(position)
        return slot

    def name_at(self, rank: int) -> bytes:
        """The ``rank``-th visible name. This is what bisection asks for, so it does by itself what
        ``slot_at`` and ``blob`` would: their calls would take as long as its work."""
        buffer = self.buffer
        position = self.order_at + _WORD_BYTES * rank
        (slot,) = _WORD_FROM(buffer, position)
        if slot >= self.slots:
            raise _astray(position)
        length, at = _NAME_FROM(buffer, self.names_at + _RECORD_BYTES * slot)
        start = self.heap_at + at
        stop = start + length
        if stop > self.meta_at:
            raise _astray(start)
        return bytes(buffer[start:stop])

    def rank_of(self, name: bytes) -> int:
        """How many visible names are smaller.

        The upper half of every bisection asks for the same thousand names, so those are kept
        from the first one on. Two threads may both gather them, and gather the same.
        """
        landmarks = self.landmarks
        if landmarks is None:
            ranks = range(0, self.visible, self.stride)
            landmarks = self.landmarks = list(map(self.name_at, ranks))
        mark = bisect_left(landmarks, name)
        visible, stride = self.visible, self.stride
        low = max(0, (mark - 1) * stride)
        return bisect_left(range(visible), name, low, min(visible, mark * stride), key=self.name_at)

    def words(self, first: int, count: int) -> array[int]:
        """A copy of ``count`` tail words, in the order of bytes of the host."""
        start = self.words_at + WORD.size * first
        words = array("I")
        words.frombytes(self.buffer[start : start + WORD.size * count])
        return swap_if_big(words)

    def word_at(self, index: int) -> int:
        word: int = WORD.unpack_from(self.buffer, self.words_at + WORD.size * index)[0]
        return word

    def directory(self) -> dict[int, Tail]:
        """The unclustered segments, ascending."""
        tails: dict[int, Tail] = {}
        last = -1
        for position in range(self.directory_at, self.order_at, SEGMENT.size):
            tail = Tail._make(SEGMENT.unpack_from(self.buffer, position))
            if tail.segment <= last or tail.stop > self.header.tail_words:
                raise FormatError("the directory of tails contradicts itself", position=position)
            last = tail.segment
            tails[last] = tail
        return tails

    def tail_bytes(self, tail: Tail, id: int) -> bytes:
        """The positions of one channel, as they are stored; empty if it has none."""
        index = bisect_left(range(tail.first, tail.stops), id, key=self.word_at)
        if index == tail.ids or self.word_at(tail.first + index) != id:
            return b""
        start = self.word_at(tail.stops + index - 1) if index else 0
        stop = self.word_at(tail.stops + index)
        if not start <= stop <= tail.positions:
            raise _astray(self.words_at + WORD.size * (tail.stops + index))
        at = self.words_at + WORD.size * (tail.stops + tail.ids)
        return bytes(self.buffer[at + WORD.size * start : at + WORD.size * stop])

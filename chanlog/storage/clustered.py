"""Segments that were rewritten channel by channel: their index, their maps, and the way along the
batches of one channel."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import CorruptionError, FormatError, FormatTooNew
from ..format.batch import (
    HEADER,
    HEADER_BYTES,
    MESSAGES,
    Header,
    body_checksum,
    read_header,
)
from ..format.names import clustered_name
from ..format.segment import (
    SEGMENT_HEADER_BYTES,
    Entry,
    Index,
    read_index,
    read_segment_header,
)
from ..host import Buffer, Folder
from .scanning import batches_of_any_salt, next_batch, walk
from .segment import RawSegment

__all__ = [
    "ClusteredSegment",
    "MapBudget",
    "Segment",
    "behind",
    "offset_before",
    "offset_behind",
    "stretch_of",
]

_read_header = HEADER.unpack_from


class ClusteredSegment:
    """A segment rewritten with each channel's batches together, and an index at its end.

    Mapped when first used; a small index stays in memory when it is unmapped, so that looking for
    an offset maps no file that does not have it. Checksums of batches are verified when they are
    first read. If it is ``forgiving``, an index that is damaged is made anew from the batches.
    """

    __slots__ = (
        "__weakref__", "_folder", "_forgiving", "_head", "_index", "_map", "_size", "_steps",
        "first", "last", "name", "opened", "retired", "salt", "sound", "verified",
    )  # fmt: skip

    def __init__(
        self,
        folder: Folder,
        first: int,
        last: int,
        opened: Callable[[ClusteredSegment], None],
        *,
        forgiving: bool = False,
    ) -> None:
        self._folder = folder
        self._forgiving = forgiving
        self._index: Index | None = None
        self._map: Buffer | None = None
        # Its first bytes when it was mapped: what is known of it may outlive the map.
        self._head: bytes | None = None
        self._size: int | None = None
        # Whether the index was found right once; it is verified again whenever it is mapped.
        self.sound = False
        self.first = first
        self.last = last
        self.name = clustered_name(first, last)
        self.salt = 0
        self.retired = False
        self.opened = opened
        self.verified: set[int] = set()
        self._steps: dict[int, tuple[array[int], array[int]]] = {}

    @property
    def span(self) -> tuple[int, int]:
        """The numbers of the first and last segment that went into it."""
        return self.first, self.last

    @property
    def _path(self) -> Path | None:
        folder = self._folder.path
        return folder / self.name if folder is not None else None

    @property
    def index(self) -> Index:
        """The index of channels. Raises ``CorruptionError``."""
        index = self._index
        if index is None:
            index = self._open()
        return index

    @property
    def map(self) -> Buffer:
        """The file as memory."""
        mapped = self._map
        if mapped is None:
            self._open()
            mapped = self._map
            assert mapped is not None
        return mapped

    def _open(self) -> Index:
        file = self._folder.open(self.name, writable=False)
        try:
            size = file.size()
            if size < SEGMENT_HEADER_BYTES:
                raise FormatError("the file is too short", position=0)
            mapped = file.map(size, writable=False)
        except FormatError as error:
            raise self.damaged(0, size, str(error)) from None
        finally:
            file.close()
        view = memoryview(mapped)[:size]
        try:
            self.salt = read_segment_header(view).salt
            if self._head is not None and self._head != view[:SEGMENT_HEADER_BYTES]:
                raise FileNotFoundError(f"{self.name} was rewritten")
            index = read_index(view)
            self.sound = True
        except FormatTooNew as error:
            error.path = self._path  # type: ignore[assignment]
            raise
        except FormatError as error:
            rebuilt = self._rebuilt(mapped, size) if self._forgiving else None
            if rebuilt is None:
                raise self.damaged(error.position or 0, size, str(error)) from None
            index = rebuilt
        if index.size_bytes <= _INDEX_BYTES_KEPT:
            index = index.copied()
        self._head = bytes(view[:SEGMENT_HEADER_BYTES])
        self._map = mapped
        self._index = index
        self.opened(self)
        return index

    def is_current(self) -> bool:
        """Whether what is known of the file is of the one that has its name now; it may have been
        rewritten by another process. True if nothing is known."""
        if self._head is None:
            return True
        try:
            file = self._folder.open(self.name, writable=False)
        except FileNotFoundError:
            return False
        try:
            return file.read(0, SEGMENT_HEADER_BYTES) == self._head
        finally:
            file.close()

    def _rebuilt(self, mapped: Buffer, size: int) -> Index | None:
        """An index made from the batches that are right; ``None`` if not even their salt is known.

        Batches lie in the order of channels, so each channel's are in one stretch.
        """
        try:
            self.salt = read_segment_header(memoryview(mapped)[:size]).salt
        except FormatError:
            found = batches_of_any_salt(mapped, SEGMENT_HEADER_BYTES, size)
            # Only batches in clustered segments have no mark; one in a payload most likely has.
            salts = (header.salt for _, header in found if not header.mark)
            self.salt = next(salts, 0)
            if not self.salt:
                return None
        control_stop = SEGMENT_HEADER_BYTES
        entries: dict[int, Entry] = {}
        at = next_batch(mapped, SEGMENT_HEADER_BYTES, size, self.salt)
        while at is not None:
            stop = at
            for position, header in walk(mapped, at, size, self.salt):
                stop = position + header.length
                if header.kind == MESSAGES:
                    known = entries.get(header.channel)
                    entries[header.channel] = _grown(known, position, header)
                else:
                    control_stop = stop
            at = next_batch(mapped, stop, size, self.salt)
        return Index.of(sorted(entries.values()), control_stop)

    def unmap(self) -> None:
        """Let go of the map; it comes back when needed, and lives on for whoever reads in it."""
        index = self._index
        if index is not None and index.size_bytes > _INDEX_BYTES_KEPT:
            self._index = None
        self._map = None

    @property
    def size(self) -> int:
        """The length of the file; asking for it maps nothing."""
        if self._size is None:
            file = self._folder.open(self.name, writable=False)
            self._size = file.size()
            file.close()
        return self._size

    def verify(self, position: int, stop: int, channel: int = 0) -> Header:
        """The header of the batch at ``position``, its checksums verified once per process.

        With a ``channel``, a batch of messages of another one is as wrong: sectors that were
        swapped or written in the wrong place hold what is right elsewhere.
        """
        mapped = self.map
        if position in self.verified:
            return Header._make(HEADER.unpack_from(mapped, position))
        header = read_header(mapped, position, stop, self.salt)
        if header is None or (channel and (header.channel, header.kind) != (channel, MESSAGES)):
            raise self.damaged(position, stop, "the header of a batch is damaged")
        end = position + header.length
        if body_checksum(mapped, position + HEADER_BYTES, end) != header.body_checksum:
            raise self.damaged(position, end, "a batch is damaged", header)
        self.verified.add(position)
        return header

    def controls(self) -> Iterator[tuple[int, Header | CorruptionError]]:
        """The control records, and what is damaged between them."""
        position, stop = SEGMENT_HEADER_BYTES, self.index.control_stop
        while position < stop:
            try:
                header = self.verify(position, stop)
            except CorruptionError as error:
                yield position, error
                position = next_batch(self.map, position + 1, stop, self.salt) or stop
                continue
            yield position, header
            position += header.length

    def walk(self, entry: Entry) -> Iterator[tuple[int, Header]]:
        """The batches of one channel with their positions, verified."""
        position = entry.position
        while position < entry.stop:
            header = self.verify(position, entry.stop, entry.channel)
            yield position, header
            position += header.length

    def place_of(self, entry: Entry, offset: int) -> int:
        """The position of a batch of the channel from which on ``offset`` is to be looked for:
        the one that has it, if all headers of the channel are right."""
        if entry.batches < _STEPS_MIN:
            return entry.position
        steps = self._steps.get(entry.channel)
        if steps is None:
            steps = self._steps[entry.channel] = self._stepped(entry)
        bases, positions = steps
        place = bisect_right(bases, offset)
        return positions[place - 1] if place else entry.position

    def _stepped(self, entry: Entry) -> tuple[array[int], array[int]]:
        """The base offsets of a channel's batches, and where they begin; none if one is wrong."""
        bases, positions = array("Q"), array("Q")
        position = entry.position
        while position < entry.stop:
            header = _header_of(self, entry, position)
            if header is None or (bases and header.base < bases[-1]):
                return array("Q"), array("Q")
            bases.append(header.base)
            positions.append(position)
            position += header.length
        return bases, positions

    def damaged(
        self, start: int, stop: int, what: str, header: Header | None = None
    ) -> CorruptionError:
        """The error for damage in a range of this file."""
        known = header is not None and header.kind == MESSAGES
        return CorruptionError(
            f"{self.name}, bytes {start} to {stop}: {what}; nothing was changed. Restore the file "
            'from a copy, or open with on_corruption="gap" to go on without these messages',
            path=self._path,
            start=start,
            stop=stop,
            channel=None,
            first_offset=header.base if header is not None and known else None,
            stop_offset=header.base + header.count if header is not None and known else None,
        )


def _grown(known: Entry | None, position: int, header: Header) -> Entry:
    """The entry of a channel with one batch more, which may be there twice or out of place."""
    stop, end = position + header.length, header.base + header.count
    time_ns = header.time_ns
    if known is None:
        return Entry(header.channel, 1, position, stop, header.base, end, time_ns, time_ns)
    if header.base < known.base:
        known = known._replace(position=position, base=header.base, time_first_ns=time_ns)
    return known._replace(
        batches=known.batches + 1,
        stop=stop,
        end=max(known.end, end),
        time_last_ns=max(known.time_last_ns, time_ns),
    )


def behind(segment: ClusteredSegment, entry: Entry, position: int) -> int:
    """Where the batch behind the one at ``position`` begins, or its channel's batches stop."""
    header = _header_of(segment, entry, position)
    stop = position + header.length if header is not None else entry.stop
    if position in segment.verified:
        return stop
    # What is damaged may hold what was written in the wrong place, and lead astray.
    found = next_batch(segment.map, position + 1, entry.stop, segment.salt)
    return stop if found is None else min(found, stop)


def stretch_of(
    segment: ClusteredSegment, entry: Entry, position: int, stop: int, most: int
) -> tuple[list[int], int, int]:
    """Up to ``most`` batches from ``position`` on, which is right, as long as they are right and
    without a gap and begin below ``stop``; with the position and the offset behind them."""
    mapped, verified = segment.map, segment.verified
    taken: list[int] = []
    (_, _, _, _, _, _, _, _, end, _, _) = _read_header(mapped, position)
    while len(taken) < most and position < entry.stop and (end < stop or not taken):
        if position not in verified:
            try:
                segment.verify(position, entry.stop, entry.channel)
            except CorruptionError:
                # Who comes to it is told.
                break
        (_, _, _, _, length, _, _, count, base, _, _) = _read_header(mapped, position)
        if base != end:
            break
        taken.append(position)
        position += length
        end += count
    return taken, position, end


def offset_before(segment: ClusteredSegment, entry: Entry, position: int) -> int:
    """The end offset of the last batch before ``position`` whose header is right."""
    base, at = entry.base, entry.position
    while at < position:
        header = _header_of(segment, entry, at)
        if header is not None:
            base = header.base + header.count
        at = behind(segment, entry, at)
    return base


def offset_behind(segment: ClusteredSegment, entry: Entry, position: int) -> int:
    """The base offset of the first batch from ``position`` on whose header is right."""
    while position < entry.stop:
        header = _header_of(segment, entry, position)
        if header is not None:
            return header.base
        position = behind(segment, entry, position)
    return entry.end


def _header_of(segment: ClusteredSegment, entry: Entry, position: int) -> Header | None:
    header = read_header(segment.map, position, entry.stop, segment.salt)
    if header is None or (header.channel, header.kind) != (entry.channel, MESSAGES):
        return None
    return header


Segment = RawSegment | ClusteredSegment


class MapBudget:
    """Keeps the number of mapped files bounded: told of each that was mapped, it unmaps those that
    were mapped longest ago. From any thread."""

    __slots__ = ("_mapped",)

    def __init__(self) -> None:
        self._mapped: dict[ClusteredSegment, None] = {}

    def forget(self, segment: Segment) -> None:
        """``segment`` is retired: whoever reads in it keeps its map, and nobody else does. A map
        keeps the descriptor and the room on the disk of a file that was removed."""
        if isinstance(segment, ClusteredSegment):
            self._mapped.pop(segment, None)

    def __call__(self, segment: ClusteredSegment) -> None:
        self._mapped[segment] = None
        if segment.retired:
            # Mapped by somebody who was in it; it may have been retired, and forgotten, just now.
            self.forget(segment)
        while len(self._mapped) > _MAPPED_MAX:
            # Two threads may come to the same one.
            with suppress(KeyError, StopIteration, RuntimeError):
                oldest = next(iter(self._mapped))
                del self._mapped[oldest]
                oldest.unmap()

    def forget_all(self) -> None:
        """Know of none any more; their maps stay."""
        self._mapped.clear()


# Channels of fewer batches are walked through each time.
_STEPS_MIN = 8

# A thousand channels. What a log of many small segments keeps in memory for this is little, and one
# with many channels keeps nothing.
_INDEX_BYTES_KEPT = 64 * 1024
# Each mapped file holds a descriptor, and a process has about a thousand.
_MAPPED_MAX = 256

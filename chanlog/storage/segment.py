"""The segments of a log: raw ones, as they were written, and clustered ones."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import CorruptionError, DiskFull, FormatError, FormatTooNew
from ..format.batch import (
    HEADER,
    HEADER_BYTES,
    MESSAGES,
    ROLLED,
    Header,
    body_checksum,
    read_header,
)
from ..format.names import clustered_name, raw_name
from ..format.segment import (
    SEGMENT_HEADER_BYTES,
    Entry,
    Index,
    read_index,
    read_segment_header,
)
from ..host import NO_BUFFER, Buffer, File, Folder
from .scanning import batches_of_any_salt, next_batch, walk

__all__ = [
    "POSITION_BITS",
    "ClusteredSegment",
    "MapBudget",
    "Nowhere",
    "RawSegment",
    "Segment",
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
        self._steps = {}
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
            header = read_header(self.map, position, entry.stop, self.salt)
            if header is None or (header.channel, header.kind) != (entry.channel, MESSAGES):
                return array("Q"), array("Q")
            if bases and header.base < bases[-1]:
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

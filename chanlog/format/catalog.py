"""The catalog: every channel of a log as of one position, readable in place.

``docs/format.md`` and :mod:`chanlog.format.catalog_layout` have the map of the bytes. This module
is what the storage floor uses: a :class:`Catalog` answers from a memory map, :func:`build` makes
the next catalog out of the last one and what has changed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .catalog_build import Part, Stamp, Tails, compose
from .catalog_check import check
from .catalog_layout import (
    HEADER,
    HIDDEN,
    MAGIC,
    NAME_BYTES_MAX,
    RECORD,
    SEGMENT,
    VERSION,
    WORD,
    Buffer,
    Entry,
    Record,
    Sections,
    text_of,
)

__all__ = [
    "Catalog",
    "Entry",
    "HEADER",
    "HIDDEN",
    "MAGIC",
    "NAME_BYTES_MAX",
    "RECORD",
    "SEGMENT",
    "VERSION",
    "WORD",
    "build",
]


class Catalog:
    """A view of a catalog in ``buffer``: bytes, a memory map or a memoryview; nothing is loaded.

    Immutable: any thread may use it. With ``verify`` the whole buffer is read once and compared
    with its checksum; without, only the header is, and damage shows later, as ``FormatError`` or
    as wrong values. Nothing but ``FormatError`` is raised for any bytes. The catalog never keeps
    the buffer exported, so a memory map may be closed before the catalog is dropped.

    >>> parts = build(None, [Entry(1, "a", 0, 9, 0, 0)], [], mark=64, next_id=2, time_ns=0,
    ...               tails={})
    >>> catalog = Catalog(b"".join(parts))
    >>> catalog.mark, len(catalog), catalog.find("a").end_offset
    (64, 1, 9)
    """

    __slots__ = ("_sections", "_segments", "garbage_bytes", "mark", "next_id", "time_ns", "visible")

    def __init__(self, buffer: Buffer, *, verify: bool = True) -> None:
        self._sections = sections = Sections(buffer)
        if verify:
            sections.verify()
        header = sections.header
        self.mark = header.mark
        """The log position this state is as of."""
        self.next_id = header.next_id
        """Above every id that was ever given."""
        self.time_ns = header.time_ns
        """The clock of the log at the mark."""
        self.visible = header.visible
        """How many entries have a name that can be found."""
        self.garbage_bytes = header.garbage_bytes
        """Bytes of records and names that the next rewrite will drop."""
        self._segments = sections.directory()

    def __len__(self) -> int:
        """How many entries there are, hidden ones included."""
        return self._sections.header.live

    @property
    def size_bytes(self) -> int:
        """The length of the whole catalog."""
        return len(self._sections.buffer)

    @property
    def meta(self) -> bytes:
        """The blob of the storage floor, as it was given to :func:`build`."""
        return bytes(self._sections.buffer[self._sections.meta_at :])

    def find(self, name: str) -> Entry | None:
        """The visible entry of that name."""
        key = _key(name)
        sections = self._sections
        rank = sections.rank_of(key)
        if rank == sections.header.visible:
            return None
        record = sections.record(sections.slot_at(rank))
        return self._entry(record, name) if sections.name(record) == key else None

    def find_id(self, id: int) -> Entry | None:
        """The entry of that id, hidden or not."""
        slot = self._sections.slot_of(id)
        if slot is None:
            return None
        record = self._sections.record(slot)
        return self._entry(record, self._name(record)) if record.is_live else None

    def plain_start(self, id: int) -> int | None:
        """The start offset of an entry that is visible and has no extra; ``None`` for any other.

        What a pass over many channels asks first: most are like that, and no entry is made.
        """
        sections = self._sections
        slot = sections.slot_of(id)
        if slot is None:
            return None
        record = sections.record(slot)
        return record.start_offset if record.is_visible and not record.extra_bytes else None

    def entries(self) -> Iterator[Entry]:
        """All entries, hidden ones included, by ascending id."""
        return (
            self._entry(record, self._name(record))
            for record in self._sections.records()
            if record.is_live
        )

    def names(self, prefix: str = "", after: str | None = None) -> Iterator[str]:
        """The visible names that begin with ``prefix``, each read when it is asked for.

        Sorted by their UTF-8 bytes, which is the order of code points too. With ``after``, only
        what is strictly greater than it, whether or not there is such a name.
        """
        sections = self._sections
        start = _key(prefix)
        first = sections.rank_of(start)
        if after is not None:
            # No name lies between a name and itself followed by the smallest byte.
            first = max(first, sections.rank_of(_key(after) + b"\0"))
        for rank in range(first, sections.header.visible):
            name = sections.name_at(rank)
            if not name.startswith(start):
                return
            yield text_of(name)

    def _name(self, record: Record) -> str:
        return text_of(self._sections.name(record))

    def _entry(self, record: Record, name: str) -> Entry:
        return Entry(
            record.id,
            name,
            record.start_offset,
            record.end_offset,
            record.created_ns,
            record.time_ns,
            record.flags,
            self._sections.extra(record),
        )

    def tail_segments(self) -> list[int]:
        """The segments that have tails, ascending."""
        return list(self._segments)

    def tail_ids(self, segment: int) -> Sequence[int]:
        """The ids with batches in an unclustered segment, ascending; none if it is not known."""
        tail = self._segments.get(segment)
        return () if tail is None else self._sections.words(tail.first, tail.ids)

    def tail(self, segment: int, id: int) -> bytes:
        """The positions of a channel's batches in an unclustered segment, as little-endian u32s.

        ``b""`` if there are none. A copy, so that it outlives the buffer.
        """
        tail = self._segments.get(segment)
        return b"" if tail is None else self._sections.tail_bytes(tail, id)

    def check(self) -> None:
        """Walk every invariant of the format, in time linear in its size.

        :raises FormatError: naming the first one that does not hold. A checksum says that the
            bytes are those that were written, this says that they were right.
        """
        self._sections.verify()
        check(self._sections)


def _key(name: str) -> bytes:
    """What a name is looked up by. A lone surrogate has no UTF-8, so nothing is found by it; it
    is encoded all the same, for that is an answer and not an error."""
    return name.encode("utf-8", "surrogatepass")


def build(
    base: Catalog | None,
    changed: Iterable[Entry],
    removed: Iterable[int],
    *,
    mark: int,
    next_id: int,
    time_ns: int,
    meta: bytes = b"",
    tails: Tails,
) -> list[Part]:
    """The parts which, joined or written one after the other, are the next catalog.

    ``changed`` are the entries that are new since ``base`` or differ from it, in any order; the
    last one of an id counts. An id keeps its name for ever; a new id is larger than all before it
    and may take the name of a removed or hidden one. ``removed`` ids need not be known, and win
    over ``changed``. ``tails`` maps segments to ids to positions (``array("I")``) and is the whole
    truth: nothing of the tails of ``base`` is kept.

    Parts may be views of the buffer of ``base``, so write them before it is closed. The work is
    Python in proportion to the changes and a checksum over the whole; when much has changed, or
    half is garbage, all is rewritten, in about 2 us an entry. Does not block.

    :raises FormatError: ``base`` was opened without verifying, and is damaged.
    """
    if base is not None:
        # A checksum over damaged bytes would declare them sound for ever.
        base._sections.verify()
    gone = frozenset(removed)
    latest = {entry.id: entry for entry in changed if entry.id not in gone}
    stamp = Stamp(mark, next_id, time_ns, meta)
    return compose(None if base is None else base._sections, latest, gone, tails, stamp)

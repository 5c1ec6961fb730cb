"""How a catalog becomes the next one.

Two ways lead there. A *patch* keeps every slot where it is and every name where it lies: what has
not changed goes from the old buffer to the new file as views, untouched by Python, so its cost and
memory follow the number of changes. A *rewrite* walks all entries and leaves no garbage. It is
taken when there is no catalog yet, when half of the old one is garbage, and when so much has
changed that finding each place by bisection would cost more than writing all anew.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from typing import NamedTuple, TypeAlias

from .catalog_layout import (
    HIDDEN,
    LIVE,
    NAME_BYTES_MAX,
    RECORD,
    REMOVED,
    SEGMENT,
    WORD,
    Entry,
    Header,
    Record,
    Sections,
    swap_if_big,
)

Part: TypeAlias = "bytes | bytearray | memoryview"
Tails: TypeAlias = "Mapping[int, Mapping[int, array[int]]]"

# A patched record takes its neighbours with it into a copy of this many, so that a patch has few
# parts however many records it touches.
_BLOCK = 64

# A rewrite costs about half per entry of what a patch costs per change.
_CHANGES_PER_SLOT_MAX = 1 / 2


class Stamp(NamedTuple):
    """What a catalog says about the log as a whole."""

    mark: int
    next_id: int
    time_ns: int
    meta: bytes


@dataclass(slots=True)
class Draft:
    """The sections of the next catalog that hold entries."""

    slots: int
    live: int
    garbage_bytes: int = 0
    records: list[Part] = field(default_factory=list)
    order: array[int] = field(default_factory=lambda: array("I"))
    heap: list[Part] = field(default_factory=list)


def compose(
    base: Sections | None,
    changed: dict[int, Entry],
    removed: Collection[int],
    tails: Tails,
    stamp: Stamp,
) -> list[Part]:
    """The parts of the catalog that follows ``base``. ``changed`` and ``removed`` are disjoint."""
    assert all(0 < id < stamp.next_id for id in changed), "ids are below next_id"
    if base is None or _is_rewrite_cheaper(base, len(changed) + len(removed)):
        draft = rewrite(base, changed, removed)
    else:
        draft = Patch(base).apply(changed, removed)
    return _assemble(draft, tails, stamp)


def _is_rewrite_cheaper(base: Sections, changes: int) -> bool:
    header = base.header
    entries_bytes = RECORD.size * header.slots + header.heap_bytes
    return (
        changes > header.slots * _CHANGES_PER_SLOT_MAX or 2 * header.garbage_bytes > entries_bytes
    )


def _assemble(draft: Draft, tails: Tails, stamp: Stamp) -> list[Part]:
    directory, tail_parts = _lay_out_tails(tails)
    order = swap_if_big(draft.order).tobytes()
    body = [*draft.records, directory, order, *tail_parts, *draft.heap, stamp.meta]
    crc = 0
    for part in body:
        crc = zlib.crc32(part, crc)
    header = Header(
        body_crc=crc,
        mark=stamp.mark,
        next_id=stamp.next_id,
        time_ns=stamp.time_ns,
        slots=draft.slots,
        live=draft.live,
        visible=len(draft.order),
        segments=len(tails),
        tail_words=sum(map(len, tail_parts)) // WORD.size,
        heap_bytes=sum(map(len, draft.heap)),
        meta_bytes=len(stamp.meta),
        garbage_bytes=draft.garbage_bytes,
    )
    return [header.pack(), *filter(len, body)]


def _lay_out_tails(tails: Tails) -> tuple[bytes, list[Part]]:
    directory = bytearray()
    parts: list[Part] = []
    first = 0
    for segment in sorted(tails):
        tail = tails[segment]
        ids = array("I", sorted(id for id, positions in tail.items() if len(positions)))
        stops = array("I", accumulate(len(tail[id]) for id in ids))
        total = stops[-1] if stops else 0
        directory += SEGMENT.pack(segment, first, len(ids), total)
        first += 2 * len(ids) + total
        parts += swap_if_big(ids).tobytes(), swap_if_big(stops).tobytes()
        parts.append(b"".join(swap_if_big(tail[id]) for id in ids))
    return bytes(directory), parts


def _encode(entry: Entry) -> bytes:
    name = entry.name.encode()
    assert len(name) <= NAME_BYTES_MAX, "names are validated where they enter"
    return name


# What a rewrite needs of an entry, wherever it comes from: the record up to time_ns, name, extra.
Row: TypeAlias = "tuple[int, int, int, int, int, int, bytes, bytes]"


def rewrite(base: Sections | None, changed: Mapping[int, Entry], removed: Collection[int]) -> Draft:
    """All entries anew, in dense slots, with nothing in the heap but what they use."""
    records = bytearray()
    heap = bytearray()
    names: list[bytes] = []
    order: list[int] = []
    for id, flags, start, end, created, time, name, extra in _merge(base, changed, removed):
        if not flags & HIDDEN:
            order.append(len(names))
        at = len(heap)
        heap += name
        heap += extra
        records += RECORD.pack(
            id,
            flags,
            start,
            end,
            created,
            time,
            at + len(name),
            len(extra),
            LIVE,
            len(name),
            at,
        )
        names.append(name)
    order.sort(key=names.__getitem__)
    assert len(set(map(names.__getitem__, order))) == len(order), "visible names are unique"
    return Draft(
        slots=len(names),
        live=len(names),
        records=[records],
        order=array("I", order),
        heap=[heap],
    )


def _merge(
    base: Sections | None, changed: Mapping[int, Entry], removed: Collection[int]
) -> Iterator[Row]:
    """The entries of the next catalog, by ascending id."""
    fresh = dict(changed)
    if base is not None:
        for record in base.records():
            entry = fresh.pop(record.id, None)
            if entry is not None:
                assert _is_same_channel(base, record, entry), "an id keeps its name for ever"
                yield _row(entry)
            elif record.is_live and record.id not in removed:
                yield (*record[:6], base.name(record), base.extra(record))
    for id in sorted(fresh):
        assert base is None or id > base.id_last, "new ids are larger than all that were given"
        yield _row(fresh[id])


def _is_same_channel(base: Sections, record: Record, entry: Entry) -> bool:
    return record.is_live and base.name(record) == entry.name.encode()


def _row(entry: Entry) -> Row:
    return (
        entry.id,
        entry.flags,
        entry.start_offset,
        entry.end_offset,
        entry.created_ns,
        entry.time_ns,
        _encode(entry),
        entry.extra,
    )


class Patch:
    """The next catalog as what differs from ``base``. Used once, by one thread."""

    __slots__ = ("_added", "_base", "_cuts", "_heap", "_heap_at", "_inserts", "_patched", "draft")

    def __init__(self, base: Sections) -> None:
        header = base.header
        self._base = base
        self._heap = bytearray()
        self._heap_at = header.heap_bytes
        self._patched: dict[int, bytes] = {}
        self._added = bytearray()
        self._cuts: list[int] = []
        self._inserts: list[tuple[bytes, int]] = []
        self.draft = Draft(header.slots, header.live, header.garbage_bytes)

    def apply(self, changed: Mapping[int, Entry], removed: Iterable[int]) -> Draft:
        for id in removed:
            self._remove(id)
        for id in sorted(changed):
            slot = self._base.slot_of(id)
            if slot is None:
                self._add(changed[id])
            else:
                self._change(slot, changed[id])
        self.draft.records = [*self._records(), self._added]
        self.draft.order = self._order()
        self.draft.heap = [self._base.view(self._base.heap_at, self._base.meta_at), self._heap]
        return self.draft

    def _remove(self, id: int) -> None:
        slot = self._base.slot_of(id)
        if slot is None:
            return
        record = self._base.record(slot)
        if not record.is_live:
            return
        if record.is_visible:
            self._cut(record)
        self._patched[slot] = RECORD.pack(id, 0, 0, 0, 0, 0, 0, 0, REMOVED, 0, 0)
        self.draft.live -= 1
        self.draft.garbage_bytes += record.total_bytes

    def _add(self, entry: Entry) -> None:
        assert entry.id > self._base.id_last, "new ids are larger than all that were given"
        name = _encode(entry)
        self._added += self._pack(entry, len(name), self._keep(name), self._keep(entry.extra))
        if not entry.flags & HIDDEN:
            self._inserts.append((name, self.draft.slots))
        self.draft.slots += 1
        self.draft.live += 1

    def _change(self, slot: int, entry: Entry) -> None:
        base = self._base
        record = base.record(slot)
        assert _is_same_channel(base, record, entry), "an id keeps its name for ever"
        extra_at = record.extra_at
        if base.extra(record) != entry.extra:
            extra_at = self._keep(entry.extra)
            self.draft.garbage_bytes += record.extra_bytes
        self._patched[slot] = self._pack(entry, record.name_bytes, record.name_at, extra_at)
        will_be_visible = not entry.flags & HIDDEN
        if record.is_visible and not will_be_visible:
            self._cut(record)
        elif will_be_visible and not record.is_visible:
            self._inserts.append((base.name(record), slot))

    def _cut(self, record: Record) -> None:
        self._cuts.append(self._base.rank_of(self._base.name(record)))

    def _keep(self, blob: bytes) -> int:
        at = self._heap_at + len(self._heap)
        self._heap += blob
        return at

    @staticmethod
    def _pack(entry: Entry, name_bytes: int, name_at: int, extra_at: int) -> bytes:
        return RECORD.pack(
            entry.id,
            entry.flags,
            entry.start_offset,
            entry.end_offset,
            entry.created_ns,
            entry.time_ns,
            extra_at,
            len(entry.extra),
            LIVE,
            name_bytes,
            name_at,
        )

    def _records(self) -> Iterator[Part]:
        """The old records as views, but for the blocks that hold a patched one."""
        base = self._base
        at = base.records_at
        for block, slots in groupby(sorted(self._patched), key=lambda slot: slot // _BLOCK):
            start = base.records_at + RECORD.size * _BLOCK * block
            stop = min(start + RECORD.size * _BLOCK, base.directory_at)
            copy = bytearray(base.view(start, stop))
            for slot in slots:
                position = RECORD.size * (slot - _BLOCK * block)
                copy[position : position + RECORD.size] = self._patched[slot]
            yield base.view(at, start)
            yield copy
            at = stop
        yield base.view(at, base.directory_at)

    def _order(self) -> array[int]:
        """The old order without what was cut, and with the inserts where their names belong."""
        base = self._base
        old = array("I")
        old.frombytes(base.view(base.order_at, base.words_at))
        old = swap_if_big(old)
        cuts = set(self._cuts)
        order = array("I")
        at = 0
        for rank, slot in self._splices(cuts):
            order += old[at:rank]
            at = rank
            if slot is None:
                at += 1
            else:
                order.append(slot)
        return order + old[at:]

    def _splices(self, cuts: set[int]) -> list[tuple[int, int | None]]:
        """Ranks of the old order with the slot to insert before them, or ``None`` to cut there."""
        splices: list[tuple[int, int | None]] = []
        last = None
        for name, slot in sorted(self._inserts):
            rank = self._base.rank_of(name)
            taken = rank < self._base.header.visible and self._base.name_at(rank) == name
            assert name != last and (not taken or rank in cuts), "visible names are unique"
            splices.append((rank, slot))
            last = name
        splices += ((rank, None) for rank in cuts)
        # Sorting is stable: inserts at one rank stay in the order of their names, before a cut.
        splices.sort(key=lambda splice: splice[0])
        return splices

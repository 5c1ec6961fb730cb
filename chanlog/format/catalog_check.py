"""What must hold in a catalog beyond its checksum: a walk over every invariant.

A checksum says that the bytes are those that were written, this says that they were right.
"""

from __future__ import annotations

from chanlog.errors import FormatError

from .catalog_layout import (
    LIVE,
    NAME_BYTES_MAX,
    RECORD,
    REMOVED,
    WORD,
    Sections,
    Tail,
    text_of,
)


def check(sections: Sections) -> None:
    """Raise ``FormatError`` for the first invariant that does not hold. Linear in the size."""
    _check_records(sections)
    _check_order(sections)
    for tail in sections.directory().values():
        _check_tail(sections, tail)


def _check_records(sections: Sections) -> None:
    header = sections.header
    live = visible = used_bytes = last = 0
    for slot, record in enumerate(sections.records()):
        position = sections.records_at + RECORD.size * slot
        _require(last < record.id < header.next_id, "ids ascend, below next_id", position)
        _require(record.state in (LIVE, REMOVED), "a record is live or removed", position)
        last = record.id
        if record.is_live:
            _require(record.name_bytes <= NAME_BYTES_MAX, "a name is not too long", position)
            text_of(sections.name(record))
            sections.extra(record)
            used_bytes += record.total_bytes
        live += record.is_live
        visible += record.is_visible
    _require((live, visible) == (header.live, header.visible), "the counts are right", 48)
    total_bytes = RECORD.size * header.slots + header.heap_bytes
    _require(header.garbage_bytes == total_bytes - used_bytes, "garbage is counted", 96)


def _check_order(sections: Sections) -> None:
    last = None
    for rank in range(sections.header.visible):
        position = sections.order_at + WORD.size * rank
        record = sections.record(sections.slot_at(rank))
        _require(record.is_visible, "only visible records are in the order", position)
        name = sections.name(record)
        _require(last is None or last < name, "names ascend", position)
        last = name


def _check_tail(sections: Sections, tail: Tail) -> None:
    position = sections.words_at + WORD.size * tail.first
    words = sections.words(tail.first, 2 * tail.ids).tolist()
    for items in (words[: tail.ids], words[tail.ids :]):
        ascending = all(a < b for a, b in zip([0, *items], items, strict=False))
        _require(ascending, "the ids and stops of a tail ascend", position)
    stop = words[-1] if words else 0
    _require(stop == tail.positions, "the last stop is the count of positions", position)


def _require(holds: bool, rule: str, position: int) -> None:
    if not holds:
        raise FormatError(f"a rule of the catalog is broken: {rule}", position=position)

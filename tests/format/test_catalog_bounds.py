"""The catalog at its bounds: of its sections, of what a patch takes with it, and of a rewrite."""

from __future__ import annotations

import struct
from array import array
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from chanlog.errors import FormatError
from chanlog.format import catalog_layout
from chanlog.format.catalog import (
    HEADER,
    NAME_BYTES_MAX,
    RECORD,
    SEGMENT,
    WORD,
    Catalog,
    Entry,
)
from chanlog.format.catalog_build import _is_rewrite_cheaper
from chanlog.format.catalog_layout import NAME, NAME_POSITION, REMOVED, Header, Sections

from .test_catalog import entry, make, reseal, small


@pytest.mark.parametrize(
    ("changes", "garbage_bytes", "expected"),
    [(0, 0, False), (5, 0, False), (6, 0, True), (0, 500, False), (0, 501, True), (6, 501, True)],
)
def test_when_all_is_written_anew(changes: int, garbage_bytes: int, expected: bool) -> None:
    """Later, a catalog would be twice as large as what it holds, or take longer to patch than to
    write; earlier, every snapshot of a large log would cost as much as the log is large."""
    header = SimpleNamespace(
        slots=10, heap_bytes=1000 - 10 * RECORD.size, garbage_bytes=garbage_bytes
    )
    base: Any = SimpleNamespace(header=header)
    assert _is_rewrite_cheaper(base, changes) == expected


def test_what_is_removed_is_a_change_too() -> None:
    base = Catalog(make(changed=[entry(id, f"c{id}") for id in range(1, 11)]))
    changed = [entry(id, f"c{id}", stop=9) for id in (1, 2, 3)]
    assert Catalog(make(base, changed, [4, 5])).garbage_bytes == 2 * (RECORD.size + 2)
    assert Catalog(make(base, changed, [4, 5, 6])).garbage_bytes == 0


def test_a_removed_record_is_zero_but_for_its_id() -> None:
    """What it referred to is garbage: nobody may follow it, and the format says that it is gone."""
    base = Catalog(make(changed=[entry(id, f"c{id}", extra=b"x") for id in (1, 2, 3, 4, 5)]))
    sections = Sections(make(base, removed=[3]))
    assert sections.record(2) == (3, 0, 0, 0, 0, 0, 0, 0, REMOVED, 0, 0)


def test_what_is_wrong_with_a_header_is_told_where_it_is() -> None:
    """The exception is all that somebody has to look at who wonders about a file."""
    data = small()
    for wrong, word, position in (
        (b"", "cut short", 0),
        (data[:127], "cut short", 127),
        (b"x" + data[1:], "other bytes", 0),
        (data[:8] + b"\2" + data[9:], "version 2", 8),
        (data[:8] + b"\0" + data[9:], "version 0", 8),
        (data[:16] + b"\1" + data[17:], "the header of the catalog does not match", 124),
        (data[:124] + b"\0\0\0\0" + data[128:], "the header of the catalog does not match", 124),
        (data[:-1], f"has {len(data) - 1}", len(data) - 1),
        (data + b"\0", f"has {len(data) + 1}", len(data)),
    ):
        with pytest.raises(FormatError, match=word) as raised:
            Catalog(wrong)
        assert raised.value.position == position
    with pytest.raises(FormatError, match="does not match its checksum") as raised:
        Catalog(data[:-1] + b"x")
    assert raised.value.position == 12


def with_header(**fields: int) -> bytes:
    data = small()
    header = Header.parse(data[: HEADER.size])._replace(**fields)
    return reseal(header.pack() + data[HEADER.size :])


@pytest.mark.parametrize(
    ("next_id", "is_right"), [(0, False), (1, True), (2**32, True), (2**32 + 1, False)]
)
def test_the_next_id_is_one(next_id: int, is_right: bool) -> None:
    """0 is the channel of what belongs to none, and the last that has 32 bits was given out when
    the next one has 33."""
    if is_right:
        assert Catalog(with_header(next_id=next_id)).next_id == next_id
        return
    with pytest.raises(FormatError, match="the next id") as raised:
        Catalog(with_header(next_id=next_id))
    assert raised.value.position == 24


def test_the_counts_may_be_the_same() -> None:
    full = make(changed=[entry(1, "a"), entry(2, "b")])
    header = Header.parse(full[: HEADER.size])
    assert (header.slots, header.live, header.visible) == (2, 2, 2)
    Catalog(full).check()
    with pytest.raises(FormatError, match="contradict") as raised:
        Catalog(with_header(live=7))
    assert raised.value.position == 40
    with pytest.raises(FormatError, match="contradict") as raised:
        Catalog(with_header(live=3))
    assert raised.value.position == 40


def test_a_catalog_that_was_compared_once_is_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read whole for it, and building on it would read it once more."""
    catalog = Catalog(small())
    monkeypatch.setattr(catalog_layout.zlib, "crc32", lambda *_: 0)
    catalog._sections.verify()


def astray(position: int, item: bytes) -> Catalog:
    data = bytearray(small())
    data[position : position + len(item)] = item
    return Catalog(reseal(data))


def test_a_name_ends_with_the_heap_at_the_latest() -> None:
    """What lies behind is the meta, and is nobody's name."""
    sections = Sections(small())
    heap_bytes = sections.header.heap_bytes
    at = sections.records_at + RECORD.size * 5 + NAME_POSITION
    last = astray(at, NAME.pack(4, heap_bytes - 4))
    assert list(last.names()) == ["alpha", "dden", "zeta", "älpha"]
    assert last.find_id(13) == replace(entry(13, "hidden"), name="dden")
    over = astray(at, NAME.pack(4, heap_bytes - 3))
    for read in (lambda: list(over.names()), lambda: over.find_id(13)):
        with pytest.raises(FormatError, match="leaves its section") as raised:
            read()
        assert raised.value.position == sections.heap_at + heap_bytes - 3


def test_the_order_names_records_that_there_are() -> None:
    sections = Sections(small())
    for slot in (6, 2**32 - 1):
        catalog = astray(sections.order_at + 4, struct.pack("<I", slot))
        for read in (catalog._sections.slot_at, catalog._sections.name_at):
            with pytest.raises(FormatError, match="leaves its section") as raised:
                read(1)
            assert raised.value.position == sections.order_at + 4
    assert astray(sections.order_at, struct.pack("<I", 5))._sections.slot_at(0) == 5


def test_an_extra_that_is_none_may_lie_anywhere() -> None:
    sections = Sections(small())
    record = sections.record(1)._replace(extra_at=2**40, extra_bytes=0)
    catalog = astray(sections.records_at + RECORD.size, RECORD.pack(*record))
    assert catalog.find_id(5) == entry(5, "älpha")


@pytest.mark.parametrize(
    ("item", "fields", "is_right"),
    [
        (1, (7, 7, 1, 1), True),
        (1, (7, 7, 1, 2), False),
        (1, (7, 8, 1, 1), False),
        (1, (7, 6, 2, 0), True),
        (1, (7, 7, 2, 0), False),
        (1, (5, 7, 1, 1), True),
        (1, (4, 7, 1, 1), False),
        (1, (3, 7, 1, 1), False),
        (0, (0, 0, 2, 3), True),
    ],
)
def test_the_tail_of_a_segment_stays_among_the_tail_words(
    item: int, fields: tuple[int, ...], is_right: bool
) -> None:
    """And segments ascend: of two with one number, one would never be found."""
    position = Sections(small()).directory_at + SEGMENT.size * item
    if is_right:
        assert fields[0] in astray(position, SEGMENT.pack(*fields)).tail_segments()
        return
    with pytest.raises(FormatError, match="directory") as raised:
        astray(position, SEGMENT.pack(*fields))
    assert raised.value.position == position


def test_the_positions_of_a_channel_are_its_own() -> None:
    """Every channel of a segment, each with another count: one word to the left or right, and a
    channel has the batches of another."""
    ids = {2: [10], 3: [20, 21], 7: [30, 31, 32], 9: [40]}
    tails = {1: {5: array("I", [1])}, 4: {id: array("I", at) for id, at in ids.items()}}
    catalog = Catalog(make(tails=tails))
    for id in range(11):
        positions = ids.get(id, [])
        assert catalog.tail(4, id) == struct.pack(f"<{len(positions)}I", *positions)
    sections = Sections(make(tails=tails))
    words = sections.words_at + WORD.size * sections.directory()[4].stops
    for index, stop in ((0, 8), (3, 8), (1, 0)):
        data = bytearray(make(tails=tails))
        struct.pack_into("<I", data, words + WORD.size * index, stop)
        with pytest.raises(FormatError, match="leaves its section") as raised:
            Catalog(reseal(data)).tail(4, (2, 3, 7, 9)[index])
        assert raised.value.position == words + WORD.size * index


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 7, 12])
@pytest.mark.parametrize("landmarks", [1, 2, 3, 1024])
def test_names_are_found_by_as_few_looks_as_there_need_be(
    monkeypatch: pytest.MonkeyPatch, count: int, landmarks: int
) -> None:
    """Whatever is remembered on the way: the same ranks, and each from the part it lies in."""
    monkeypatch.setattr(catalog_layout, "_LANDMARKS", landmarks)
    names = [f"n{2 * number:02}" for number in range(count)]
    sections = Sections(make(changed=[entry(id, name) for id, name in enumerate(names, 1)]))
    assert sections.stride == max(1, count // landmarks)
    for number in range(-1, 2 * count + 1):
        name = f"n{number:02}" if number >= 0 else "a"
        assert sections.rank_of(name.encode()) == len([known for known in names if known < name])
    looks: list[int] = []
    monkeypatch.setattr(Sections, "name_at", lambda self, rank: looks.append(rank) or b"n")
    for name in names:
        looks.clear()
        sections.rank_of(name.encode())
        assert len(looks) <= sections.stride.bit_length()
        assert all(names[rank] is not None for rank in looks)
    assert len(sections.landmarks or ()) == len(range(0, count, sections.stride))


def test_a_slot_is_bounded_by_its_distance_from_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that never removes a channel finds one at the first look."""
    for ids in ([5, 6, 7, 8, 9], [1, 2, 4, 8, 16], [3], [1, 100, 101, 102]):
        sections = Sections(make(changed=[entry(id, f"c{id}") for id in ids]))
        assert (sections.id_first, sections.id_last) == (ids[0], ids[-1])
        for id in range(ids[-1] + 3):
            assert sections.slot_of(id) == (ids.index(id) if id in ids else None)
    sections = Sections(make(changed=[entry(id, f"c{id}") for id in range(5, 60)]))
    looks: list[int] = []
    id_at = Sections.id_at

    def counted(self: Sections, slot: int) -> int:
        looks.append(slot)
        return id_at(self, slot)

    monkeypatch.setattr(Sections, "id_at", counted)
    for id in (5, 6, 30, 58, 59):
        looks.clear()
        assert sections.slot_of(id) == id - 5
        assert looks == [id - 5]
    assert sections.slot_of(4) is sections.slot_of(60) is None


def test_a_walk_copies_a_run_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the records, and of nothing that lies behind them."""
    monkeypatch.setattr(catalog_layout, "RUN_BYTES", 2 * RECORD.size)
    for count in range(6):
        entries = [entry(id, f"c{id}") for id in range(1, count + 1)]
        sections = Sections(make(changed=entries, tails={1: {1: array("I", range(99))}}))
        assert [record.id for record in sections.records()] == list(range(1, count + 1))


def test_an_empty_catalog_has_no_ids() -> None:
    sections = Sections(make())
    assert (sections.id_first, sections.id_last, sections.stride) == (0, 0, 1)
    assert sections.slot_of(0) is None


def test_what_is_wrong_under_right_checksums_is_told_where_it_is() -> None:
    """Whoever looks for what has written it begins there."""
    sections = Sections(small())
    records, order = sections.records_at + RECORD.size, sections.order_at + WORD.size
    second = sections.record(1)
    slots = struct.pack("<2I", sections.slot_at(1), sections.slot_at(0))
    tail = list(sections.directory().values())[1]
    words = sections.words_at + WORD.size * tail.first
    heap = sections.heap_at + second.name_at
    for catalog, word, position in (
        (astray(records, RECORD.pack(*second._replace(state=7))), "live or removed", records),
        (astray(records, RECORD.pack(*second._replace(id=0))), "ids ascend", records),
        (
            astray(records, RECORD.pack(*second._replace(name_bytes=NAME_BYTES_MAX + 1))),
            "not too long",
            records,
        ),
        (astray(heap, b"\xff"), "not UTF-8", None),
        (Catalog(with_header(live=sections.header.slots)), "counts are right", 48),
        (Catalog(with_header(garbage_bytes=1)), "garbage is counted", 96),
        (astray(sections.order_at, slots), "names ascend", order),
        (astray(words, struct.pack("<2I", 5, 0)), "ascend", words),
        (astray(words + WORD.size, struct.pack("<I", 2)), "last stop", words),
    ):
        with pytest.raises(FormatError, match=word) as raised:
            catalog.check()
        assert raised.value.position == position


def test_the_longest_name() -> None:
    catalog = Catalog(make(changed=[entry(1, "n" * NAME_BYTES_MAX)]))
    catalog.check()
    assert catalog.find("n" * NAME_BYTES_MAX) is not None


def test_the_length_of_a_catalog_in_whatever_memory_it_lies() -> None:
    """Upkeep compares it with what was sealed since."""
    data = small()
    assert len(data) % 4 == 0
    for memory in (data, memoryview(data), memoryview(data).cast("I")):
        catalog = Catalog(memory)
        assert catalog.size_bytes == len(data)
        assert list(catalog.names()) == list(Catalog(data).names())


def test_an_entry_is_visible_and_has_no_extra_unless_it_is_said() -> None:
    known = Entry(1, "a", 0, 0, 0, 0)
    assert (known.flags, known.extra) == (0, b"")


def test_a_catalog_that_was_taken_unread_is_compared_when_it_is_checked() -> None:
    catalog = Catalog(small()[:-1] + b"x", verify=False)
    with pytest.raises(FormatError, match="does not match its checksum"):
        catalog.check()

"""The catalog: what is built is found again, and no bytes whatever do worse than FormatError."""

from __future__ import annotations

import mmap
import random
import re
import struct
import sys
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanlog.errors import FormatError
from chanlog.format import catalog_build, catalog_layout
from chanlog.format.catalog import (
    HEADER,
    HIDDEN,
    MAGIC,
    NAME_BYTES_MAX,
    RECORD,
    SEGMENT,
    WORD,
    Catalog,
    Entry,
    build,
)
from chanlog.format.catalog_layout import Header, Record, Sections, swap_if_big

Positions = Mapping[int, Mapping[int, "array[int]"]]

MAX_U64 = 2**64 - 1


def entry(id: int, name: str, flags: int = 0, extra: bytes = b"", stop: int = 5) -> Entry:
    return Entry(id, name, 1, stop, -7, 1_000 + id, flags, extra)


def make(
    base: Catalog | None = None,
    changed: Iterable[Entry] = (),
    removed: Iterable[int] = (),
    tails: Positions | None = None,
    meta: bytes = b"",
) -> bytes:
    parts = build(
        base, changed, removed, mark=640, next_id=10**6, time_ns=99, meta=meta, tails=tails or {}
    )
    return b"".join(parts)


def small() -> bytes:
    """A catalog with something in every section: a tombstone, garbage, tails, extras, meta."""
    first = Catalog(
        make(
            changed=[
                entry(3, "alpha", extra=b"x" * 3),
                entry(5, "älpha"),
                entry(9, "beta"),
                entry(11, "hidden", HIDDEN),
                entry(12, "zeta"),
            ]
        )
    )
    with building(rewriting=False):
        return make(
            first,
            [entry(3, "alpha", extra=b"longer"), entry(13, "hidden")],
            [9],
            tails={4: {3: array("I", [64, 128]), 13: array("I", [256])}, 7: {5: array("I", [8])}},
            meta=b"meta",
        )


def reseal(data: bytes | bytearray) -> bytes:
    """The same bytes with checksums that hold: damage by a writer that was wrong."""
    data = bytes(data)
    head = data[:12] + struct.pack("<I", zlib.crc32(data[128:])) + data[16:124]
    return head + struct.pack("<I", zlib.crc32(head)) + data[128:]


@contextmanager
def building(*, rewriting: bool) -> Iterator[None]:
    with mock.patch.object(catalog_build, "_is_rewrite_cheaper", lambda *_: rewriting):
        yield


@contextmanager
def small_strides() -> Iterator[None]:
    """Blocks, runs and landmarks of a few entries, so that a few entries cross their seams."""
    with (
        mock.patch.object(catalog_build, "_BLOCK", 2),
        mock.patch.object(catalog_layout, "RUN_BYTES", 3 * RECORD.size),
        mock.patch.object(catalog_layout, "_LANDMARKS", 2),
    ):
        yield


def read_everything(catalog: Catalog) -> None:
    """Call all there is to call, each on its own, so that one error does not spare the others."""
    calls: list[Callable[[], object]] = [
        lambda: list(catalog.entries()),
        lambda: list(catalog.names()),
        lambda: list(catalog.names("al", after="alpha")),
        lambda: catalog.meta,
        catalog.tail_segments,
        catalog.check,
    ]
    for name in ("", "alpha", "älpha", "beta", "hidden", "zeta", "zz"):
        calls.append(partial(catalog.find, name))
    for id in (0, 1, 3, 5, 9, 11, 12, 13, 14, 2**40):
        calls.append(partial(catalog.find_id, id))
    for segment in (4, 7, 8):
        calls.append(partial(catalog.tail_ids, segment))
        for id in (3, 5, 13):
            calls.append(partial(catalog.tail, segment, id))
    for call in calls:
        with suppress(FormatError):
            call()


class TestRoundTrip:
    def test_a_catalog_of_nothing_has_nothing(self) -> None:
        catalog = Catalog(make())
        assert (len(catalog), catalog.visible, catalog.garbage_bytes) == (0, 0, 0)
        assert catalog.find("a") is None
        assert catalog.find_id(0) is catalog.find_id(1) is None
        assert not [*catalog.entries(), *catalog.names(), *catalog.tail_segments()]
        assert catalog.meta == b""
        catalog.check()

    def test_an_empty_catalog_can_be_built_upon(self) -> None:
        again = Catalog(make(Catalog(make(Catalog(make()))), [entry(1, "a")]))
        assert list(again.entries()) == [entry(1, "a")]

    def test_numbers_come_back_at_their_limits(self) -> None:
        extreme = Entry(2**32 - 1, "x", MAX_U64, MAX_U64, -(2**63), 2**63 - 1, HIDDEN - 1, b"e")
        data = b"".join(
            build(
                None,
                [extreme],
                [],
                mark=MAX_U64,
                next_id=2**32,
                time_ns=-1,
                meta=b"m",
                tails={MAX_U64: {2**32 - 1: array("I", [2**32 - 1])}},
            )
        )
        catalog = Catalog(data)
        assert (catalog.mark, catalog.next_id, catalog.time_ns) == (MAX_U64, 2**32, -1)
        assert catalog.meta == b"m"
        assert catalog.find("x") == catalog.find_id(2**32 - 1) == extreme
        assert catalog.tail(MAX_U64, 2**32 - 1) == b"\xff" * 4
        catalog.check()

    def test_the_longest_name_comes_back_and_a_longer_one_is_a_bug(self) -> None:
        name = "é" * (NAME_BYTES_MAX // 2)
        found = Catalog(make(changed=[entry(1, name)])).find(name)
        assert found is not None and found.name == name
        with pytest.raises(AssertionError):
            make(changed=[entry(1, name + "x")])

    def test_the_last_change_of_an_id_counts_and_removed_wins(self) -> None:
        data = make(changed=[entry(1, "a"), entry(2, "b"), entry(1, "a", stop=9)], removed=[2])
        assert list(Catalog(data).entries()) == [entry(1, "a", stop=9)]

    @pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
    def test_any_buffer_will_do(self, wrap: Callable[[bytes], bytes]) -> None:
        catalog = Catalog(wrap(small()))
        catalog.check()
        assert catalog.find("alpha") == entry(3, "alpha", extra=b"longer")
        assert catalog.meta == b"meta" and isinstance(catalog.meta, bytes)
        assert Catalog(make(catalog)).find("alpha") == catalog.find("alpha")

    def test_a_map_can_be_closed_while_its_catalog_is_still_there(self, tmp_path: Path) -> None:
        path = tmp_path / "catalog"
        path.write_bytes(small())
        with path.open("rb") as file:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        catalog = Catalog(view)
        walk, names = catalog.entries(), catalog.names()
        tail = catalog.tail(4, 3)
        assert next(walk).name == next(names) == "alpha"
        view.close()
        assert tail == struct.pack("<2I", 64, 128)
        with pytest.raises(ValueError, match="closed"):
            catalog.find("alpha")

    def test_parts_are_counted_in_bytes(self) -> None:
        base = Catalog(small())
        parts = build(base, [], [], mark=0, next_id=14, time_ns=0, tails={1: {3: array("I", [1])}})
        assert sum(map(len, parts)) == len(b"".join(parts))


class TestHiddenAndRemoved:
    def test_hidden_is_found_by_id_alone(self) -> None:
        catalog = Catalog(make(changed=[entry(1, "a", HIDDEN), entry(2, "b")]))
        assert (len(catalog), catalog.visible) == (2, 1)
        assert catalog.find("a") is None
        assert catalog.find_id(1) == entry(1, "a", HIDDEN)
        assert list(catalog.names()) == ["b"]

    @pytest.mark.parametrize("rewriting", [False, True])
    def test_names_are_used_again(self, rewriting: bool) -> None:
        base = Catalog(make(changed=[entry(1, "a"), entry(2, "b"), entry(3, "c")]))
        with building(rewriting=rewriting):
            data = make(base, [entry(1, "a", HIDDEN), entry(4, "a"), entry(5, "b")], [2])
        catalog = Catalog(data)
        catalog.check()
        assert list(catalog.names()) == ["a", "b", "c"]
        assert catalog.find("a") == entry(4, "a")
        assert catalog.find("b") == entry(5, "b")
        assert catalog.find_id(1) == entry(1, "a", HIDDEN)
        assert catalog.find_id(2) is None

    def test_removing_what_is_not_there_changes_nothing(self) -> None:
        base = Catalog(small())
        with building(rewriting=False):
            again = Catalog(make(base, removed=[1, 9, 10**5]))
        assert list(again.entries()) == list(base.entries())
        assert again.garbage_bytes == base.garbage_bytes

    @pytest.mark.parametrize("rewriting", [False, True])
    @pytest.mark.parametrize(
        "changed",
        [
            [entry(20, "alpha")],
            [entry(20, "new"), entry(21, "new")],
            [entry(11, "hidden")],
            [entry(10, "between")],
            [entry(9, "beta")],
        ],
        ids=["taken", "twice", "shown again though taken", "id too small", "id of a removed"],
    )
    def test_a_wrong_change_is_a_bug(self, changed: list[Entry], rewriting: bool) -> None:
        base = Catalog(small())
        with building(rewriting=rewriting), pytest.raises(AssertionError):
            make(base, changed)

    @pytest.mark.parametrize("rewriting", [False, True])
    def test_an_id_keeps_its_name(self, rewriting: bool) -> None:
        with building(rewriting=rewriting), pytest.raises(AssertionError):
            make(Catalog(small()), [entry(3, "renamed")])


class TestGarbage:
    def test_a_patch_keeps_it_and_counts_it(self) -> None:
        catalog = Catalog(small())
        dead = RECORD.size + len("beta") + len("xxx")
        assert catalog.garbage_bytes == dead
        catalog.check()

    def test_more_than_half_brings_a_rewrite(self) -> None:
        catalog = Catalog(make(changed=[entry(id, f"c{id}") for id in range(1, 9)]))
        for id in range(1, 8):
            catalog = Catalog(make(catalog, removed=[id]))
            catalog.check()
            assert catalog.garbage_bytes <= 5 * (RECORD.size + 2)
        assert Catalog(make(catalog)).garbage_bytes <= RECORD.size + 2
        assert list(catalog.names()) == ["c8"]

    def test_an_unchanged_extra_is_kept_where_it_lies(self) -> None:
        base = Catalog(small())
        with building(rewriting=False):
            again = Catalog(make(base, [entry(3, "alpha", extra=b"longer", stop=77)]))
        assert again.garbage_bytes == base.garbage_bytes
        assert again.find("alpha") == entry(3, "alpha", extra=b"longer", stop=77)

    def test_few_changes_leave_most_of_the_buffer_alone(self) -> None:
        base = Catalog(make(changed=[entry(id, f"c{id:04}") for id in range(1, 1001)]))
        parts = build(
            base, [entry(500, "c0500", stop=9)], [], mark=0, next_id=2000, time_ns=0, tails={}
        )
        copied = sum(len(part) for part in parts if not isinstance(part, memoryview))
        assert copied < HEADER.size + 64 * RECORD.size + 1000 * WORD.size + 1
        assert len(list(Catalog(b"".join(parts)).entries())) == 1000


class TestNames:
    NAMES = ("", "a", "a\0", "ab", "abc", "b", "é", "éa", "\uffff", "\U0010ffff", "\U0010ffffz")

    @pytest.fixture(params=[1, 2, 1024])
    def catalog(self, request: pytest.FixtureRequest) -> Iterator[Catalog]:
        names = random.Random(1).sample(self.NAMES, len(self.NAMES))
        data = make(changed=[entry(id, name) for id, name in enumerate(names, 1)])
        with mock.patch.object(catalog_layout, "_LANDMARKS", request.param):
            yield Catalog(data)

    def test_prefix_and_after(self, catalog: Catalog) -> None:
        prefixes = (*self.NAMES, "\U0010ffff\U0010ffff", "abcd" * 200, "c", "\udfff", "\ud800")
        for prefix, after in product(prefixes, (None, *self.NAMES, "aa", "z" * 999, "\udfff")):
            expected = [
                name
                for name in sorted(self.NAMES, key=str.encode)
                if name.startswith(prefix) and (after is None or name > after)
            ]
            assert list(catalog.names(prefix, after)) == expected

    def test_each_is_found_and_its_neighbours_are_not(self, catalog: Catalog) -> None:
        for name in self.NAMES:
            found = catalog.find(name)
            assert found is not None and found.name == name
            assert catalog.find(name + "\0\0") is None
        assert catalog.find("\ud800") is None

    def test_they_are_read_when_asked_for(self, catalog: Catalog) -> None:
        with mock.patch.object(Sections, "name_at", side_effect=AssertionError):
            names = catalog.names("a")
        assert next(names) == "a"


class TestTails:
    def test_those_given_are_all_there_are(self) -> None:
        base = Catalog(small())
        assert base.tail_segments() == [4, 7]
        assert list(base.tail_ids(4)) == [3, 13]
        assert base.tail(4, 3) == struct.pack("<2I", 64, 128)
        assert base.tail(4, 13) == struct.pack("<I", 256)
        assert base.tail(7, 5) == struct.pack("<I", 8)
        assert base.tail(4, 5) == base.tail(4, 99) == base.tail(4, 0) == base.tail(5, 3) == b""
        assert list(base.tail_ids(5)) == []
        assert Catalog(make(base)).tail_segments() == []

    def test_a_segment_may_be_empty_and_so_may_a_channel(self) -> None:
        tails = {1: {}, 2: {7: array("I")}, 3: {7: array("I"), 8: array("I", [1])}}
        catalog = Catalog(make(tails=tails))
        catalog.check()
        assert catalog.tail_segments() == [1, 2, 3]
        assert [list(catalog.tail_ids(segment)) for segment in (1, 2, 3)] == [[], [], [8]]
        assert catalog.tail(3, 7) == b""


NAME = st.one_of(
    st.sampled_from(["a", "ab", "abc", "b", "ba", "é", "\U0010ffff"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)
FATE = st.sampled_from(["keep", "keep", "keep", "change", "hide", "show", "remove"])


class Model:
    """What a catalog should hold: a dict, and nothing clever."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.next_id = 1

    def visible(self) -> dict[str, Entry]:
        return {e.name: e for e in self.entries.values() if not e.flags & HIDDEN}

    def step(self, draw: Callable[..., Any]) -> tuple[list[Entry], list[int]]:
        changed: dict[int, Entry] = {}
        removed: list[int] = []
        for id, old in list(self.entries.items()):
            fate = draw(FATE)
            if fate == "remove":
                removed.append(id)
                del self.entries[id]
            elif fate == "change":
                extra = draw(st.binary(max_size=6))
                changed[id] = replace(old, end_offset=old.end_offset + 1, extra=extra)
            elif fate == "hide":
                changed[id] = replace(old, flags=old.flags | HIDDEN)
            elif fate == "show" and old.name not in self.visible():
                changed[id] = replace(old, flags=old.flags & ~HIDDEN)
            self.entries.update(changed)
        for name in draw(st.lists(NAME, max_size=6)):
            if name not in self.visible():
                self.next_id += draw(st.sampled_from([0, 0, 1, 50]))
                flags = draw(st.sampled_from([0, 0, 0, 3, HIDDEN]))
                new = entry(self.next_id, name, flags, draw(st.binary(max_size=3)))
                changed[new.id] = self.entries[new.id] = new
                self.next_id += 1
        return draw(st.permutations(list(changed.values()))), removed

    def compare(self, catalog: Catalog, prefix: str, after: str, names: set[str]) -> None:
        visible = self.visible()
        assert (len(catalog), catalog.visible) == (len(self.entries), len(visible))
        assert list(catalog.entries()) == [self.entries[id] for id in sorted(self.entries)]
        for id in range(self.next_id + 2):
            known = self.entries.get(id)
            assert catalog.find_id(id) == known
            plain = known is not None and not known.flags & HIDDEN and not known.extra
            assert catalog.plain_start(id) == (known.start_offset if known and plain else None)
        for name in names:
            assert catalog.find(name) == visible.get(name)
        listed = sorted(visible, key=str.encode)
        assert list(catalog.names()) == listed
        listed = [name for name in listed if name.startswith(prefix)]
        assert list(catalog.names(prefix)) == listed
        assert list(catalog.names(prefix, after)) == [name for name in listed if name > after]


class TestAgainstAModel:
    @pytest.mark.parametrize("way", ["as it chooses", "patch", "rewrite"])
    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(data=st.data())
    def test_generation_after_generation(self, way: str, data: st.DataObject) -> None:
        model, catalog = Model(), None
        names = {"", "a", "zz"}
        with small_strides():
            for _ in range(data.draw(st.integers(1, 5))):
                changed, removed = model.step(data.draw)
                names |= {new.name for new in changed}
                catalog = Catalog(self.build(way, model, catalog, changed, removed))
                catalog.check()
                model.compare(catalog, data.draw(NAME), data.draw(NAME), names)

    @staticmethod
    def build(
        way: str, model: Model, base: Catalog | None, changed: list[Entry], removed: list[int]
    ) -> bytes:
        def run() -> bytes:
            parts = build(
                base, changed, removed, mark=0, next_id=model.next_id, time_ns=0, tails={}
            )
            return b"".join(parts)

        if way == "as it chooses":
            return run()
        with building(rewriting=way == "rewrite"):
            return run()

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(
        tails=st.dictionaries(
            st.integers(0, MAX_U64),
            st.dictionaries(
                st.integers(1, 2**32 - 1),
                st.lists(st.integers(0, 2**32 - 1), max_size=4).map(lambda p: array("I", p)),
                max_size=5,
            ),
            max_size=4,
        )
    )
    def test_tails(self, tails: dict[int, dict[int, array[int]]]) -> None:
        catalog = Catalog(make(tails=tails))
        catalog.check()
        assert catalog.tail_segments() == sorted(tails)
        for segment, tail in tails.items():
            assert list(catalog.tail_ids(segment)) == sorted(id for id in tail if tail[id])
            for id, positions in tail.items():
                expected = b"".join(struct.pack("<I", position) for position in positions)
                assert catalog.tail(segment, id) == expected


class TestDamage:
    def test_every_flipped_bit_is_seen(self) -> None:
        data = small()
        for position in range(len(data)):
            for bit in range(8):
                broken = bytearray(data)
                broken[position] ^= 1 << bit
                with pytest.raises(FormatError):
                    Catalog(broken)

    @pytest.mark.parametrize("verify", [False, True])
    def test_every_other_length_is_seen(self, verify: bool) -> None:
        data = small()
        for stop in range(len(data)):
            with pytest.raises(FormatError) as caught:
                Catalog(data[:stop], verify=verify)
            assert caught.value.position is not None
        with pytest.raises(FormatError):
            Catalog(data + b"\0", verify=verify)

    @pytest.mark.parametrize("resealed", [False, True])
    def test_reading_damage_raises_nothing_else(self, resealed: bool) -> None:
        data = small()
        opened = 0
        for position in range(len(data)):
            for bit in range(8):
                broken = bytearray(data)
                broken[position] ^= 1 << bit
                try:
                    catalog = Catalog(reseal(broken) if resealed else broken, verify=False)
                except FormatError:
                    continue
                opened += 1
                read_everything(catalog)
        assert opened > 8 * (len(data) - HEADER.size) // 2

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        head=st.lists(st.integers(0, 300), min_size=9, max_size=9),
        body=st.binary(max_size=1024),
    )
    def test_made_up_catalogs_raise_nothing_else(self, head: list[int], body: bytes) -> None:
        *rest, segments, words, heap = head
        visible, live, slots = sorted(count % 8 for count in rest[:3])
        counts = (slots, live, visible, segments % 4, words % 32, heap % 200)
        header = Header._make([0, *rest[3:], *counts, 0, 0])
        size = RECORD.size * counts[0] + WORD.size * (counts[2] + counts[4])
        size += SEGMENT.size * counts[3] + counts[5]
        data = header.pack() + body.ljust(size, b"\1")[:size]
        try:
            catalog = Catalog(reseal(data))
        except FormatError:
            return
        read_everything(catalog)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.binary(max_size=300), st.booleans())
    def test_noise_is_not_a_catalog(self, noise: bytes, magic: bool) -> None:
        for verify in (False, True):
            with pytest.raises(FormatError):
                Catalog(MAGIC + noise if magic else noise, verify=verify)

    def test_zeros_are_not_a_catalog(self) -> None:
        with pytest.raises(FormatError):
            Catalog(bytes(4096))

    def test_a_newer_version_is_named(self) -> None:
        data = bytearray(small())
        data[8] = 9
        with pytest.raises(FormatError, match="version 9") as caught:
            Catalog(reseal(data))
        assert caught.value.position == 8

    @pytest.mark.parametrize("field", ["visible", "live"])
    def test_counts_that_contradict_each_other_are_seen_at_once(self, field: str) -> None:
        header = Header.parse(small()[: HEADER.size])
        wrong = header._replace(visible=0, heap_bytes=header.heap_bytes + 4 * header.visible)
        wrong = wrong._replace(live=MAX_U64) if field == "live" else header._replace(live=0)
        data = wrong.pack() + small()[HEADER.size :]
        for verify in (False, True):
            with pytest.raises(FormatError, match="contradict"):
                Catalog(reseal(data), verify=verify)

    @pytest.mark.parametrize("segments", [(7, 4), (4, 4)])
    def test_segments_out_of_order_are_seen_at_once(self, segments: tuple[int, int]) -> None:
        data = bytearray(small())
        at = Sections(data).directory_at
        for index, segment in enumerate(segments):
            struct.pack_into("<Q", data, at + SEGMENT.size * index, segment)
        with pytest.raises(FormatError, match="directory"):
            Catalog(reseal(data))

    @pytest.mark.parametrize("stops", [(3, 2), (2, 4), (2**32 - 1, 3)])
    def test_a_tail_does_not_reach_into_another(self, stops: tuple[int, int]) -> None:
        data = bytearray(small())
        struct.pack_into("<2I", data, Sections(data).words_at + 2 * WORD.size, *stops)
        catalog = Catalog(reseal(data))
        with pytest.raises(FormatError, match="leaves its section"):
            catalog.tail(4, 13)

    def test_build_does_not_launder_damage(self) -> None:
        """A catalog opened without verifying was damaged; building on it must not give the
        damage a checksum that holds."""
        data = bytearray(small())
        data[HEADER.size + 9] ^= 1
        base = Catalog(data, verify=False)
        with pytest.raises(FormatError):
            make(base, [entry(20, "new")])


class TestCheck:
    """Each rule is broken on purpose, under checksums that hold, to see that the walk minds."""

    @staticmethod
    def sections() -> Sections:
        return Sections(small())

    @classmethod
    def patched(cls, position: int, item: bytes) -> Catalog:
        data = bytearray(small())
        assert data[position : position + len(item)] != item, "this breaks nothing"
        data[position : position + len(item)] = item
        return Catalog(reseal(data))

    @classmethod
    def with_record(cls, slot: int, **fields: int) -> Catalog:
        record = cls.sections().record(slot)._replace(**fields)
        return cls.patched(HEADER.size + RECORD.size * slot, RECORD.pack(*record))

    @pytest.mark.parametrize(
        ("slot", "fields"),
        [
            (0, {"id": 0}),
            (1, {"id": 3}),
            (5, {"id": 10**6}),
            (0, {"state": 2}),
            (2, {"state": 0}),
            (0, {"flags": HIDDEN}),
            (3, {"flags": 0}),
            (0, {"name_bytes": 4}),
            (0, {"extra_bytes": 1}),
            (0, {"extra_at": 10**9}),
            (1, {"name_at": 6}),
        ],
    )
    def test_records(self, slot: int, fields: dict[str, int]) -> None:
        with pytest.raises(FormatError):
            self.with_record(slot, **fields).check()

    def test_order(self) -> None:
        sections = self.sections()
        first, second = sections.slot_at(0), sections.slot_at(1)
        for slots in [(second, first), (first, first), (2, second), (3, second)]:
            with pytest.raises(FormatError):
                self.patched(sections.order_at, struct.pack("<2I", *slots)).check()

    @pytest.mark.parametrize("words", [(3, 3), (13, 3), (3, 13, 3, 2), (3, 13, 2, 2), (3, 13, 0)])
    def test_tails(self, words: tuple[int, ...]) -> None:
        item = struct.pack(f"<{len(words)}I", *words)
        with pytest.raises(FormatError):
            self.patched(self.sections().words_at, item).check()

    @pytest.mark.parametrize("field", ["live", "garbage_bytes", "next_id"])
    def test_header(self, field: str) -> None:
        header = self.sections().header
        wrong = header._replace(**{field: getattr(header, field) - 1 if field != "next_id" else 13})
        data = wrong.pack() + small()[HEADER.size :]
        with pytest.raises(FormatError):
            Catalog(reseal(data)).check()


class TestFormat:
    GOLDEN = (
        "4348414e4341544c0100000043c8b43c800200000000000040420f0000000000630000000000000006000000"
        "000000000500000000000000040000000000000002000000000000000a000000000000002800000000000000"
        "040000000000000047000000000000000000000000000000000000000000000000000000777780bd03000000"
        "0000000001000000000000000500000000000000f9ffffffffffffffeb030000000000001c00000000000000"
        "06000000000005000000000000000000050000000000000001000000000000000500000000000000f9ffffff"
        "ffffffffed030000000000000e00000000000000000000000000060008000000000000000900000000000000"
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "0100000000000000000000000b0000000000008001000000000000000500000000000000f9ffffffffffffff"
        "f3030000000000001800000000000000000000000000060012000000000000000c0000000000000001000000"
        "000000000500000000000000f9fffffffffffffff4030000000000001c000000000000000000000000000400"
        "18000000000000000d0000000000000001000000000000000500000000000000f9fffffffffffffff5030000"
        "0000000028000000000000000000000000000600220000000000000004000000000000000000000000000000"
        "0200000003000000070000000000000007000000000000000100000001000000000000000500000004000000"
        "01000000030000000d0000000200000003000000400000008000000000010000050000000100000008000000"
        "616c706861787878c3a46c7068616265746168696464656e7a6574616c6f6e67657268696464656e6d657461"
    )

    def test_the_first_version_stays_readable(self) -> None:
        golden = bytes.fromhex(self.GOLDEN)
        catalog = Catalog(golden)
        catalog.check()
        assert (catalog.mark, catalog.next_id, catalog.time_ns) == (640, 10**6, 99)
        assert catalog.meta == b"meta"
        assert list(catalog.names()) == ["alpha", "hidden", "zeta", "älpha"]
        assert list(catalog.entries()) == [
            entry(3, "alpha", extra=b"longer"),
            entry(5, "älpha"),
            entry(11, "hidden", HIDDEN),
            entry(12, "zeta"),
            entry(13, "hidden"),
        ]
        assert catalog.tail_segments() == [4, 7]
        assert catalog.tail(4, 3) == struct.pack("<2I", 64, 128)

    def test_the_byte_map_is_what_the_structs_say(self) -> None:
        assert catalog_layout.__doc__ is not None
        map_ = catalog_layout.__doc__.split("    header  ")[1].split("All integers")[0]
        left = "\n".join(line[:48] for line in map_.splitlines())
        right = "\n".join(line[48:] for line in map_.splitlines())
        record, segment = right.split("directory item")
        self.compare(left, HEADER, None)
        self.compare(record, RECORD, Record._fields)
        self.compare(segment, SEGMENT, catalog_layout.Tail._fields)

    @staticmethod
    def compare(text: str, layout: struct.Struct, names: tuple[str, ...] | None) -> None:
        codes = {"u16": "H", "u32": "I", "u64": "Q", "i64": "q"}
        rows = re.findall(r"^ *(\d+) +([ui]\d+|\d+s) +(\w+)", text, re.MULTILINE)
        format = "<"
        for position, kind, _ in rows:
            assert int(position) == struct.calcsize(format)
            format += codes.get(kind, kind)
        assert format == layout.format
        assert names is None or tuple(name for _, _, name in rows) == names


class TestSize:
    def test_a_channel_costs_its_name_and_68_bytes(self) -> None:
        entries = [entry(id, f"workflow-{id:07}") for id in range(1, 20_001)]
        data = make(changed=entries)
        assert len(data) == HEADER.size + 20_000 * (RECORD.size + WORD.size + 16)
        catalog = Catalog(data)
        changed = [replace(old, end_offset=9) for old in entries[::100]]
        new = [entry(id, f"workflow-{id - 20_000:07}-b") for id in range(20_001, 20_101)]
        again = Catalog(make(catalog, [*changed, *new], range(2, 20_001, 200)))
        again.check()
        assert (len(again), again.garbage_bytes) == (20_000, 100 * (RECORD.size + 16))
        assert again.find("workflow-0000101") == replace(entries[100], end_offset=9)
        assert list(again.names("workflow-000000", after="workflow-0000007")) == [
            "workflow-0000007-b",
            "workflow-0000008",
            "workflow-0000008-b",
            "workflow-0000009",
            "workflow-0000009-b",
        ]


def test_words_are_little_endian_on_every_host(monkeypatch):
    """On a big-endian machine they are swapped on the way out and on the way in, and the array
    that was given stays as it is."""
    words = array("I", [1, 0x01020304])
    little = b"".join(word.to_bytes(4, "little") for word in words)
    big = b"".join(word.to_bytes(4, "big") for word in words)
    monkeypatch.setattr(sys, "byteorder", "little")
    native = swap_if_big(words)
    monkeypatch.setattr(sys, "byteorder", "big")
    swapped = swap_if_big(words)
    assert {native.tobytes(), swapped.tobytes()} == {little, big}
    assert list(swap_if_big(swapped)) == list(words) == [1, 0x01020304]

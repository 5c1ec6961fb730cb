"""The frame of a segment file: header, marker, footer and index; records and names."""

from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanlog.errors import FormatError, FormatTooNew
from chanlog.format import names, records, segment
from chanlog.format.batch import OFFSET_MAX
from chanlog.format.segment import Entry

HEADER = segment.encode_segment_header(
    salt=0x0102, first=3, last=6, created_ns=-7, log_id=b"0123456789abcdef"
)
MARKER = segment.encode_marker(b"0123456789abcdef", 77)


def every_flip(content: bytes):
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        yield bytes(damaged)


def test_a_header_comes_back():
    assert segment.read_segment_header(HEADER) == (0x0102, 3, 6, -7, b"0123456789abcdef")
    assert len(HEADER) == segment.SEGMENT_HEADER_BYTES == 64


def test_a_marker_comes_back():
    assert segment.read_marker(MARKER) == (b"0123456789abcdef", 77)


def test_what_is_kept_for_later_is_zero():
    """A later version can only give it a meaning if every older one has written the same."""
    header = segment.encode_segment_header(salt=1, first=1, last=1, created_ns=1, log_id=b"i" * 16)
    assert (header[12:16], header[56:60]) == (bytes(4), bytes(4))
    assert segment.encode_marker(b"i" * 16, 1)[10:16] == bytes(6)


def test_every_bit_counts():
    # What says that it is newer may have its checksum elsewhere, so it is refused as such.
    refused = (FormatError, FormatTooNew)
    for damaged in every_flip(HEADER):
        with pytest.raises(refused):
            segment.read_segment_header(damaged)
    for damaged in every_flip(MARKER):
        with pytest.raises(refused):
            segment.read_marker(damaged)
    for damaged in every_flip(clustered(ENTRIES)[-200:]):
        with pytest.raises(FormatError):
            segment.read_index(memoryview(bytes(64) + damaged))


def test_every_length_counts():
    for content, read in ((HEADER, segment.read_segment_header), (MARKER, segment.read_marker)):
        for length in range(len(content)):
            with pytest.raises(FormatError):
                read(content[:length])


def test_a_newer_format(monkeypatch):
    monkeypatch.setattr(segment, "FORMAT_VERSION", 2)
    header = segment.encode_segment_header(
        salt=1, first=1, last=1, created_ns=0, log_id=b"0123456789abcdef"
    )
    marker = segment.encode_marker(b"0123456789abcdef", 0)
    monkeypatch.undo()
    for content, read in ((header, segment.read_segment_header), (marker, segment.read_marker)):
        with pytest.raises(FormatTooNew) as raised:
            read(content)
        assert (raised.value.found, raised.value.supported) == (2, 1)


ENTRIES = [Entry(id, id + 1, 64, 64, 0, 5, 10, 20) for id in (2, 3, 5, 8, 13)]


def clustered(entries: list[Entry], batches: bytes = b"") -> bytes:
    content = bytes(64) + batches
    return content + segment.encode_footer(
        entries, index_position=len(content), control_stop=64, messages=9
    )


@given(st.sets(st.integers(1, 300), max_size=40))
def test_an_index_finds_what_it_has(ids):
    entries = [Entry(id, 1, 64, 64, 0, 1, 0, 0) for id in sorted(ids)]
    index = segment.read_index(memoryview(clustered(entries)))
    assert list(index) == entries
    for id in range(302):
        found = index.find(id)
        assert (found is not None) == (id in ids)
        assert found is None or found.channel == id


@given(st.binary(max_size=300))
def test_any_bytes_are_accepted_or_refused(content):
    for read in (
        segment.read_segment_header,
        segment.read_marker,
        lambda content: segment.read_index(memoryview(content)),
        records.decode_created,
        records.decode_cursor,
        records.decode_producer,
        records.decode_trimmed,
    ):
        try:
            read(content)
        except (FormatError, FormatTooNew):
            continue


anything = st.recursive(
    st.none() | st.integers(0, 99) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=5)
)


@given(anything)
def test_any_fields_are_accepted_or_refused(fields):
    content = records.encode_record(*fields) if isinstance(fields, list) else b"\xc0"
    for read in (
        records.decode_created,
        records.decode_cursor,
        records.decode_producer,
        records.decode_trimmed,
    ):
        try:
            read(content)
        except FormatError:
            continue


def test_records_come_back():
    created = records.encode_record("name", {"count": 1}, 3, 4)
    assert records.decode_created(created) == ("name", {"count": 1}, 3, 4)
    assert records.decode_cursor(records.encode_record("c")) == ("c", False)
    assert records.decode_cursor(records.encode_record("c", True)) == ("c", True)
    producer = records.encode_record("p", 1, 2, [[0, 5]])
    assert records.decode_producer(producer) == ("p", 1, 2, [[0, 5]])


@given(st.integers(0, 10**10 - 1), st.integers(0, 10**10 - 1))
def test_names_come_back(first, last):
    assert names.parse_raw(names.raw_name(first)) == first
    assert names.parse_clustered(names.clustered_name(first, last)) == (first, last)
    ours = (
        names.raw_name(first),
        names.clustered_name(first, last),
        names.torn_name(names.raw_name(first), last),
        names.torn_name(names.raw_name(first), last, 3),
        names.temporary(names.CATALOG),
        names.MARKER,
        names.LOCK,
    )
    assert all(map(names.is_ours, ours))
    assert sorted([names.raw_name(first), names.raw_name(last)]) == [
        names.raw_name(min(first, last)),
        names.raw_name(max(first, last)),
    ]


@given(st.text(max_size=30))
def test_other_names_are_not_ours(name):
    parsed = names.parse_raw(name) is not None or names.parse_clustered(name) is not None
    assert not parsed or names.is_ours(name)


@pytest.mark.parametrize("name", ["notes.txt", "1.log", "0000000001.log.bak", "x0000000001.log"])
def test_names_of_others(name):
    assert not names.is_ours(name)


@pytest.mark.parametrize(
    "name",
    [
        "CHANLOG.bak", "xCHANLOG", "locks", "catalog.old", "1.log", "00000000001.log",
        "000000001-000000002.seg", "0000000001-0000000002.log", "0000000001.seg",
        "0000000001.log.torn-", "0000000001.log.torn-5.", "0000000001.log.torn-5.x",
        "0000000001.seg.torn-5", "0000000001.tmp.log", "0000000001_log",
    ],
)  # fmt: skip
def test_names_that_are_nearly_ours(name):
    """What is ours may be removed, and what is not must not be."""
    assert not names.is_ours(name)
    assert names.parse_raw(name) is None
    assert names.parse_clustered(name) is None


def test_the_names_are_those_of_the_format():
    """A file under another name is not found by any other version."""
    assert [names.MARKER, names.LOCK, names.CATALOG] == ["CHANLOG", "lock", "catalog"]
    assert names.raw_name(7) == "0000000007.log"
    assert names.clustered_name(3, 6) == "0000000003-0000000006.seg"
    assert names.torn_name("0000000007.log", 4711) == "0000000007.log.torn-4711"
    assert names.torn_name("0000000007.log", 4711, 1) == "0000000007.log.torn-4711.1"
    assert names.temporary("0000000007.log") == "0000000007.log.tmp"
    for ours in ("CHANLOG", "lock", "catalog", "anything.tmp", "0000000007.log.torn-4711.12"):
        assert names.is_ours(ours)
        assert names.parse_raw(ours) is names.parse_clustered(ours) is None
    assert names.parse_raw("0000000003-0000000006.seg") is None
    assert names.parse_clustered("0000000007.log") is None


def test_what_a_clustered_file_covers_is_left_over():
    """It was made from them: read beside it, each message would come twice. One that it covers in
    part only was not, and there the file that covers it wholly is looked for."""
    raw, both = names.raw_name, names.clustered_name
    found, leftovers = names.segment_files(
        ["lock", raw(9), raw(8), both(4, 6), raw(6), raw(5), raw(4), raw(3), raw(7), both(5, 6),
         both(4, 5), both(6, 7), both(1, 1), raw(1), both(2, 2), "0000000002.log.tmp"]
    )  # fmt: skip
    assert found == [
        ((1, 1), both(1, 1)),
        ((2, 2), both(2, 2)),
        ((3, 3), raw(3)),
        ((4, 6), both(4, 6)),
        ((6, 7), both(6, 7)),
        ((8, 8), raw(8)),
        ((9, 9), raw(9)),
    ]
    assert leftovers == [raw(1), raw(4), both(4, 5), raw(5), both(5, 6), raw(6), raw(7)]
    assert names.segment_files([]) == ([], [])


def test_what_is_too_short_and_what_is_too_new_is_told_apart():
    """Only the magic and the version are the same in every format: the rest of a newer marker is
    not called damage."""
    newer = b"CHANLOG\n\2\0"
    for content in (newer, newer + bytes(3), newer + bytes(100)):
        with pytest.raises(FormatTooNew):
            segment.read_marker(content)
    for content, word in (
        (newer[:9], "not a log marker"),
        (b"CHANLOX\n" + MARKER[8:], "not a log marker"),
        (MARKER[:10], "damaged"),
        (MARKER + b"\0", "damaged"),
        (MARKER[:-1] + bytes((MARKER[-1] ^ 1,)), "damaged"),
    ):
        with pytest.raises(FormatError, match=word) as raised:
            segment.read_marker(content)
        assert raised.value.position == 0
    for content, word in ((HEADER[:63], "too short"), (b"x" + HEADER[1:], "damaged")):
        with pytest.raises(FormatError, match=word) as raised:
            segment.read_segment_header(content)
        assert raised.value.position == 0
    assert segment.read_segment_header(HEADER + b"batches") == segment.read_segment_header(HEADER)


def test_the_bytes_of_what_begins_a_file():
    """Other versions look for them, at these places."""
    assert HEADER[:60] == (
        b"chanlog\n\1\0\2\1\0\0\0\0\3\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0\xf9" + b"\xff" * 7
        + b"0123456789abcdef\0\0\0\0"
    )  # fmt: skip
    assert MARKER[:40] == (
        b"CHANLOG\n\1\0\0\0\0\0\0\0" + b"0123456789abcdef" + b"\x4d\0\0\0\0\0\0\0"
    )
    footer = clustered(ENTRIES)[-64:]
    assert footer[:8] == b"chanidx\n"
    numbers = [int.from_bytes(footer[at : at + 8], "little") for at in (8, 16, 24, 32, 40)]
    assert numbers == [64, 5, 64, 9, 64 + 5 * 56 + 64]
    assert footer[52:60] == bytes(8)


def sealed(
    *, position: int, count: int, control_stop: int, length: int, before: bytes = bytes(64)
) -> memoryview:
    """A clustered file whose footer says just this, under checksums that are right."""
    index = b"".join(segment.ENTRY.pack(*entry) for entry in ENTRIES)
    head = segment.FOOTER.pack(
        segment.INDEX_MAGIC, position, count, control_stop, 9, length, crc32(index), 0, 0, 0
    )[:-4]
    return memoryview(before + index + head + crc32(head).to_bytes(4, "little"))


def test_a_footer_that_contradicts_its_file_is_refused():
    """Its checksum is right, for another program wrote it, or it is of another file."""
    right = {"position": 100, "count": 5, "control_stop": 80, "length": 100 + 5 * 56 + 64}
    index = segment.read_index(sealed(**right, before=bytes(100)))
    assert (index.count, index.control_stop, index.messages) == (5, 80, 9)
    assert list(index) == ENTRIES
    for control_stop in (64, 100):
        segment.read_index(sealed(**right | {"control_stop": control_stop}, before=bytes(100)))
    for wrong in (
        {"position": 101}, {"position": 99}, {"count": 4}, {"count": 6}, {"control_stop": 63},
        {"control_stop": 101}, {"length": 443}, {"length": 445},
    ):  # fmt: skip
        with pytest.raises(FormatError, match="the footer") as raised:
            segment.read_index(sealed(**right | wrong, before=bytes(100)))
        assert raised.value.position == 380
    content = bytearray(sealed(**right, before=bytes(100)))
    content[100] ^= 1
    with pytest.raises(FormatError, match="the index") as raised:
        segment.read_index(memoryview(content))
    assert raised.value.position == 100


def test_a_clustered_file_is_at_least_a_header_and_a_footer():
    content = clustered([])
    assert len(content) == 128
    assert list(segment.read_index(memoryview(content))) == []
    with pytest.raises(FormatError, match="too short") as raised:
        segment.read_index(memoryview(content[1:]))
    assert raised.value.position == 0


@pytest.mark.parametrize(
    ("fields", "is_right"),
    [
        ({}, True),
        ({"position": 64, "stop": 200}, True),
        ({"position": 63}, False),
        ({"stop": 63}, False),
        ({"stop": 201}, False),
        ({"position": 201}, False),
        ({"position": 200, "stop": 200}, True),
        ({"base": 5, "end": 5}, True),
        ({"base": 6, "end": 5}, False),
        ({"end": OFFSET_MAX}, True),
        ({"end": OFFSET_MAX + 1}, False),
    ],
)
def test_an_entry_stays_in_its_file(fields, is_right):
    """To its last byte and not one further: there is the index."""
    entry = Entry(3, 1, 70, 80, 1, 2, 0, 0)._replace(**fields)
    index = segment.read_index(memoryview(clustered([entry], bytes(136))))
    if is_right:
        assert index.find(3) == entry
        assert list(index) == [entry]
        return
    for read in (index.find, lambda _: list(index)):
        with pytest.raises(FormatError, match="leads out of its file") as raised:
            read(3)
        assert raised.value.position == 200


def test_an_index_that_is_in_no_file():
    """It is made of a file whose own index is damaged, and finds the same."""
    entries = [Entry(2, 1, 64, 90, 0, 1, 5, 5), Entry(7, 2, 90, 300, 3, 9, 6, 8)]
    index = segment.Index.of(iter(entries), 64)
    assert (index.count, index.control_stop, index.messages) == (2, 64, 0)
    assert list(index) == entries
    assert [index.find(id) for id in (1, 2, 3, 7, 8)] == [None, entries[0], None, entries[1], None]
    empty = segment.Index.of([], 64)
    assert (list(empty), empty.find(1)) == ([], None)


def test_what_is_reserved_is_zero() -> None:
    """A later version may give it a meaning, and then tells by it who wrote."""
    assert [segment.SEGMENT_HEADER.unpack(HEADER)[place] for place in (3, 8)] == [0, 0]
    assert segment.MARKER.unpack(MARKER)[2:4] == (0, 0)
    footer = segment.encode_footer([], index_position=64, control_stop=64, messages=0)
    assert segment.FOOTER.unpack(footer)[7:9] == (0, 0)

"""The frame of a segment file: header, marker, footer and index; records and names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanlog.errors import FormatError, FormatTooNew
from chanlog.format import names, records, segment
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

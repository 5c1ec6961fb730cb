"""The batch: its header, its checksums, and that nothing else passes for one."""

from __future__ import annotations

import re
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanlog.format import batch
from chanlog.format.batch import (
    HEADER,
    HEADER_BYTES,
    KINDS,
    OFFSET_MAX,
    body_checksum,
    encode,
    read_header,
)
from chanlog.storage.scanning import batch_at, last_nonzero, next_batch, walk

U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)

fields = st.fixed_dictionaries(
    {
        "salt": U16,
        "channel": U32,
        "time_ns": I64,
        "mark": U64,
        "flags": st.integers(0, 3),
        "count": U32,
        "base": st.integers(0, (1 << 62) - (1 << 32)),
    }
)


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=100), fields)
def test_a_header_comes_back(kind, body, fields):
    # Only messages are counted, and all but frames and ends of segments belong to a channel.
    fields["count"] = max(1, fields["count"]) if kind == batch.MESSAGES else 0
    is_of_none = kind in (batch.FRAME, batch.ROLLED)
    fields["channel"] = 0 if is_of_none else max(1, fields["channel"])
    if kind == batch.FRAME:
        body = b""
    content = encode(kind, body, **fields)
    header = batch_at(content, 0, len(content), fields["salt"])
    assert header is not None
    assert header.kind == kind
    assert header.length == len(content) == HEADER_BYTES + len(body)
    assert header.body_checksum == crc32(body)
    assert {name: getattr(header, name) for name in fields} == fields


def test_every_bit_counts():
    content = encode(
        batch.MESSAGES, b"the body", salt=0x0101, channel=7, time_ns=-5, mark=9, count=1, base=3
    )
    assert batch_at(content, 0, len(content), 0x0101)
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        assert batch_at(bytes(damaged), 0, len(damaged), 0x0101) is None, place


def test_a_checksum_of_zero_is_a_checksum():
    """It does not mean that there is none: a sector that was zeroed has it."""
    content = encode(batch.MESSAGES, b"x", salt=1, channel=7, time_ns=0, mark=0, count=1)
    assert read_header(b"\0\0\0\0" + content[4:], 0, len(content), 1) is None
    assert batch_at(content[:12] + b"\0\0\0\0" + content[16:], 0, len(content), 1) is None


def test_every_length_counts():
    content = encode(batch.ENDED, b"", salt=1, channel=7, time_ns=0, mark=0)
    content += encode(batch.MESSAGES, b"x" * 9, salt=1, channel=7, time_ns=0, mark=0, count=1)
    found = [at for at, _ in walk(content, 0, len(content), 1)]
    assert found == [0, HEADER_BYTES]
    for stop in range(len(content)):
        assert len(list(walk(content, 0, stop, 1))) == (stop >= HEADER_BYTES)


@pytest.mark.parametrize("salt", [0, 0x0101, 0xFFFF])
def test_zeros_are_no_batch(salt):
    """The checksum of nothing but zeros is zero, so the kind has to show it."""
    assert crc32(b"") == 0
    assert read_header(bytes(1000), 0, 1000, salt) is None
    assert next_batch(bytes(1000), 0, 1000, salt) is None


def test_the_salt_of_another_segment():
    content = encode(batch.MESSAGES, b"x", salt=2, channel=1, time_ns=0, mark=0, count=1)
    assert read_header(content, 0, len(content), 1) is None


@given(st.binary(max_size=200), st.integers(0, 100))
def test_any_bytes_are_refused_or_right(content, position):
    header = read_header(content, position, len(content), 0x0101)
    assert header is None or crc32(content[position + 4 : position + 48]) == header.checksum


@given(st.binary(max_size=40), st.binary(max_size=20))
def test_the_next_batch_is_found(before, body):
    content = encode(batch.MESSAGES, body, salt=0x7F31, channel=1, time_ns=0, mark=0, count=1)
    assert next_batch(before + content, 0, len(before + content), 0x7F31) == len(before)


@given(st.binary(max_size=30), st.integers(0, 200_000))
def test_the_last_byte_that_is_not_zero(content, zeros):
    buffer = content + bytes(zeros)
    expected = len(buffer.rstrip(b"\0"))
    assert last_nonzero(buffer, 0, len(buffer)) == expected


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, 4097, 10_000])
def test_a_checksum_in_parts_is_that_of_the_whole(length):
    content = bytes(range(251)) * 40
    assert body_checksum(content, 3, 3 + length) == crc32(content[3 : 3 + length])


def test_the_byte_map_is_the_struct():
    """The table in the docstring says where each field is."""
    sizes = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i64": "q"}
    rows = re.findall(r"^ +(\d+)  (u8|u16|u32|u64|i64) ", batch.__doc__, re.MULTILINE)
    assert "<" + "".join(sizes[kind] for _, kind in rows) == HEADER.format
    assert [int(position) for position, _ in rows] == [0, 4, 5, 6, 8, 12, 16, 20, 24, 32, 40]
    assert len(batch.Header._fields) == len(rows)
    assert HEADER.size == HEADER_BYTES == 48


@pytest.mark.parametrize("count", [1, 5])
def test_offsets_end_where_they_end(count):
    """One more, and a log would go on at an offset that is no offset; one less, and the last
    message that a log can hold is lost with its next opening."""
    for base, is_right in ((OFFSET_MAX - count, True), (OFFSET_MAX - count + 1, False)):
        content = encode(
            batch.MESSAGES, b"x", salt=1, channel=1, time_ns=0, mark=0, count=count, base=base
        )
        assert (read_header(content, 0, len(content), 1) is not None) == is_right
    assert OFFSET_MAX == 2**62


@given(st.binary(min_size=HEADER_BYTES, max_size=HEADER_BYTES))
def test_a_header_in_other_pieces(content):
    """What compares kind, flags and salt in one step reads the same header."""
    checksum, kind, flags, salt, *rest = HEADER.unpack(content)
    shape = batch.shape_of(kind, flags, salt)
    assert batch.HEADER_BY_SHAPE.unpack(content) == (checksum, shape, *rest)

"""Bytes whose checksums are right and which are nonsense all the same: refused, and cheaply."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from chanlog.errors import FormatError
from chanlog.format.batch import (
    CREATED,
    ENDED,
    FRAME,
    HEADER_BYTES,
    MESSAGES,
    META,
    SEQUENCED,
    encode,
    read_header,
)
from chanlog.format.body import (
    NO_META,
    encode_meta,
    merge,
    messages,
    payload_sizes,
    payloads,
    read_meta,
    single_payloads,
)
from chanlog.format.payload import pack, unpack
from chanlog.format.records import (
    decode_configured,
    decode_created,
    decode_cursor,
    decode_producer,
    decode_trimmed,
    encode_record,
)
from chanlog.format.segment import Entry, encode_footer, encode_segment_header, read_index

BILLIONS = 4_000_000_000


def allocated(work: Callable[[], Any]) -> int:
    """The peak of what some refused work allocates, in bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def batch(kind: int, body: bytes, **fields: int) -> bytes:
    return encode(kind, body, salt=7, time_ns=5, **{"channel": 1, "mark": 0, **fields})


def test_nested_claims_allocate_next_to_nothing() -> None:
    """A thousand arrays, each the first item of the one before, and each said to have 65,536
    items: the unpacker made them all before it saw that nothing followed. A batch of 16 MiB could
    ask for a hundred gigabytes."""
    bomb = b"\xdd\x00\x01\x00\x00" * 1000 + bytes(100_000)
    assert allocated(lambda: unpack(bomb)) < 4 * len(bomb)
    small = b"\xdc\x0f\xff" * 340
    assert allocated(lambda: unpack(small)) < 16 << 20


@pytest.mark.parametrize(
    "head", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"], ids=["array", "map", "str", "bin", "ext"]
)
def test_four_billion_of_anything(head: bytes) -> None:
    for room in (0, 100, 100_000):
        claim = head + b"\xff\xff\xff\xff\x01" + bytes(room)
        assert allocated(lambda claim=claim: unpack(claim)) < 4 * len(claim) + 10_000


def test_large_arrays_are_still_unpacked() -> None:
    for value in (list(range(5000)), [[1] * 5000, {"a": [2] * 5000}], {(1, 2): [0] * 5000}):
        assert unpack(pack(value)) == value
    with pytest.raises(FormatError):
        unpack(pack(list(range(5000))) + b"\x01")
    with pytest.raises(FormatError):
        unpack(pack(list(range(5000)))[:-1])
    with pytest.raises(FormatError):
        unpack(pack("x" * 5000) + pack([1] * 5000))
    with pytest.raises(FormatError):
        unpack(b"\x92" + pack(list(range(5000))) + b"\xa3\xed\xa0\x80")
    with pytest.raises(FormatError):
        unpack(b"\x82" + pack([1]) + b"\x01" + pack({"x": 2}) + b"\x01" + pack([1] * 5000)[:9000])
    with pytest.raises(FormatError):
        unpack(b"\x81" + pack([{"x": 1}]) + pack([0] * 5000))
    deep = unpack(b"\x91" * 1100 + pack([0] * 5000))
    for _ in range(1100):
        (deep,) = deep
    assert deep == [0] * 5000


def test_a_count_of_billions() -> None:
    """Compaction believed the count of a batch, and began to lay out so many times."""
    packed = pack(["a", "b"])
    content = batch(MESSAGES, packed, count=BILLIONS)
    length = len(content)
    for work in (
        lambda: messages(content, 0, length, 0, BILLIONS, 0, 5),
        lambda: payloads(content, 0, length, 0, BILLIONS),
        lambda: payload_sizes(packed, BILLIONS),
        lambda: payload_sizes(b"\xdd\xee\x6b\x28\x00" + packed, BILLIONS),
        lambda: merge([(BILLIONS, 5, packed, NO_META), (1, 5, b"\x01", NO_META)]),
    ):
        assert allocated(work) < 100_000
    with pytest.raises(FormatError):
        payload_sizes(b"\x92\x01\xd9", 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": MESSAGES, "count": 0},
        {"kind": ENDED, "count": 1},
        {"kind": MESSAGES, "count": 1, "channel": 0},
        {"kind": FRAME, "channel": 1},
        {"kind": MESSAGES, "count": 1, "base": (1 << 64) - 1},
    ],
)
def test_a_header_that_cannot_be(fields: dict[str, int]) -> None:
    content = batch(fields.pop("kind"), b"\x01", **fields)
    assert read_header(content, 0, len(content), 7) is None


def test_a_meta_that_is_longer_than_its_batch() -> None:
    """Its length was believed, and counted from the end of the file where it led below zero."""
    before = batch(MESSAGES, pack("x") + encode_meta(None, "t"), count=1, flags=META)
    for size in (len(before), 1 << 31):
        content = before + batch(MESSAGES, size.to_bytes(4, "little"), count=1, flags=META)
        at, length = len(before), HEADER_BYTES + 4
        with pytest.raises(FormatError):
            read_meta(content, at, length, META)
        with pytest.raises(FormatError):
            payloads(content, at, length, META, 1)
        with pytest.raises(FormatError):
            single_payloads(content, [at])
        with pytest.raises(FormatError):
            single_payloads(content, [at, at])
    # What is before the body may well look like a meta, and like one that was read before.
    known = batch(
        MESSAGES, pack("x") + b"\x91\xc0" + (2).to_bytes(4, "little"), flags=META, count=1
    )
    read_meta(known, 0, len(known), META)
    content = batch(
        MESSAGES, b"\xc0" + (2).to_bytes(4, "little"), count=1, flags=META, mark=0x91 << 56
    )
    with pytest.raises(FormatError, match="longer than the batch"):
        read_meta(content, 0, len(content), META)


@pytest.mark.parametrize(
    "fields",
    [
        ("times",),
        ([1.5],),
        (None, 5),
        (None, ["t"]),
        (None, [["t"], b"\0", 1]),
        (None, [[5]]),
        (None, [["t"], "\0"]),
        (None, None, None, "headers"),
        (None, None, None, [[{}], b"\0\0"]),
    ],
)
def test_a_meta_of_nonsense(fields: tuple[Any, ...]) -> None:
    body = pack(["a", "b"]) + encode_meta(*fields)
    with pytest.raises(FormatError):
        read_meta(batch(MESSAGES, body), 0, HEADER_BYTES + len(body), META)


def test_a_sequence_without_a_producer() -> None:
    body = pack("a") + encode_meta(None, "t", None, None, None, -1, None, 3)
    with pytest.raises(FormatError):
        read_meta(batch(MESSAGES, body), 0, HEADER_BYTES + len(body), META | SEQUENCED)


@pytest.mark.parametrize("column", [[["t"]], [["t"], b"\0"], [["t"], b"\0\5"], [["t", "u", "v"]]])
def test_columns_that_do_not_fit_are_not_merged(column: list[Any]) -> None:
    """What they lacked was taken from the next batch: a message had the type of another."""
    meta = (None, column, *(None,) * 6)
    with pytest.raises(FormatError):
        merge([(2, 5, pack(["a", "b"]), meta), (1, 5, pack("c"), NO_META)])
    short = ([], *(None,) * 7)
    with pytest.raises(FormatError):
        merge([(2, 5, pack(["a", "b"]), short), (1, 5, pack("c"), NO_META)])


@pytest.mark.parametrize(
    ("decode", "body"),
    [
        (decode_created, encode_record("a", None, 0)),
        (decode_created, encode_record("a" * 513, None, 0, 0)),
        (decode_created, encode_record("a", 5, 0, 0)),
        (decode_created, encode_record("a", {"age_ns": "x"}, 0, 0)),
        (decode_created, encode_record("a", None, -1, 0)),
        (decode_created, encode_record("a", None, 1 << 32, 0)),
        (decode_created, encode_record("a", None, 1, 1 << 63)),
        (decode_created, encode_record("a", None, None, [])),
        (decode_configured, pack([1])),
        (decode_configured, pack({1: 2})),
        (decode_trimmed, encode_record(True)),
        (decode_trimmed, encode_record((1 << 64) - 1)),
        (decode_cursor, encode_record("a" * 513)),
        (decode_producer, encode_record("p", "x", 1, [])),
        (decode_producer, encode_record("p", 1, -1, [])),
        (decode_producer, encode_record("p", 1, 1, None)),
        (decode_producer, encode_record("p", 1, 1, [[1]])),
        (decode_producer, encode_record("p", 1, 1, [[1, -2]])),
        (decode_producer, encode_record("p", 1, 1, [5])),
    ],
)
def test_records_of_nonsense(decode: Callable[[bytes], Any], body: bytes) -> None:
    with pytest.raises(FormatError):
        decode(body)


def test_an_index_that_leads_out_of_its_file() -> None:
    head = encode_segment_header(salt=7, first=1, last=1, created_ns=0, log_id=bytes(16))
    for position, stop, end in ((1 << 60, 1 << 61, 1), (0, 64, 1), (64, 64, (1 << 64) - 1)):
        entry = Entry(1, 1, position, stop, 0, end, 0, 0)
        footer = encode_footer([entry], index_position=64, control_stop=64, messages=1)
        index = read_index(memoryview(head + footer))
        with pytest.raises(FormatError):
            index.find(1)
        with pytest.raises(FormatError):
            list(index)


def test_the_kinds_here_are_those_of_the_format() -> None:
    content = batch(CREATED, encode_record("a", {"count": 3}, 4, 9))
    header = read_header(content, 0, len(content), 7)
    assert header is not None
    assert decode_created(content[HEADER_BYTES:]) == ("a", {"count": 3}, 4, 9)


@pytest.mark.parametrize("column", [[["t"]], [["t"], b"\0"], [["t"], b"\0\5"]])
def test_columns_that_do_not_fit_are_not_read(column: list[Any]) -> None:
    body = pack(["a", "b"]) + encode_meta(None, column)
    content = batch(MESSAGES, body, count=2, flags=META)
    with pytest.raises(FormatError):
        messages(content, 0, len(content), META, 2, 0, 5)


def test_a_large_payload_that_only_the_careful_way_reads() -> None:
    large = {(1, 2): "x" * 300}
    first = batch(MESSAGES, pack(large), count=1)
    assert single_payloads(first + batch(MESSAGES, pack(5), count=1), [0, len(first)]) == [large, 5]

"""The body of a batch: columns, and merging that changes nothing a reader can see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanlog.errors import FormatError
from chanlog.format import body as bodies
from chanlog.format.batch import HEADER_BYTES, MESSAGES, META, encode
from chanlog.format.body import (
    batch_payloads,
    column,
    encode_meta,
    merge,
    messages,
    payload_bytes,
    payloads,
    read_meta,
    single_messages,
    single_payloads,
    to_column,
)
from chanlog.format.payload import array_header, pack, pack_list

texts = st.none() | st.sampled_from(["a", "b", "token", ""])
headers = st.none() | st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 9), max_size=2)
datas = st.integers() | st.text("abc", max_size=5) | st.binary(max_size=5)
datas = datas.filter(lambda value: not isinstance(value, int) or abs(value) < 2**63)


@st.composite
def batches(draw, count_max=20):
    """One published batch: its payloads, one meta for all, and its time."""
    count = draw(st.integers(1, count_max))
    items = draw(st.lists(datas, min_size=count, max_size=count))
    fields = (None, draw(texts), draw(texts), draw(headers), draw(texts))
    meta = encode_meta(*fields) if any(field is not None for field in fields) else b""
    header = array_header(count) if count > 1 else b""
    return count, draw(st.integers(0, 1000)), header + pack_list(items) + meta, bool(meta)


def whole(count, time_ns, body, flags, base):
    content = encode(
        MESSAGES, body, salt=1, channel=1, time_ns=time_ns, mark=0, flags=flags, count=count,
        base=base,
    )  # fmt: skip
    return content, messages(content, 0, len(content), flags, count, base, time_ns)


def parts_of(some):
    parts, one_by_one, base, time = [], [], 0, 0
    for count, later, body, has_meta in some:
        time += later
        flags = META if has_meta else 0
        content, found = whole(count, time, body, flags, base)
        one_by_one += found
        packed = payload_bytes(content, 0, len(content), flags)
        parts.append((count, time, packed, read_meta(content, 0, len(content), flags)))
        base += count
    return parts, one_by_one


@given(st.lists(batches(), min_size=1, max_size=12))
def test_merged_is_one_by_one(some):
    parts, one_by_one = parts_of(some)
    flags, body = merge(parts)
    content, found = whole(len(one_by_one), parts[0][1], body, flags, 0)
    assert found == one_by_one
    datas = payloads(content, 0, len(content), flags, len(one_by_one))
    assert datas == [message.data for message in one_by_one]


@given(st.lists(batches(), min_size=2, max_size=8), st.integers(1, 7))
def test_merging_what_was_merged(some, cut):
    """Small segments are joined again and again."""
    parts, one_by_one = parts_of(some)
    again = []
    for group in (parts[:cut], parts[cut:]):
        if group:
            flags, body = merge(group)
            count = sum(part[0] for part in group)
            content, _ = whole(count, group[0][1], body, flags, 0)
            meta = read_meta(content, 0, len(content), flags)
            packed = payload_bytes(content, 0, len(content), flags)
            again.append((count, group[0][1], packed, meta))
    flags, body = merge(again)
    _, found = whole(len(one_by_one), parts[0][1], body, flags, 0)
    assert found == one_by_one


@given(st.lists(texts, min_size=1, max_size=300) | st.lists(headers, min_size=1, max_size=30))
def test_a_column_comes_back(values):
    assert list(column(to_column(values), len(values))) == values


def test_a_column_of_many_values():
    values = [f"value-{number}" for number in range(300)]
    assert list(column(to_column(values), 300)) == values
    assert list(column(to_column(values[:256] * 2), 512)) == values[:256] * 2
    assert [len(to_column(values[:count] * 2)) for count in (255, 256, 257)] == [2, 2, 1]


@given(st.lists(batches(1), min_size=1, max_size=9))
def test_single_ones_are_the_same_together(some):
    content, positions, expected, base = b"", [], [], 5
    for count, time, body, has_meta in some:
        flags = META if has_meta else 0
        one, found = whole(count, time, body, flags, base)
        positions.append(len(content))
        content += one
        expected += found
        base += 1
    assert single_messages(content, positions, 5) == expected
    assert single_payloads(content, positions) == [message.data for message in expected]


def test_readers_never_share_headers():
    for count in (1, 3):
        items = pack(["x"] * count) if count > 1 else pack("x")
        body = items + encode_meta(None, "t", None, {"n": 1})
        _, first = whole(count, 0, body, META, 0)
        _, second = whole(count, 0, body, META, 0)
        for message in first:
            message.headers["n"] = 2
        assert [message.headers for message in second] == [{"n": 1}] * count
        if count > 1:
            first[0].headers["n"] = 3
            assert first[1].headers == {"n": 2}


@given(st.binary(max_size=80), st.integers(0, 20), st.booleans())
def test_any_body_is_accepted_or_refused(body, count, has_meta):
    """A checksum keeps damage out; what is wrong in spite of it raises one kind of error."""
    flags = META if has_meta else 0
    content = encode(MESSAGES, body, salt=1, channel=1, time_ns=0, mark=0, flags=flags, count=count)
    try:
        found = messages(content, 0, len(content), flags, count, 0, 0)
    except FormatError:
        return
    assert len(found) == count
    assert len(content) == HEADER_BYTES + len(body)


odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.text("ab", max_size=2)
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=1), inner),
    max_leaves=12,
)


@given(st.lists(odd, max_size=9), st.integers(1, 4))
def test_any_meta_is_accepted_or_refused(fields, count):
    """Columns of the wrong form or length raised whatever Python makes of them."""
    body = pack([None] * count) if count > 1 else pack(None)
    packed = pack(fields)
    body += packed + len(packed).to_bytes(4, "little")
    content = encode(MESSAGES, body, salt=1, channel=1, time_ns=0, mark=0, flags=META, count=count)
    try:
        found = messages(content, 0, len(content), META, count, 0, 0)
    except FormatError:
        return
    assert [message.offset for message in found] == list(range(count))


def test_metas_are_remembered_within_bounds(monkeypatch):
    """Every message may have a type of its own, and what is remembered of them is bounded."""
    monkeypatch.setattr(bodies, "_CACHED_METAS_MAX", 3)
    monkeypatch.setattr(bodies, "_metas", {})
    for number in [*range(8), *range(8)]:
        content = encode(
            MESSAGES, pack(number) + encode_meta(None, f"type-{number}"),
            salt=1, channel=1, time_ns=0, mark=0, flags=META, count=1,
        )  # fmt: skip
        assert read_meta(content, 0, len(content), META)[1] == f"type-{number}"
        assert len(bodies._metas) <= 3


def test_a_run_of_batches_reads_as_one_by_one():
    """The lean way of replay and the general one: also for what only the slow unpacker takes, and
    for what the checksums of a batch cover though it is no batch."""
    odd = {("a", "tuple"): "as a key"}
    parts = [(2, ["one", "two"], b""), (2, [odd, 1], b""), (2, [1, 2], encode_meta(None, "t"))]
    content, positions = b"", []
    for count, items, meta in parts:
        positions.append(len(content))
        body = array_header(count) + pack_list(items) + meta
        flags = META if meta else 0
        content += encode(
            MESSAGES, body, salt=1, channel=1, time_ns=1, mark=0, flags=flags, count=count
        )
    assert list(batch_payloads(content, positions)) == [items for _, items, _ in parts]
    for body in (array_header(3) + pack_list([1, 2, 3]), pack({"a": 1}), b"\xc1"):
        wrong = encode(MESSAGES, body, salt=1, channel=1, time_ns=1, mark=0, count=2)
        with pytest.raises(FormatError):
            list(batch_payloads(wrong, [0]))

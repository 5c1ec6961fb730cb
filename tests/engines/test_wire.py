"""Messages as engines store them: a page of them at once is what each is by itself."""

from __future__ import annotations

import msgpack
import pytest

from chanlog.engines.wire import data_of_all, decode, decode_all, encode, encode_fields
from chanlog.errors import FormatError

BYTES_MAX = 1 << 30


def body(time_us, data, **fields):
    values = dict.fromkeys(("type", "key", "headers", "sender"), None) | fields
    packed = encode(data, encode_fields(**values), BYTES_MAX)
    return packed[:1] + msgpack.packb(time_us) + packed[1:]


def deep(levels):
    data = []
    for _ in range(levels):
        data = [data]
    return data


PAGES = {
    "nothing but data": [body(5, {"a": 1}), body(6, None), body(7, b"x")],
    "some fields": [body(5, 1, type="t"), body(6, 2), body(7, 3, headers={"h": [1]}, sender="s")],
    "all fields": [body(5, 1, type="t", key="k", headers={"a": 1}, sender="s")],
    "as deep as can be": [body(5, 1), body(6, deep(490)), body(7, deep(3))],
    "arrays for keys": [body(5, {(1, 2): 3})],
    "too large together": [body(5, b"x" * 600_000), body(6, b"y" * 600_000)],
    "nothing": [],
}


@pytest.mark.parametrize("bodies", PAGES.values(), ids=PAGES)
def test_a_page_is_its_messages(bodies):
    expected = [decode(offset, one) for offset, one in enumerate(bodies, 40)]
    assert list(decode_all(40, bodies)) == expected
    assert list(data_of_all(40, bodies)) == [message.data for message in expected]
    assert [message.time_ns for message in expected] == [5000, 6000, 7000][: len(bodies)]


@pytest.mark.parametrize(
    "wrong",
    [b"", b"\xc1", msgpack.packb(7), msgpack.packb([1]), msgpack.packb([1] * 7), b"\x92\x01"],
    ids=["empty", "no msgpack", "no array", "too short", "too long", "cut off"],
)
@pytest.mark.parametrize("read", [decode_all, data_of_all])
def test_what_is_no_message_is_told_where_it_stands(read, wrong):
    """And what comes before it is given out."""
    found = iter(read(40, [body(5, "a"), body(6, "b"), wrong, body(8, "d")]))
    assert len([next(found), next(found)]) == 2
    with pytest.raises(FormatError):
        next(found)

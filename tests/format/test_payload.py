"""Payloads: what goes in comes out, and what cannot go in is named."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanlog.errors import FormatError, PayloadError
from chanlog.format.body import payload_sizes
from chanlog.format.payload import array_header, pack, pack_list, unpack

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.binary(max_size=20)
)
keys = scalars | st.tuples(scalars, scalars) | st.tuples(st.tuples(scalars))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
)


@given(values)
def test_it_comes_back(value):
    assert unpack(pack(value)) == value


@given(st.lists(values, max_size=20))
def test_a_list_in_parts(items):
    packed = pack_list(items)
    assert unpack(array_header(len(items)) + packed) == items
    assert packed == b"".join(map(pack, items))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65535, 65536, 70000])
def test_the_header_of_a_list(count):
    assert array_header(count) + pack_list([None] * count) == pack([None] * count)


@given(st.lists(values, min_size=1, max_size=20))
def test_the_sizes_of_payloads(items):
    whole = pack(items[0]) if len(items) == 1 else pack(items)
    assert payload_sizes(whole, len(items)) == [len(pack(item)) for item in items]


@given(st.binary(max_size=60))
def test_any_bytes_are_accepted_or_refused(content):
    with contextlib.suppress(FormatError):
        unpack(content)


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


def holding_itself():
    value: list = []
    value.append({"self": value})
    return value


class Odd:
    pass


@pytest.mark.parametrize(
    ("value", "where", "kind"),
    [
        (Odd(), "data", Odd),
        ({"steps": [1, 2, Odd()]}, 'data["steps"][2]', Odd),
        ({"a": {"b": {1, 2}}}, 'data["a"]["b"]', set),
        ([2**64], "data[0]", int),
        ([-(2**63) - 1], "data[0]", int),
        ({"text": "\ud800"}, 'data["text"]', str),
        ({Odd: 1}, None, type),
        ((1, [Odd()]), "data[1][0]", Odd),
    ],
)
def test_what_cannot_be_carried_is_named(value, where, kind):
    with pytest.raises(PayloadError) as raised:
        pack(value)
    assert raised.value.kind is kind
    if where is not None:
        assert raised.value.where == where
        assert where in str(raised.value)


@pytest.mark.parametrize("value", [nested(3000), holding_itself()])
def test_too_deep(value):
    with pytest.raises(PayloadError, match="too deeply"):
        pack(value)


@pytest.mark.parametrize("depth", [400, 510, 511, 512, 1022, 1023, 1024, 1025])
def test_deep_enough(depth):
    """What can be packed can be unpacked, also one deeper: in a batch it stands in an array."""
    value = nested(depth)
    try:
        packed = pack(value)
    except PayloadError:
        assert depth > 500
        return
    # Comparing would recurse.
    assert pack(unpack(packed)) == packed
    assert pack(unpack(array_header(2) + packed + packed)[1]) == packed
    # An array that is too long for the fast way leads to another one, which is as deep.
    long = pack([0] * 5000)
    assert pack(unpack(array_header(2) + long + packed)[1]) == packed


def test_a_packer_that_failed_is_not_used_again():
    """What a failed packer had collected so far would stand before the next payload."""
    for _ in range(5):
        with pytest.raises(PayloadError):
            pack(["collected", Odd()])
        assert pack(1) == b"\x01"


@pytest.mark.parametrize(
    "content",
    [
        # A map with a tuple for a key, cut short; and one whose key is a map.
        pack({("a", "b"): "value"})[:-1],
        bytes((0x82, 0x91, 0x01, 0x02, 0x80, 0x03)),
        # Deeper than the decoder in C goes, cut short; and with something behind it.
        b"\x91" * 1100,
        b"\x91" * 1100 + b"\xc1",
    ],
)
def test_the_slow_ways_refuse_in_the_same_words(content):
    with pytest.raises(FormatError, match="not a packed value"):
        unpack(content)


def test_deep_maps_with_frozen_keys():
    """The slow way through deep nesting gives what the fast one does: dicts, and tuples where a
    list cannot be a key."""
    value: object = {("a", ("b", 1)): b"\xff", "k": None}
    packed = pack(value)
    for _ in range(1200):
        value, packed = {"in": value}, b"\x81" + pack("in") + packed
    found = unpack(packed)
    for _ in range(1200):
        found = found["in"]
    assert found == {("a", ("b", 1)): b"\xff", "k": None}


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ([{}, {"a": [True, 1, "x"]}, Odd()], "data[2]"),
        ({"fine": {"a": ()}, "not": Odd()}, 'data["not"]'),
    ],
)
def test_what_stands_before_the_culprit_is_passed_over(value, where):
    with pytest.raises(PayloadError) as raised:
        pack(value)
    assert raised.value.where == where

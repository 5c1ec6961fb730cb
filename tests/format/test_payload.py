"""Payloads: what goes in comes out, and what cannot go in is named."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanlog.errors import FormatError, PayloadError
from chanlog.format import payload
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


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (pack(list(range(5000)))[:-1], "No more data"),
        (pack(list(range(5000))) + b"\x01", "something follows it"),
        (pack({(1, 2): 3})[:-1], "."),
        (pack({(1, 2): 3}) + b"\x01", "."),
        (pack("x" * 5000)[:-1], "No more data"),
        (pack("x") + b"\x01" * 5000, "something follows it"),
        (pack([0] * 5000)[:-1] + b"\xc1", ""),
        (b"", ""),
    ],
)
def test_what_is_not_whole_is_told(content, word):
    """A batch that ends early and one that is longer than its payload are damaged in other ways."""
    with pytest.raises(FormatError, match="not a packed value: .*" + word):
        unpack(content)


def test_the_careful_way_reads_what_the_quick_one_does():
    """Keys of every kind, text as text, bytes as bytes: also where an array is large or a tuple is
    a key."""
    for more in ({1: "a", b"k": b"v", "t": "\u00e9"}, {(1, ("a", b"b")): [1]}):
        value = [more, [0] * 5000]
        assert unpack(pack(value)) == value
        assert unpack(pack(more)) == more
    tuples = {(1, 2): {(3,): ["x", b"y", {4: 5}]}}
    assert unpack(pack(tuples)) == tuples


@pytest.mark.parametrize(
    "value",
    [
        -(2**63),
        2**64 - 1,
        True,
        None,
        1.5,
        "\u00e9",
        b"\xff",
        (),
        {},
        {"k": (1,)},
        {(1, 2): 3},
        [[]],
    ],
)
def test_what_can_be_carried_is_never_the_culprit(value):
    """It stood beside what cannot be, and was named in its place."""
    for where, data in (("data[1]", [value, Odd()]), ('data["b"]', {"a": value, "b": Odd()})):
        with pytest.raises(PayloadError) as raised:
            pack(data)
        assert (raised.value.where, raised.value.kind) == (where, Odd)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([2**64], "does not fit into 64 bits"),
        ([-(2**63) - 1], "does not fit into 64 bits"),
        (["\ud800"], "surrogate"),
        ([Odd()], "convert it to"),
        (nested(2000), "nested too deeply"),
    ],
)
def test_the_reason_is_told(value, reason):
    """It says what to do: another type, a smaller number, or another shape."""
    with pytest.raises(PayloadError, match=reason):
        pack(value)


def test_a_place_is_short_enough_to_read():
    """A key may be a whole document, and a place a thousand steps deep."""
    for length, shown in ((38, '"' + "k" * 38 + '"'), (39, '"' + "k" * 36 + "...")):
        with pytest.raises(PayloadError) as raised:
            pack({"k" * length: Odd()})
        assert raised.value.where == f"data[{shown}]"
    with pytest.raises(PayloadError) as raised:
        pack({("a", Odd()): 1})
    assert raised.value.where.startswith("data key (")
    with pytest.raises(PayloadError) as raised:
        pack({"\u00e9": Odd(), b"b": 1})
    assert raised.value.where == 'data["\u00e9"]'
    with pytest.raises(PayloadError) as raised:
        pack(nested(2000))
    assert raised.value.where == ("data" + "[0]" * 99)[:200] + "..."
    with pytest.raises(PayloadError) as raised:
        pack_list([1, Odd()])
    assert raised.value.where == "items[1]"


def test_a_packer_is_used_again_and_never_twice_at_once(monkeypatch):
    """Making one costs more than packing a small message with it."""
    pool = []
    monkeypatch.setattr(payload, "_packers", pool)
    pack(1)
    (packer,) = pool
    pack(2)
    assert pool == [packer]
    with pytest.raises(PayloadError):
        pack(Odd())
    assert pool == []


def within(depth, value, around=lambda value: [value]):
    """``value`` below so many levels of its own."""
    for _ in range(depth):
        value = around(value)
    return value


@pytest.mark.parametrize(
    ("head", "count"),
    [
        (b"\x92", 2), (b"\xdc\x00\x14", 20), (b"\xdd\x00\x01\x11\x70", 70_000),
        (b"\x82", 2), (b"\xde\x00\x14", 20), (b"\xdf\x00\x01\x11\x70", 70_000),
    ],
)  # fmt: skip
def test_a_wide_level_above_a_deep_one(head, count):
    """The slow decoder takes an array or a map of each size apart by itself: handed to the quick
    one it would be too deep again, for that goes down 512 or 1,024 levels, by its version."""
    deep = b"\x91" * 1100 + b"\xc0"
    is_map = head[0] & 0xF0 == 0x80 or head[0] > 0xDD
    packed = [pack(number) * is_map + b"\xc0" for number in range(1, count)]
    found = unpack(head + b"\x00" * is_map + deep + b"".join(packed))
    assert type(found) is (dict if is_map else list)
    assert len(found) == count
    inner, levels = found[0], 0
    while inner is not None:
        (inner,), levels = inner, levels + 1
    assert levels == 1100


@pytest.mark.parametrize("around", [lambda value: [value], lambda value: {"k": value}])
def test_what_is_wrong_far_inside_is_named(around):
    """It is not taken for nested too deeply before it is."""
    with pytest.raises(PayloadError) as raised:
        pack(within(300, object(), around))
    assert raised.value.kind is object


def test_a_map_that_holds_itself():
    itself = {}
    itself["k"] = itself
    with pytest.raises(PayloadError, match="nested too deeply, or holds itself"):
        pack(itself)

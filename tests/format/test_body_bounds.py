"""The body of a batch at its bounds: of lengths, counts, columns and of what is remembered."""

from __future__ import annotations

from typing import Any

import pytest

from chanlog.errors import FormatError
from chanlog.format import body as bodies
from chanlog.format.batch import HEADER_BYTES, MESSAGES, META, OFFSET_MAX, SEQUENCED, encode
from chanlog.format.body import (
    META_LENGTH,
    NO_META,
    Meta,
    batch_payloads,
    column,
    encode_meta,
    merge,
    messages,
    payload_bytes,
    payload_sizes,
    payloads,
    read_meta,
    single_messages,
    single_payloads,
    to_column,
)
from chanlog.format.payload import array_header, pack, pack_list

BOTH = META | SEQUENCED


def batch(body: bytes, flags: int = 0, count: int = 1, time_ns: int = 5) -> bytes:
    return encode(
        MESSAGES, body, salt=1, channel=1, time_ns=time_ns, mark=0, flags=flags, count=count
    )


def meta_of(packed: bytes) -> Meta:
    """Read back what ``encode_meta`` has made, as a batch of a producer if it names one."""
    content = batch(pack("x") + packed, META)
    return read_meta(content, 0, len(content), META)


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, Meta]:
    found: dict[bytes, Meta] = {}
    monkeypatch.setattr(bodies, "_metas", found)
    return found


def test_a_meta_ends_behind_the_last_that_is_something() -> None:
    """Each byte of it is paid for by every message."""
    assert encode_meta() == b"\x90\x01\0\0\0"
    assert encode_meta(None, None) == b"\x90\x01\0\0\0"
    assert encode_meta(None, "t", None) == b"\x92\xc0\xa1t\x04\0\0\0"
    assert encode_meta(None, None, None, None, None, 0, 0, 0)[:1] == b"\x98"


def test_a_meta_is_padded_and_no_longer_than_it_can_be() -> None:
    assert meta_of(encode_meta(None, "t")) == (None, "t", *(None,) * 6)
    eight = (None, "t", "k", None, "s", 1, 2, 3)
    assert meta_of(encode_meta(*eight)) == eight
    with pytest.raises(FormatError, match="at most 8 fields"):
        meta_of(encode_meta(*eight, 9))
    with pytest.raises(FormatError, match="at most 8 fields"):
        meta_of(pack({"a": 1}) + META_LENGTH.pack(len(pack({"a": 1}))))


@pytest.mark.parametrize("space", [0, 7])
@pytest.mark.parametrize("copies", [1, 2])
def test_a_meta_reaches_to_the_header_and_no_further(space: int, copies: int) -> None:
    """Where it is longer than that, what stands before the batch was read as its payload."""
    for count in (1, 2):
        for more, word in ((0, "not a packed value"), (1, "longer than the batch")):
            # A meta that takes all of the body, and the header of the batch too.
            length = HEADER_BYTES + 1 + 4
            body = b"\x90" + META_LENGTH.pack(1 + HEADER_BYTES + more)
            content = bytes(space) + batch(body, META, count)
            with pytest.raises(FormatError, match=word):
                payloads(content, space, length, META, count)
            if count == 1:
                with pytest.raises(FormatError, match=word):
                    single_payloads(content, [space] * copies)
    content = bytes(space) + batch(b"\x90" + META_LENGTH.pack(1), META)
    assert payload_bytes(content, space, len(content) - space, META) == b""
    assert read_meta(content, space, len(content) - space, META) == NO_META
    content = bytes(space) + batch(b"\x90" + META_LENGTH.pack(2), META)
    with pytest.raises(FormatError, match="longer than the batch"):
        read_meta(content, space, len(content) - space, META)


def test_only_what_is_small_and_not_of_one_message_is_remembered(
    remembered: dict[bytes, Meta],
) -> None:
    """Headers could be changed by one reader for another, and each message of a producer has a
    sequence of its own: they would push out all that is worth remembering."""
    longest = "k" * (bodies._CACHED_META_BYTES_MAX - 5)
    known = encode_meta(None, None, longest)[:-4]
    assert len(known) == bodies._CACHED_META_BYTES_MAX
    meta_of(encode_meta(None, None, longest))
    meta_of(encode_meta(None, None, longest + "k"))
    meta_of(encode_meta(None, None, None, {"x": 1}))
    meta_of(encode_meta(None, None, None, None, "me", 1, 2, 3))
    meta_of(encode_meta(None, None, None, None, "me", 1, None, 3))
    assert remembered == {known: (None, None, longest, *(None,) * 5)}
    # And what is remembered is what is read.
    remembered[known] = NO_META
    assert meta_of(encode_meta(None, None, longest)) is NO_META


def test_when_as_much_is_remembered_as_may_be_it_is_forgotten(
    remembered: dict[bytes, Meta], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_CACHED_METAS_MAX", 3)
    sizes = []
    for number in range(5):
        meta_of(encode_meta(None, f"type-{number}"))
        sizes.append(len(remembered))
    assert sizes == [1, 2, 3, 1, 2]


@pytest.mark.parametrize(
    "fields",
    [
        ([1, True],),
        ({"a": 1},),
        (None, 5),
        (None, None, 5),
        (None, None, None, "headers"),
        (None, None, None, None, 5),
        (None, {"x": 1}),
        (None, None, {"x": 1}),
        (None, None, None, None, {"x": 1}),
        (None, []),
        (None, "t", [["k"], b"\0", None]),
        (None, [[None, "t", 5]]),
        (None, [["t", {}]]),
        (None, None, None, [[{}, "t"]]),
        (None, None, None, [[{}], b"\0\0"]),
        (None, [["t"], [0, 0]]),
        (None, ["t", b"\0"]),
    ],
)
def test_a_column_of_another_form_is_refused(fields: tuple[Any, ...]) -> None:
    """It raises far from here otherwise, or gives a message a type that is no str."""
    with pytest.raises(FormatError, match=r"column|times"):
        meta_of(encode_meta(*fields))


@pytest.mark.parametrize(
    "fields",
    [
        ([],),
        ([1, -1, 0],),
        (None, [["t", None]], [["k"], b"\0\0"], [[{}, None, {"x": 1}]], "s"),
        (None, [[]]),
    ],
)
def test_a_column_of_each_form_is_accepted(fields: tuple[Any, ...]) -> None:
    """Whether there is one value for each message is for who knows how many there are."""
    assert meta_of(encode_meta(*fields))[: len(fields)] == fields


@pytest.mark.parametrize(
    ("producer", "sequence", "is_right"),
    [
        (0, 0, True),
        (OFFSET_MAX, OFFSET_MAX, True),
        (OFFSET_MAX + 1, 1, False),
        (1, OFFSET_MAX + 1, False),
        (-1, 1, False),
        (1, -1, False),
        (None, 1, False),
        (1, None, False),
        (True, 1, False),
    ],
)
def test_a_batch_of_a_producer_names_it(producer: Any, sequence: Any, is_right: bool) -> None:
    """A retry is compared with it, and would be taken for a new message."""
    body = pack("x") + encode_meta(None, "t", None, None, None, producer, 7, sequence)
    content = batch(body, BOTH)
    if is_right:
        assert read_meta(content, 0, len(content), BOTH)[5:] == (producer, 7, sequence)
        return
    with pytest.raises(FormatError, match="of a producer"):
        read_meta(content, 0, len(content), BOTH)


def test_no_more_payloads_and_no_fewer() -> None:
    for body in (pack([1]), pack([1, 2, 3]), pack({1: 2, 3: 4}), pack("ab"), pack(None)):
        content = batch(body, count=2)
        with pytest.raises(FormatError, match="of 2 messages"):
            payloads(content, 0, len(content), 0, 2)
        with pytest.raises(FormatError, match="of 2 messages"):
            list(batch_payloads(content, [0]))


def test_the_payloads_of_batches_that_do_not_begin_a_file() -> None:
    content, positions = b"before", []
    for flags, count, items in ((0, 1, 7), (META, 1, 8), (0, 2, [1, 2]), (META, 2, [3, 4])):
        positions.append(len(content))
        content += batch(pack(items) + (encode_meta(None, "t") if flags else b""), flags, count)
    assert list(batch_payloads(content + b"behind", positions)) == [[7], [8], [1, 2], [3, 4]]


@pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17, 65535, 65536])
def test_payloads_of_every_count_are_measured_and_merged(count: int) -> None:
    """The header of an array has three lengths, and each is taken off where batches are joined."""
    packed = pack([7] * count) if count > 1 else pack(7)
    assert payload_sizes(packed, count) == [1] * count
    flags, body = merge([(count, 5, packed, NO_META), (2, 5, pack([8, 9]), NO_META)])
    assert (flags, body) == (0, pack([7] * count + [8, 9]))
    flags, body = merge([(1, 5, pack(6), NO_META), (count, 5, packed, NO_META)])
    assert (flags, body) == (0, pack([6] + [7] * count))


def test_a_payload_is_at_least_a_byte() -> None:
    """The fewest bytes that so many payloads can have are believed, and no fewer."""
    assert payload_sizes(b"\x92\xc0\xc0", 2) == [1, 1]
    for packed, count in ((b"\x92\xc0", 2), (b"\x92\xc0\xc0", 3), (b"\x92", 2), (b"\x93\xc0", 3)):
        with pytest.raises(FormatError, match=r"something else|not packed payloads"):
            payload_sizes(packed, count)
    for packed, count in ((pack([1, 2, 3]), 2), (pack([]), 0), (pack([1]), 0), (pack("ab"), 2)):
        with pytest.raises(FormatError, match="something else"):
            payload_sizes(packed, count)
    for packed, count in ((b"", 1), (b"\xc0", 0), (b"\xc0\xc0\xc0", 2)):
        with pytest.raises(FormatError, match="something else"):
            merge([(count, 5, packed, NO_META), (1, 5, b"\x01", NO_META)])


def test_some_messages_of_a_batch() -> None:
    """A reader that starts within a batch gets what it asked for, with its own offset and time."""
    meta = encode_meta([1, 2, 3], [["a", "b"], b"\0\1\0\1"], None, {"h": 1}, [["x", "y", "z", "w"]])
    content = batch(pack([10, 11, 12, 13]) + meta, META, 4)
    whole = messages(content, 0, len(content), META, 4, 100, 5)
    assert [tuple(message) for message in whole] == [
        (100, 5, 10, "a", None, {"h": 1}, "x"),
        (101, 6, 11, "b", None, {"h": 1}, "y"),
        (102, 8, 12, "a", None, {"h": 1}, "z"),
        (103, 11, 13, "b", None, {"h": 1}, "w"),
    ]
    for low in range(5):
        for high in range(low, 5):
            found = messages(content, 0, len(content), META, 4, 100, 5, low, high)
            assert found == whole[low:high]


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4])
def test_a_column_that_ends_early_ends_no_batch(place: int) -> None:
    """The messages behind its end were not told, and nothing was said of it."""
    fields: list[Any] = [None] * 5
    fields[place] = [1] if place == 0 else [[{}, {}]] if place == 3 else [["a", "b"]]
    content = batch(pack([1, 2, 3]) + encode_meta(*fields), META, 3)
    with pytest.raises(FormatError, match="of 3 messages end at 2"):
        messages(content, 0, len(content), META, 3, 0, 5)
    assert len(messages(content, 0, len(content), META, 3, 0, 5, 0, 2)) == 2
    with pytest.raises(FormatError, match="of 3 messages end at 2"):
        messages(content, 0, len(content), META, 3, 0, 5, 1, 3)


@pytest.mark.parametrize("size", [1, 150, 210, 1000])
def test_single_messages_whatever_their_size(size: int) -> None:
    """Small ones are joined and decoded in one call, large ones are not: with a meta or without,
    each has its own time, offset and fields."""
    content, positions = b"before", []
    for number in range(4):
        meta = encode_meta(None, "t", "k", {"n": number}, "s") if number % 2 else b""
        positions.append(len(content))
        body = pack(str(number) * size) + meta
        content += batch(body, META if meta else 0, time_ns=100 + number)
    for some in (positions, positions[:1], positions[1:2], positions[2:]):
        first = positions.index(some[0])
        expected = [
            (20 + place, 100 + number, str(number) * size)
            + (("t", "k", {"n": number}, "s") if number % 2 else (None,) * 4)
            for place, number in enumerate(range(first, first + len(some)))
        ]
        found = single_messages(content, some, 20)
        assert [tuple(message) for message in found] == expected
        assert single_payloads(content, some) == [message[2] for message in expected]
    for place in (0, 1):
        position, length = positions[place], positions[place + 1] - positions[place]
        flags = META if place else 0
        (found,) = messages(content, position, length, flags, 1, 30, 40)
        assert found[:3] == (30, 40, str(place) * size)
        assert found[3:] == (("t", "k", {"n": 1}, "s") if place else (None,) * 4)


def test_a_column_is_stored_in_its_shortest_form() -> None:
    assert to_column(["a", "a", "a"]) == "a"
    assert to_column([None, None]) is None
    assert to_column([{"x": 1}, {"x": 1}]) == {"x": 1}
    assert to_column(["a", "b", "a", None]) == [["a", "b", None], b"\0\1\0\2"]
    assert to_column([{"x": 1}, None, {"x": 2}]) == [[{"x": 1}, None, {"x": 2}]]
    assert list(column(None, 3)) == [None] * 3
    assert list(column("a", 2)) == ["a", "a"]


def merged(*parts: tuple[int, int, bytes, Meta]) -> list[tuple[Any, ...]]:
    flags, body = merge(parts)
    count = sum(part[0] for part in parts)
    content = batch(body, flags, count, parts[0][1])
    found = messages(content, 0, len(content), flags, count, 0, parts[0][1])
    return [tuple(message)[1:] for message in found]


def test_what_is_merged_keeps_its_times_and_columns() -> None:
    """Also where only one of the batches has a column, and a batch's last is not its first."""
    first: Meta = ([3], "t", None, None, None, 1, 2, 3)
    second: Meta = (None, None, "k", {"h": 1}, [["x", "y"]], None, None, None)
    three = (3, 200, pack([3, 4, 5]), (None, None, None, None, None, 1, 2, 3))
    assert merged((2, 100, pack([1, 2]), first), (2, 150, pack([6, 7]), second), three) == [
        (100, 1, "t", None, None, None),
        (103, 2, "t", None, None, None),
        (150, 6, None, "k", {"h": 1}, "x"),
        (150, 7, None, "k", {"h": 1}, "y"),
        (200, 3, None, None, None, None),
        (200, 4, None, None, None, None),
        (200, 5, None, None, None, None),
    ]


def test_a_batch_alone_loses_only_its_producer() -> None:
    """It need not be taken apart, but for columns that might not fit."""
    packed = pack([1, 2])
    names = (1, 2, 3)
    assert merge([(2, 5, memoryview(packed), (*NO_META[:5], *names))]) == (0, packed)
    fields = (None, "t", "k", {"h": 1}, "s")
    assert merge([(2, 5, packed, (*fields, *names))]) == (META, packed + encode_meta(*fields))
    for place in range(5):
        wrong: list[Any] = [None] * 8
        wrong[place] = [] if place == 0 else [["t"]]
        with pytest.raises(FormatError, match="columns"):
            merge([(2, 5, packed, tuple(wrong))])  # type: ignore[list-item]


def test_the_same_time_is_not_stored_again() -> None:
    assert merge([(2, 5, pack([1, 2]), NO_META), (1, 5, pack(3), NO_META)]) == (0, pack([1, 2, 3]))
    longer: Meta = ([0, 9], *NO_META[1:])
    flags, body = merge([(2, 5, pack([1, 2]), longer), (1, 5, pack(3), NO_META)])
    assert (flags, body) == (0, array_header(3) + pack_list([1, 2, 3]))


def test_small_ones_are_decoded_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replay of a log of small messages takes half as long again otherwise; and of large ones,
    with copies that cost more than the calls."""
    joined: list[int] = []

    def spy(buffer: bytes, positions: list[int]) -> list[Any]:
        joined.append(len(positions))
        return ["joined"]

    monkeypatch.setattr(bodies, "_joined_payloads", spy)

    def is_joined(count: int, length: int) -> bool:
        joined.clear()
        one = batch(pack("x" * (length - HEADER_BYTES - 2)))
        assert len(one) == length
        single_payloads(one * count, [place * length for place in range(count)])
        return bool(joined)

    assert is_joined(2, 90)
    assert is_joined(9, 90)
    assert not is_joined(1, 90)
    # The longest that is small has a header of one byte more.
    for size, expected in ((205, True), (206, False)):
        content = batch(pack("x" * size))
        assert len(content) == 255 + (not expected)
        joined.clear()
        single_payloads(content * 2, [0, len(content)])
        assert bool(joined) == expected


def test_one_message_is_no_array_of_one() -> None:
    """Not even where a column of its meta is a list, as chanlog itself never writes it."""
    packed, meta = pack("m"), (None, ["t"], *NO_META[2:])
    flags, body = merge([(1, 5, packed, meta)])
    assert body.startswith(packed)
    content = batch(body, flags)
    assert [m.data for m in messages(content, 0, len(content), flags, 1, 0, 5)] == ["m"]


def test_a_producer_is_not_carried_over() -> None:
    """What it has written is kept as a record of its own, and the offsets of others may have come
    in between."""
    meta = (None, "t", None, None, None, 7, 1, 3)
    flags, body = merge([(1, 5, pack("a"), meta), (1, 6, pack("b"), meta)])
    content = batch(body, flags, count=2)
    assert read_meta(content, 0, len(content), flags)[5:] == (None, None, None)

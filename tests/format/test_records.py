"""Control records at the bounds of their fields: the last that is right, and the first that is not.

What is refused here would be believed by every opening; what is not accepted could be written by a
channel that exists, and the log would not open again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chanlog.errors import FormatError
from chanlog.format.batch import OFFSET_MAX
from chanlog.format.catalog_layout import NAME_BYTES_MAX
from chanlog.format.payload import pack
from chanlog.format.records import (
    decode_configured,
    decode_created,
    decode_cursor,
    decode_producer,
    decode_trimmed,
    encode_record,
)

LONGEST = "n" * NAME_BYTES_MAX
U32_MAX, U64_MAX = (1 << 32) - 1, (1 << 64) - 1
I64_MAX = (1 << 63) - 1

RIGHT: list[tuple[Callable[[bytes], Any], list[Any], Any]] = [
    (decode_created, ["", None, 0, 0], ("", None, 0, 0)),
    (decode_created, ["a", {}, 0, 0], ("a", {}, 0, 0)),
    (
        decode_created,
        [LONGEST, {"age_ns": U64_MAX, "count": 0}, U32_MAX, OFFSET_MAX],
        (LONGEST, {"age_ns": U64_MAX, "count": 0}, U32_MAX, OFFSET_MAX),
    ),
    (decode_trimmed, [0], 0),
    (decode_trimmed, [I64_MAX], I64_MAX),
    (decode_trimmed, [-I64_MAX], -I64_MAX),
    (decode_cursor, [LONGEST], (LONGEST, False)),
    (decode_cursor, ["", True], ("", True)),
    (decode_producer, ["", 0, 0, []], ("", 0, 0, [])),
    (
        decode_producer,
        [LONGEST, OFFSET_MAX, U64_MAX, [[0, OFFSET_MAX], [OFFSET_MAX, 0]]],
        (LONGEST, OFFSET_MAX, U64_MAX, [[0, OFFSET_MAX], [OFFSET_MAX, 0]]),
    ),
]

WRONG: list[tuple[Callable[[bytes], Any], list[Any]]] = [
    (decode_created, []),
    (decode_created, ["a", None, 0]),
    (decode_created, ["a", None, 0, 0, 0]),
    (decode_created, [5, None, 0, 0]),
    (decode_created, [b"a", None, 0, 0]),
    (decode_created, [LONGEST + "n", None, 0, 0]),
    # Its bytes count, not its characters.
    (decode_created, ["\u00e9" * (NAME_BYTES_MAX // 2) + "n", None, 0, 0]),
    (decode_created, ["a", [], 0, 0]),
    (decode_created, ["a", {b"count": 1}, 0, 0]),
    (decode_created, ["a", {"count": -1}, 0, 0]),
    (decode_created, ["a", {"count": True}, 0, 0]),
    (decode_created, ["a", {"count": 1, "bytes": None}, 0, 0]),
    (decode_created, ["a", None, -1, 0]),
    (decode_created, ["a", None, U32_MAX + 1, 0]),
    (decode_created, ["a", None, False, 0]),
    (decode_created, ["a", None, 0, -1]),
    (decode_created, ["a", None, 0, OFFSET_MAX + 1]),
    (decode_trimmed, []),
    (decode_trimmed, [1, 1]),
    (decode_trimmed, ["1"]),
    (decode_trimmed, [False]),
    (decode_trimmed, [I64_MAX + 1]),
    (decode_trimmed, [-I64_MAX - 1]),
    (decode_cursor, []),
    (decode_cursor, [None]),
    (decode_cursor, [LONGEST + "n"]),
    (decode_producer, []),
    (decode_producer, ["p", 1, 1]),
    (decode_producer, ["p", 1, 1, [], 1]),
    (decode_producer, [1, 1, 1, []]),
    (decode_producer, ["p", OFFSET_MAX + 1, 1, []]),
    (decode_producer, ["p", -1, 1, []]),
    (decode_producer, ["p", 1, True, []]),
    (decode_producer, ["p", 1, 1, {}]),
    (decode_producer, ["p", 1, 1, [[1, 2], {}]]),
    (decode_producer, ["p", 1, 1, [[]]]),
    (decode_producer, ["p", 1, 1, [[1, 2, 3]]]),
    (decode_producer, ["p", 1, 1, [[OFFSET_MAX + 1, 1]]]),
    (decode_producer, ["p", 1, 1, [[1, OFFSET_MAX + 1]]]),
    (decode_producer, ["p", 1, 1, [[1, 2], [1, None]]]),
]


@pytest.mark.parametrize(("decode", "fields", "expected"), RIGHT)
def test_what_can_be_written_is_read(
    decode: Callable[[bytes], Any], fields: list[Any], expected: Any
) -> None:
    """A log that holds it would not open."""
    assert decode(encode_record(*fields)) == expected


@pytest.mark.parametrize(("decode", "fields"), WRONG)
def test_what_cannot_be_is_refused(decode: Callable[[bytes], Any], fields: list[Any]) -> None:
    """It is believed otherwise, or raises what nobody expects far from here."""
    with pytest.raises(FormatError, match=r"^a record of a .* holds something else"):
        decode(encode_record(*fields))


@pytest.mark.parametrize("decode", [decode_created, decode_trimmed, decode_cursor, decode_producer])
def test_what_is_no_array_is_told_so(decode: Callable[[bytes], Any]) -> None:
    """A str of the right length has as many items as an array."""
    for fields in ("abcd", {"a": 1}, 1):
        with pytest.raises(FormatError, match="not an array of fields"):
            decode(pack(fields))


def test_the_retention_of_a_record() -> None:
    """``None`` gives the log's own back to a channel, and is none that holds nothing."""
    assert decode_configured(pack(None)) is None
    assert decode_configured(pack({})) == {}
    assert decode_configured(pack({"count": 3})) == {"count": 3}
    for wrong in ([], "count", {"count": "3"}, {3: 3}, 0, False):
        with pytest.raises(FormatError, match="configured"):
            decode_configured(pack(wrong))

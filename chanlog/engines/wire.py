"""One message as bytes, as engines carry it: a msgpack array.

::

    [time in microseconds, data, type, key, headers, sender]

The last four are cut where nothing but nil would follow. The time comes first, and by itself, so
that an engine can put it there: it is the engine that says when something was published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

from ..channels.encoding import check_meta, too_large
from ..errors import FormatError
from ..format.payload import array_header, pack, unpack
from ..message import Message

__all__ = ["data_of_all", "decode", "decode_all", "encode", "encode_fields"]

_FIELDS_MIN, _FIELDS_MAX = 2, 6
_LENGTHS = frozenset(range(_FIELDS_MIN, _FIELDS_MAX + 1))
_TOGETHER_BYTES_MAX = 1 << 20


def encode_fields(
    type: str | None, key: str | None, headers: Mapping[str, Any] | None, sender: str | None
) -> list[bytes]:
    """Type, key, headers and sender, each packed, cut behind the last that is given."""
    plain = check_meta(type, key, headers)
    fields = [type, key, plain, sender]
    while fields and fields[-1] is None:
        fields.pop()
    return [pack(value, "headers") for value in fields]


def encode(data: Any, fields: list[bytes], bytes_max: int, where: str = "data") -> bytes:
    """What follows the time, with one byte before it: how long the array is.

    Raises ``PayloadError`` and ``MessageTooLarge``.
    """
    body = b"".join((bytes((0x92 + len(fields),)), pack(data, where), *fields))
    if len(body) > bytes_max:
        raise too_large(len(body), bytes_max)
    return body


def decode(offset: int, body: bytes) -> Message:
    """The message at ``offset``. Raises ``FormatError``."""
    time_us, *rest = _fields(offset, body)
    return _make((offset, time_us * 1000, *rest, *_MISSING[len(rest)]))


def decode_all(first: int, bodies: Sequence[bytes]) -> Iterable[Message]:
    """The messages from ``first`` on. Raises ``FormatError`` when it comes to what is none."""
    rows = _rows(bodies)
    if rows is None:
        return map(decode, count(first), bodies)
    if set(map(len, rows)) == {_FIELDS_MIN}:
        # As most are.
        return [
            _make((offset, time_us * 1000, data, None, None, None, None))
            for offset, (time_us, data) in enumerate(rows, first)
        ]
    return [
        _make((offset, time_us * 1000, *rest, *_MISSING[len(rest)]))
        for offset, (time_us, *rest) in enumerate(rows, first)
    ]


def data_of_all(first: int, bodies: Sequence[bytes]) -> Iterable[Any]:
    """The payloads alone. Raises ``FormatError`` when it comes to what is none."""
    rows = _rows(bodies)
    if rows is None:
        return (_fields(offset, body)[1] for offset, body in enumerate(bodies, first))
    return [row[1] for row in rows]


def _rows(bodies: Sequence[bytes]) -> list[list[Any]] | None:
    """The fields of all messages, unpacked as one array, which takes a third of the time; ``None``
    where that does not pay, or something is wrong."""
    if sum(map(len, bodies)) > _TOGETHER_BYTES_MAX:
        return None
    try:
        rows: list[Any] = unpack(array_header(len(bodies)) + b"".join(bodies))
    except FormatError:
        return None
    if set(map(type, rows)) != {list}:
        return None
    return rows if _LENGTHS.issuperset(map(len, rows)) else None


def _fields(offset: int, body: bytes) -> list[Any]:
    fields = unpack(body)
    if not isinstance(fields, list) or len(fields) not in _LENGTHS:
        raise FormatError(f"what the engine has at offset {offset} is not a message of chanlog")
    return fields


# A message without the code that gives a named tuple its defaults.
_make: Callable[[Iterable[Any]], Message] = partial(tuple.__new__, Message)
_MISSING = [(None,) * (_FIELDS_MAX - 1 - given) for given in range(_FIELDS_MAX)]

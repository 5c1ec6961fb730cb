"""One message as bytes, as engines carry it: a msgpack array.

::

    [time in microseconds, data, type, key, headers, sender]

The last four are cut where nothing but nil would follow. The time comes first, and by itself, so
that an engine can put it there: it is the engine that says when something was published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from ..channels.encoding import check_meta, too_large
from ..errors import FormatError
from ..format.payload import pack, unpack
from ..message import Message

__all__ = ["data_of", "decode", "encode", "encode_fields"]

_FIELDS_MAX = 6


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


def data_of(offset: int, body: bytes) -> Any:
    """The payload alone. Raises ``FormatError``."""
    return _fields(offset, body)[1]


def _fields(offset: int, body: bytes) -> list[Any]:
    fields = unpack(body)
    if not isinstance(fields, list) or not 2 <= len(fields) <= _FIELDS_MAX:
        raise FormatError(f"what the engine has at offset {offset} is not a message of chanlog")
    return fields


# A message without the code that gives a named tuple its defaults.
_make: Callable[[Iterable[Any]], Message] = partial(tuple.__new__, Message)
_MISSING = [(None,) * (_FIELDS_MAX - 1 - count) for count in range(_FIELDS_MAX)]

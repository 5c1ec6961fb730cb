"""Control records: the batches that say what happened to a channel rather than in it.

======================  ==================================================================
kind                    base offset, and body (packed)
======================  ==================================================================
created                 start offset; ``[name, retention, parent id, fork offset]``
configured              0, or an offset below which all were given out; the retention as a map,
                        or nil for the log's own
ended                   end offset; empty
deleted                 0; empty
trimmed                 the new start offset; ``[time of the last message]``
cursor                  the position; ``[name]``, or ``[name, true]`` when it was deleted
producer                the next sequence; ``[name, producer id, epoch, runs]``
rolled                  the next segment's number; empty: the end of a raw segment
frame                   0; whole batches, one behind the other
======================  ==================================================================

Each sets a state outright, so of several the last one holds, and reading one twice does no harm.
"""

from __future__ import annotations

from typing import Any

from ..errors import FormatError
from .payload import pack, unpack

__all__ = ["decode_created", "decode_cursor", "decode_producer", "decode_trimmed", "encode_record"]

_CREATED_FIELDS = 4
_PRODUCER_FIELDS = 4


def encode_record(*fields: Any) -> bytes:
    """The body of a record with these fields."""
    return pack(list(fields), "record")


def decode_created(body: bytes | memoryview) -> tuple[str, dict[str, int] | None, int, int]:
    """(name, retention, parent id or 0, fork offset) of a channel."""
    fields = _fields(body)
    if len(fields) != _CREATED_FIELDS or not isinstance(fields[0], str):
        raise FormatError("a record of a created channel holds something else")
    return fields[0], fields[1], fields[2], fields[3]


def decode_trimmed(body: bytes | memoryview) -> int:
    """The time of the last message of a channel, which may have been dropped."""
    fields = _fields(body)
    if len(fields) != 1 or not isinstance(fields[0], int):
        raise FormatError("a record of a trimmed channel holds something else")
    return fields[0]


def decode_cursor(body: bytes | memoryview) -> tuple[str, bool]:
    """(name, whether it was deleted) of a cursor."""
    fields = _fields(body)
    if not fields or not isinstance(fields[0], str):
        raise FormatError("a record of a cursor holds something else")
    return fields[0], len(fields) > 1


def decode_producer(body: bytes | memoryview) -> tuple[str, int, int, list[list[int]]]:
    """(name, producer id, epoch, runs of [sequence, offset]) of a producer."""
    fields = _fields(body)
    if len(fields) != _PRODUCER_FIELDS or not isinstance(fields[0], str):
        raise FormatError("a record of a producer holds something else")
    return fields[0], fields[1], fields[2], fields[3]


def _fields(body: bytes | memoryview) -> list[Any]:
    fields = unpack(body)
    if not isinstance(fields, list):
        raise FormatError("a record is not an array of fields")
    return fields

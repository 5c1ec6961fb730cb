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
from .batch import OFFSET_MAX
from .catalog_layout import NAME_BYTES_MAX
from .payload import pack, unpack

__all__ = [
    "decode_configured",
    "decode_created",
    "decode_cursor",
    "decode_producer",
    "decode_trimmed",
    "encode_record",
    "is_producer",
]

_CREATED_FIELDS = 4
_RUN_FIELDS = 2
_ID_MAX = (1 << 32) - 1
_TIME_MAX = (1 << 63) - 1
_EPOCH_MAX = _INT_MAX = (1 << 64) - 1
_PRODUCER_FIELDS = 4


def encode_record(*fields: Any) -> bytes:
    """The body of a record with these fields."""
    return pack(list(fields), "record")


def decode_created(body: bytes | memoryview) -> tuple[str, dict[str, int] | None, int, int]:
    """(name, retention, parent id or 0, fork offset) of a channel."""
    fields = _fields(body)
    if (
        len(fields) != _CREATED_FIELDS
        or not _is_name(fields[0])
        or not _is_retention(fields[1])
        or not _is_up_to(fields[2], _ID_MAX)
        or not _is_up_to(fields[3], OFFSET_MAX)
    ):
        raise FormatError("a record of a created channel holds something else")
    return fields[0], fields[1], fields[2], fields[3]


def decode_configured(body: bytes | memoryview) -> dict[str, int] | None:
    """The retention of a channel, or ``None`` for the log's own."""
    retention = unpack(body)
    if not _is_retention(retention):
        raise FormatError("a record of a configured channel holds something else")
    found: dict[str, int] | None = retention
    return found


def decode_trimmed(body: bytes | memoryview) -> int:
    """The time of the last message of a channel, which may have been dropped."""
    fields = _fields(body)
    if len(fields) != 1 or type(fields[0]) is not int or abs(fields[0]) > _TIME_MAX:
        raise FormatError("a record of a trimmed channel holds something else")
    return fields[0]


def decode_cursor(body: bytes | memoryview) -> tuple[str, bool]:
    """(name, whether it was deleted) of a cursor."""
    fields = _fields(body)
    if not fields or not _is_name(fields[0]):
        raise FormatError("a record of a cursor holds something else")
    return fields[0], len(fields) > 1


def decode_producer(body: bytes | memoryview) -> tuple[str, int, int, list[list[int]]]:
    """(name, producer id, epoch, runs of [sequence, offset]) of a producer."""
    fields = _fields(body)
    if len(fields) != _PRODUCER_FIELDS or not is_producer(*fields):
        raise FormatError("a record of a producer holds something else")
    return fields[0], fields[1], fields[2], fields[3]


def is_producer(name: Any, id: Any, epoch: Any, runs: Any) -> bool:
    """Whether these can be the name, id, epoch and runs of a producer."""
    return (
        _is_name(name)
        and _is_up_to(id, OFFSET_MAX)
        and _is_up_to(epoch, _EPOCH_MAX)
        and isinstance(runs, list)
        and all(
            isinstance(run, list)
            and len(run) == _RUN_FIELDS
            and all(_is_up_to(value, OFFSET_MAX) for value in run)
            for run in runs
        )
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value.encode()) <= NAME_BYTES_MAX


def _is_up_to(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _is_retention(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and all(isinstance(key, str) and _is_up_to(limit, _INT_MAX) for key, limit in value.items())
    )


def _fields(body: bytes | memoryview) -> list[Any]:
    fields = unpack(body)
    if not isinstance(fields, list):
        raise FormatError("a record is not an array of fields")
    return fields

"""The body of a batch of messages: one column of payloads, and what else there is about them.

The body is the payloads, and with the flag ``META`` behind them the meta and its length::

    count == 1   the payload, packed
    count > 1    an array of the payloads, packed
    META         an array [times, types, keys, headers, senders, producer, epoch, sequence],
                 cut behind the last that is not nil, and its length in bytes as a u32

``times`` is nil when all are the header's, else an array of differences to the one before, in
nanoseconds. Each of the next four is a column: nil for none, a str or map that holds for every
message, ``[values]`` with one for each, or ``[distinct values, one byte for each message]``.
``producer`` is the producer's id; message ``i`` has the sequence ``sequence + i``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain, islice, pairwise, repeat
from struct import Struct
from typing import Any

import msgpack

from ..errors import FormatError
from ..message import Message
from .batch import HEADER_BYTES, META, OFFSET_MAX, SEQUENCED, Bytes
from .payload import _unpack, array_header, pack, unpack

__all__ = ["Meta", "column", "encode_meta", "merge", "messages", "payload_bytes", "payloads"]

META_LENGTH = Struct("<I")
META_LENGTH_BYTES = META_LENGTH.size
_META_FIELDS = 8
# Of a header only what is needed for a single message: flags and length, and its time.
_SHAPE = Struct("<5xB2xI")
_SHAPE_AND_TIME = Struct("<5xB2xI20xq")
_SHAPE_AND_COUNT = Struct("<5xB2xI8xI")
_DISTINCT_MAX = 256
_CACHED_META_BYTES_MAX = 128
_CACHED_METAS_MAX = 4096

Meta = tuple[Any, Any, Any, Any, Any, Any, Any, Any]
NO_META: Meta = (None,) * 8

_make_message: Callable[[Iterable[Any]], Message] = partial(tuple.__new__, Message)
_metas: dict[bytes, Meta] = {}


def encode_meta(*fields: Any) -> bytes:
    """The meta with its length, for ``[times, types, keys, headers, senders, ...]``."""
    count = len(fields)
    while count and fields[count - 1] is None:
        count -= 1
    packed = pack(fields[:count], "headers")
    return packed + META_LENGTH.pack(len(packed))


def payload_bytes(buffer: Bytes, position: int, length: int, flags: int) -> Any:
    """The packed payloads of the batch at ``position``."""
    stop = position + length
    if flags & META:
        stop -= META_LENGTH.unpack_from(buffer, stop - 4)[0] + 4
        if stop < position:
            raise _overlong()
    return buffer[position + HEADER_BYTES : stop]


def read_meta(buffer: Bytes, position: int, length: int, flags: int) -> Meta:
    """The meta of the batch at ``position``, padded with ``None`` to all its fields."""
    if not flags & META:
        return NO_META
    stop = position + length - META_LENGTH_BYTES
    start = stop - META_LENGTH.unpack_from(buffer, stop)[0]
    if start < position + HEADER_BYTES:
        raise _overlong()
    packed = bytes(buffer[start:stop])
    meta = _metas.get(packed)
    if meta is None:
        fields = unpack(packed)
        if not isinstance(fields, list) or len(fields) > _META_FIELDS:
            raise FormatError("the meta of a batch is not an array of at most 8 fields")
        meta = (*fields, *(None,) * (_META_FIELDS - len(fields)))
        _check_meta(meta, flags)
        # A map of headers is mutable and must never be given to two readers.
        if len(packed) <= _CACHED_META_BYTES_MAX and meta[3] is None and meta[5] is None:
            if len(_metas) >= _CACHED_METAS_MAX:
                _metas.clear()
            _metas[packed] = meta
    return meta


def _overlong() -> FormatError:
    return FormatError("the meta of a batch is longer than the batch")


def _check_meta(meta: Meta, flags: int) -> None:
    deltas, *columns, producer, _, sequence = meta
    if deltas is not None and not _is_list_of(deltas, int):
        raise FormatError("the times of a batch are not an array of integers")
    for place, stored in enumerate(columns):
        kind = dict if place == _HEADERS else str
        if not _is_column(stored, kind):
            raise FormatError(f"column {place + 1} of the meta of a batch holds something else")
    if flags & SEQUENCED and not (_is_offset(producer) and _is_offset(sequence)):
        raise FormatError("a batch of a producer does not name it, or its sequence")


# Among types, keys, headers and senders.
_HEADERS = 2


def _is_column(stored: Any, kind: type) -> bool:
    if stored is None or isinstance(stored, kind):
        return True
    if not isinstance(stored, list) or not 1 <= len(stored) <= 2 or not isinstance(stored[0], list):
        return False
    if not all(value is None or isinstance(value, kind) for value in stored[0]):
        return False
    return len(stored) == 1 or (isinstance(stored[1], bytes) and kind is str)


def _is_list_of(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _is_offset(value: Any) -> bool:
    return type(value) is int and 0 <= value <= OFFSET_MAX


def payloads(buffer: Bytes, position: int, length: int, flags: int, count: int) -> list[Any]:
    """The payloads of the batch at ``position``, decoded."""
    packed = payload_bytes(buffer, position, length, flags)
    if count == 1:
        return [unpack(packed)]
    found = unpack(packed)
    if not isinstance(found, list) or len(found) != count:
        raise FormatError(f"a batch of {count} messages holds something else")
    return found


def batch_payloads(buffer: Bytes, positions: Iterable[int]) -> Iterator[list[Any]]:
    """The payloads of several batches, each batch decoded when it is asked for.

    The same as ``payloads``, with all that can be done once done once: here is what replay costs
    beside the decoder.
    """
    # A slice of it copies nothing.
    view = memoryview(buffer)
    read, decode = _SHAPE_AND_COUNT.unpack_from, _unpack
    for position in positions:
        flags, length, count = read(view, position)
        if flags & META or count == 1:
            yield payloads(buffer, position, length, flags, count)
            continue
        packed = view[position + HEADER_BYTES : position + length]
        try:
            found = decode(packed)
        except Exception:
            found = unpack(bytes(packed))
        if type(found) is not list or len(found) != count:
            raise FormatError(f"a batch of {count} messages holds something else")
        yield found


def payload_sizes(packed: Bytes, count: int) -> list[int]:
    """The bytes of each of the packed payloads of a batch."""
    if count == 1:
        return [len(packed)]
    _check_count(packed, count)
    unpacker = msgpack.Unpacker(max_buffer_size=0, read_size=len(packed))
    unpacker.feed(packed)
    sizes = []
    try:
        unpacker.read_array_header()
        before = unpacker.tell()
        for _ in range(count):
            unpacker.skip()
            after = unpacker.tell()
            sizes.append(after - before)
            before = after
    except Exception as error:
        raise FormatError(f"not packed payloads: {error}") from error
    return sizes


def messages(
    buffer: Bytes,
    position: int,
    length: int,
    flags: int,
    count: int,
    base: int,
    time_ns: int,
    low: int = 0,
    high: int | None = None,
) -> list[Message]:
    """The messages ``low`` to ``high`` of the batch at ``position``, or all of them."""
    if count == 1:
        data = unpack(payload_bytes(buffer, position, length, flags))
        if not flags & META:
            return [_make_message((base, time_ns, data, None, None, None, None))]
        meta = read_meta(buffer, position, length, flags)
        return [_make_message((base, time_ns, data, meta[1], meta[2], meta[3], meta[4]))]
    datas = payloads(buffer, position, length, flags, count)
    meta = read_meta(buffer, position, length, flags)
    high = count if high is None else high
    try:
        # The columns of times and constants have no end of their own.
        columns = zip(  # noqa: B905
            range(base, base + count),
            times(meta[0], time_ns),
            datas,
            column(meta[1], count),
            column(meta[2], count),
            _headers(meta[3], count),
            column(meta[4], count),
        )
        found = list(map(_make_message, islice(columns, low, high)))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise FormatError(f"the columns of a batch hold something else: {error}") from error
    if len(found) != high - low:
        raise FormatError(f"the columns of a batch of {count} messages end at {low + len(found)}")
    return found


def single_payloads(buffer: Bytes, positions: Sequence[int]) -> list[Any]:
    """The payloads of batches of one message each."""
    if _are_small(buffer, positions):
        return _joined_payloads(buffer, positions)
    found: list[Any] = []
    add, read, decode = found.append, _SHAPE.unpack_from, _unpack
    for position in positions:
        flags, length = read(buffer, position)
        stop = position + length
        if flags & META:
            stop -= META_LENGTH.unpack_from(buffer, stop - 4)[0] + 4
            if stop < position:
                raise _overlong()
        packed = buffer[position + HEADER_BYTES : stop]
        try:
            add(decode(packed))
        except Exception:
            add(unpack(packed))
    return found


def _are_small(buffer: Bytes, positions: Sequence[int]) -> bool:
    """Whether joining the payloads and decoding them in one call is faster than one by one: it is
    by half, unless they are so large that the copies cost more."""
    return len(positions) > 1 and _SHAPE.unpack_from(buffer, positions[0])[1] < _JOINED_BYTES_MAX


_JOINED_BYTES_MAX = 256


def _joined_payloads(buffer: Bytes, positions: Sequence[int]) -> list[Any]:
    parts = [array_header(len(positions))]
    add, read = parts.append, _SHAPE.unpack_from
    for position in positions:
        flags, length = read(buffer, position)
        stop = position + length
        if flags & META:
            stop -= META_LENGTH.unpack_from(buffer, stop - 4)[0] + 4
            if stop < position:
                raise _overlong()
        add(buffer[position + HEADER_BYTES : stop])
    found: list[Any] = unpack(b"".join(parts))
    return found


def single_messages(buffer: Bytes, positions: Sequence[int], base: int) -> list[Message]:
    """The messages of batches of one message each, from offset ``base`` on."""
    datas = single_payloads(buffer, positions)
    found: list[Message] = []
    add, read, make = found.append, _SHAPE_AND_TIME.unpack_from, _make_message
    for position, data in zip(positions, datas, strict=True):
        flags, length, time_ns = read(buffer, position)
        meta = read_meta(buffer, position, length, flags) if flags & META else NO_META
        add(make((base, time_ns, data, meta[1], meta[2], meta[3], meta[4])))
        base += 1
    return found


def times(deltas: list[int] | None, time_ns: int) -> Iterable[int]:
    """The time of each message of a batch; for ever the same if there are no ``deltas``."""
    return repeat(time_ns) if deltas is None else accumulate(deltas, initial=time_ns)


def column(stored: Any, count: int) -> Iterable[Any]:
    """The values of a stored column, one for each of ``count`` messages."""
    if not isinstance(stored, list):
        return repeat(stored, count)
    if len(stored) == 1:
        values: list[Any] = stored[0]
        return values
    distinct, places = stored
    return map(distinct.__getitem__, places)


def _headers(stored: Any, count: int) -> Iterable[Any]:
    if isinstance(stored, dict):
        return [dict(stored) for _ in range(count)]
    return column(stored, count)


def to_column(values: Sequence[Any]) -> Any:
    """The shortest stored form of ``values``: the inverse of ``column``."""
    first = values[0]
    if values.count(first) == len(values):
        return first
    if not any(isinstance(value, dict) for value in values):
        distinct = list(dict.fromkeys(values))
        if len(distinct) <= _DISTINCT_MAX:
            places = {value: place for place, value in enumerate(distinct)}
            return [distinct, bytes(map(places.__getitem__, values))]
    return [list(values)]


def merge(parts: Sequence[tuple[int, int, Any, Meta]]) -> tuple[int, bytes]:
    """Batches of (count, time_ns, packed payloads, meta), in order, as the (flags, body) of one.

    Payloads are joined as bytes, never decoded. Producer fields are not carried over: what a
    producer has written is kept as its own record.
    """
    for count, _, packed, _ in parts:
        _check_count(packed, count)
    if len(parts) == 1 and not any(type(field) is list for field in parts[0][3][:5]):
        # Nothing but the producer's fields is to change.
        fields, packed = parts[0][3][:5], bytes(parts[0][2])
        return (0, packed) if fields == NO_META[:5] else (META, packed + encode_meta(*fields))
    try:
        return _merge(parts)
    except (LookupError, TypeError, ValueError) as error:
        raise FormatError(f"the columns of a batch hold something else: {error}") from error


def _merge(parts: Sequence[tuple[int, int, Any, Meta]]) -> tuple[int, bytes]:
    count = sum(part[0] for part in parts)
    start = parts[0][1]
    body = b"".join(
        chain(
            (array_header(count),) if count > 1 else (),
            (packed if part_count == 1 else packed[_array_header_bytes(part_count) :]
             for part_count, _, packed, _ in parts),
        )
    )  # fmt: skip
    instants = [t for n, ns, _, m in parts for t in _exactly(_first(times(m[0], ns), n), n)]
    deltas = None
    if instants[-1] != start:
        deltas = [after - before for before, after in pairwise(instants)]
    fields: list[Any] = [deltas]
    for place in range(1, 5):
        if all(part[3][place] is None for part in parts):
            fields.append(None)
        else:
            values = [v for p in parts for v in _exactly(column(p[3][place], p[0]), p[0])]
            fields.append(to_column(values))
    if all(value is None for value in fields):
        return 0, body
    return META, body + encode_meta(*fields)


def _check_count(packed: Bytes, count: int) -> None:
    """Refuse a count that is not that of the payloads, before anything is made that long."""
    head = array_header(count) if count > 1 else b""
    if not 0 < count <= len(packed) or packed[: len(head)] != head:
        raise FormatError(f"a batch of {count} messages holds something else")


def _exactly(values: Iterable[Any], count: int) -> list[Any]:
    found = list(values)
    if len(found) != count:
        raise ValueError(f"{len(found)} values for {count} messages")
    return found


def _first(values: Iterable[int], count: int) -> Iterable[int]:
    return (value for value, _ in zip(values, range(count), strict=False))


def _array_header_bytes(count: int) -> int:
    return 1 if count < 16 else 3 if count < 65536 else 5

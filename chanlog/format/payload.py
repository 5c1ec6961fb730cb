"""Payloads: what msgpack carries, and a clear word about what it does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from json import dumps
from typing import Any

import msgpack

from ..errors import FormatError, PayloadError
from .batch import Bytes

__all__ = ["pack", "pack_list", "unpack"]

_packers: list[msgpack.Packer] = [msgpack.Packer()]
_INT_MIN = -(1 << 63)
_INT_MAX = (1 << 64) - 1
_DEPTH_MAX = 500


def pack(data: Any, where: str = "data") -> bytes:
    """``data`` as msgpack. Raises ``PayloadError`` naming the place of what cannot be carried.

    Packers are kept in a pool: making one costs more than a small message, and one that is in use
    must not be entered again, not even from a finalizer that the garbage collector runs under it.
    """
    try:
        packer = _packers.pop()
    except IndexError:
        packer = msgpack.Packer()
    try:
        packed: bytes = packer.pack(data)
    except (TypeError, ValueError, OverflowError) as error:
        raise _explain(data, where, error) from None
    _packers.append(packer)
    return packed


def pack_list(items: list[Any], where: str = "items") -> bytes:
    """The items packed one behind the other, without the array around them."""
    packed = pack(items, where)
    count = len(items)
    return packed[1 if count < 16 else 3 if count < 65536 else 5 :]


def array_header(count: int) -> bytes:
    """The bytes that make ``count`` packed items behind them an array."""
    if count < 16:
        return bytes((0x90 | count,))
    if count < 65536:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


# The unpacker makes an array as long as its header claims before it has seen one item. Claims that
# are nested would allocate eight bytes for each byte of input at every level, so larger arrays are
# unpacked only when they are known to be there.
_ARRAY_ITEMS_MAX = 4096

_unpack: Callable[[Bytes], Any] = partial(
    msgpack.unpackb, raw=False, strict_map_key=False, max_array_len=_ARRAY_ITEMS_MAX
)


def unpack(packed: Bytes) -> Any:
    """The inverse of ``pack``. Raises ``FormatError`` for bytes that are not one packed value."""
    try:
        return _unpack(packed)
    except msgpack.exceptions.StackError:
        return _unpack_deep(packed)
    except TypeError:
        # A tuple as the key of a map is an array in msgpack, and a list cannot be a key here.
        return _unpack_whole(packed)
    except Exception as error:
        if len(packed) > _ARRAY_ITEMS_MAX:
            return _unpack_whole(packed)
        raise FormatError(f"not a packed value: {error}") from error


def _unpack_whole(packed: Bytes) -> Any:
    """Decode what has large arrays, or arrays for keys, after having seen that it is all there."""
    unpacker = msgpack.Unpacker(max_buffer_size=0, read_size=len(packed))
    unpacker.feed(packed)
    try:
        unpacker.skip()
    except msgpack.exceptions.StackError:
        return _unpack_deep(packed)
    except Exception as error:
        raise FormatError(f"not a packed value: {error}") from error
    if unpacker.tell() != len(packed):
        raise FormatError("not a packed value: something follows it")
    try:
        try:
            return msgpack.unpackb(packed, raw=False, strict_map_key=False)
        except TypeError:
            return msgpack.unpackb(
                packed, raw=False, strict_map_key=False, object_pairs_hook=_freeze_keys
            )
    except Exception as error:
        raise FormatError(f"not a packed value: {error}") from error


def _unpack_deep(packed: Bytes) -> Any:
    """Decode what is nested deeper than the C code can, without recursion.

    The packer goes deeper than the unpacker, and a batch adds a level of its own.
    """
    unpacker = msgpack.Unpacker(raw=False, max_buffer_size=0, read_size=len(packed))
    unpacker.feed(packed)
    root: list[Any] = []
    # Each level: the list being filled, how many values it still lacks, whether it is a map.
    stack: list[tuple[list[Any], int, bool]] = [(root, 1, False)]
    try:
        while True:
            values, count, is_map = stack[-1]
            if len(values) < count:
                kind = packed[unpacker.tell()]
                if kind & 0xF0 == 0x90 or kind in (0xDC, 0xDD):
                    stack.append(([], unpacker.read_array_header(), False))
                elif kind & 0xF0 == 0x80 or kind in (0xDE, 0xDF):
                    stack.append(([], 2 * unpacker.read_map_header(), True))
                else:
                    values.append(unpacker.unpack())
                continue
            stack.pop()
            if not stack:
                return root[0]
            pairs = zip(values[::2], values[1::2], strict=True)
            stack[-1][0].append(_freeze_keys(list(pairs)) if is_map else values)
    except Exception as error:
        raise FormatError(f"not a packed value: {error}") from error


def _freeze_keys(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    return {_freeze(key): value for key, value in pairs}


def _freeze(value: Any) -> Any:
    return tuple(map(_freeze, value)) if isinstance(value, list) else value


def _explain(data: Any, where: str, error: Exception) -> PayloadError:
    """Find the first thing in ``data`` that cannot be carried; the packer does not say where."""
    found = _find(data, where, 0)
    place, culprit, reason = found or (where, data, str(error))
    return PayloadError(
        f"cannot carry {place}, a {type(culprit).__qualname__}: {reason}",
        where=place,
        kind=type(culprit),
    )


def _find(value: Any, where: str, depth: int) -> tuple[str, Any, str] | None:
    if depth > _DEPTH_MAX:
        return where[:200] + "...", value, "it is nested too deeply, or holds itself"
    if isinstance(value, dict):
        for key, item in value.items():
            found = _find(key, f"{where} key {_short(key)}", depth + 1) or _find(
                item, f"{where}[{_short(key)}]", depth + 1
            )
            if found:
                return found
        return None
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            found = _find(item, f"{where}[{index}]", depth + 1)
            if found:
                return found
        return None
    return _fault(value, where)


def _fault(value: Any, where: str) -> tuple[str, Any, str] | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        if _INT_MIN <= value <= _INT_MAX:
            return None
        return where, value, "it does not fit into 64 bits"
    try:
        msgpack.packb(value)
    except UnicodeEncodeError:
        return where, value, "it holds half a surrogate pair, which UTF-8 cannot express"
    except Exception:
        return (
            where,
            value,
            "convert it to str, bytes, int, float, bool, None, list or dict first",
        )
    return None


def _short(key: object) -> str:
    text = dumps(key, ensure_ascii=False) if isinstance(key, str) else repr(key)
    return text if len(text) <= 40 else text[:37] + "..."

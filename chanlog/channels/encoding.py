"""Messages as batches, ready to be appended: what of them can be done outside of any lock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidOption, MessageTooLarge
from ..format.batch import META
from ..format.body import encode_meta
from ..format.payload import array_header, pack, pack_list

__all__ = ["BATCH_COUNT_MAX", "check_meta", "encode_batches", "too_large"]

# More in one batch decodes no faster, and is decoded whole for whoever wants one message of it.
BATCH_COUNT_MAX = 1024
_BATCH_BYTES_MAX = 1 << 20


def encode_batches(
    items: list[Any], meta_fields: tuple[Any, ...], message_bytes_max: int
) -> list[tuple[int, int, bytes]]:
    """``items`` as batches of (count, flags, body), each with the same meta."""
    flags = META if any(field is not None for field in meta_fields) else 0
    meta = encode_meta(*meta_fields) if flags else b""
    batches = []
    for start in range(0, len(items), BATCH_COUNT_MAX):
        some = items[start : start + BATCH_COUNT_MAX]
        packed = pack_list(some)
        if len(packed) + len(meta) <= min(_BATCH_BYTES_MAX, message_bytes_max):
            header = array_header(len(some)) if len(some) > 1 else b""
            batches.append((len(some), flags, header + packed + meta))
            continue
        for count, part in _divide(some, message_bytes_max, len(meta)):
            header = array_header(count) if count > 1 else b""
            batches.append((count, flags, header + part + meta))
    return batches


def _divide(items: list[Any], bytes_max: int, meta_bytes: int) -> list[tuple[int, bytes]]:
    """Large items in batches of about a megabyte; each on its own checked against the limit."""
    batches: list[tuple[int, bytes]] = []
    parts: list[bytes] = []
    size = 0
    for index, item in enumerate(items):
        packed = pack(item, f"items[{index}]")
        if len(packed) + meta_bytes > bytes_max:
            raise too_large(len(packed) + meta_bytes, bytes_max)
        if parts and size + len(packed) > _BATCH_BYTES_MAX:
            batches.append((len(parts), b"".join(parts)))
            parts, size = [], 0
        parts.append(packed)
        size += len(packed)
    batches.append((len(parts), b"".join(parts)))
    return batches


def check_meta(type: Any, key: Any, headers: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Check what accompanies a message; returns the headers as a plain dict, empty as ``None``."""
    for option, value in (("type", type), ("key", key)):
        if value is not None and not isinstance(value, str):
            raise InvalidOption(f"{option} is a str or None, not {value!r}", option=option)
    if headers is None:
        return None
    if not isinstance(headers, Mapping) or not all(isinstance(name, str) for name in headers):
        raise InvalidOption(f"headers map str to values, not {headers!r}", option="headers")
    plain = dict(headers)
    pack(plain, "headers")
    return plain or None


def too_large(size: int, most: int) -> MessageTooLarge:
    """The error for a message over the limit."""
    return MessageTooLarge(
        f"a message of {size:,} bytes is over message_bytes_max={most:,}; publish it in parts, or "
        "keep it elsewhere and publish where",
        size_bytes=size,
        bytes_max=most,
    )

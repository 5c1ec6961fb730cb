"""The parsers of the format floor, each with bytes that are right for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from struct import pack_into
from typing import NamedTuple
from zlib import crc32

from chanlog.errors import FormatError, FormatTooNew
from chanlog.format.batch import (
    CONFIGURED,
    CREATED,
    CURSOR,
    FRAME,
    HEADER_BYTES,
    MESSAGES,
    META,
    PRODUCER,
    TRIMMED,
    encode,
    read_header,
)
from chanlog.format.body import (
    encode_meta,
    merge,
    messages,
    payload_bytes,
    payload_sizes,
    payloads,
    read_meta,
    single_messages,
)
from chanlog.format.catalog import HEADER as CATALOG_HEADER
from chanlog.format.catalog import Catalog
from chanlog.format.names import CATALOG, MARKER, parse_clustered
from chanlog.format.payload import pack, unpack
from chanlog.format.records import (
    decode_configured,
    decode_created,
    decode_cursor,
    decode_producer,
    decode_trimmed,
    encode_record,
)
from chanlog.format.segment import (
    FOOTER,
    SEGMENT_HEADER_BYTES,
    read_index,
    read_marker,
    read_segment_header,
)
from chanlog.storage.scanning import batch_at
from chanlog.storage.snapshot import CatalogMeta
from chanlog.storage.state import ChannelState

from .layouts import layout
from .mutating import mutated

__all__ = ["REFUSALS", "TARGETS", "Target", "trial"]

REFUSALS = (FormatError, FormatTooNew)
SALT = 0x1317


class Target(NamedTuple):
    """A parser: right bytes for it, how to mend wrong ones, and what reads them."""

    samples: tuple[bytes, ...]
    mend: Callable[[bytearray], None]
    parse: Callable[[bytes], object]


def leave(content: bytearray) -> None:
    """There is nothing to mend."""


def mend_batch(content: bytearray) -> None:
    """Put the length and the checksums of a batch right."""
    if len(content) >= HEADER_BYTES:
        content[6:8] = SALT.to_bytes(2, "little")
        pack_into("<I", content, 8, len(content))
        pack_into("<I", content, 12, crc32(content[HEADER_BYTES:]))
        pack_into("<I", content, 0, crc32(content[4:HEADER_BYTES]))


def mend_head(content: bytearray) -> None:
    """The checksum behind a header of a segment, or a marker."""
    if len(content) >= 4:
        pack_into("<I", content, len(content) - 4, crc32(content[:-4]))


def mend_index(content: bytearray) -> None:
    """The length, the checksum of the index where its position makes sense, and the footer's."""
    start = len(content) - FOOTER.size
    if start < 0:
        return
    pack_into("<Q", content, start + 40, len(content))
    position = int.from_bytes(content[start + 8 : start + 16], "little")
    pack_into("<I", content, start + 48, crc32(content[min(position, start) : start]))
    pack_into("<I", content, len(content) - 4, crc32(content[start:-4]))


def mend_catalog(content: bytearray) -> None:
    """Both checksums of a catalog."""
    if len(content) >= CATALOG_HEADER.size:
        pack_into("<I", content, 12, crc32(content[CATALOG_HEADER.size :]))
        head = CATALOG_HEADER.size - 4
        pack_into("<I", content, head, crc32(content[:head]))


# What reads them.


def read_messages(content: bytes) -> None:
    """Everything that decodes a batch of messages."""
    header = read_header(content, 0, len(content), SALT)
    if header is None or header.kind != MESSAGES:
        return
    length, flags, count = header.length, header.flags, header.count
    meta = read_meta(content, 0, length, flags)
    packed = payload_bytes(content, 0, length, flags)
    if flags & 1 and length & 1:
        merge([(count, header.time_ns, packed, meta), (1, header.time_ns, b"\x01", (None,) * 8)])
    if count == 1:
        single_messages(content, [0], header.base)
    else:
        payloads(content, 0, length, flags, count)
    found = messages(content, 0, length, flags, count, header.base, header.time_ns)
    assert len(found) == count
    assert found[-1].offset == header.base + count - 1
    payload_sizes(packed, count)


_DECODE: dict[int, Callable[[bytes], object]] = {
    CREATED: decode_created,
    CONFIGURED: decode_configured,
    TRIMMED: decode_trimmed,
    CURSOR: decode_cursor,
    PRODUCER: decode_producer,
}


def read_record(content: bytes) -> None:
    """The body of a control record."""
    header = read_header(content, 0, len(content), SALT)
    if header is not None and header.kind in _DECODE:
        _DECODE[header.kind](content[HEADER_BYTES:])


def read_frame(content: bytes) -> None:
    """A frame with all that is in it."""
    header = batch_at(content, 0, len(content), SALT)
    if header is None or header.kind != FRAME:
        return
    position = HEADER_BYTES
    while position < header.length:
        inner = read_header(content, position, header.length, SALT)
        assert inner is not None
        assert inner.kind != FRAME
        position += inner.length


def walk_index(content: bytes) -> None:
    """The index of a clustered segment."""
    index = read_index(memoryview(content))
    for channel in (0, 1, 7, 1 << 31):
        index.find(channel)
    for entry in index:
        assert SEGMENT_HEADER_BYTES <= entry.position <= len(content)


def walk_catalog(content: bytes) -> None:
    """All that can be asked of a catalog."""
    catalog = Catalog(content)
    for name in ("agent", "zzz"):
        catalog.find(name)
    catalog.find_id(3)
    for segment in catalog.tail_segments():
        catalog.tail(segment, 1)
        catalog.tail_ids(segment)
    CatalogMeta.decode(catalog.meta)
    for entry in catalog.entries():
        ChannelState.from_entry(entry)
    list(catalog.names("a"))
    catalog.check()


# Bytes that are right.


def _batch(kind: int, body: bytes, **fields: int) -> bytes:
    fields.setdefault("channel", 0 if kind == FRAME else 7)
    return encode(kind, body, salt=SALT, time_ns=1_700_000_000_000_000_000, mark=3, **fields)


def _batches() -> tuple[bytes, ...]:
    many = pack(["a", {"b": [1, 2.5, None]}, b"c", True])
    typed = encode_meta(
        [1, 0, 5], [["t", "u"], b"\0\1\1\0"], "key", [[{"h": 1}, None, {}, {}]], None, 5, None, 9
    )
    return (
        _batch(MESSAGES, pack({"t": "delta", "i": 1}), count=1, base=4),
        _batch(MESSAGES, pack("x") + encode_meta(None, "token", "k", {"h": 1}, "s"), count=1,
               flags=META),
        _batch(MESSAGES, many, count=4, base=9),
        _batch(MESSAGES, many + typed, count=4, base=9, flags=3),
        _batch(MESSAGES, pack({(1, 2): "x", None: -1}), count=1),
    )  # fmt: skip


def _records() -> tuple[bytes, ...]:
    return (
        _batch(CREATED, encode_record("name", {"age_ns": 5, "count": 3}, 4, 9)),
        _batch(CONFIGURED, pack({"ttl_ns": 1 << 40})),
        _batch(TRIMMED, encode_record(1_700_000_000_000_000_000), base=4),
        _batch(CURSOR, encode_record("billing", True), base=4),
        _batch(PRODUCER, encode_record("p", 1, 3, [[0, 0], [5, 9]]), base=12),
    )


@cache
def targets() -> dict[str, Target]:
    """The parsers by name."""
    files = layout("mixed").files
    clustered = next(content for name, content in files.items() if parse_clustered(name))
    head = clustered[:SEGMENT_HEADER_BYTES]
    batches, records = _batches(), _records()
    index = read_index(memoryview(clustered))
    short = clustered[: index.control_stop]
    entries = clustered[index._position : -FOOTER.size]
    small = bytearray(short + entries[: 3 * 56] + clustered[-FOOTER.size :])
    pack_into("<QQQ", small, len(small) - 56, len(short), 3, len(short))
    for at in range(3):
        pack_into("<QQ", small, len(short) + 56 * at + 8, 64, len(short))
    mend_index(small)
    return {
        "header": Target((*batches, *records), leave, read_messages),
        "messages": Target(batches, mend_batch, read_messages),
        "record": Target(records, mend_batch, read_record),
        "frame": Target((_batch(FRAME, batches[0] + records[0]),), mend_batch, read_frame),
        "payload": Target((batches[0][HEADER_BYTES:], batches[2][HEADER_BYTES:]), leave, unpack),
        "segment": Target((head,), mend_head, read_segment_header),
        "marker": Target((files[MARKER],), mend_head, read_marker),
        "index": Target((bytes(small),), mend_index, walk_index),
        "catalog": Target((files[CATALOG],), mend_catalog, walk_catalog),
    }


TARGETS = ("header", "messages", "record", "messages", "frame", "payload", "messages", "record",
           "payload", "segment", "marker", "index")  # fmt: skip
# A catalog takes so long that it comes once in so many.
CATALOG_EVERY = 50


def trial(seed: int, number: int) -> tuple[str, bytes]:
    """The name of a parser and the bytes for it: the ``number``-th of a seed."""
    random = Random(seed << 40 | number)
    name = TARGETS[number % len(TARGETS)] if number % CATALOG_EVERY else "catalog"
    target = targets()[name]
    samples = target.samples
    content = mutated(random, samples[random.getrandbits(16) % len(samples)])
    if random.getrandbits(3):
        target.mend(content)
    return name, bytes(content)

"""Bytes that are nearly right: valid ones changed a little, their checksums computed anew.

A parser that checks a checksum first refuses nearly everything that is merely random, and what lies
behind the checksum is never tried. So whoever changes bytes here may mend them too.
"""

from __future__ import annotations

from random import Random

__all__ = ["mutated"]

# The edges of integers, and what msgpack begins something large, deep or odd with.
_EDGES = (
    b"\0", b"\x01", b"\x7f", b"\x80", b"\xff", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\0" * 8,
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\xff", b"\xdc\xff\xff", b"\x91" * 40,
    b"\x81" * 40, b"\xd6\xff\0\0\0\0", b"\xd7\xff" + b"\xff" * 8, b"\xc7\x0c\xff" + b"\xff" * 12,
    b"\xc0", b"\xc2", b"\xcb" + b"\xff" * 8, b"\x90", b"\x91", b"\x92", b"\x81", b"\xa1",
    b"\xa3\xed\xa0\x80", b"\xd3\x80" + b"\0" * 7, b"\xcf" + b"\xff" * 8,
)  # fmt: skip


def mutated(random: Random, sample: bytes, start: int = 0) -> bytearray:
    """``sample`` with one to three changes from position ``start`` on."""
    found = bytearray(sample)
    bits = random.getrandbits(32)
    for _ in range(1 + (bits & 3) % 3):
        size = len(found) - start
        if size <= 0:
            return found
        at = start + random.getrandbits(30) % size
        way = random.getrandbits(3)
        if way <= 1:
            found[at] ^= 1 << random.getrandbits(3)
        elif way == 2:
            found[at] = random.getrandbits(8)
        elif way <= 4:
            edge = _EDGES[random.getrandbits(16) % len(_EDGES)]
            found[at : at + len(edge)] = edge
        elif way == 5:
            del found[at : at + 1 + random.getrandbits(3)]
        elif way == 6:
            source = start + random.getrandbits(30) % size
            found[at:at] = found[source : source + 1 + random.getrandbits(4)]
        else:
            source = start + random.getrandbits(30) % size
            piece = found[source : source + 1 + random.getrandbits(4)]
            found[at : at + len(piece)] = piece
    return found

"""Looking for batches in bytes: what counts as one, where the next one is, where there is none."""

from __future__ import annotations

import pytest

from chanlog.format.batch import ENDED, FRAME, HEADER_BYTES, MESSAGES, ROLLED, encode
from chanlog.storage import scanning
from chanlog.storage.scanning import (
    batch_at,
    batches_of_any_salt,
    inside_damaged_frame,
    last_nonzero,
    next_batch,
    walk,
)

from .forged import SALT, Forged

START = 64


def some() -> tuple[Forged, list[int]]:
    """A segment with batches of several kinds, and where they are."""
    segment, inner = Forged(), Forged()
    inner.message(3, "in a frame")
    inner.batch(ENDED, b"", base=4)
    places = [
        segment.created("a"),
        segment.message(0, "x" * 30),
        segment.message(1, b""),
        segment.frame(inner),
        segment.message(5, "last"),
    ]
    return segment, places


def changed(content: bytes, position: int) -> bytes:
    found = bytearray(content)
    found[position] ^= 1
    return bytes(found)


def framed(*batches: bytes, rest: bytes = b"") -> bytes:
    """A frame of these batches, with right checksums."""
    body = b"".join(batches) + rest
    return encode(FRAME, body, salt=SALT, channel=0, time_ns=1, mark=0)


MESSAGE = encode(MESSAGES, b"\x01", salt=SALT, channel=1, count=1, time_ns=1, mark=0)
SEAL = encode(ROLLED, b"", salt=SALT, channel=0, base=2, time_ns=1, mark=0)


# One batch.


def test_a_batch_is_one_where_it_begins_and_nowhere_else() -> None:
    segment, places = some()
    content = bytes(segment.content)
    for position in range(len(content) + 1):
        header = batch_at(content, position, len(content), SALT)
        inside = position - HEADER_BYTES
        # A batch in a frame is as right as any, for whoever looks just there.
        framed_here = places[3] <= inside < places[4] and header is not None
        assert (header is not None) == (position in places or framed_here), position


def test_a_batch_ends_by_the_stop() -> None:
    assert batch_at(MESSAGE, 0, len(MESSAGE), SALT) is not None
    assert batch_at(MESSAGE, 0, len(MESSAGE) - 1, SALT) is None
    assert batch_at(MESSAGE, 0, len(MESSAGE), SALT + 1) is None


def test_every_byte_of_a_batch_counts() -> None:
    whole = framed(MESSAGE, MESSAGE)
    for content in (MESSAGE, whole):
        for position in range(len(content)):
            assert batch_at(changed(content, position), 0, len(content), SALT) is None


@pytest.mark.parametrize(
    ("content", "right"),
    [
        (framed(), True),
        (framed(MESSAGE), True),
        (framed(MESSAGE, MESSAGE, MESSAGE), True),
        # Something behind the last, too short for a batch or not one.
        (framed(MESSAGE, rest=b"\0"), False),
        (framed(MESSAGE, rest=bytes(HEADER_BYTES)), False),
        (framed(rest=b"x" * HEADER_BYTES), False),
        # What may not be in one, wherever it is.
        (framed(framed(MESSAGE)), False),
        (framed(MESSAGE, framed()), False),
        (framed(SEAL), False),
        (framed(MESSAGE, SEAL), False),
        # One that says it is longer than there is room for.
        (framed(MESSAGE, MESSAGE[:-1]), False),
    ],
)
def test_a_frame_is_filled_with_batches(content: bytes, right: bool) -> None:
    """Its checksum is right all the same. Whoever walks through it must not fall out of it."""
    assert (batch_at(content, 0, len(content), SALT) is not None) == right
    assert (batch_at(b"..." + content + MESSAGE, 3, 500, SALT) is not None) == right


# Many.


def test_walking_ends_at_the_first_that_is_not_one() -> None:
    segment, places = some()
    content = bytes(segment.content)
    assert [at for at, _ in walk(content, START, len(content), SALT)] == places
    for count, place in enumerate(places):
        broken = changed(content, place + 20)
        assert [at for at, _ in walk(broken, START, len(content), SALT)] == places[:count]
        assert [at for at, _ in walk(content, START, place, SALT)] == places[:count]
        assert [at for at, _ in walk(content, place, len(content), SALT)] == places[count:]
    found = dict(walk(content, START, len(content), SALT))
    assert found[places[1]].base == 0
    assert found[places[4]].base == 5


def test_the_next_batch_from_every_position() -> None:
    segment, places = some()
    content = bytes(segment.content)
    begins = [at for at in range(len(content)) if batch_at(content, at, len(content), SALT)]
    assert set(places) < set(begins)
    for position in range(len(content) + 1):
        expected = next((at for at in begins if at >= position), None)
        assert next_batch(content, position, len(content), SALT) == expected, position
    for stop in range(len(content)):
        right = (at for at in begins if batch_at(content, at, stop, SALT))
        assert next_batch(content, START, stop, SALT) == next(right, None), stop


def test_the_next_batch_among_what_looks_like_its_salt() -> None:
    """The salt is two bytes, which may stand anywhere, also overlapping: none of it hides one."""
    needle = SALT.to_bytes(2, "little")
    assert needle[0] == needle[1]
    for before in range(1, 12):
        noise = needle[:1] * before
        content = noise + MESSAGE + noise
        assert next_batch(content, 0, len(content), SALT) == before
        assert next_batch(content, before + 1, len(content), SALT) is None
    # Kind and flags may look like it too.
    alike = encode(MESSAGES, b"\x01", salt=0x0101, channel=1, count=1, time_ns=1, mark=0, flags=1)
    for before in range(4):
        content = b"\0" * before + alike
        for position in range(before + 1):
            assert next_batch(content, position, len(content), 0x0101) == before
    assert next_batch(b"", 0, 0, SALT) is None
    assert next_batch(bytes(100), 0, 100, SALT) is None


def test_batches_of_any_salt() -> None:
    """All there are of all salts that a segment can have, those in frames included."""
    for salt in (0x0101, 0x01FF, 0xFF01, 0xFFFF, 0x0A0A):
        fixed = {"salt": salt, "time_ns": 1, "mark": 0}
        content = b"".join(
            encode(kind, body, channel=channel, count=count, flags=flags, **fixed)
            for kind, body, channel, count, flags in (
                (MESSAGES, b"\x01", 1, 1, 0), (MESSAGES, b"\x01\x02", 1, 1, 1),
                (MESSAGES, b"\x01\x02", 1, 1, 3), (ENDED, b"", 1, 0, 0), (ROLLED, b"", 0, 0, 0),
                (FRAME, encode(ENDED, b"", channel=2, **fixed), 0, 0, 0),
            )
        )  # fmt: skip
        for before in (0, 1, 7):
            buffer = b"\x01" * before + content
            found = [
                (at, header.kind)
                for at, header in batches_of_any_salt(buffer, 0, len(buffer))
                if header.salt == salt
            ]
            expected = [at for at in range(len(buffer)) if batch_at(buffer, at, len(buffer), salt)]
            assert [at for at, _ in found] == expected
            assert len(found) == 7
            last = expected[-1]
            assert [at for at, _ in batches_of_any_salt(buffer, last, len(buffer))] == [last]
            assert list(batches_of_any_salt(buffer, last + 1, len(buffer))) == []
            assert last not in dict(batches_of_any_salt(buffer, 0, len(buffer) - 1))


# Frames that are damaged inside.


def test_what_is_inside_of_a_damaged_frame() -> None:
    """It says so wherever there is the right header of a frame, and nowhere else."""
    content = framed(MESSAGE, MESSAGE)
    assert inside_damaged_frame(content, 0, len(content), SALT)
    assert inside_damaged_frame(changed(content, len(content) - 1), 0, len(content), SALT)
    assert not inside_damaged_frame(changed(content, 20), 0, len(content), SALT)
    assert not inside_damaged_frame(content, HEADER_BYTES, len(content), SALT)
    assert not inside_damaged_frame(content, 0, len(content) - 1, SALT)
    assert not inside_damaged_frame(MESSAGE, 0, len(MESSAGE), SALT)


# Zeros.


@pytest.mark.parametrize("chunk", [1, 2, 3, 8, 1 << 16])
def test_the_last_byte_that_is_not_zero(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """However much is looked at at once."""
    monkeypatch.setattr(scanning, "_CHUNK_BYTES", chunk)
    monkeypatch.setattr(scanning, "_ZEROS", bytes(chunk))
    for places in ((), (0,), (3,), (7,), (0, 7), (2, 3), (15,), (8, 9, 10)):
        content = bytearray(16)
        for place in places:
            content[place] = 0x80
        for position in range(17):
            for stop in range(position, 17):
                expected = max((p + 1 for p in places if position <= p < stop), default=position)
                assert last_nonzero(bytes(content), position, stop) == expected


def test_a_megabyte_of_zeros() -> None:
    content = bytearray(1 << 20)
    assert last_nonzero(content, 100, 1 << 20) == 100
    for place in (100, (1 << 16) - 1, 1 << 16, (1 << 19) + 5, (1 << 20) - 1):
        content[place] = 1
        assert last_nonzero(content, 100, 1 << 20) == place + 1

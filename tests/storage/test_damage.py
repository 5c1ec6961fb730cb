"""Damage in every byte of an active segment: told from a torn tail, and never read as data."""

from __future__ import annotations

from typing import Any

import pytest

import chanlog
from chanlog.format.batch import FRAME, HEADER, HEADER_BYTES, MESSAGES

from .worlds import Telling, contents, folder_of, open_image, told

SEGMENT = "0000000001.log"
SYNCED_AT = (8, 24)


@pytest.fixture(scope="module")
def synced(tmp_path_factory) -> Telling:
    return told(tmp_path_factory.mktemp("synced") / "log", sync_at=SYNCED_AT)


def flipped(telling: Telling, position: int, bits: int) -> bytes:
    content = bytearray(telling.content)
    content[position] ^= bits
    return bytes(content)


def flips(telling: Telling, position: int):
    """One bit of each byte, and all bits of some."""
    yield flipped(telling, position, 1 << position % 8)
    if position % 4 == 0:
        yield flipped(telling, position, 0xFF)


def places(telling: Telling):
    """Each batch with its positions: (its index, start, stop, header)."""
    for place, (start, stop) in enumerate(zip(telling.tails, telling.tails[1:], strict=False)):
        yield place, start, stop, HEADER.unpack_from(telling.content, start)


def test_every_byte_raises_or_is_torn(synced):
    """Below the durable mark damage raises with the range; behind it the tail is cut there."""
    durable = synced.mark(len(synced.tails) - 1)
    assert durable == synced.tails[SYNCED_AT[1]]
    for place, start, stop, header in places(synced):
        for position in range(start, stop):
            for content in flips(synced, position):
                folder = folder_of(synced.with_content(content))
                if start < durable:
                    with pytest.raises(chanlog.CorruptionError) as raised:
                        open_image(folder)
                    # In a frame it is one of the batches inside, or the header alone.
                    assert start <= raised.value.start <= position < raised.value.stop <= stop
                    if header[1] != FRAME:
                        assert (raised.value.start, raised.value.stop) == (start, stop)
                else:
                    with open_image(folder) as log:
                        assert log.recovery.torn[0].start == start
                        if position % 5 == 0:
                            assert contents(log) == synced.contents[place]


def test_every_byte_becomes_a_gap(synced):
    """With ``on_corruption="gap"`` nothing but the damaged batch is lost, and what is lost of a
    channel shows as a gap where anything follows."""
    durable = synced.mark(len(synced.tails) - 1)
    whole = synced.contents[-1]
    for _, start, stop, header in places(synced):
        if start >= durable or header[1] not in (MESSAGES, FRAME):
            continue
        for position in range(start, stop, 3):
            content = flipped(synced, position, 1 << position % 8)
            folder = folder_of(synced.with_content(content))
            with open_image(folder, on_corruption="gap") as log:
                (damage,) = log.recovery.damage
                assert start <= damage.start <= position < damage.stop <= stop
                lost = range(0)
                if header[1] == MESSAGES:
                    lost = range(header[8], header[8] + header[7])
                assert_only(log, whole, header[6], lost, position)


def assert_only(log: Any, whole: dict, id: int, lost: range, position: int) -> None:
    found = contents(log)
    for name, (info, messages) in whole.items():
        if log._store.table.find(name) is None:
            assert not lost, (position, name)
            continue
        state = log._store.table.find(name)
        family = {state.id}
        while state.parent is not None:
            state = log._store.table.find_id(state.parent[0])
            if state is None:
                break
            family.add(state.id)
        offsets = [offset for m in found[name][1] for offset in covered(m)]
        assert offsets == list(range(found[name][0].start_offset, found[name][0].end_offset))
        seen = [m for m in found[name][1] if not isinstance(m, chanlog.Gap)]
        if id in family:
            expected = [m for m in messages if m.offset not in lost]
            assert [m for m in seen if m.offset >= info.start_offset] == expected, (position, name)
        elif id:
            assert seen == messages, (position, name)


def covered(message: chanlog.Message) -> range:
    count = message.missing if isinstance(message, chanlog.Gap) else 1
    return range(message.offset, message.offset + count)


def test_an_error_names_the_channel_and_the_offsets(synced):
    """Where the header is whole it says which messages are gone."""
    durable = synced.mark(len(synced.tails) - 1)
    names = {}
    with open_image(folder_of(synced.files)) as log:
        names = {log._store.table.find(name).id: name for name in log.channels()}
    named = 0
    for _, start, _, header in places(synced):
        if start < durable and header[1] == MESSAGES and header[6] in names:
            content = flipped(synced, start + HEADER_BYTES, 1)
            with pytest.raises(chanlog.CorruptionError) as raised:
                open_image(folder_of(synced.with_content(content)))
            error = raised.value
            assert error.channel == names[header[6]]
            assert (error.first_offset, error.stop_offset) == (header[8], header[8] + header[7])
            named += 1
    assert named > 5

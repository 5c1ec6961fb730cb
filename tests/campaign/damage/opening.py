"""Whole directories of hostile bytes: opened, read, verified, compacted; accepted or refused."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from zlib import crc32

import chanlog
from chanlog.format.batch import FRAME, HEADER, HEADER_BYTES
from chanlog.format.names import CATALOG, MARKER
from chanlog.storage.verifying import verify_folder

from .images import Files, Image
from .layouts import LAYOUTS, Place, is_segment, layout
from .mutating import mutated
from .parsing import mend_catalog, mend_head, mend_index

__all__ = ["hostile", "survive"]


def hostile(seed: int, number: int) -> Files:
    """The ``number``-th directory of a seed: a right one with something wrong in it, and every
    checksum as right as can be."""
    random = Random(seed << 40 | number)
    names = list(LAYOUTS)
    log = layout(names[number % len(names)])
    files = dict(log.files)
    for _ in range(1 + random.getrandbits(2) // 3):
        name = random.choice(sorted(files))
        places = [place for place in log.places if place.name == name]
        if places and random.getrandbits(3):
            files[name] = _with_batch(random, files[name], random.choice(places), places)
        elif places and name.endswith(".seg") and random.getrandbits(1):
            files[name] = _with_index(random, files[name], max(p.stop for p in places))
        else:
            content = mutated(random, files[name])
            _mend(name, content)
            files[name] = bytes(content)
    if not random.getrandbits(2):
        files.pop(CATALOG, None)
    return files


def _mend(name: str, content: bytearray) -> None:
    if name == CATALOG:
        mend_catalog(content)
    elif name == MARKER:
        mend_head(content)
    elif is_segment(name):
        head = content[:64]
        mend_head(head)
        content[:64] = head
        if name.endswith(".seg"):
            mend_index(content)


def _with_index(random: Random, content: bytes, stop: int) -> bytes:
    found = bytearray(content[:stop]) + mutated(random, content[stop:])
    mend_index(found)
    return bytes(found)


def _with_batch(random: Random, content: bytes, place: Place, places: list[Place]) -> bytes:
    """One batch changed within its length, its checksums and those of its frame put right."""
    old = content[place.start : place.stop]
    new = mutated(random, old, 4 if random.getrandbits(1) else HEADER_BYTES)
    new = (new + bytes(len(old)))[: len(old)]
    if random.getrandbits(3):
        new[6:8] = old[6:8]
        if random.getrandbits(3):
            new[8:12] = old[8:12]
    found = bytearray(content)
    found[place.start : place.stop] = new
    frame = next((p for p in places if p.start == place.whole and p.header.kind == FRAME), None)
    for at in [place.start] if frame is None else [place.start, frame.start]:
        length = HEADER.unpack_from(found, at)[4]
        body = found[at + HEADER_BYTES : at + max(HEADER_BYTES, min(length, len(found) - at))]
        found[at + 12 : at + 16] = crc32(body).to_bytes(4, "little")
        found[at : at + 4] = crc32(found[at + 4 : at + HEADER_BYTES]).to_bytes(4, "little")
    return bytes(found)


def survive(files: Files, number: int) -> bool:
    """Do all with a directory that can be done; returns whether it could be opened. Raises what
    is neither right nor a ``ChanlogError``."""
    verify_quietly(files)
    mode = ("raise", "gap", "gap")[number % 3]
    try:
        log = Image(files).log(on_corruption=mode, read_only=number % 4 == 3)
    except chanlog.ChanlogError:
        return False
    with suppress(chanlog.ChanlogError), log:
        for name in list(log.channels()):
            with suppress(chanlog.ChanlogError):
                read_some(log, name)
        with suppress(chanlog.ChanlogError):
            if number % 2:
                log.channel("agent").publish("more")
        with suppress(chanlog.ChanlogError):
            log.compact()
        with suppress(chanlog.ChanlogError):
            log.statistics()
    return True


# A gap that a forged end makes can be longer than all memory; a reader gets it as one message.
_READ_MAX = 2000


def read_some(log: chanlog.Log, name: str) -> None:
    """What a reader of a channel does."""
    channel = log.channel(name)
    channel.info()
    at = channel.info().start_offset
    for count, message in enumerate(channel.replay()):
        assert message.offset == at, f"offset {message.offset} of {name!r} instead of {at}"
        at += message.missing if isinstance(message, chanlog.Gap) else 1
        if count > _READ_MAX:
            return


def verify_quietly(files: Files) -> None:
    """``verify`` finds what it finds."""
    with suppress(chanlog.ChanlogError):
        verify_folder(Image(files), None)

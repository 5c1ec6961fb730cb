"""Whether a log is right after a power cut."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import chanlog
from chanlog.errors import LogNotFound
from chanlog.host import Host
from chanlog.storage.verifying import verify_folder

from ...storage.worlds import SEGMENT_BYTES, Bytes, Ticks
from .author import PATH
from .history import History, Shape, View
from .power import Content
from .simulated import SimulatedDisk

__all__ = ["Found", "Lost", "Wrong", "check"]

_RAW = re.compile(r"\d{10}\.log")
_CLUSTERED = re.compile(r"(\d{10})-(\d{10})\.seg")
_HEADER_BYTES = 64


class Wrong(Exception):
    """What a log promises was broken."""


class Found(NamedTuple):
    """A log that is right: after how many units it is, and what was set aside and where."""

    units: int
    kept: tuple[Lost, ...]


class Lost(NamedTuple):
    """Bytes that opening has cut from a segment."""

    name: str
    position: int
    content: bytes


def check(
    files: Mapping[str, Content],
    history: History,
    bounds: tuple[int, int],
    *,
    now_ns: int,
    kept: tuple[Lost, ...] = (),
    use: bool = True,
    look: bool = False,
) -> Found:
    """Open what is on a disk, and hold it to what had to last. Raises ``Wrong``.

    ``bounds`` are the fewest and the most units that may be there. ``kept`` is what an earlier
    opening had cut and must still be somewhere. With ``use`` the log is also written, closed and
    opened again; with ``look`` it is read and verified from outside before.
    """
    try:
        return _check(files, history, bounds, now_ns, kept, use, look)
    except Wrong:
        raise
    except Exception as error:
        raise Wrong(f"reading or writing it raised {type(error).__name__}: {error}") from error


def _check(
    files: Mapping[str, Content],
    history: History,
    bounds: tuple[int, int],
    now_ns: int,
    kept: tuple[Lost, ...],
    use: bool,
    look: bool,
) -> Found:
    seen = _look(files, history, bounds, now_ns) if look else None
    disk = SimulatedDisk(files, recording=False)
    log = _opened(disk, now_ns)
    try:
        units = _units(log, history, bounds)
        if seen not in (None, units):
            raise Wrong(f"from outside it was after {seen} units, and is after {units}")
        lost = _look_for_torn(log, files, disk)
        _look_for_kept(disk, kept)
        if use:
            _use(log, disk, history.views[units], now_ns)
    finally:
        # Nobody closes it: the process is gone, and with it the memory.
        log._closed = True
    return Found(units, (*kept, *lost))


def _look(
    files: Mapping[str, Content], history: History, bounds: tuple[int, int], now_ns: int
) -> int | None:
    """What a reader finds who changes nothing; ``None`` if there is no log yet."""
    disk = SimulatedDisk(files)
    try:
        problems = verify_folder(disk.folder(), None).problems
        log = _opened(disk, now_ns, read_only=True)
    except LogNotFound:
        return None
    log._closed = True
    if problems:
        raise Wrong(f"verifying tells of {problems[0]}")
    units = _units(log, history, bounds)
    disk.observe()
    if disk.step:
        raise Wrong(f"looking from outside did: {disk.steps[0].what}")
    return units


def _opened(disk: SimulatedDisk, now_ns: int, *, read_only: bool = False) -> Any:
    clock = Ticks()
    clock.now_ns = now_ns
    host = Host(clock=clock, random_bytes=Bytes(), disk=disk.folder)
    try:
        return chanlog.open(
            PATH, host=host, background=False, sync="os", segment_bytes=SEGMENT_BYTES,
            read_only=read_only,
        )  # fmt: skip
    except LogNotFound:
        raise
    except Exception as error:
        raise Wrong(f"opening raised {type(error).__name__}: {error}") from error


def _shapes(log: Any) -> tuple[tuple[str, Shape], ...]:
    return tuple((name, _shape(log.channel(name).info())) for name in log.channels())


def _shape(info: Any) -> Shape:
    return Shape(
        info.start_offset,
        info.end_offset,
        info.ended,
        tuple(info.cursors.items()),
        tuple(info.producers.items()),
        info.retention,
        info.parent,
    )


def _units(log: Any, history: History, bounds: tuple[int, int]) -> int:
    """After how many units the log is."""
    shapes = _shapes(log)
    found = [units for units in history.find(shapes) if _same_messages(log, history.views[units])]
    least, most = bounds
    for units in found:
        if least <= units <= most:
            return units
    if not found:
        raise Wrong(f"what is there was never there: {_difference(shapes, log, history, bounds)}")
    if found[0] < least:
        raise Wrong(f"after {found[0]} units of at least {least}: what had to last is lost")
    raise Wrong(f"after {found[-1]} units of at most {most}: what had not begun is there")


def _same_messages(log: Any, view: View) -> bool:
    return all(
        list(log.channel(name).replay()) == held.readable() for name, held in view.channels.items()
    )


def _difference(shapes: Any, log: Any, history: History, bounds: tuple[int, int]) -> str:
    """Where it differs from the view that is closest to it."""
    best = None
    for units in range(bounds[0], bounds[1] + 1):
        view = history.views[units]
        expected = dict(view.key)
        differing = [
            n for n in {*expected, *dict(shapes)} if dict(shapes).get(n) != expected.get(n)
        ]
        if not differing:
            return f"after {units} units, but with other messages"
        if best is None or len(differing) < len(best[1]):
            best = units, sorted(differing)
    if best is None:
        return "it should be nothing"
    units, names = best
    expected = dict(history.views[units].key)
    parts = [f"{name}: {dict(shapes).get(name)} for {expected.get(name)}" for name in names[:3]]
    return f"closest to {units} units ({history.views[units].what}): {'; '.join(parts)}"


def _look_for_torn(log: Any, before: Mapping[str, Content], disk: SimulatedDisk) -> list[Lost]:
    """Whatever opening took from a segment must lie aside, and be told of."""
    names = disk.names
    spans = [tuple(map(int, m.groups())) for name in names if (m := _CLUSTERED.fullmatch(name))]
    found = []
    for name, content in before.items():
        if not _RAW.fullmatch(name):
            continue
        number = int(name[:10])
        if name not in names and any(first <= number <= last for first, last in spans):
            continue
        lost = _lost(name, content.whole, disk.read(name) if name in names else b"")
        if lost is not None:
            found.append(lost)
            if not any(_tells_of(torn, lost) for torn in log.recovery.torn):
                raise Wrong(f"{name} was cut at {lost.position}, and nothing tells of it")
    if not found and log.recovery.torn:
        raise Wrong(f"nothing was cut, and it tells of {log.recovery.torn}")
    _look_for_kept(disk, found)
    return found


def _lost(name: str, before: bytes, now: bytes) -> Lost | None:
    if now == before:
        return None
    before = before.rstrip(b"\0")
    if now[: len(before)] == before:
        return None
    start, stop = 0, len(before)
    while start < stop:
        middle = (start + stop + 1) // 2
        if now[:middle] == before[:middle]:
            start = middle
        else:
            stop = middle - 1
    if start < _HEADER_BYTES and len(before) <= _HEADER_BYTES:
        # A header alone holds nothing.
        return None
    if now[start:].strip(b"\0"):
        raise Wrong(f"opening has written into {name} at {start}")
    return Lost(name, start, before[start:])


def _tells_of(torn: Any, lost: Lost) -> bool:
    return (
        torn.path == PATH / lost.name
        and torn.start <= lost.position
        and torn.stop >= lost.position + len(lost.content)
        and torn.kept_as is not None
    )


def _look_for_kept(disk: SimulatedDisk, kept: Iterable[Lost]) -> None:
    for name, position, content in kept:
        for other in disk.names:
            start, _, at = other.partition(".torn-")
            at = at.partition(".")[0]
            if start == name and at.isdigit() and int(at) <= position:
                place = position - int(at)
                if disk.read(other)[place : place + len(content)] == content:
                    break
        else:
            raise Wrong(f"{len(content)} bytes cut from {name} at {position} lie nowhere aside")


def _use(log: Any, disk: SimulatedDisk, view: View, now_ns: int) -> None:
    """Go on with it: the offsets go on, retries double nothing, and it closes and opens clean."""
    expected = dict(view.key)
    for name, held in view.channels.items():
        channel = log.channel(name)
        for producer, (epoch, sequence, offsets) in held.producers.items():
            if offsets and offsets[-1] >= held.shape.start:
                data = held.messages[offsets[-1]].data
                again = channel.producer(producer, epoch=epoch).publish(data, sequence=sequence - 1)
                if again != offsets[-1]:
                    raise Wrong(f"a retry of {producer} in {name} has become {again}")
        if not held.shape.ended and held.shape.end % 3 != 1:
            offset = channel.publish("after the cut")
            if offset != held.shape.end:
                raise Wrong(f"{name} goes on at {offset} instead of {held.shape.end}")
            expected[name] = held.shape._replace(end=offset + 1)
    log.channel("made after the cut").publish(0)
    expected["made after the cut"] = _shape(log.channel("made after the cut").info())
    log.close()
    again = _opened(disk, now_ns + 1_000_000_000)
    again._closed = True
    if not again.recovery.clean or again.recovery.torn or again.recovery.damage:
        raise Wrong(f"after a clean close it tells of {again.recovery}")
    shapes = _shapes(again)
    if dict(shapes) != expected:
        raise Wrong(f"after a clean close there is {shapes}, for {expected}")
    for name, held in view.channels.items():
        found = list(again.channel(name).replay())
        if found[: len(held.readable())] != held.readable():
            raise Wrong(f"after a clean close {name} holds other messages")

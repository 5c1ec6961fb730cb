"""Following a log that another process owns: reading what it appends, taking no part in it."""

from __future__ import annotations

from typing import Any

from ..errors import FormatError
from ..format.batch import HEADER_BYTES, ROLLED, read_header
from ..format.names import clustered_name, parse_clustered, parse_raw, raw_name
from ..format.segment import SEGMENT_HEADER_BYTES, read_segment_header
from .applying import apply, inside, show, wake
from .clustered import ClusteredSegment, Segment
from .clustering import retire
from .creating import clustered_segment
from .recovery import apply_clustered
from .scanning import batch_at
from .segment import RawSegment
from .store import Store

__all__ = ["follow", "relist"]

# First a look at whether there is anything: most looks find nothing, and a large buffer for each
# of them, of which next to nothing is kept, frays the heap of every thread that looks.
_LOOK_BYTES = 1 << 10
_READ_BYTES = 1 << 18


def follow(store: Store) -> bool:
    """Take in what the owner has appended since the last look; returns whether there was any.

    From any thread. The tail is read, not mapped: the owner may cut the file there at any time.
    """
    waiters: list[Any] = []
    with store.lock:
        if store.closed or store.forked:
            return False
        found = False
        while _step(store, waiters):
            found = True
    wake(waiters)
    return found


def _step(store: Store, waiters: list[Any]) -> bool:
    active = store.active
    if active.file is None:
        return _adopt(store, waiters)
    content = active.file.read(active.tail, _LOOK_BYTES)
    header = read_header(content, 0, 1 << 32, active.salt) if len(content) >= HEADER_BYTES else None
    if header is None:
        return False
    if len(content) == _LOOK_BYTES:
        content = active.file.read(active.tail, max(header.length, _READ_BYTES))
    header = batch_at(content, 0, len(content), active.salt)
    if header is None:
        return False
    _reach(active, active.tail + len(content))
    position = 0
    while header is not None:
        _take_in(store, active, waiters, active.tail)
        position += header.length
        if header.kind == ROLLED:
            active.file.close()
            active.file = None
            return True
        header = batch_at(content, position, len(content), active.salt)
    return True


def _reach(active: RawSegment, stop: int) -> None:
    """Map more of the file if the owner has made it longer since it was mapped."""
    if stop > len(active.map):
        assert active.file is not None
        active.map = active.file.map(active.file.size(), writable=False)


def _take_in(store: Store, active: RawSegment, waiters: list[Any], position: int) -> None:
    header = active.header(position)
    reveals = []
    for inner_position, inner in inside(active.map, position, header):
        reveal = apply(store.table, active, inner_position, inner, active.map)
        if reveal is not None:
            reveals.append(reveal)
    waiters += show(reveals)
    store.time_ns = max(store.time_ns, header.time_ns)
    active.tail = position + header.length


def _adopt(store: Store, waiters: list[Any]) -> bool:
    """Go on with the next segment, if there is one: raw, or clustered already."""
    last = max((segment.last for segment in store.segments), default=0)
    spans: list[tuple[tuple[int, int], bool]] = []
    for name in store.folder.names():
        number = parse_raw(name)
        span = parse_clustered(name) if number is None else (number, number)
        if span is not None and span[1] > last:
            spans.append((span, number is not None))
    for span, is_raw in sorted(spans):
        if span[0] > last + 1:
            # The one between was clustered while the names were read; look again.
            return False
        try:
            if not is_raw:
                waiters += _adopt_clustered(store, span)
            elif not _adopt_raw(store, span[0]):
                return False
            # Each look at a new segment is one at the old ones too: the owner rewrites them, and
            # their files are kept by whoever has them mapped.
            _relist(store)
            store.table.prune()
            return True
        except FileNotFoundError:
            # The owner has just clustered it; look again.
            return True
    return False


def _adopt_raw(store: Store, number: int) -> bool:
    file = store.folder.open(raw_name(number), writable=False)
    try:
        header = read_segment_header(file.read(0, SEGMENT_HEADER_BYTES))
    except FormatError:
        # The owner is creating it right now.
        file.close()
        return False
    size = file.size()
    segment = RawSegment(
        number, file, file.map(size, writable=False), header.salt, size, SEGMENT_HEADER_BYTES
    )
    segment.limit = -1
    store.segments = (*store.segments, segment)
    store.active = segment
    return True


def _adopt_clustered(store: Store, span: tuple[int, int]) -> list[Any]:
    clustered = clustered_segment(store, *span)
    waiters, _ = apply_clustered(store, clustered)
    kept: list[Segment] = []
    for segment in store.segments:
        if span[0] <= segment.first and segment.last <= span[1]:
            retire(store, segment)
        else:
            kept.append(segment)
    store.segments = (*kept, clustered)
    return waiters


def relist(store: Store) -> None:
    """Replace the segments by those that are there now: the owner clusters, joins and rewrites
    them, and a file that was not opened in time is gone."""
    with store.lock:
        _relist(store)


def _relist(store: Store) -> None:
    last = max((segment.last for segment in store.segments), default=0)
    spans = [span for name in store.folder.names() if (span := parse_clustered(name))]
    known = {s.name: s for s in store.segments if isinstance(s, ClusteredSegment)}
    fresh: list[Segment] = []
    for first, stop in spans:
        if stop <= last:
            found = known.get(clustered_name(first, stop))
            if found is None or not found.is_current():
                found = clustered_segment(store, first, stop)
            fresh.append(found)
    for segment in store.segments:
        covered = any(first <= segment.first and segment.last <= stop for first, stop in spans)
        if isinstance(segment, RawSegment) and not covered:
            fresh.append(segment)
        elif segment not in fresh:
            retire(store, segment)
    store.segments = tuple(sorted(fresh, key=lambda segment: segment.first))

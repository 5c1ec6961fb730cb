"""The logs that are damaged: small ones that hold everything, in each of the forms a log takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from chanlog import Message
from chanlog.format.batch import CREATED, FRAME, HEADER_BYTES, MESSAGES, Header, read_header
from chanlog.format.body import messages
from chanlog.format.names import CATALOG, parse_clustered, parse_raw
from chanlog.format.records import decode_created
from chanlog.format.segment import SEGMENT_HEADER_BYTES, read_index, read_segment_header
from chanlog.storage.segment import log_position
from chanlog.storage.snapshot import CatalogMeta

from ...storage.worlds import telling
from .images import Files, Image

__all__ = ["LAYOUTS", "Layout", "Place", "layout"]

# What is kept of the room behind the last batch.
ROOM_BYTES = 256


class Place(NamedTuple):
    """A batch, or the header of a frame: where it is, and what it says."""

    name: str
    start: int
    stop: int
    header: Header
    whole: int

    @property
    def position(self) -> int:
        """Where it is in the log; of a part of a frame, where the frame is."""
        number = parse_raw(self.name)
        assert number is not None
        return log_position(number, self.whole)

    @property
    def offsets(self) -> range:
        """The messages in it."""
        if self.header.kind != MESSAGES:
            return range(0)
        return range(self.header.base, self.header.base + self.header.count)


@dataclass
class Layout:
    """A log and the truth about it.

    ``journal`` has every message that was ever published, by channel id and offset; ``names``,
    ``parents`` and ``spans`` say of each channel that can be read what it is called, from which
    it was forked at which offset, and its start and end. ``closed``: the owner had closed it.
    """

    name: str
    size: int
    files: Files
    closed: bool
    journal: dict[tuple[int, int], Message] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    parents: dict[int, tuple[int, int]] = field(default_factory=dict)
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    ids: set[int] = field(default_factory=set)
    places: list[Place] = field(default_factory=list)
    durable: int = 0

    def source(self, id: int, offset: int) -> int:
        """The channel that published ``offset`` of channel ``id``: itself, or an ancestor."""
        while id in self.parents and offset < self.parents[id][1]:
            id = self.parents[id][0]
        return id

    def message(self, id: int, offset: int) -> Message | None:
        """What anybody who reads ``offset`` of channel ``id`` must get."""
        return self.journal.get((self.source(id, offset), offset))

    def touched(self, name: str, changed: set[int]) -> list[Place]:
        """The places that hold a byte that has changed."""
        return [
            place
            for place in self.places
            if place.name == name and not changed.isdisjoint(range(place.start, place.stop))
        ]


def places_of(name: str, content: bytes) -> Iterator[Place]:
    """The batches of a whole segment, frames taken apart."""
    salt = read_segment_header(content).salt
    stop = len(content)
    if parse_clustered(name) is not None:
        stop = read_index(memoryview(content))._position
    yield from _batches(name, content, SEGMENT_HEADER_BYTES, stop, salt)


def _batches(
    name: str, content: bytes, start: int, stop: int, salt: int, frame: int = 0
) -> Iterator[Place]:
    while (header := read_header(content, start, stop, salt)) is not None:
        end = start + header.length
        if header.kind == FRAME:
            yield Place(name, start, start + HEADER_BYTES, header, start)
            yield from _batches(name, content, start + HEADER_BYTES, end, salt, start)
        else:
            yield Place(name, start, end, header, frame or start)
        start = end


def is_segment(name: str) -> bool:
    return parse_raw(name) is not None or parse_clustered(name) is not None


class Teller:
    """Tells a log of everything, and keeps what it was told."""

    def __init__(self, name: str, size: int) -> None:
        self.image = Image()
        self.log: Any = self.image.log()
        self.layout = Layout(name, size, {}, False)

    def note(self) -> None:
        """Read what is raw into the journal: compaction may drop it."""
        for name, content in self.image.files().items():
            if parse_raw(name) is None:
                continue
            for place in places_of(name, content):
                header = place.header
                if header.kind == MESSAGES:
                    found = messages(
                        content, place.start, header.length, header.flags, header.count,
                        header.base, header.time_ns,
                    )  # fmt: skip
                    for message in found:
                        self.layout.journal[header.channel, message.offset] = message
                elif header.kind == CREATED:
                    _, _, parent, at = decode_created(
                        content[place.start + HEADER_BYTES : place.stop]
                    )
                    self.layout.ids.add(header.channel)
                    if parent:
                        self.layout.parents[header.channel] = (parent, at)

    def compact(self) -> None:
        """Cluster all that was told so far."""
        self.note()
        self.log.compact()

    def finish(self, *, close: bool, drop: tuple[str, ...] = ()) -> Layout:
        """The log as it is now, killed or closed, without the files in ``drop``."""
        layout = self.layout
        self.note()
        table = self.log._store.table
        for name in self.log.channels():
            state = table.find(name)
            layout.names[state.id] = name
            layout.spans[state.id] = (state.start_offset, state.next_offset)
        if close:
            self.log.close()
            layout.closed = CATALOG not in drop
        layout.files = {
            name: _shortened(name, content)
            for name, content in self.image.files().items()
            if name not in drop
        }
        if not close:
            self.log.close()
        for name in sorted(filter(is_segment, layout.files)):
            layout.places += places_of(name, layout.files[name])
        if CATALOG in layout.files:
            from chanlog.format.catalog import Catalog

            layout.durable = CatalogMeta.decode(Catalog(layout.files[CATALOG]).meta).durable
        return layout


def _shortened(name: str, content: bytes) -> bytes:
    """A raw segment without most of the room that was reserved in it."""
    if parse_raw(name) is None or content == content.rstrip(b"\0"):
        return content
    return content[: len(content.rstrip(b"\0")) + ROOM_BYTES]


def _told(name: str, size: int, *, rolls: int = 0, syncs: int = 8) -> Teller:
    """Tell it everything, and more of the same for a larger one; roll and sync now and then."""
    teller = Teller(name, size)
    for at, _ in enumerate(_parts(teller.log, size), 1):
        if rolls and at % rolls == 0:
            teller.log._store.roll()
        if at % syncs == 0:
            teller.log.sync()
    return teller


def _parts(log: Any, size: int) -> Iterator[None]:
    yield from telling(log)
    for part in range(16 * (size - 1)):
        log.channel(f"more-{part % 5}").publish(f"{part}" * 100, type="more")
        yield


def _many(log: Any) -> None:
    """Messages of one channel that stay several batches when they are merged, and some that
    become one."""
    for part in range(3):
        log.channel("merged").publish_many([part] * 150, type="t")
        log.channel("small").publish(part, key=str(part))
        log.channel("small").publish(part, type="other")


def _active(size: int) -> Layout:
    return _told("active", size, syncs=12).finish(close=False)


def _closed(size: int) -> Layout:
    return _told("closed", size).finish(close=True)


def _rolled(size: int) -> Layout:
    return _told("rolled", size, rolls=14).finish(close=False)


def _rolled_closed(size: int) -> Layout:
    return _told("rolled-closed", size, rolls=14).finish(close=True)


def _clustered(size: int) -> Layout:
    teller = _told("clustered", size)
    _many(teller.log)
    teller.compact()
    return teller.finish(close=True)


def _bare(size: int) -> Layout:
    teller = _told("bare", size)
    _many(teller.log)
    teller.compact()
    return teller.finish(close=True, drop=(CATALOG,))


def _mixed(size: int) -> Layout:
    teller = _told("mixed", size)
    _many(teller.log)
    teller.compact()
    _many(teller.log)
    teller.log._store.roll()
    teller.log.channel("agent").publish_many(["after", "the", "roll"])
    teller.log.channel("small").end()
    teller.log.sync()
    teller.log.channel("agent").publish("last", type="token")
    return teller.finish(close=False)


LAYOUTS: dict[str, Callable[[int], Layout]] = {
    "active": _active,
    "closed": _closed,
    "rolled": _rolled,
    "rolled-closed": _rolled_closed,
    "clustered": _clustered,
    "bare": _bare,
    "mixed": _mixed,
}


@cache
def layout(name: str, size: int = 1) -> Layout:
    """A layout by its name; made once. ``size`` is how often everything is told in it."""
    return LAYOUTS[name](size)

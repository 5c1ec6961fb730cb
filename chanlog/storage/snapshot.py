"""The catalog file: every channel's state as of one log position, so that opening need not read
the log up to there."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..errors import FormatError
from ..format.catalog import Catalog, build
from ..format.names import CATALOG, temporary
from ..format.payload import pack, unpack
from ..format.segment import MARKER, SEGMENT_HEADER_BYTES
from .segment import POSITION_BITS, RawSegment, log_position
from .store import Store
from .syncing import commit, sync_folder

__all__ = ["CatalogMeta", "load_catalog", "write_catalog"]

_META_FIELDS = 5


class CatalogMeta:
    """What the storage floor keeps beside the channels.

    ``tails`` says for each raw segment how far the catalog has its positions, ``durable`` the log
    position below which all was durable, ``closed`` whether the owner closed the log with it,
    ``retained`` whether some channel has a retention of its own.
    """

    __slots__ = ("closed", "durable", "log_id", "retained", "tails")

    def __init__(
        self, log_id: bytes, tails: dict[int, int], durable: int, closed: bool, retained: bool
    ) -> None:
        self.log_id = log_id
        self.tails = tails
        self.durable = durable
        self.closed = closed
        self.retained = retained

    def encode(self) -> bytes:
        """As the catalog carries it."""
        return pack([self.log_id, self.tails, self.durable, self.closed, self.retained])

    @classmethod
    def decode(cls, packed: bytes) -> CatalogMeta:
        """The inverse. Raises ``FormatError``."""
        fields: Any = unpack(packed)
        if not isinstance(fields, list) or len(fields) != _META_FIELDS:
            raise FormatError("the meta of a catalog is not an array of its fields")
        log_id, tails, durable, closed, retained = fields
        if (
            not isinstance(tails, dict)
            or not all(type(number) is int for number in (durable, *tails, *tails.values()))
            or not all(SEGMENT_HEADER_BYTES <= tail < 1 << POSITION_BITS for tail in tails.values())
            or durable < 0
        ):
            raise FormatError("the meta of a catalog holds something else")
        return cls(log_id, tails, durable, closed is True, retained is True)


def load_catalog(store: Store) -> tuple[Catalog, CatalogMeta] | None:
    """The catalog of the log, or ``None`` if there is none that is right: it can be rebuilt."""
    try:
        file = store.folder.open(CATALOG, writable=False)
    except FileNotFoundError:
        return None
    try:
        size = file.size()
        if size < MARKER.size:
            return None
        catalog = Catalog(memoryview(file.map(size, writable=False))[:size])
        meta = CatalogMeta.decode(catalog.meta)
    except FormatError:
        return None
    finally:
        file.close()
    return (catalog, meta) if meta.log_id == store.log_id else None


def attach_tails(catalog: Catalog, segment: RawSegment) -> None:
    """Let ``segment`` load from the catalog the positions that were known then."""
    segment.load = partial(catalog.tail, segment.first)
    segment.loadable = catalog.tail_ids(segment.first)


def write_catalog(store: Store, *, closing: bool = False) -> None:
    """Write the state of every channel, and let those that nobody uses go cold.

    The states are collected while others go on publishing, so they may hold more than the mark
    says; applying the rest of the log to them again does no harm. They are on the disk only after
    all they tell of is durable.
    """
    table = store.table
    with store.lock:
        base = table.base
        active = store.active
        mark = log_position(active.first, active.tail)
        captured = list(table.changed.values())
        removed = set(table.removed)
        raws = [s for s in store.segments if isinstance(s, RawSegment)]
        tails = {segment.first: segment.tail for segment in raws}
    changed = []
    for state in captured:
        # One by one, so that nobody waits long; each whole, for what counts for the offsets must
        # count for the producers.
        with store.lock:
            if not state.deleted or state.children:
                changed.append(state.to_entry())
            else:
                # Its last fork may have gone just now. What the base says of it is older than its
                # delete, and the log behind the mark does not tell of that again.
                removed.add(state.id)
    positions = {segment.first: _positions(segment, tails[segment.first]) for segment in raws}
    with store.lock:
        next_id = table.next_id
        ticket = store.end_position
    commit(store, ticket)
    store.pristine = False
    store.sealed_bytes = 0
    parts = build(
        base,
        changed,
        removed,
        mark=mark,
        next_id=next_id,
        time_ns=store.time_ns,
        meta=CatalogMeta(store.log_id, tails, ticket, closing, table.retained).encode(),
        tails=positions,
    )
    _replace(store, parts)
    loaded = load_catalog(store)
    if loaded is not None:
        with store.lock:
            table.base = loaded[0]
        for start in range(0, len(captured), _COOLED_AT_ONCE):
            # A few at a time, so that nobody waits long.
            with store.lock:
                table.cool(captured[start : start + _COOLED_AT_ONCE], mark >> 32)
        with store.lock:
            if len(table.changed) < len(captured) // 2:
                # So few are left that copying them keeps nobody waiting.
                table.shrink()
            table.prune()


_COOLED_AT_ONCE = 256


def _positions(segment: RawSegment, tail: int) -> Mapping[int, array[int]]:
    found: dict[int, array[int]] = {}
    for id in segment.channels():
        positions = array("I", segment.positions(id))
        if segment.damaged:
            # They stand in the order of offsets, which may no longer be that of the file.
            positions = array("I", (position for position in positions if position < tail))
        while positions and positions[-1] >= tail:
            positions.pop()
        if positions:
            found[id] = positions
    return found


def _replace(store: Store, parts: list[Any]) -> None:
    folder = store.folder
    name = temporary(CATALOG)
    folder.remove(name)
    file = folder.create(name)
    try:
        position = 0
        for part in parts:
            file.write(position, part)
            position += len(part)
        file.truncate(position)
        file.sync()
    finally:
        file.close()
    folder.rename(name, CATALOG)
    sync_folder(store)

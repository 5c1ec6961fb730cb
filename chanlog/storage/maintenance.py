"""One pass of upkeep: retention, catalog, clustering, and room given back."""

from __future__ import annotations

from ..errors import ChanlogError, CorruptionError
from .clustered import ClusteredSegment, Segment
from .clustering import cluster
from .retention import apply_retention, dead_bytes, size_of, trim_to_size
from .segment import RawSegment
from .snapshot import write_catalog
from .store import Store

__all__ = ["close_files", "compact", "maintain"]

# A segment is rewritten once a third of it is dead, so that at most half as much again as what
# lives is stored.
DEAD_SHARE_MAX = 1 / 3


def maintain(store: Store) -> None:
    """What the background does now and then. Damage stops only the segment that has it.

    Raises ``LogFailed``: the files of a failed log are left for the next opening.
    """
    with store.maintaining:
        store.check_writable()
        _pass(store, forgiving=True)


def compact(store: Store) -> None:
    """The same for everything, the active segment included. Raises ``CorruptionError``, unless the
    log is to go on without what is damaged: what cannot be rewritten then stays as it is."""
    with store.maintaining:
        store.roll()
        _pass(store, forgiving=store.options.on_corruption == "gap")


def _pass(store: Store, *, forgiving: bool) -> None:
    _look_for_damage(store, forgiving)
    apply_retention(store)
    trim_to_size(store)
    sealed = [s for s in store.segments if isinstance(s, RawSegment) and s is not store.active]
    if sealed and _is_catalog_due(store):
        write_catalog(store)
    _cluster_each(store, [[segment] for segment in sealed], forgiving)
    deaths = store.table.deaths
    if deaths != store.deaths_seen:
        _cluster_each(store, _wasteful(store), forgiving)
        store.deaths_seen = deaths
    _cluster_each(store, _small(store), forgiving)


def _look_for_damage(store: Store, forgiving: bool) -> None:
    """Note the clustered segments whose index cannot be read, so that the others are kept up.

    Each is opened for it once: a pass must not map them all again and again.
    """
    for segment in store.segments:
        if (
            isinstance(segment, ClusteredSegment)
            and not segment.sound
            and segment.first not in store.damaged
        ):
            try:
                _ = segment.index
            except CorruptionError:
                store.damaged.add(segment.first)
                if not forgiving:
                    raise


def _cluster_each(store: Store, groups: list[list[Segment]], forgiving: bool) -> None:
    for group in groups:
        if any(segment.first in store.damaged for segment in group):
            continue
        try:
            cluster(store, group)
        except CorruptionError:
            store.damaged.update(segment.first for segment in group)
            if not forgiving:
                raise


def _is_catalog_due(store: Store) -> bool:
    """Whether so much was written since the last catalog that writing one adds little to it."""
    base = store.table.base
    return base is None or 2 * store.sealed_bytes >= base.size_bytes


def _wasteful(store: Store) -> list[list[Segment]]:
    return [
        [segment]
        for segment in store.segments
        if isinstance(segment, ClusteredSegment)
        and segment.first not in store.damaged
        and dead_bytes(store, segment) > DEAD_SHARE_MAX * segment.size
    ]


def _small(store: Store) -> list[list[Segment]]:
    """Runs of neighbours that fit into one segment together, to be joined."""
    groups: list[list[Segment]] = []
    group: list[Segment] = []
    size = 0
    for segment in store.segments:
        if isinstance(segment, RawSegment) or segment.first in store.damaged:
            groups.append(group)
            group, size = [], 0
            continue
        if size + size_of(segment) > store.options.segment_bytes // 2:
            groups.append(group)
            group, size = [], 0
        group.append(segment)
        size += size_of(segment)
    groups.append(group)
    return [group for group in groups if len(group) >= _JOIN_MIN]


# Joining two at a time would write the same bytes again and again.
_JOIN_MIN = 4


def close_files(store: Store) -> None:
    """Accept nothing more, write the last catalog, cut the active segment to its length, and let
    go of the folder. What can go wrong here goes wrong before anything is cut."""
    with store.maintaining:
        with store.lock:
            store.closed = True
            store.halted = True
            store.active.limit = -1
        owned = store.failed is None and not store.read_only
        try:
            if owned and store.folder.durable and not (store.pristine and not store.appends):
                write_catalog(store, closing=True)
        except (ChanlogError, OSError):
            owned = False
            raise
        finally:
            with store.leading, store.lock:
                _let_go(store, cut=owned and store.failed is None)


def _let_go(store: Store, *, cut: bool) -> None:
    active = store.active
    try:
        if cut and active.file is not None:
            active.file.truncate(active.tail)
    finally:
        for segment in store.segments:
            if isinstance(segment, RawSegment) and segment.file is not None:
                segment.file.close()
                segment.file = None
        _forget_others(store)
        if not store.read_only:
            store.folder.unlock()


def _forget_others(store: Store) -> None:
    """Let go of whoever looked after the log: with no cycle left the maps, each of which holds a
    descriptor, go with the last handle."""
    store.on_dirty = store.on_roll = store.on_death = store.on_configured = _nothing
    store.on_wait = store.follow = store.relist = _nothing
    store.opened.forget_all()


def _nothing() -> None:
    """What happens where nobody is interested any more."""

"""Opening a store: lock, undo what a crash left half done, load the catalog, scan the rest."""

from __future__ import annotations

from contextlib import suppress
from typing import cast

from ..errors import (
    CorruptionError,
    FormatError,
    FormatTooNew,
    LogNotFound,
    NotALog,
)
from ..format.batch import HEADER_BYTES
from ..format.catalog import Catalog
from ..format.names import (
    LOCK,
    MARKER,
    TEMPORARY,
    is_ours,
    parse_clustered,
    parse_raw,
    raw_name,
    segment_files,
    temporary,
)
from ..format.segment import SEGMENT_HEADER_BYTES, encode_marker, read_marker, read_segment_header
from ..host import NO_BUFFER, Buffer, File, Folder, Host
from ..options import Options
from .clustered import ClusteredSegment
from .creating import clustered_segment
from .recovery import Damage, Recovery, SegmentMissing, recover
from .segment import Nowhere, RawSegment, log_position
from .snapshot import CatalogMeta, attach_tails, load_catalog
from .store import Store
from .table import ChannelTable

__all__ = ["open_store", "read_log_id"]


def open_store(
    folder: Folder, options: Options, host: Host, *, read_only: bool, create: bool
) -> tuple[Store, Recovery]:
    """The store in ``folder``, with all that a crash may have left put right.

    Raises ``LogLocked``, ``NotALog``, ``LogNotFound``, ``FormatTooNew``, ``CorruptionError``.
    With ``read_only`` it takes no lock and changes nothing.
    """
    _check_names(folder, create and not read_only)
    if read_only:
        # The owner may be replacing files right now; what vanished between two looks is looked
        # for anew.
        for _ in range(_LOOKS_MAX):
            with suppress(FileNotFoundError, SegmentMissing):
                return _open(folder, options, host, read_only=True)
        return _open(folder, options, host, read_only=True)
    folder.lock(LOCK)
    try:
        return _open(folder, options, host, read_only=False)
    except BaseException:
        folder.unlock()
        raise


_LOOKS_MAX = 20


def _check_names(folder: Folder, create: bool) -> None:
    try:
        names = folder.names()
    except FileNotFoundError:
        if not create:
            raise _no_log(folder) from None
        folder.make()
        return
    if MARKER in names:
        return
    foreign = sorted(name for name in names if not is_ours(name))
    if foreign or any(parse_raw(name) is not None for name in names):
        what = f"it holds {foreign[0]!r}" if foreign else f"the file {MARKER!r} is missing"
        raise NotALog(
            f"{folder.path} is not a chanlog log: {what}. Choose an empty or a new directory",
            path=folder.path,
        )
    if not create:
        raise _no_log(folder)
    # Whoever made it may have died before its name was durable.
    folder.make()


def _no_log(folder: Folder) -> LogNotFound:
    return LogNotFound(f"there is no log in {folder.path}; check the path", path=folder.path)


def _open(
    folder: Folder, options: Options, host: Host, *, read_only: bool
) -> tuple[Store, Recovery]:
    log_id = read_log_id(folder, None if read_only else host)
    store = Store(folder, options, host, log_id)
    store.read_only = read_only
    loaded = load_catalog(store)
    report = Recovery()
    raws, clustered = _list_segments(store)
    starts: dict[int, int] = {}
    durable = 0
    mark = 0
    if loaded is not None:
        catalog, meta = loaded
        store.table = ChannelTable(catalog)
        store.table.retained = meta.retained
        store.time_ns = catalog.time_ns
        mark = catalog.mark
        durable = meta.durable
        report.clean = meta.closed
        starts = _use_tails(store, catalog, meta, raws, report)
    else:
        report.catalog_rebuilt = bool(raws or clustered)
        report.clean = not report.catalog_rebuilt
        starts = {segment.first: SEGMENT_HEADER_BYTES for segment in raws}
    for segment in clustered:
        # A clustered segment takes its place only when all before it is durable.
        durable = max(durable, log_position(segment.last + 1, 0))
        if segment.last >= mark >> 32:
            starts[segment.first] = SEGMENT_HEADER_BYTES
    count = len(raws)
    durable = recover(store, raws, clustered, starts, durable, report)
    store.wounded = bool(report.damage)
    if report.scanned_bytes or report.torn or report.damage or count != len(raws):
        report.clean = False
    store.pristine = report.clean and loaded is not None
    store.segments = tuple(sorted([*clustered, *raws], key=lambda segment: segment.first))
    store.active = Nowhere(max((s.last for s in store.segments), default=0))
    if raws and not read_only:
        if not report.clean:
            _sync_again(store, raws, durable)
        _settle(store, raws)
    elif raws:
        store.active = last = raws[-1]
        last.limit = -1
        # What was closed was synced first; else a batch says what was durable before it.
        store.durable = log_position(last.first, last.tail) if report.clean else durable
        for raw in raws:
            _map_read_only(raw)
        if last.is_rolled and last.file is not None:
            # The owner goes on in the next one.
            last.file.close()
            last.file = None
    return store, report


def read_log_id(folder: Folder, host: Host | None = None) -> bytes:
    """The id of the log in ``folder``; with a ``host`` to make one, of a new log there.

    Raises ``NotALog``, ``LogNotFound``, ``FormatTooNew``.
    """
    path = folder.path / MARKER if folder.path is not None else None
    try:
        file = folder.open(MARKER, writable=False)
    except NotADirectoryError:
        raise NotALog(
            f"{folder.path} is a file, and a log is a directory", path=folder.path
        ) from None
    except FileNotFoundError:
        if host is None:
            raise _no_log(folder) from None
        return _write_marker(folder, host)
    try:
        return read_marker(file.read(0, 4096))[0]
    except FormatTooNew as error:
        error.path = path  # type: ignore[assignment]
        error.args = (f"{folder.path}: {error}",)
        raise
    except FormatError as error:
        raise NotALog(f"{folder.path} is not a chanlog log: {error}", path=folder.path) from None
    finally:
        file.close()


def _write_marker(folder: Folder, host: Host) -> bytes:
    log_id = host.random_bytes(16)
    name = temporary(MARKER)
    folder.remove(name)
    file = folder.create(name)
    try:
        file.write(0, encode_marker(log_id, host.clock()))
        file.sync()
    finally:
        file.close()
    folder.rename(name, MARKER)
    # Before anything else is there: segments without a marker are not taken for a log.
    folder.sync()
    return log_id


def _list_segments(store: Store) -> tuple[list[RawSegment], list[ClusteredSegment]]:
    """The segments that count. Leftovers of clustering, and what is unfinished, are removed."""
    names = store.folder.names()
    found, leftovers = segment_files(names)
    raws: list[RawSegment] = []
    clustered: list[ClusteredSegment] = []
    for span, name in found:
        if parse_clustered(name) is not None:
            clustered.append(clustered_segment(store, *span))
        else:
            raws.append(_open_raw(store, span[0]))
    if not store.read_only:
        for name in [*leftovers, *(name for name in names if name.endswith(TEMPORARY))]:
            store.folder.remove(name)
    return raws, clustered


def _open_raw(store: Store, number: int) -> RawSegment:
    """A raw segment, mapped as it is. One whose header is not right has the salt 0, which no
    batch has; what to make of it depends on what was durable."""
    name = raw_name(number)
    file = store.folder.open(name, writable=not store.read_only)
    try:
        size = file.size()
        salt = _salt(store, name, number, file.read(0, SEGMENT_HEADER_BYTES))
        if store.read_only:
            return _raw_copy(file, number, salt, size)
        mapped = file.map(size, writable=True) if size else NO_BUFFER
        size = file.reach()
    except BaseException:
        file.close()
        raise
    return RawSegment(number, file, mapped, salt, size, SEGMENT_HEADER_BYTES)


def _salt(store: Store, name: str, number: int, head: bytes) -> int:
    try:
        header = read_segment_header(head)
    except FormatTooNew as error:
        error.path = store.path_of(name)  # type: ignore[assignment]
        raise
    except FormatError:
        return 0
    if header.log_id != store.log_id or header.first != number:
        raise CorruptionError(
            f"{name} has the header of another segment; nothing was changed. Put back the file "
            "that belongs here",
            path=store.path_of(name),
            start=0,
            stop=SEGMENT_HEADER_BYTES,
            channel=None,
            first_offset=None,
            stop_offset=None,
        )
    return header.salt


def _raw_copy(file: File, number: int, salt: int, size: int) -> RawSegment:
    """A raw segment of somebody else's log, as a copy for scanning: the owner may cut the file at
    any time, and touching a map behind the cut would kill this process."""
    content = file.read(0, size)
    copy = cast(Buffer, content)
    return RawSegment(number, file, copy, salt, len(content), SEGMENT_HEADER_BYTES)


def _map_read_only(segment: RawSegment) -> None:
    """Replace the copy by a map: what was found right is never cut."""
    file = segment.file
    assert file is not None
    while True:
        size = file.size()
        try:
            segment.map = file.map(size, writable=False)
        except ValueError:
            continue
        segment.size = size
        return


def _use_tails(
    store: Store, catalog: Catalog, meta: CatalogMeta, raws: list[RawSegment], report: Recovery
) -> dict[int, int]:
    """Where to begin scanning each raw segment, given what the catalog knows of it."""
    starts: dict[int, int] = {}
    for segment in raws:
        tail = meta.tails.get(segment.first)
        if tail is None:
            starts[segment.first] = SEGMENT_HEADER_BYTES
            continue
        attach_tails(catalog, segment)
        if tail > segment.size:
            _shortened(store, segment, tail, report)
            tail = segment.size
        segment.tail = segment.trusted = tail
        # Nothing follows the record that ends a segment, though the catalog may have been written
        # before there was a next one.
        if segment.first >= catalog.mark >> 32 and not segment.is_rolled:
            starts[segment.first] = tail
    return starts


def _shortened(store: Store, segment: RawSegment, tail: int, report: Recovery) -> None:
    """A segment is shorter than it was durable: raise, or note it if the log is to go on."""
    path = store.path_of(segment.name)
    if store.options.on_corruption == "raise":
        raise CorruptionError(
            f"{segment.name} ends at {segment.size}, and was durable up to {tail}; nothing was "
            'changed. Restore the file from a copy, or open with on_corruption="gap" to go on '
            "without what is missing",
            path=path,
            start=segment.size,
            stop=tail,
            channel=None,
            first_offset=None,
            stop_offset=None,
        )
    report.damage.append(Damage(path, segment.size, tail, None, None, None))


def _sync_again(store: Store, raws: list[RawSegment], durable: int) -> None:
    """Make durable what survived.

    What is not known to have been is written over itself first: after a sync that failed the
    system may take its pages for clean although the disk does not have them, and a sync alone
    would have nothing to do and succeed.
    """
    for segment in raws:
        assert segment.file is not None
        start = max(0, durable - log_position(segment.first, 0))
        for position in range(start, segment.tail, _WRITE_BYTES):
            stop = min(position + _WRITE_BYTES, segment.tail)
            segment.file.write(position, segment.map[position:stop])
        segment.file.sync()
    # Whoever was killed may not have synced the name of its last file.
    store.folder.sync()


_WRITE_BYTES = 1 << 20


def _settle(store: Store, raws: list[RawSegment]) -> None:
    """Choose the segment to go on with."""
    last = raws[-1]
    store.durable = log_position(last.first, last.tail)
    # Nothing can be found again in a segment without a salt, so another one is begun behind it.
    if store.segments[-1] is last and not last.is_rolled and last.salt:
        # A segment always has room for the record that ends it.
        _grow(last, max(store.options.segment_bytes, last.tail + HEADER_BYTES))
        store.active = last
        last.limit = last.tail
        raws = raws[:-1]
    for segment in raws:
        assert segment.file is not None
        segment.file.close()
        segment.file = None
        segment.limit = -1


def _grow(segment: RawSegment, size: int) -> None:
    """Make the file long enough to go on with: a clean close had cut it to what it held.

    Its length is durable before anything is stored behind the old end. Else power may keep what
    was stored and not the length, and the next opening would grow the file over it again: a
    message that was lost would come back to life.
    """
    if segment.size < size:
        assert segment.file is not None
        segment.file.truncate(size)
        segment.file.sync()
        segment.map = segment.file.map(size, writable=True)
        segment.size = size

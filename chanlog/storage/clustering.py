"""Rewriting sealed segments so that each channel's batches lie together, in large ones.

The one mechanism behind fast replay, quick opening, small memory and retention: what is dead is
left out, and what is left is found through an index at the end of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ..errors import CorruptionError, LogClosed
from ..format.batch import (
    CONFIGURED,
    CURSOR,
    DELETED,
    HEADER,
    HEADER_BYTES,
    MESSAGES,
    PRODUCER,
    Header,
    encode,
)
from ..format.body import Meta, merge, payload_bytes, read_meta
from ..format.names import clustered_name, temporary
from ..format.records import decode_cursor
from ..format.segment import (
    Entry,
    encode_footer,
    encode_segment_header,
)
from ..host import File
from .clustered import ClusteredSegment, Segment
from .controls import batches_of, control_records, is_whole, producer_records, restored
from .creating import clustered_segment
from .gathering import BATCH_BYTES_MAX, gather
from .reading import RUN_COUNT_MAX
from .scanning import batch_at
from .segment import RawSegment
from .state import ChannelState
from .store import Store
from .syncing import commit, sync_folder

__all__ = ["Keep", "cluster", "keep_of", "retire"]

_WRITE_BYTES = 1 << 20
_read_header = HEADER.unpack_from


class Keep:
    """Which messages of a channel somebody can still read: offsets from ``low`` below ``high``.

    ``plain``: it has neither producers nor forks, and was not deleted.
    """

    __slots__ = ("high", "low", "plain")

    def __init__(self, low: int, high: int, *, plain: bool = False) -> None:
        self.plain = plain
        self.low = low
        self.high = high


def keep_of(store: Store, id: int) -> Keep | None:
    """What is to be kept of the channel ``id``; ``None`` if nothing is."""
    with store.lock:
        start = store.table.plain_start(id)
        if start is not None:
            return Keep(start, _NO_END, plain=True)
        state = store.table.find_id(id)
        if state is None:
            return None
        low, high = (state.start_offset, _NO_END) if not state.deleted else (_NO_END, 0)
        for child in state.children:
            fork = store.table.find_id(child)
            if fork is None or fork.parent is None:
                continue
            forked = _lowest(store, fork)
            if forked < fork.parent[1]:
                low = min(low, forked)
                high = max(high, fork.parent[1])
        return Keep(low, high)


_NO_END = 1 << 63


def _lowest(store: Store, fork: ChannelState) -> int:
    """The lowest offset that the fork, or one of its own forks, can still read."""
    low = fork.start_offset if not fork.deleted else 1 << 63
    for child in fork.children:
        state = store.table.find_id(child)
        if state is not None and state.parent is not None:
            lowest = _lowest(store, state)
            if lowest < state.parent[1]:
                low = min(low, lowest)
    return low


def cluster(store: Store, segments: list[Segment]) -> None:
    """Rewrite adjacent sealed segments as one clustered one, and put it in their place.

    For the one maintenance thread. Readers that are inside of the old segments go on there.
    """
    first, last = segments[0].first, segments[-1].last
    name = clustered_name(first, last)
    store.folder.remove(temporary(name))
    file = store.folder.create(temporary(name))
    try:
        writer = Writer(store, file, first, last)
        # What is forgotten from here on is left out the next time.
        keeps = _keeps(store, segments)
        writer.records(segments, keeps)
        for id, keep in keeps.items():
            if store.stopping:
                raise _closing()
            if keep is not None:
                writer.channel(id, keep, segments)
        writer.finish()
        # The producers' records may tell of messages that are not durable yet.
        commit(store, store.end_position)
        file.sync()
    except BaseException:
        file.close()
        with suppress(OSError):
            store.folder.remove(temporary(name))
        raise
    file.close()
    store.folder.rename(temporary(name), name)
    sync_folder(store)
    # The commit point: from here on, opening the log takes the new file and removes the old.
    store.wounded = False
    # A file that holds nothing is kept too: there is one for each number, so none can go missing
    # in silence.
    _install(store, segments, clustered_segment(store, first, last))


def _keeps(store: Store, segments: list[Segment]) -> dict[int, Keep | None]:
    """What is to be kept of each channel that has messages in the segments, in order of ids."""
    keeps: dict[int, Keep | None] = {}
    for id in sorted({id for segment in segments for id in _ids(segment)}):
        if store.stopping:
            raise _closing()
        keeps[id] = keep_of(store, id)
    return keeps


def _closing() -> LogClosed:
    return LogClosed("the log is being closed; compaction is for another time")


def _ids(segment: Segment) -> Iterable[int]:
    if isinstance(segment, RawSegment):
        return segment.channels()
    return [entry.channel for entry in segment.index]


def _install(store: Store, segments: list[Segment], new: ClusteredSegment) -> None:
    with store.lock:
        place = store.segments.index(segments[0])
        store.segments = (
            *store.segments[:place], new, *store.segments[place + len(segments):],
        )  # fmt: skip
        for segment in segments:
            retire(store, segment)
        store.compactions += 1
    for segment in segments:
        if isinstance(segment, RawSegment) and segment.file is not None:
            segment.file.close()
            segment.file = None
        if segment.name != new.name:
            store.folder.remove(segment.name)


def retire(store: Store, segment: Segment) -> None:
    """``segment`` was rewritten: nothing but a reader that is inside of it keeps it. Call with the
    lock held."""
    segment.retired = True
    store.opened.forget(segment)
    if isinstance(segment, RawSegment):
        # A channel that is quiet since must not keep it alive either.
        for state in map(store.table.known, segment.index):
            if state is not None and state.segment is segment:
                state.segment = None


class Writer:
    """Writes one clustered file: control records first, then channel by channel."""

    def __init__(self, store: Store, file: File, first: int, last: int) -> None:
        self._store = store
        self._file = file
        self._salt = int.from_bytes(store.host.random_bytes(2), "little") | 0x0101
        self._parts: list[bytes] = []
        self._pending = 0
        self._written = 0
        self._entries: list[Entry] = []
        self._messages = 0
        self._control_stop = 0
        self._put(
            encode_segment_header(
                salt=self._salt, first=first, last=last, created_ns=store.clock(),
                log_id=store.log_id,
            )
        )  # fmt: skip

    @property
    def position(self) -> int:
        """Where the next byte goes."""
        return self._written + self._pending

    def _put(self, content: bytes) -> None:
        self._parts.append(content)
        self._pending += len(content)
        if self._pending >= _WRITE_BYTES:
            self._flush()

    def _flush(self) -> None:
        content = b"".join(self._parts)
        self._file.write(self._written, content)
        self._written += len(content)
        self._parts.clear()
        self._pending = 0

    def _batch(
        self, kind: int, body: bytes, channel: int, base: int, time_ns: int,
        flags: int = 0, count: int = 0,
    ) -> None:  # fmt: skip
        self._put(
            encode(
                kind, body, salt=self._salt, channel=channel, time_ns=time_ns, mark=0,
                flags=flags, count=count, base=base,
            )
        )  # fmt: skip

    # Control records.

    def records(self, segments: list[Segment], keeps: Mapping[int, Keep | None]) -> None:
        """The control records that still mean something, of several of a kind the last one.

        Where damage may have taken some, or messages, all that is known of every channel is said
        anew: see ``restored``.
        """
        holes: list[int] = []
        latest = self._latest(segments, holes)
        if self._store.wounded or holes or not all(map(is_whole, segments)):
            for record in restored(self._store):
                self._batch(*record)
            latest = [found for found in latest if not self._is_known(found[0])]
        producing: set[int] = set()
        for header, body in latest:
            if header.kind == PRODUCER:
                producing.add(header.channel)
            elif _is_plain(keeps, header.channel) or not self._is_dead(header, segments):
                self._batch(header.kind, body, header.channel, header.base, header.time_ns)
        producing.update(keeps)
        for id in sorted(id for id in producing if not _is_plain(keeps, id)):
            self._producers(id)
        self._control_stop = self.position

    def _latest(self, segments: list[Segment], holes: list[int]) -> list[tuple[Header, bytes]]:
        latest: dict[tuple[Any, ...], tuple[Header, bytes]] = {}
        for segment in segments:
            for position, header in control_records(segment, holes):
                body = segment.map[position + HEADER_BYTES : position + header.length]
                key = _key(header, body)
                # Order matters between kinds, so what comes again goes to the end.
                before = latest.pop(key, None)
                base = header.base
                if before is not None and header.kind == CONFIGURED:
                    # What was given out once stays given out.
                    base = max(base, before[0].base)
                if base != header.base:
                    header = header._replace(base=base)  # noqa: PLW2901
                latest[key] = (header, body)
        return list(latest.values())

    def _is_known(self, header: Header) -> bool:
        with self._store.lock:
            return self._store.table.find_id(header.channel) is not None

    def _is_dead(self, header: Header, segments: list[Segment]) -> bool:
        with self._store.lock:
            if self._store.table.find_id(header.channel) is not None:
                return False
            # The record of a delete outlives what it deletes: older segments may hold the rest.
            older = [s for s in self._store.segments if s.last < segments[0].first]
            base = self._store.table.base
        if header.kind == DELETED and base is not None and base.find_id(header.channel) is not None:
            # So may the catalog, until the next one is written.
            return False
        return header.kind != DELETED or not any(_mentions(s, header.channel) for s in older)

    def _producers(self, id: int) -> None:
        """The state of a channel's producers now: what batches told of them is merged away.

        It may be ahead of these segments. That does no harm, because it is durable before this
        file takes their place, and what comes later in the log is known already.
        """
        with self._store.lock:
            state = self._store.table.find_id(id)
            if state is None or not state.producers:
                return
            records = list(producer_records(state, self._store.time_ns))
        for record in records:
            self._batch(*record)

    # Messages.

    def channel(self, id: int, keep: Keep, segments: list[Segment]) -> None:
        """All that is kept of one channel's messages."""
        start = self.position
        batches = 0
        base = end = -1
        times = (0, 0)
        for group in _groups(_batches(self._store, id, keep, segments)):
            batch_base, count, first_ns, last_ns, flags, body = group
            if base < 0:
                base = batch_base
                times = (first_ns, first_ns)
            self._batch(MESSAGES, body, id, batch_base, first_ns, flags, count)
            end = batch_base + count
            times = (times[0], last_ns)
            self._messages += count
            batches += 1
        if batches:
            self._entries.append(
                Entry(id, batches, start, self.position, base, end, times[0], times[1])
            )

    def finish(self) -> None:
        """The index and footer."""
        self._put(
            encode_footer(
                self._entries,
                index_position=self.position,
                control_stop=self._control_stop,
                messages=self._messages,
            )
        )
        self._flush()


Batch = tuple[int, int, int, Any, Meta]
"""(base, count, time_ns, packed payloads, meta)"""


def _batches(store: Store, id: int, keep: Keep, segments: list[Segment]) -> Iterator[Batch]:
    """The batches of a channel that hold a message to be kept, in order.

    Every checksum is verified, for what is written here gets a new one. Raises ``CorruptionError``
    unless the log may go on without what is damaged.
    """
    reached = 0
    for segment in segments:
        mapped = segment.map
        behind = 0
        for place, position in enumerate(batches_of(segment, id)):
            if place < behind:
                continue
            if isinstance(segment, RawSegment):
                some = segment.positions(id)[place : place + RUN_COUNT_MAX]
                gathered = gather(segment, id, some, max(keep.low, reached), keep.high)
                if gathered is not None:
                    yield gathered
                    behind = place + gathered[1]
                    reached = gathered[0] + gathered[1]
                    continue
            try:
                header = _verified(store, segment, position, id, reached)
            except CorruptionError:
                if store.options.on_corruption == "raise":
                    raise
                continue
            end = reached = header.base + header.count
            if end <= keep.low or header.base >= keep.high:
                continue
            packed = payload_bytes(mapped, position, header.length, header.flags)
            meta = read_meta(mapped, position, header.length, header.flags)
            yield header.base, header.count, header.time_ns, packed, meta


def _verified(store: Store, segment: Segment, position: int, channel: int, reached: int) -> Header:
    """The header of a batch of ``channel`` that is right, and does not repeat offsets below
    ``reached``, as it would where a sector was written twice."""
    header: Header | None
    if isinstance(segment, ClusteredSegment):
        header = segment.verify(position, segment.size, channel)
    else:
        header = batch_at(segment.map, position, segment.tail, segment.salt)
    if (
        header is None
        or (header.channel, header.kind) != (channel, MESSAGES)
        or header.base < reached
    ):
        raise CorruptionError(
            f"{segment.name}, position {position}: a batch is damaged; the segment stays as it is",
            path=store.path_of(segment.name),
            start=position,
            stop=position,
            channel=None,
            first_offset=None,
            stop_offset=None,
        )
    return header


def _groups(batches: Iterable[Batch]) -> Iterator[tuple[int, int, int, int, int, bytes]]:
    """Merge neighbours into batches of a good size: (base, count, first and last time, flags,
    body)."""
    group: list[Batch] = []
    count = size = 0
    for batch in batches:
        if group and (
            count + batch[1] > RUN_COUNT_MAX
            or size + len(batch[3]) > BATCH_BYTES_MAX
            or batch[0] != group[-1][0] + group[-1][1]
        ):
            yield _merged(group)
            group, count, size = [], 0, 0
        group.append(batch)
        count += batch[1]
        size += len(batch[3])
    if group:
        yield _merged(group)


def _merged(group: list[Batch]) -> tuple[int, int, int, int, int, bytes]:
    base = group[0][0]
    last = group[-1]
    flags, body = merge([(batch[1], batch[2], batch[3], batch[4]) for batch in group])
    deltas = last[4][0]
    last_ns = last[2] + (sum(deltas) if deltas else 0)
    return base, last[0] + last[1] - base, group[0][2], last_ns, flags, body


def _is_plain(keeps: Mapping[int, Keep | None], id: int) -> bool:
    keep = keeps.get(id)
    return keep is not None and keep.plain


def _key(header: Header, body: bytes) -> tuple[Any, ...]:
    if header.kind == CURSOR:
        return header.kind, header.channel, decode_cursor(body)[0]
    return header.kind, header.channel


def _mentions(segment: Segment, id: int) -> bool:
    if isinstance(segment, RawSegment):
        return True
    return segment.index.find(id) is not None or any(
        header.channel == id for _, header in control_records(segment)
    )

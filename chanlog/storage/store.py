"""The store: appending to the one log that all channels share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet
from zlib import crc32

from ..errors import (
    DiskFull,
    ForkedProcess,
    LogClosed,
    LogFailed,
    ReadOnly,
)
from ..format.batch import (
    CHECKSUM,
    CREATED,
    DELETED,
    ENDED,
    FRAME,
    HEADER_BYTES,
    HEADER_REST,
    MESSAGES,
    ROLLED,
    encode,
    read_header,
)
from ..format.records import encode_record
from ..format.segment import SEGMENT_HEADER_BYTES
from ..host import Folder, Host
from ..options import Options
from .applying import Reveal, apply, inside, show, wake
from .clustered import MapBudget, Segment
from .creating import create_segment
from .draft import Draft
from .refusals import broken, frame_too_large, sealed, unexpected
from .segment import Nowhere, RawSegment, log_position
from .state import ChannelState
from .table import ChannelTable

__all__ = ["MAPPED_BYTES_MAX", "Draft", "Store"]

FRAME_BYTES_MAX = 1 << 30
# What is larger and to be synced is written through the file, not copied into the map.
MAPPED_BYTES_MAX = 32 * 1024

_pack_rest = HEADER_REST.pack
_pack_checksum = CHECKSUM.pack


class Store:
    """One log in one folder.

    ``lock`` guards the table of channels, every channel's state, the active segment and the
    counters; it is held for a few microseconds, and never while waiting for a disk but to make
    room. ``leading`` is held by whoever syncs (see ``syncing``), ``maintaining`` by whoever
    compacts; each is taken before the ones named earlier.
    """

    def __init__(self, folder: Folder, options: Options, host: Host, log_id: bytes) -> None:
        self.folder = folder
        self.options = options
        self.host = host
        self.log_id = log_id
        self.lock = threading.Lock()
        self.leading = threading.Lock()
        self.maintaining = threading.Lock()
        # Those who wait for a sync, or ``None`` while nobody leads one; guarded by ``row_lock``.
        self.row: list[Any] | None = None
        self.row_lock = threading.Lock()
        self.table = ChannelTable()
        self.segments: tuple[Segment, ...] = ()
        self.active: RawSegment = Nowhere(0)
        self.clock = host.clock
        self.timer = host.timer
        self.time_ns = 0
        self.durable = 0
        self.deferred = options.sync == "always"
        self.unseen: list[tuple[int, Reveal]] = []
        # Where the last record ends that shows before it is durable, under ``always`` too.
        self.changed = 0
        self.folder_dirty = False
        self.dirty = False
        self.read_only = False
        self.closed = False
        self.forked = False
        self.failed: BaseException | None = None
        self.on_dirty: Callable[[], None] = _nothing
        self.on_roll: Callable[[], None] = _nothing
        self.on_death: Callable[[], None] = _nothing
        self.on_configured: Callable[[], None] = _nothing
        self.on_wait: Callable[[], None] = _nothing
        # Looks for what another process has appended; for a log that was opened read-only.
        self.follow: Callable[[], object] = _nothing
        # Looks for the segments anew, when a file is gone that one of them was in.
        self.relist: Callable[[], None] = _nothing
        # Set when a reader has to look at more than offsets: the log is closed, failed, exiting,
        # in a forked child, or somebody else's.
        self.halted = False
        self.exiting = False
        # Closed by its owner, and not written since: then there is nothing to write at a close.
        self.pristine = False
        # Asks whoever compacts to leave it for another time.
        self.stopping = False
        self.appends = 0
        # How much was sealed since the last catalog.
        self.sealed_bytes = 0
        self.syncs = 0
        self.compactions = 0
        # Segments that cannot be rewritten because of damage, and how much had died when dead
        # space was last looked for.
        self.damaged: set[int] = set()
        # Opening has found damage: what is rewritten next says again all that is known.
        self.wounded = False
        self.deaths_seen = -1
        self.listening: WeakSet[ChannelState] = WeakSet()
        self.opened = MapBudget()

    # The hot path of a publish. It does inline what ``write`` does in general; the two are held
    # together by a test that compares their bytes.

    def append(
        self,
        state: ChannelState,
        body: bytes,
        checksum: int,
        flags: int,
        count: int,
        type: str | None,
        sender: str | None,
        expect: int | None,
        soon: bool = False,
    ) -> int:
        """Append one batch of messages to an existing channel, visible at once, not synced.

        ``checksum`` is that of ``body``, computed outside the lock. ``soon`` says that a sync
        follows at once, so that the background need not be woken for it. Returns the base offset.
        """
        length = HEADER_BYTES + len(body)
        position = -1
        waiters: list[Any] | None = None
        try:
            with self.lock:
                try:
                    if state.sealed:
                        raise sealed(state)
                    offset = state.next_offset
                    if expect is not None and expect != offset:
                        raise unexpected(state, expect)
                    active = self.active
                    if active.tail + length > active.limit:
                        active = self.make_room(length)
                    now = self.clock()
                    if now < self.time_ns:
                        now = self.time_ns
                    else:
                        self.time_ns = now
                    rest = _pack_rest(
                        MESSAGES, flags, active.salt, length, checksum, state.id, count, offset,
                        now, self.durable,
                    )  # fmt: skip
                    if state.segment is not active:
                        self._attach(state, active)
                    head = _pack_checksum(crc32(rest))
                    position = active.tail
                    active.map[position : position + length] = head + rest + body
                    # It has happened: whatever interrupts from here on, ``_settle`` completes it.
                    state.positions.append(position)
                    active.tail = position + length
                    state.time_ns = now
                    state.next_offset = offset + count
                    self.appends += 1
                    # The listeners count it before readers see it: who sees the end may rely on
                    # them.
                    if state.listeners is not None:
                        waiters = state.listeners.published(type, sender, offset + count)
                    state.end_offset = offset + count
                    if not self.dirty and not soon:
                        self.dirty = True
                        self.on_dirty()
                except BaseException:
                    if position >= 0:
                        waiters = self._settle(state, active, position, length, offset + count)
                    raise
            if waiters:
                wake(waiters)
        except BaseException:
            wake(waiters)
            raise
        return offset

    def _attach(self, state: ChannelState, active: RawSegment) -> None:
        self.table.touch(state, active.first)
        state.positions = active.writable_positions(state.id)
        state.segment = active

    def _settle(
        self, state: ChannelState, active: RawSegment, position: int, length: int, end: int
    ) -> list[Any] | None:
        """Complete an append that an exception (a signal's, most likely) interrupted, still under
        the lock, and return whom to wake.

        If its bytes are in the map it has happened, and a reader in another process may have seen
        it; else nothing has. Every step can be repeated.
        """
        header = read_header(active.map, position, active.size, active.salt)
        if header is None or (header.channel, header.base + header.count) != (state.id, end):
            return None
        if not state.positions or state.positions[-1] < position:
            state.positions.append(position)
        active.tail = position + length
        self.dirty = True
        self.on_dirty()
        # Whether they had been told is not known; that something came is enough.
        waiters = state.listeners.skipped(end) if state.listeners is not None else None
        state.next_offset = state.end_offset = max(state.end_offset, end)
        return waiters

    # Everything else: control records, frames, new channels, and what is to be durable.

    def write(self, drafts: Sequence[Draft], *, durable: bool = False) -> tuple[list[int], int]:
        """Append batches, several of them as one frame, all or nothing.

        Returns the base offset of each draft, and the log position that must be durable for them
        to be. Under the policy ``always`` readers see them only once that is so.
        """
        waiters: list[Any] = []
        try:
            with self.lock:
                self.check_writable()
                bases, batches = self._plan(drafts)
                if not batches:
                    # What was found to have happened already may not be durable yet.
                    return bases, self.end_position
                length = sum(HEADER_BYTES + len(draft.body) for draft, _, _ in batches)
                framed = len(batches) > 1
                if framed:
                    length += HEADER_BYTES
                if length > FRAME_BYTES_MAX:
                    raise frame_too_large(length, FRAME_BYTES_MAX)
                active = self.active
                if active.tail + length > active.limit:
                    active = self.make_room(length)
                content = self._encode(batches, active, framed)
                position = active.tail
                waiters = self._store(
                    active, position, content,
                    large=(durable or self.deferred) and length > MAPPED_BYTES_MAX,
                )  # fmt: skip
                ticket = log_position(active.first, position + length)
            wake(waiters)
        except BaseException:
            wake(waiters)
            raise
        return bases, ticket

    def _plan(self, drafts: Iterable[Draft]) -> tuple[list[int], list[tuple[Draft, int, int]]]:
        """Check the drafts and give each its channel id and base; new channels get a record."""
        bases: list[int] = []
        batches: list[tuple[Draft, int, int]] = []
        next_offsets: dict[ChannelState, int] = {}
        ids: dict[ChannelState, int] = {}
        ended: set[ChannelState] = set()
        for draft in drafts:
            state = draft.state
            if state.deleted:
                raise sealed(state)
            if draft.check is not None:
                # Before the end is looked at: what a producer retries may have been written before
                # it, by whoever was faster.
                draft.check()
            if (state.sealed or state in ended) and draft.kind == MESSAGES:
                raise sealed(state)
            if draft.kind == ENDED and state.sealed:
                bases.append(state.next_offset)
                continue
            id = state.id or ids.get(state, 0)
            if not id:
                id = ids[state] = self.table.next_id + len(ids)
                if draft.kind != CREATED:
                    body = encode_record(state.name, None, 0, 0)
                    batches.append((Draft(state, CREATED, body), id, 0))
            base = draft.base
            if draft.kind == MESSAGES:
                base = next_offsets.get(state, state.next_offset)
                if draft.expect is not None and draft.expect != base:
                    raise unexpected(state, draft.expect, base)
                next_offsets[state] = base + draft.count
            elif draft.kind == ENDED:
                base = next_offsets.get(state, state.next_offset)
                ended.add(state)
            bases.append(base)
            batches.append((draft, id, base))
        return bases, batches

    def _encode(
        self, batches: list[tuple[Draft, int, int]], active: RawSegment, framed: bool
    ) -> bytes:
        now = self.time_ns = max(self.time_ns, self.clock())
        content = b"".join(
            encode(
                draft.kind, draft.body, salt=active.salt, channel=id, time_ns=now,
                mark=self.durable, flags=draft.flags, count=draft.count, base=base,
            )
            for draft, id, base in batches
        )  # fmt: skip
        if framed:
            return encode(
                FRAME, content, salt=active.salt, channel=0, time_ns=now, mark=self.durable
            )
        return content

    def _store(
        self, active: RawSegment, position: int, content: bytes, *, large: bool
    ) -> list[Any]:
        """Put the bytes in place, apply them, and return whom to wake."""
        try:
            if large and active.file is not None:
                active.write(position, content)
            else:
                active.map[position : position + len(content)] = content
            return self.take_in(active, position, len(content))
        except DiskFull:
            raise
        except OSError as error:
            raise self._fail(error) from error
        except BaseException:
            # If a signal came after the bytes were in place, it has happened: complete it.
            if active.map[position : position + len(content)] == content:
                wake(self.take_in(active, position, len(content), again=True))
            raise

    def take_in(
        self, active: RawSegment, position: int, length: int, *, again: bool = False
    ) -> list[Any]:
        """Apply what was stored at ``position``. Doing it again completes what was interrupted."""
        active.tail = position + length
        self.appends += 1
        waiters: list[Any] = []
        ticket = log_position(active.first, active.tail)
        deaths = self.table.deaths
        reveals: list[Reveal] = []
        for place, header in inside(active.map, position, active.header(position)):
            reveal = apply(self.table, active, place, header, active.map)
            if reveal is None and again:
                state = self.table.find_id(header.channel)
                if state is not None:
                    reveal = Reveal(state, MESSAGES, state.next_offset, None, None)
            if reveal is not None and again and reveal.state.listeners is not None:
                waiters += reveal.state.listeners.skipped(reveal.state.next_offset)
            if reveal is None or header.kind in (CREATED, DELETED):
                self.changed = ticket
            if reveal is not None and self.deferred:
                self.unseen.append((ticket, reveal))
            elif reveal is not None:
                reveals.append(reveal)
        waiters += show(reveals)
        if self.table.deaths != deaths:
            self.on_death()
        if not self.dirty:
            self.dirty = True
            self.on_dirty()
        return waiters

    @property
    def end_position(self) -> int:
        """The log position behind the last batch. ``active`` is read once: between two reads
        another thread may roll, and the old number with the new tail would be too low."""
        active = self.active
        return log_position(active.first, active.tail)

    # Room.

    def make_room(self, length: int) -> RawSegment:
        """The active segment with room for ``length`` more bytes. Call with the lock held.

        Raises whatever keeps the log from being written. The room of a segment always includes
        that of the record which ends it.
        """
        self.check_writable()
        active = self.active
        need = active.tail + length
        if need + HEADER_BYTES <= active.size and active.file is not None:
            limit = min(max(need, 2 * active.limit), active.size - HEADER_BYTES)
            active.file.allocate(active.limit, limit + HEADER_BYTES)
            active.limit = limit
            return active
        return self._roll(length)

    def roll(self) -> None:
        """Start a new segment now, if there is anything in the active one."""
        with self.lock:
            self.check_writable()
            if self.active.file is not None and self.active.tail > SEGMENT_HEADER_BYTES:
                self._roll(0)

    def _roll(self, length: int) -> RawSegment:
        """Start a new segment, then end the old one.

        An interrupt leaves either of them active, and each step can be done again.
        """
        old = self.active
        if old.file is not None:
            # After an opening no room is reserved behind the tail yet.
            old.file.allocate(old.tail, old.tail + HEADER_BYTES)
        new = create_segment(self, old.last + 1, length)
        self.folder_dirty = True
        self.pristine = False
        if old.file is not None:
            record = encode(
                ROLLED, b"", salt=old.salt, channel=0, time_ns=self.time_ns, mark=self.durable,
                base=log_position(old.first, old.tail),
            )  # fmt: skip
            old.map[old.tail : old.tail + HEADER_BYTES] = record
        self.segments = (*(s for s in self.segments if s.first < new.first), new)
        # The commit point: from here on appends go to the new one.
        self.active = new
        if old.file is not None:
            old.tail += HEADER_BYTES
            old.limit = -1
            self.sealed_bytes += old.tail
        self.on_roll()
        return new

    # States of the log.

    def check_writable(self) -> None:
        """Raise what keeps this log from being written, if anything does."""
        self.check_open()
        if self.failed is not None:
            raise broken(self.failed)
        if self.read_only:
            raise ReadOnly("this log was opened with read_only=True; what owns it can change it")

    def check_open(self) -> None:
        """Raise ``ForkedProcess`` or ``LogClosed`` if that is so."""
        if self.forked:
            raise ForkedProcess(
                "this log was opened before os.fork() and belongs to the parent process; "
                "open it after the fork, in one of the two"
            )
        if self.closed:
            raise LogClosed("the log is closed; open it again with chanlog.open()")

    @property
    def is_over(self) -> bool:
        """Whether nobody can wait on this log any more."""
        return self.halted and (self.closed or self.forked or self.failed is not None)

    def look(self) -> None:
        """Take in what the owner has appended, if the log is another process's."""
        if self.read_only and not self.closed and not self.forked:
            self.follow()

    def _fail(self, error: BaseException) -> LogFailed:
        """Accept nothing more; call with the lock held. Returns what to raise."""
        if self.failed is None:
            self.failed = error
        self.halted = True
        self.active.limit = -1
        return broken(self.failed)

    def fail(self, error: BaseException) -> LogFailed:
        """A write or sync has failed: the log is failed, for good, and everybody hears of it."""
        with self.lock:
            failure = self._fail(error)
            self.unseen.clear()
            waiters = self.everybody()
        wake(waiters)
        return failure

    def everybody(self) -> list[Any]:
        """Everyone who waits on any channel. Call with the lock held."""
        waiters: list[Any] = []
        for state in list(self.listening):
            if state.listeners is not None:
                waiters += state.listeners.changed() or ()
        return waiters

    def parent_of(self, state: ChannelState) -> ChannelState | None:
        """The channel that a fork was made from, whether it was deleted since or not."""
        with self.lock:
            return self.table.find_id(state.parent[0]) if state.parent is not None else None

    def path_of(self, name: str) -> Path | None:
        """The path of a file of this log, for error messages."""
        return self.folder.path / name if self.folder.path is not None else None


def _nothing() -> None:
    """What happens where nobody is interested."""

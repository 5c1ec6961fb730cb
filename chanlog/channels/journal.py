"""The journal of a group: the events in its companion, in which all is kept that it is at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ChannelDeleted, OffsetTrimmed
from ..format.batch import DELETED, MESSAGES, TRIMMED, body_checksum
from ..format.payload import pack
from ..format.records import encode_record
from ..message import Gap
from ..storage.companions import companion_name
from ..storage.reading import Reader
from ..storage.refusals import sealed
from ..storage.state import ChannelState
from ..storage.store import Draft, Store
from .folding import GroupState

__all__ = ["Journal"]

# How many events are kept before a snapshot takes their place.
_EVENTS_MAX = 1024


class Journal:
    """Writes and reads the events of one group. Guarded by the lock of its lessor.

    ``life`` is the companion: another one once the group was deleted, and one that does not exist
    yet until something was delivered.
    """

    def __init__(self, store: Store, state: ChannelState, name: str) -> None:
        self.life = ChannelState("")
        self.events_max = _EVENTS_MAX
        self._store = store
        self._state = state
        self._name = name
        self._events = 0
        # When the group was first looked at since the log was opened, and the offset of the first
        # event from then on: nobody holds a lease from before.
        self._opened_ns: int | None = None
        self._since = 0

    # Reading.

    def load(self, now_ns: int) -> GroupState:
        """Fold all events that are kept. Raises ``CorruptionError``, ``FormatError``."""
        while True:
            life = self._find()
            start, stop = life.start_offset, life.next_offset
            if self._opened_ns is None:
                self._opened_ns = now_ns
                self._since = 0 if self._store.read_only else stop
            elif life is not self.life:
                self._since = 0
            try:
                group = self._fold(life, start, stop, self._opened_ns)
            except (ChannelDeleted, OffsetTrimmed):
                # Just now, by the owner if the log is another process's.
                continue
            self.life, self._events = life, stop - start
            return group

    def _find(self) -> ChannelState:
        name = companion_name(self._state.id, self._name)
        if not self._state.id:
            return ChannelState(name)
        with self._store.lock:
            life = self._store.table.address(name)
        # Not from inside of the ``with``: its last steps are not covered there.
        return life  # noqa: RET504

    def _fold(self, life: ChannelState, start: int, stop: int, opened_ns: int) -> GroupState:
        group = GroupState()
        reader = Reader(self._store, life)
        for end in (min(max(start, self._since), stop), stop):
            while start < end:
                run = reader.run(start, end)
                start = run.stop
                for message in run.messages():
                    # What damage has taken is delivered again.
                    if not isinstance(message, Gap):
                        group.fold(message.data, self._state.start_offset)
            if end == self._since:
                group.reopen(opened_ns)
        return group

    # Writing. Each returns the log position that must be durable before it may be told; 0 where
    # the sync policy asks for none.

    def append(self, event: list[Any], others: Sequence[Draft] = ()) -> int:
        """Keep an event, in one frame with ``others``; the commit point of whatever it says."""
        store = self._store
        body = pack(event)
        self._events += 1
        if not self.life.id:
            return self._write([*others, self._first(body)])
        if store.deferred or others:
            return self._write([*others, Draft(self.life, MESSAGES, body, 0, 1)])
        try:
            checksum = body_checksum(body, 0, len(body))
            store.append(self.life, body, checksum, 0, 1, None, None, None)
        except ChannelDeleted:
            raise sealed(self._state) from None
        return 0

    def _first(self, body: bytes) -> Draft:
        """The event with which the group comes into being, if its channel is still there then."""
        state = self._state

        def check() -> None:
            if state.deleted:
                raise sealed(state)

        self.life = self._find()
        return Draft(self.life, MESSAGES, body, 0, 1, check=check)

    def tidy(self, group: GroupState) -> None:
        """Once there are many events, let one say all there is to know, and forget the others."""
        if self._events < self.events_max:
            return
        life = self.life
        snapshot = group.snapshot()
        forget = encode_record(life.time_ns)
        self._write(
            [
                Draft(life, MESSAGES, pack(snapshot), 0, 1),
                Draft(life, TRIMMED, forget, base=life.next_offset),
            ]
        )
        self._events = 1
        # A large snapshot is worth it after as many events as it has parts.
        self.events_max = max(_EVENTS_MAX, 2 * (len(snapshot[3]) + len(snapshot[4])))

    def delete(self) -> int:
        """Forget all of it."""
        return self._write([Draft(self.life, DELETED, b"")]) if self.life.id else 0

    def _write(self, drafts: Sequence[Draft]) -> int:
        try:
            _, ticket = self._store.write(drafts)
        except ChannelDeleted:
            if self._state.deleted:
                raise sealed(self._state) from None
            raise
        return ticket if self._store.deferred else 0

"""What a log knows of one channel, rebuilt from its records."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import FormatError
from ..format.batch import OFFSET_MAX
from ..format.catalog import HIDDEN, Entry
from ..format.payload import pack, unpack
from ..format.records import is_producer

if TYPE_CHECKING:
    from .segment import RawSegment

__all__ = ["COMPANION_MARK", "ENDED", "ChannelState", "Listeners", "ProducerState"]

# What the names of companions begin with (see ``companions``).
COMPANION_MARK = "\0"

ENDED = 1
RUNS_MAX = 1024


class Listeners(Protocol):
    """Whoever wants to know of new messages; the channels floor provides it."""

    waiting: dict[Any, None]

    def count(self) -> int:
        """How many wait and can still be woken."""

    def published(self, type: str | None, sender: str | None, end: int) -> list[Any] | None:
        """Note a message of this type and sender before ``end``; returns whom to wake. Called
        with the store's lock held, so it does next to nothing."""

    def skipped(self, end: int) -> list[Any]:
        """Messages below ``end`` have come that nobody told of; returns everybody who waits."""

    def changed(self) -> list[Any] | None:
        """The channel has ended or is gone: returns everybody who waits."""


class ProducerState:
    """What is known of a producer: its epoch, next sequence, and which offsets its messages got.

    ``runs`` holds [sequence, offset] wherever the difference between the two changed, so it is
    complete and short unless others publish between all of its messages.
    """

    __slots__ = ("epoch", "id", "name", "runs", "sequence")

    def __init__(self, name: str, id: int, epoch: int) -> None:
        self.name = name
        self.id = id
        self.epoch = epoch
        self.sequence = 0
        self.runs: list[list[int]] = []

    def note(self, sequence: int, offset: int, count: int) -> None:
        """Messages ``sequence`` ... got the offsets ``offset`` ... ; what is known stays."""
        if sequence + count <= self.sequence:
            return
        runs = self.runs
        if not runs or runs[-1][1] - runs[-1][0] != offset - sequence:
            runs.append([sequence, offset])
            if len(runs) > RUNS_MAX:
                del runs[0]
        self.sequence = sequence + count

    def sequence_below(self, end: int) -> int:
        """The next sequence as far as messages below the offset ``end`` tell."""
        sequence = self.sequence
        for start, offset in reversed(self.runs):
            if offset + sequence - start <= end:
                break
            if offset < end:
                return start + end - offset
            sequence = start
        return sequence

    def offset_of(self, sequence: int) -> int | None:
        """The offset that ``sequence`` got, or ``None`` if that was too long ago."""
        for start, offset in reversed(self.runs):
            if start <= sequence:
                return offset + sequence - start
        return None


class ChannelState:
    """One channel. All fields are guarded by the store's lock; reading a single one is atomic.

    ``next_offset`` is the next to be assigned, ``end_offset`` the end that readers see; they
    differ only while a sync is awaited under the policy ``always``. ``id`` 0 means that the
    channel does not exist. ``positions`` are those of its batches in ``segment``, the active one
    when it last published.
    """

    __slots__ = (
        "__weakref__", "children", "committed_ns", "created_ns", "cursors", "deleted",
        "end_offset", "ended", "forked_at", "id", "listeners", "name", "next_offset", "parent",
        "positions", "producers", "retention", "sealed", "segment", "start_offset", "time_ns",
        "touched",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.id = 0
        self.start_offset = 0
        self.next_offset = 0
        self.end_offset = 0
        self.created_ns = 0
        # When the last message was published, and when a cursor was committed last.
        self.time_ns = 0
        self.committed_ns = 0
        self.ended = False
        self.deleted = False
        # ``sealed`` is set at once when an end or delete is appended, ``ended`` and ``deleted``
        # when readers may see it.
        self.sealed = False
        self.retention: dict[str, int] | None = None
        self.parent: tuple[int, int] | None = None
        # The log position of the record that made a fork: until that is durable, nothing of it is.
        self.forked_at = -1
        self.children: list[int] = []
        self.cursors: dict[str, int] = {}
        self.producers: dict[str, ProducerState] = {}
        self.segment: RawSegment | None = None
        self.positions: array[int] = array("I")
        self.listeners: Listeners | None = None
        self.touched = -1

    @property
    def is_companion(self) -> bool:
        """Whether this is the channel of a consumer group, which is no user's."""
        return self.name.startswith(COMPANION_MARK)

    @classmethod
    def from_entry(cls, entry: Entry) -> ChannelState:
        """The state as a catalog has it."""
        state = cls(entry.name)
        state.id = entry.id
        state.start_offset = entry.start_offset
        state.next_offset = state.end_offset = entry.end_offset
        state.created_ns = entry.created_ns
        state.time_ns = entry.time_ns
        state.ended = bool(entry.flags & ENDED)
        state.deleted = bool(entry.flags & HIDDEN)
        state.sealed = state.ended or state.deleted
        if entry.end_offset > OFFSET_MAX or not (
            state.deleted or entry.start_offset <= entry.end_offset
        ):
            raise FormatError(f"the catalog has no offsets of {entry.name!r} that could be")
        if entry.extra:
            state._read_extra(unpack(entry.extra))
        return state

    def to_entry(self) -> Entry:
        """The state as a catalog keeps it."""
        return Entry(
            id=self.id,
            name=self.name,
            start_offset=self.start_offset,
            end_offset=self.next_offset,
            created_ns=self.created_ns,
            time_ns=self.time_ns,
            flags=HIDDEN if self.deleted else ENDED if self.sealed else 0,
            extra=self._extra(),
        )

    def _extra(self) -> bytes:
        extra: dict[str, Any] = {}
        if self.retention is not None:
            extra["retention"] = self.retention
        if self.parent is not None:
            extra["parent"] = self.parent
        if self.children:
            extra["children"] = list(self.children)
        if self.committed_ns:
            extra["committed_ns"] = self.committed_ns
        if self.cursors:
            extra["cursors"] = dict(self.cursors)
        if self.producers:
            extra["producers"] = [
                [p.name, p.id, p.epoch, p.sequence, list(p.runs)]
                for p in list(self.producers.values())
            ]
        return pack(extra) if extra else b""

    def _read_extra(self, extra: Any) -> None:
        try:
            self.retention = extra.get("retention")
            parent = extra.get("parent")
            self.parent = (int(parent[0]), int(parent[1])) if parent else None
            self.children = list(map(int, extra.get("children", ())))
            self.committed_ns = int(extra.get("committed_ns", 0))
            self.cursors = {str(name): int(at) for name, at in extra.get("cursors", {}).items()}
            for name, id, epoch, sequence, runs in extra.get("producers", ()):
                if not is_producer(name, id, epoch, runs):
                    raise ValueError(name)
                producer = ProducerState(name, id, epoch)
                producer.sequence = int(sequence)
                producer.runs = runs
                self.producers[name] = producer
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise FormatError(f"what the catalog says of {self.name!r} is nonsense") from error

    def producer_by_id(self, id: int) -> ProducerState | None:
        """The producer that batches refer to by ``id``."""
        for producer in self.producers.values():
            if producer.id == id:
                return producer
        return None

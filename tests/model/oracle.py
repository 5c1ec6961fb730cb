"""What a log should do, said with lists and dicts. It shares no code with chanlog.

A channel is a list of messages and the number of the first that may be read; a fork is a copy of
the list. Each operation either does what it says or raises :class:`Refused` and changes nothing.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any


def nanoseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * 1000


class Refused(Exception):
    """The operation must fail with one of these exceptions."""

    def __init__(self, *kinds: str) -> None:
        super().__init__(*kinds)
        self.kinds = kinds


@dataclass(eq=False)
class Item:
    """A message but for its offset, which is its place in the list."""

    data: Any
    type: str | None = None
    key: str | None = None
    headers: dict[str, Any] | None = None
    sender: str | None = None
    time_ns: int | None = None  # Learned the first time it is read, and fixed from then on.


@dataclass(eq=False)
class Writer:
    """A producer: its epoch, and where each of its sequences went."""

    epoch: int
    offsets: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Life:
    """One channel from its first to its last day. Recreated, the name gets a new life."""

    name: str
    exists: bool = False
    deleted: bool = False
    ended: bool = False
    start: int = 0
    items: list[Item] = field(default_factory=list)
    cursors: dict[str, int] = field(default_factory=dict)
    writers: dict[str, Writer] = field(default_factory=dict)
    keep: dict[str, Any] = field(default_factory=dict)
    parent: tuple[Life, int] | None = None
    own: int = 0  # How many messages are its own and not of the channel it was forked from.
    created: Any = None  # Learned like the times of messages.
    used: bool = True  # Whether this step made it, published to it or committed in it.
    used_ns: int = 0  # When that was last so.
    stirred_ns: int = 0  # When anything at all was last done to it.

    @property
    def end(self) -> int:
        return len(self.items)

    def copy(self) -> Life:
        """A life to try a frame on; frames leave the producers alone."""
        return replace(self, items=list(self.items), cursors=dict(self.cursors))

    def must_live(self) -> None:
        if self.deleted:
            raise Refused("ChannelDeleted")

    def publish(self, items: list[Item], expect: int | None = None) -> list[int]:
        self.must_live()
        if not items:
            return []
        reasons = []
        if self.ended:
            reasons.append("ChannelEnded")
        if expect is not None and expect != self.end:
            reasons.append("UnexpectedOffset")
        if reasons:
            raise Refused(*reasons)
        self.exists = True
        first = self.end
        self.items += items
        self.own += len(items)
        self.used = True
        return list(range(first, self.end))

    def finish(self) -> int:
        self.must_live()
        self.exists = self.ended = True
        return self.end

    def trim(self, before: int) -> int:
        self.must_live()
        if before > self.end:
            raise Refused("UnknownOffset")
        self.start = max(self.start, before)
        return self.start

    def position(self, cursor: str) -> int:
        return self.cursors.get(cursor, self.start)

    def commit(self, cursor: str, offset: int) -> None:
        self.must_live()
        if offset >= self.end:
            raise Refused("UnknownOffset")
        if offset + 1 < self.position(cursor):
            raise Refused("CommitBehind")
        self.cursors[cursor] = offset + 1
        self.used = True

    def seek(self, cursor: str, offset: int) -> None:
        self.must_live()
        if offset > self.end:
            raise Refused("UnknownOffset")
        self.cursors[cursor] = offset

    def open_writer(self, name: str, epoch: int) -> None:
        self.must_live()
        writer = self.writers.get(name)
        if writer is not None and epoch < writer.epoch:
            raise Refused("ProducerFenced")
        self.exists = True
        if writer is None:
            self.writers[name] = Writer(epoch)
        else:
            writer.epoch = epoch

    def produce(
        self, name: str, epoch: int, items: list[Item], sequence: int | None = None
    ) -> list[int]:
        self.must_live()
        writer = self.writers[name]
        if epoch != writer.epoch:
            raise Refused("ProducerFenced")
        if sequence is None:
            sequence = len(writer.offsets)
        if sequence > len(writer.offsets):
            raise Refused("SequenceGap", *(["ChannelEnded"] if self.ended else []))
        known = min(len(writer.offsets) - sequence, len(items))
        if known < len(items):
            writer.offsets += self.publish(items[known:])
        return writer.offsets[sequence : sequence + len(items)]

    def retire(self, now_ns: int) -> None:
        """What retention by count and age forgets."""
        if "count" in self.keep:
            self.start = max(self.start, self.end - int(self.keep["count"]))
        if "age" in self.keep:
            oldest = now_ns - nanoseconds(self.keep["age"])
            while self.start < self.end and self.items[self.start].time_ns < oldest:
                self.start += 1

    def idle(self, since_ns: int, now_ns: int) -> bool:
        """Whether its ``ttl`` had passed, had it been left alone since then."""
        return "ttl" in self.keep and now_ns - since_ns > nanoseconds(self.keep["ttl"])


class Oracle:
    """The whole log."""

    def __init__(self) -> None:
        self.lives: dict[str, Life] = {}

    def life(self, name: str) -> Life:
        """The life that a handle opened now stands for, born or not."""
        if name not in self.lives:
            self.lives[name] = Life(name)
        return self.lives[name]

    def existing(self) -> dict[str, Life]:
        return {name: life for name, life in sorted(self.lives.items()) if life.exists}

    def names(self, prefix: str = "", pattern: str | None = None) -> list[str]:
        return [
            name
            for name in self.existing()
            if name.startswith(prefix) and (pattern is None or fnmatch.fnmatchcase(name, pattern))
        ]

    def delete(self, life: Life) -> None:
        life.must_live()
        life.deleted = True
        del self.lives[life.name]

    def fork(self, parent: Life, name: str, at: int | None) -> Life:
        parent.must_live()
        reasons = []
        if not parent.exists:
            reasons.append("ChannelNotFound")
        if self.life(name).exists:
            reasons.append("ChannelExists")
        if at is None:
            at = parent.end
        if at > parent.end:
            reasons.append("UnknownOffset")
        if at < parent.start:
            reasons.append("OffsetTrimmed")
        if reasons:
            raise Refused(*reasons)
        fork = self.life(name)
        fork.exists = True
        fork.items = parent.items[:at]
        fork.start = parent.start
        fork.parent = (parent, at)
        return fork

    def frame(self, steps: list[tuple[str, tuple[Any, ...]]]) -> list[int]:
        """Do all steps or none: try them on a copy first."""
        trial = Oracle()
        trial.lives = {name: life.copy() for name, life in self.lives.items()}
        reasons: list[str] = []
        for kind, arguments in steps:
            try:
                trial._step(kind, arguments)
            except Refused as refused:
                reasons += refused.kinds
        if reasons:
            raise Refused(*reasons)
        offsets: list[int] = []
        for kind, arguments in steps:
            offsets += self._step(kind, arguments)
        return offsets

    def _step(self, kind: str, arguments: tuple[Any, ...]) -> list[int]:
        name, *rest = arguments
        if kind == "publish":
            item, expect = rest
            return self.life(name).publish([item], expect)
        if kind == "commit":
            self.life(name).commit(*rest)
        else:
            self.life(name).finish()
        return []


class Reader:
    """A subscription: a position, and what it lets pass.

    A filtered reader may have looked past messages it does not want, so its position is only
    known to lie between the last one it wanted and the next.
    """

    def __init__(
        self,
        life: Life,
        position: int,
        types: frozenset[str] | None = None,
        not_from: str | None = None,
    ) -> None:
        self.life = life
        self.position = position
        self.types = types
        self.not_from = not_from

    def wants(self, item: Item) -> bool:
        if self.types is not None and item.type not in self.types:
            return False
        return self.not_from is None or item.sender != self.not_from

    def next(self, position: int) -> int:
        """The offset of the next message it wants, or the end."""
        life = self.life
        while position < life.end and not self.wants(life.items[position]):
            position += 1
        return position

    def allows(self, position: int) -> bool:
        """Whether the real subscription may stand there."""
        return self.position <= position <= self.next(self.position)

    def get(self, position: int) -> tuple[str, int]:
        """The outcome of a ``get(timeout=0)`` by one who stands at ``position``."""
        life = self.life
        if life.deleted:
            return "deleted", position
        if position < life.start:
            return "trimmed", position
        offset = self.next(position)
        if offset < life.end:
            return "message", offset
        return ("end" if life.ended else "nothing"), offset

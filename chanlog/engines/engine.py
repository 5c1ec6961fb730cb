"""What an engine has to do, and the words in which it is asked and answers.

The faces of this package (channel, subscription, cursor, ...) are the same for every engine. Below
them an engine knows how to apply a few operations to a channel, all of a call or none, how to read
a page of messages, and how to wait for the next.

Each method is a coroutine over a session, a connection that belongs to one event loop. A session
may also be one that never suspends, because its calls block: then the coroutine is driven by hand
and is a plain function. So there is one body for both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..capabilities import Capabilities

__all__ = ["Engine", "Operation", "Page", "Session", "State", "Watch"]


@dataclass(slots=True, kw_only=True)
class Operation:
    """One change of one channel. ``kind`` is one of publish, end, trim, delete, configure, produce,
    commit, regroup; the other fields are what such a change needs, as the faces use them.

    ``life`` is the life of the channel that the caller knows, or "" for whichever there is;
    ``new_life`` names the one that begins if there is none. Where an engine cannot apply several
    operations as one, ``unique`` names this one, so that it is not done twice.
    """

    kind: str
    channel: str
    life: str = ""
    new_life: str = ""
    bodies: list[bytes] = field(default_factory=list)
    expect: int | None = None
    producer: str | None = None
    epoch: int = 0
    sequence: int | None = None
    before: int = 0
    name: str = ""
    mode: str = ""
    value: Any = None
    unique: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A channel as its engine knows it. ``life`` is "" while it does not exist. ``groups`` maps
    names to (revision, stored bytes)."""

    life: str
    start: int = 0
    end: int = 0
    ended: bool = False
    created_us: int = 0
    time_us: int = 0
    retention: bytes = b""
    cursors: dict[str, int] = field(default_factory=dict)
    producers: dict[str, tuple[int, int]] = field(default_factory=dict)
    groups: dict[str, tuple[int, bytes]] = field(default_factory=dict)


class Page(NamedTuple):
    """Some messages of a channel, from an offset on, and what the channel was when they were read.

    ``bodies`` are those at ``first`` and behind it, without a hole. ``life`` is "" if there is no
    such channel.
    """

    life: str
    start: int
    end: int
    ended: bool
    first: int
    bodies: Sequence[bytes]

    def is_news(self, at: int, life: str, has_ended: bool) -> bool:
        """Whether it is for whoever waits at ``at`` of that life and knows whether it has ended:
        there are messages, or the one it waits for will never come."""
        return (
            bool(self.bodies)
            or self.life != life
            or self.ended != has_ended
            or not self.start <= at <= self.end
        )


class Watch(NamedTuple):
    """What a consumer of a group waits for beside messages: another ``revision`` than it has seen;
    and the end of the channel only if it has not ``ended`` for it yet."""

    name: str
    revision: int
    ended: bool


class Session(ABC):
    """A connection (or a pool of them) of one event loop, or one whose calls block."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait."""

    @abstractmethod
    async def close(self) -> None:
        """Give it back."""

    def drop(self) -> bool:
        """Give it back at once, called by its loop and in no task, for a loop that comes to its end
        finishes no task any more. ``False`` if that cannot be."""
        return False


class Engine(ABC):
    """An engine. From any thread; once it is prepared it holds nothing that changes."""

    capabilities: Capabilities
    message_bytes_max: int

    @abstractmethod
    async def prepare(self, session: Any) -> None:
        """Called once, before anything else: learn what the server can, make what has to be there.
        Raises ``Disconnected``."""

    @abstractmethod
    def blocking(self) -> Session | None:
        """A session whose coroutines never suspend, for every thread; ``None`` if there is no such
        client, and the log's own event loop has to be asked."""

    @abstractmethod
    async def session(self) -> Session:
        """A session for the running loop."""

    @abstractmethod
    async def apply(self, session: Any, operations: list[Operation]) -> list[Any]:
        """Do all of it, or raise and do nothing. One result for each operation:

        publish: the first offset, or one offset for each body of a producer; end: the end offset;
        trim: the start offset; produce: the next sequence; regroup: the new revision; delete: the
        life that ended, or ""; commit, configure: nothing that matters.

        Raises what ``Channel`` documents, and ``Conflict`` for a regroup that expected another
        revision. A retry after a lost connection does not do it again.
        """

    @abstractmethod
    async def state(self, session: Any, channel: str, group: str | None = None) -> State:
        """The state of a channel, with its cursors, producers and groups; or of the last only one,
        ``group``, and none of the others."""

    @abstractmethod
    async def page(self, session: Any, channel: str, at: int, count: int) -> Page:
        """Up to ``count`` messages from ``at`` on, at once."""

    @abstractmethod
    async def wait(
        self, session: Any, channel: str, at: int, life: str, group: Watch | None = None
    ) -> Page | None:
        """Wait, by the engine's own means, until something happened that a reader at ``at`` has to
        look at: a message, an end, another life than ``life``, or whatever ``group`` watches for.
        For ever. Returns the page if it has it."""

    @abstractmethod
    async def since(self, session: Any, channel: str, time_us: int) -> int:
        """The offset of the first message published at or behind a time, or the end offset."""

    @abstractmethod
    async def names(self, session: Any, prefix: str, after: str, count: int) -> list[str]:
        """``count`` names of channels behind ``after``, sorted; another number of them if these
        are all."""

    @abstractmethod
    async def retain(self, session: Any) -> None:
        """Apply retention to every channel, now."""

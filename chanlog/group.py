"""Consumer groups: many consumers share the messages of a channel, and each is handled by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from .errors import LeaseLost
from .message import Message

__all__ = ["Delivery", "Group", "GroupInfo", "dead_letter_headers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInfo:
    """One snapshot of a consumer group.

    All messages below ``position`` are done with. ``pending`` are delivered and neither done nor
    given back, their leases running; ``waiting`` were given back, or their leases ran out, and
    will be delivered again; ``lag`` were never delivered. ``dead`` counts those given up, after
    ``deliveries_max`` deliveries, since the group exists.
    """

    name: str
    position: int
    pending: int
    waiting: int
    lag: int
    dead: int


def dead_letter_headers(
    message: Message, channel: str, group: str, deliveries: int
) -> dict[str, Any]:
    """The headers of a message that is published again as a dead letter: its own, and where it
    comes from."""
    return {
        **(message.headers or {}),
        "dead-letter-channel": channel,
        "dead-letter-group": group,
        "dead-letter-offset": message.offset,
        "dead-letter-deliveries": deliveries,
    }


class Delivery(ABC):
    """One message, handed to one consumer for the time of its lease.

    ``deliveries`` counts how often it was delivered, this time included. As a context manager it
    is done at the end of the block, and given back at once when the block raises, unless the block
    has done either itself. Every method raises ``LeaseLost`` if the lease ran out and another
    consumer has it, or had it, or if this one has given it back or is done with it; doing the same
    thing twice through one object is fine. A lease that ran out while nobody else wanted the
    message is still good.
    """

    __slots__ = ()

    message: Message
    deliveries: int

    @abstractmethod
    def ack(self) -> None:
        """The message is done with, durably: nobody gets it again."""

    @abstractmethod
    async def aack(self) -> None:
        """``ack`` without blocking the event loop."""

    @abstractmethod
    def nak(self, delay: timedelta | float = 0) -> None:
        """Give it back: somebody gets it again, after ``delay`` (or seconds)."""

    @abstractmethod
    async def anak(self, delay: timedelta | float = 0) -> None:
        """``nak`` without blocking the event loop."""

    @abstractmethod
    def extend(self) -> None:
        """Still working on it: the lease begins anew."""

    @abstractmethod
    async def aextend(self) -> None:
        """``extend`` without blocking the event loop."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.ack()
        else:
            # What the block raises says more than that somebody else has the message already.
            with suppress(LeaseLost):
                self.nak()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.aack()
        else:
            with suppress(LeaseLost):
                await self.anak()


class Group(ABC):
    """One consumer of a group. All that opened the same name share its messages.

    Iterating waits for more, and ends when the channel has ended and every message of it is done
    with, or when the handle is closed.
    """

    __slots__ = ()

    name: str

    @abstractmethod
    def get(self, timeout: float | None = None) -> Delivery | None:
        """The next message that nobody works on, waiting up to ``timeout`` seconds (``None``: for
        ever; 0: not at all). ``None`` when time is up.

        First those to be delivered again, then new ones, each in the order of their offsets.
        Raises ``EndOfChannel`` when all of an ended channel is done with, ``ChannelDeleted``,
        ``HandleClosed``, ``ReadOnly``, and whatever keeps a dead letter from being published, which
        then is not lost. A message that was trimmed away is skipped: nobody can handle it. What is
        interrupted behind the delivery, and never got, comes again when its lease is over.
        """

    @abstractmethod
    async def aget(self, timeout: float | None = None) -> Delivery | None:
        """``get`` for an event loop. Cancelling it loses nothing."""

    @abstractmethod
    def info(self) -> GroupInfo:
        """One snapshot of the group, for all its consumers together."""

    @abstractmethod
    async def ainfo(self) -> GroupInfo:
        """``info`` without blocking the event loop."""

    @abstractmethod
    def delete(self) -> None:
        """Forget the group, durably; whoever opens the name again begins anew."""

    @abstractmethod
    async def adelete(self) -> None:
        """``delete`` without blocking the event loop."""

    @abstractmethod
    def __iter__(self) -> Iterator[Delivery]: ...

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    @abstractmethod
    def close(self) -> None:
        """Give the handle back. What it was delivered stays leased until it is done with, given
        back, or its lease runs out."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

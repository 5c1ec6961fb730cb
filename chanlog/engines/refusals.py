"""What an engine's answer means, if it is not yes: the exceptions of chanlog."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ..errors import (
    ChanlogError,
    ChannelDeleted,
    ChannelEnded,
    CommitBehind,
    OffsetTrimmed,
    ProducerFenced,
    SequenceExpired,
    SequenceGap,
    UnexpectedOffset,
    UnknownOffset,
)

__all__ = ["Conflict", "deleted", "refuse", "trimmed", "unknown"]


class Conflict(ChanlogError):
    """Somebody else has changed the group since it was looked at. Never leaves this package."""


def refuse(word: str, facts: list[Any]) -> NoReturn:
    """Raise what ``word`` stands for, with its facts."""
    raise _REFUSALS[word](*facts)


def deleted(channel: str) -> ChannelDeleted:
    """A channel is gone, or is another one by now."""
    return ChannelDeleted(
        f"{channel!r} was deleted; open the channel again to begin a new one", channel=channel
    )


def _ended(channel: str, end: int) -> ChanlogError:
    return ChannelEnded(
        f"{channel!r} has ended at {end}; publish to another channel",
        channel=channel,
        end_offset=end,
    )


def _expected(channel: str, expected: int, end: int) -> ChanlogError:
    return UnexpectedOffset(
        f"{channel!r} ends at {end}, and was expected to end at {expected}: somebody else has "
        "published; read what they did, and decide again",
        channel=channel,
        expected=expected,
        end_offset=end,
    )


def trimmed(channel: str, offset: int, start: int) -> OffsetTrimmed:
    """Messages are gone."""
    return OffsetTrimmed(
        f"the message at {offset} of {channel!r} was trimmed; it starts at {start} now",
        channel=channel,
        offset=offset,
        start_offset=start,
    )


def unknown(channel: str, offset: int, end: int) -> UnknownOffset:
    """An offset lies behind the end."""
    return UnknownOffset(
        f"the offset {offset} of {channel!r} lies in the future; it ends at {end}",
        channel=channel,
        offset=offset,
        end_offset=end,
    )


def _behind(channel: str, cursor: str, position: int, committed: int) -> ChanlogError:
    return CommitBehind(
        f"the cursor {cursor!r} of {channel!r} stands at {committed} already, and was to be "
        f"committed at {position}: another consumer has gone on, or use seek() to go back",
        channel=channel,
        cursor=cursor,
        offset=position - 1,
        position=committed,
    )


def _fenced(channel: str, producer: str, epoch: int, current: int) -> ChanlogError:
    return ProducerFenced(
        f"epoch {epoch} of the producer {producer!r} of {channel!r} is over: epoch {current} has "
        "opened; this one may no longer write",
        channel=channel,
        producer=producer,
        epoch=epoch,
        current_epoch=current,
    )


def _gap(channel: str, producer: str, sequence: int, expected: int) -> ChanlogError:
    return SequenceGap(
        f"the producer {producer!r} of {channel!r} was to publish {sequence}, and is at "
        f"{expected}: publish what is missing first",
        channel=channel,
        producer=producer,
        sequence=sequence,
        expected=expected,
    )


def _expired(channel: str, producer: str, sequence: int, oldest: int) -> ChanlogError:
    return SequenceExpired(
        f"{sequence} of the producer {producer!r} of {channel!r} was published, so it was not "
        f"written again; its offset is forgotten, for only those from {oldest} on are known",
        channel=channel,
        producer=producer,
        sequence=sequence,
        oldest=oldest,
    )


def _conflict() -> ChanlogError:
    return Conflict("somebody else has changed the group")


_REFUSALS: dict[str, Callable[..., ChanlogError]] = {
    "deleted": deleted,
    "ended": _ended,
    "expected": _expected,
    "unknown": unknown,
    "behind": _behind,
    "fenced": _fenced,
    "gap": _gap,
    "expired": _expired,
    "conflict": _conflict,
}

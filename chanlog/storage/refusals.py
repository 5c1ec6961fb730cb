"""Why a channel or a log does not take what it is given: the errors, with what to do about them."""

from __future__ import annotations

from ..errors import (
    ChanlogError,
    ChannelDeleted,
    ChannelEnded,
    LogFailed,
    MessageTooLarge,
    UnexpectedOffset,
)
from .state import ChannelState

__all__ = ["broken", "frame_too_large", "sealed", "unexpected"]


def sealed(state: ChannelState) -> ChanlogError:
    """Why nothing can be published to this channel."""
    if state.deleted:
        return ChannelDeleted(
            f"the channel {state.name!r} was deleted; log.channel({state.name!r}) starts a new "
            "one of that name",
            channel=state.name,
        )
    return ChannelEnded(
        f"the channel {state.name!r} has ended at offset {state.next_offset}; nothing can follow. "
        "fork() goes on from any of its offsets under another name",
        channel=state.name,
        end_offset=state.next_offset,
    )


def unexpected(state: ChannelState, expect: int, end: int | None = None) -> UnexpectedOffset:
    """The error of an ``expect=`` that does not hold."""
    end = state.next_offset if end is None else end
    return UnexpectedOffset(
        f"expected the end offset of {state.name!r} to be {expect}, and it is {end}; "
        "read what was published in between and decide again",
        channel=state.name,
        expected=expect,
        end_offset=end,
    )


def frame_too_large(size_bytes: int, bytes_max: int) -> MessageTooLarge:
    """The error for a frame, or for many at once, that no batch can hold."""
    return MessageTooLarge(
        f"a frame of {size_bytes:,} bytes is over the limit of {bytes_max:,}; publish it in parts",
        size_bytes=size_bytes,
        bytes_max=bytes_max,
    )


def broken(reason: BaseException) -> LogFailed:
    """The error for writing to a log that has failed."""
    return LogFailed(
        f"the log is failed, because of {reason!r}: nothing more is accepted, and what is durable "
        "can be read; close it and open it again to verify what is on the disk",
        reason=reason,
    )

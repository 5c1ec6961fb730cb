"""Where a subscription starts: an offset, a count, a time, or now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..errors import InvalidOption
from ..storage.reading import first_offset_since
from ..storage.state import ChannelState
from ..storage.store import Store
from .subscription import unknown_offset

__all__ = ["start_offset"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def start_offset(
    store: Store, state: ChannelState, after: Any, last: Any, since: Any, live: bool
) -> int:
    """The first offset to look at, for the arguments of ``Channel.subscribe``.

    Raises ``InvalidOption`` for arguments that exclude each other, ``UnknownOffset``.
    """
    given = {"after": after, "last": last, "since": since, "live": live or None}
    chosen = [option for option, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise InvalidOption(
            f"{' and '.join(chosen)} exclude each other; give one of them", option=chosen[1]
        )
    if after is not None:
        if not _is_int(after) or after < -1:
            raise InvalidOption(f"after is the offset of a message, not {after!r}", option="after")
        if after >= state.end_offset:
            raise unknown_offset(state, after)
        return int(after) + 1
    if last is not None:
        if not _is_int(last) or last < 0:
            raise InvalidOption(
                f"last is a number of messages, 0 or more, not {last!r}", option="last"
            )
        return max(state.start_offset, state.end_offset - int(last))
    if since is not None:
        return first_offset_since(store, state, _to_ns(since))
    return state.end_offset if live else state.start_offset


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _to_ns(since: Any) -> int:
    """A time given as an aware ``datetime`` or in nanoseconds, in nanoseconds."""
    if isinstance(since, datetime) and since.tzinfo is not None:
        delta = since - _EPOCH
        return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1000
    if isinstance(since, int) and not isinstance(since, bool):
        return since
    raise InvalidOption(
        f"since is a datetime with a timezone, or nanoseconds since 1970, not {since!r}",
        option="since",
    )

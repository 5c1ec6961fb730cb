"""Where a subscription starts: an offset, a count, a time, or now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..errors import InvalidOption
from ..storage.reading import first_offset_since
from ..storage.state import ChannelState
from ..storage.store import Store
from .subscription import unknown_offset

__all__ = ["FROM_THE_FIRST", "Start", "check_start", "start_offset"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Start(NamedTuple):
    """Where a reader asked to start, checked: behind an offset, before the ``last`` so many, at a
    time, with what comes from now on; or, with none of them, at the first message."""

    after: int | None
    last: int | None
    since_ns: int | None
    live: bool


FROM_THE_FIRST = Start(None, None, None, False)


def check_start(after: Any, last: Any, since: Any, live: bool) -> Start:
    """The arguments of ``Channel.subscribe``. Raises ``InvalidOption``, also for arguments that
    exclude each other."""
    given = {"after": after, "last": last, "since": since, "live": live or None}
    chosen = [option for option, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise InvalidOption(
            f"{' and '.join(chosen)} exclude each other; give one of them", option=chosen[1]
        )
    if after is not None and (not _is_int(after) or after < -1):
        raise InvalidOption(f"after is the offset of a message, not {after!r}", option="after")
    if last is not None and (not _is_int(last) or last < 0):
        raise InvalidOption(f"last is a number of messages, 0 or more, not {last!r}", option="last")
    return Start(after, last, None if since is None else _to_ns(since), bool(live))


def start_offset(
    store: Store, state: ChannelState, after: Any, last: Any, since: Any, live: bool
) -> int:
    """The first offset to look at, for the arguments of ``Channel.subscribe``. Raises
    ``InvalidOption``, ``UnknownOffset``."""
    start = check_start(after, last, since, live)
    if start.after is not None:
        if start.after >= state.end_offset:
            raise unknown_offset(state, start.after)
        return int(start.after) + 1
    if start.last is not None:
        return max(state.start_offset, state.end_offset - int(start.last))
    if start.since_ns is not None:
        return first_offset_since(store, state, start.since_ns)
    return state.end_offset if start.live else state.start_offset


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

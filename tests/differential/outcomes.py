"""What an operation comes to, as a value that two logs can be compared by: times are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import chanlog
from chanlog.group import Delivery

__all__ = ["Outcome", "outcome_of"]

Outcome = tuple[Any, ...]


def outcome_of(work: Callable[[], Any]) -> tuple[Outcome, Any]:
    """What ``work`` comes to, and the very thing that it returned."""
    try:
        found = work()
    except chanlog.ChanlogError as error:
        return ("raised", type(error).__name__, plain(vars(error))), None
    return ("returned", plain(found)), found


def plain(found: Any) -> Any:
    """``found`` without what may differ: when it was, and what holds it."""
    if isinstance(found, chanlog.Message):
        headers = plain(found.headers)
        return ("message", found.offset, found.data, found.type, found.key, headers, found.sender)
    if isinstance(found, Delivery):
        return ("delivery", plain(found.message), found.deliveries)
    if isinstance(found, chanlog.ChannelInfo):
        return {
            name: plain(getattr(found, name))
            for name in found.__slots__
            if name not in ("created", "last", "durable_offset")
        } | {"created": found.created is not None, "last": found.last is not None}
    if isinstance(found, chanlog.Capabilities):
        return found
    if isinstance(found, Mapping):
        return {name: plain(value) for name, value in found.items()}
    if isinstance(found, Sequence) and not isinstance(found, str | bytes):
        return [plain(value) for value in found]
    if isinstance(found, chanlog.Channel | chanlog.Cursor | chanlog.Producer):
        return type(found).__mro__[1].__name__
    return found

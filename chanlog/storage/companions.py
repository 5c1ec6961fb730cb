"""Companions: hidden channels in which a consumer group of a channel keeps what has become of it.

A companion is a channel like any other, so it is written, recovered, clustered and verified as all
are. Its name is NUL, the id of the channel in eight hex digits, and the name of the group. No user
can give such a name, for control characters are refused; and an id is never used again, so a
channel that takes the name of a deleted one, or a fork, has none of its groups.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InvalidName
from ..format.batch import DELETED
from ..options import NAME_BYTES_MAX, check_name
from .draft import Draft
from .state import COMPANION_MARK, ChannelState
from .table import ChannelTable

__all__ = [
    "BEHIND_COMPANIONS",
    "Joined",
    "check_group_name",
    "companion_name",
    "companions",
    "deletion",
]

_PREFIX_BYTES = 9

# Sorts behind every companion and before every name that a user can give.
BEHIND_COMPANIONS = "\1"


class Joined(Exception):
    """A group has come into being since the companions were looked up: look again."""


def check_group_name(name: object) -> str:
    """Return ``name`` if it can name a group; else raise ``InvalidName``."""
    checked = check_name(name, "group")
    size = len(checked.encode())
    if size > NAME_BYTES_MAX - _PREFIX_BYTES:
        raise InvalidName(
            f"the group name {checked[:40]!r}... is {size} bytes long; "
            f"at most {NAME_BYTES_MAX - _PREFIX_BYTES} are allowed",
            name=name,
        )
    return checked


def companion_name(id: int, group: str) -> str:
    """The name of the companion of ``group`` of the channel with this id."""
    return f"{COMPANION_MARK}{id:08x}{group}"


def companions(table: ChannelTable, state: ChannelState) -> dict[str, ChannelState]:
    """The groups of a channel, sorted, with the companion of each. With the store's lock held."""
    if not state.id:
        return {}
    names = table.names(companion_name(state.id, ""), None, table.count)
    return {name[_PREFIX_BYTES:]: found for name in names if (found := table.find(name))}


def deletion(
    table: ChannelTable, state: ChannelState, allowed: Callable[[], None] | None = None
) -> list[Draft]:
    """What deletes a channel with all its groups, in one frame, if it is ``allowed`` then. With
    the store's lock held. Writing it raises ``Joined`` if there are other groups by then."""
    known = companions(table, state)

    def check() -> None:
        if allowed is not None:
            allowed()
        if companions(table, state).keys() != known.keys():
            raise Joined

    drafts = [Draft(companion, DELETED, b"") for companion in known.values()]
    return [*drafts, Draft(state, DELETED, b"", check=check)]

"""A batch before it has a place in the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .state import ChannelState

__all__ = ["Draft"]


class Draft(NamedTuple):
    """A batch to be: everything but its place. Messages and ends are given their ``base``.

    ``check`` runs under the lock just before anything is written, and raises to prevent it.
    """

    state: ChannelState
    kind: int
    body: bytes
    flags: int = 0
    count: int = 0  # type: ignore[assignment]
    base: int = 0
    expect: int | None = None
    check: Callable[[], None] | None = None

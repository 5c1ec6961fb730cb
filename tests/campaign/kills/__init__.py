"""Real processes that are killed, real disks that lose power or are full."""

from __future__ import annotations

from ..campaign import Campaign

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = ()

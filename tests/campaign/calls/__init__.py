"""Every system call of a scenario, killed or failed there."""

from __future__ import annotations

from ..campaign import Campaign

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = ()

"""Real processes that are killed, real disks that lose power or are full."""

from __future__ import annotations

from ..campaign import Campaign
from .kill import kill

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign("kill", "SIGKILL while everybody works", "kills", 300, 10_000, kill),
)

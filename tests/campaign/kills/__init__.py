"""Real processes that are killed, real disks that lose power or are full."""

from __future__ import annotations

from ..campaign import Campaign
from .kill import kill
from .limits import limits
from .power import power_ext4, power_xfs

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign("kill", "SIGKILL while everybody works", "kills", 300, 10_000, kill),
    Campaign("power-ext4", "power cuts of a real ext4", "power cuts", 20, 1000, power_ext4),
    Campaign("power-xfs", "power cuts of a real XFS", "power cuts", 20, 1000, power_xfs),
    Campaign("limits", "no room, no files, no memory", "ordeals", 60, 5000, limits),
)

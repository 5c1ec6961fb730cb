"""Many at once, and for long."""

from __future__ import annotations

from ..campaign import Campaign
from . import crowd, histories, soak

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign("crowds", "many subscribers, loops, channels, exits", "crowds", 18, 5000, crowd.run),
    Campaign(
        "linearizability",
        "concurrent histories, explained",
        "histories",
        2000,
        200_000,
        histories.run,
    ),
    Campaign("soak", "everything at once, and nothing grows", "seconds", 15, 3600, soak.run),
)

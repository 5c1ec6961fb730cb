"""Many at once, and for long."""

from __future__ import annotations

from ..campaign import Campaign
from . import soak

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign("soak", "everything at once, and nothing grows", "seconds", 15, 3600, soak.run),
)

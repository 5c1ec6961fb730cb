"""Classic bugs, planted on purpose: each must be caught."""

from __future__ import annotations

from ..campaign import Campaign
from .run import PLANTED

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (PLANTED,)

"""Damaged files and hostile bytes.

``python -m tests.campaign.damage LAYOUT SIZE FILE KIND NUMBER WAY`` tries one damage again.
"""

from __future__ import annotations

from ..campaign import Campaign
from .trying import bits, sectors, truncations

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign("bits", "every bit of every file flipped", "tries", 4_000, 8_200_000, bits),
    Campaign("truncations", "every file cut, or zero, from every byte on", "tries", 3_000,
             2_050_000, truncations),
    Campaign("sectors", "every sector zeroed, doubled, swapped with every other", "tries", 3_000,
             54_000, sectors),
)  # fmt: skip

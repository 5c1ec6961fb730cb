"""Damaged files and hostile bytes.

``python -m tests.campaign.damage LAYOUT SIZE FILE KIND NUMBER WAY`` tries one damage again.
"""

from __future__ import annotations

from ..campaign import Campaign
from .fuzzing import fuzz_format, fuzz_guided, fuzz_open
from .trying import bits, sectors, truncations

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign("bits", "every bit of every file flipped", "tries", 4_000, 8_200_000, bits),
    Campaign("truncations", "every file cut, or zero, from every byte on", "tries", 3_000,
             2_050_000, truncations),
    Campaign("sectors", "every sector zeroed, doubled, swapped with every other", "tries", 3_000,
             54_000, sectors),
    Campaign("fuzz-format", "hostile bytes for every parser, checksums put right", "inputs",
             1_000_000, 1_000_000_000, fuzz_format),
    Campaign("fuzz-open", "hostile directories opened, read, verified, compacted", "directories",
             5_000, 10_000_000, fuzz_open),
    Campaign("fuzz-guided", "the parsers fuzzed by coverage, where atheris is installed", "inputs",
             0, 1_000_000_000, fuzz_guided),
)  # fmt: skip

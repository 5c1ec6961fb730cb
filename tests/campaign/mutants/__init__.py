"""Mutants of chanlog's own code: each small change of what it does makes a test fail."""

from __future__ import annotations

from ..campaign import Campaign
from .running import run

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign(
        name="mutants",
        title="each small change of the format and of recovery makes one of their tests fail",
        unit="mutants",
        small=6,
        full=100_000,
        run=run,
    ),
)

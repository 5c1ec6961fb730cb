"""Every system call of a scenario, killed or failed there."""

from __future__ import annotations

from ..campaign import Campaign
from .failed import run_failed

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign(
        "calls-failed",
        "every call of each scenario fails, with each error, once and for good",
        "points", 3_000, 50_000, run_failed,
    ),
)  # fmt: skip

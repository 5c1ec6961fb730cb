"""A simulated disk that loses power."""

from __future__ import annotations

from ..campaign import Campaign
from .running import run_recovery, run_states

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign(
        "power-states",
        "a power cut at any moment, and any subset of what was not synced",
        "states",
        50_000,
        1_000_000,
        run_states,
    ),
    Campaign(
        "power-recovery",
        "a power cut while a log is opened after a power cut, to depth five",
        "states",
        5_000,
        200_000,
        run_recovery,
    ),
)

"""Every system call of a scenario, killed or failed there."""

from __future__ import annotations

from ..campaign import Campaign
from .failed import run_failed
from .killed import run_killed
from .traced import run_traced

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign(
        "calls-failed",
        "every call of each scenario fails, with each error, once and for good",
        "points", 3_000, 50_000, run_failed,
    ),
    Campaign(
        "calls-killed",
        "the process dies before, in and after every call of each scenario",
        "deaths", 1_200, 10_000, run_killed,
    ),
    Campaign(
        "calls-strace",
        "the system itself refuses a call of a real process, or kills it there",
        "points", 40, 5_000, run_traced,
    ),
)  # fmt: skip

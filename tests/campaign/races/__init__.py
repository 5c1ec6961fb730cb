"""Threads, tasks and signals that meet at the worst moment."""

from __future__ import annotations

from ..campaign import Campaign
from .schedules import SCHEDULES

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (SCHEDULES,)

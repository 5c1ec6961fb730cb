"""Threads, tasks and signals that meet at the worst moment."""

from __future__ import annotations

from ..campaign import Campaign
from .real_signals import SIGNALS_REAL
from .schedules import SCHEDULES
from .signals import SIGNALS
from .switching import SWITCHING

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = (SCHEDULES, SIGNALS, SIGNALS_REAL, SWITCHING)

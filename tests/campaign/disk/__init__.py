"""A simulated disk that loses power."""

from __future__ import annotations

from ..campaign import Campaign

__all__ = ["CAMPAIGNS"]

CAMPAIGNS: tuple[Campaign, ...] = ()

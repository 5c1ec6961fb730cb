"""Hypothesis on machines that do something else as well: no example is too slow."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("floors", deadline=None, max_examples=60)
settings.load_profile("floors")

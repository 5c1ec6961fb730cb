"""Channels on Redis: one stream for each, and what is known of it in a hash beside it."""

from .engine import RedisEngine, connect

__all__ = ["RedisEngine", "connect"]

"""Channels on NATS JetStream: one subject for each, all in one stream."""

from .engine import NatsEngine, connect

__all__ = ["NatsEngine", "connect"]

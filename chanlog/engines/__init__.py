"""The interface of chanlog on engines across a network: Redis Streams, NATS JetStream."""

from ..connecting import aconnect, connect

__all__ = ["aconnect", "connect"]

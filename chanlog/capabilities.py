"""What an engine can do, so that code and tests can ask instead of trying."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from .errors import Unsupported
from .options import Retention

__all__ = ["EMBEDDED", "NATS", "REDIS", "Capabilities"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine provides, as ``log.capabilities``. What it does not raises ``Unsupported``.

    ``engine`` is its name. ``dense_offsets``: the offsets of a channel are 0, 1, 2 and so on;
    elsewhere they are tokens that only grow, and ``UnexpectedOffset``, ``expect=`` and ``commit``
    take the ones that were given. ``durable``: ``durable=True`` waits for stable storage.
    ``frames``: ``log.atomic()``; ``forks``: ``channel.fork()``; ``producers``: sequences and
    epochs; ``groups``: ``channel.group()``; ``group_order``: ``by_key=True`` there; ``retention``:
    which limits of ``Retention`` a channel can have; ``compaction``: ``compact()`` does something.
    """

    engine: str
    dense_offsets: bool
    durable: bool
    frames: bool
    forks: bool
    producers: bool
    groups: bool
    group_order: bool
    compaction: bool
    retention: frozenset[str]

    def need(self, feature: str) -> None:
        """Raise ``Unsupported`` unless the engine has ``feature``, the name of a field."""
        if feature not in _FEATURES or not getattr(self, feature):
            raise Unsupported(
                f"{self.engine} has no {feature.replace('_', ' ')}; "
                f"ask log.capabilities.{feature} before, or use an engine that has it",
                engine=self.engine,
                feature=feature,
            )

    def need_retention(self, retention: Retention | None) -> None:
        """Raise ``Unsupported`` unless the engine keeps every limit of ``retention``."""
        for limit in () if retention is None else fields(retention):
            if getattr(retention, limit.name) is not None and limit.name not in self.retention:
                raise Unsupported(
                    f"{self.engine} has no retention by {limit.name}; "
                    "log.capabilities.retention has what it keeps",
                    engine=self.engine,
                    feature="retention",
                )


_FEATURES = frozenset(field.name for field in fields(Capabilities)) - {"engine"}

EMBEDDED = Capabilities(
    engine="embedded",
    dense_offsets=True,
    durable=True,
    frames=True,
    forks=True,
    producers=True,
    groups=True,
    group_order=True,
    compaction=True,
    retention=frozenset({"age", "count", "bytes", "ttl", "expires_at"}),
)

# Both the engine and the double that imitates it. A server that syncs before it answers is durable.
REDIS = replace(
    EMBEDDED, engine="redis", durable=False, forks=False, retention=frozenset({"age", "count"})
)
NATS = replace(REDIS, engine="nats", frames=False)

"""What each imitated engine can do, and what can go wrong with it: the one table.

A double that fails in ways in which the engine cannot fail teaches code to survive what never
happens; so a fault that is not in the profile is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...capabilities import NATS, REDIS, Capabilities
from ...errors import InvalidOption
from .kinds import FAULTS

__all__ = ["PROFILES", "Profile", "check_permitted", "profile_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """An imitated engine. ``permits`` says for each fault why it can happen there.

    ``silent_commit``: a commit that is lost is heard as done. ``loses_acknowledged``: a crash may
    take what was acknowledged and is not durable.
    """

    name: str
    capabilities: Capabilities
    permits: Mapping[str, str]
    silent_commit: bool
    loses_acknowledged: bool


_REDIS = "redis.io/docs"
_NATS = "docs.nats.io"
_KAFKA = "kafka.apache.org/documentation"


def _said(documentation: str, topic: str, why: str) -> str:
    """Why that can happen, and where the engine's own documentation says so."""
    return f"{why}; see {topic} at {documentation}"


PROFILES: Mapping[str, Profile] = {
    "redis": Profile(
        name="redis",
        capabilities=REDIS,
        silent_commit=True,
        loses_acknowledged=True,
        permits={
            "crash": _said(
                _REDIS,
                "persistence",
                "with `appendfsync everysec` the last second of writes is lost",
            ),
            "delay": _said(
                _REDIS,
                "replication",
                "a reader of a replica is behind",
            ),
            "disconnect": _said(
                _REDIS,
                "client handling",
                "connections are dropped, and so are clients over their buffer limits",
            ),
            "duplicate": _said(
                _REDIS, "XADD", "XADD with a new id is not idempotent, and clients retry"
            ),
            "expire_lease": _said(
                _REDIS,
                "XAUTOCLAIM",
                "XAUTOCLAIM gives to others what was idle for too long",
            ),
            "fence": "a newer epoch of the same producer has opened",
            "full": _said(
                _REDIS,
                "key eviction",
                "over `maxmemory` with `noeviction` writes are refused",
            ),
            "lose_ack": _said(
                _REDIS,
                "client handling",
                "a connection dies between a command and its reply",
            ),
            "lose_commit": _said(
                _REDIS,
                "replication",
                "XACK is replicated asynchronously, and a failover forgets it",
            ),
            "lose_write": _said(
                _REDIS,
                "replication",
                "replication is asynchronous: a failover loses acknowledged writes",
            ),
            "redeliver": _said(
                _REDIS,
                "streams",
                "entries stay pending until XACK, and are claimed and read again",
            ),
            "reorder": _said(
                _REDIS,
                "the cluster specification",
                "streams are keys of their own, on shards of their own in a cluster",
            ),
            "slow": _said(
                _REDIS, "XREADGROUP", "a consumer reads when it can: XREADGROUP is a pull"
            ),
            "tear": _said(
                _REDIS,
                "persistence",
                "the append-only file ends in the middle of a command; it is cut at the start",
            ),
        },
    ),
    "nats": Profile(
        name="nats",
        capabilities=NATS,
        silent_commit=True,
        loses_acknowledged=True,
        permits={
            "crash": _said(
                _NATS,
                "configuring JetStream",
                "the file store syncs every `sync_interval`, two minutes by default",
            ),
            "delay": _said(
                _NATS,
                "streams",
                "consumers are told asynchronously, and reads may come from a replica",
            ),
            "disconnect": _said(
                _NATS,
                "reconnecting",
                "servers restart, and drop slow clients",
            ),
            "duplicate": _said(
                _NATS,
                "publishing and acknowledging",
                "without `Nats-Msg-Id`, or behind the deduplication window",
            ),
            "expire_lease": _said(
                _NATS,
                "consumers",
                "without an acknowledgement within `AckWait` it is sent to others",
            ),
            "fence": "a newer epoch of the same producer has opened",
            "full": _said(
                _NATS,
                "streams",
                "a stream with `DiscardNew` refuses what is over its limits",
            ),
            "lose_ack": _said(
                _NATS,
                "publishing and acknowledging",
                "the reply to a publish does not arrive within the time-out",
            ),
            "lose_commit": _said(
                _NATS,
                "publishing and acknowledging",
                "an acknowledgement is a message that nobody answers, unless doubled",
            ),
            "redeliver": _said(_NATS, "consumers", "delivery is at least once"),
            "reorder": _said(
                _NATS,
                "consumers",
                "consumers of different subjects are told independently",
            ),
            "slow": _said(
                _NATS,
                "consumers",
                "a consumer pulls when it can, within `MaxAckPending`",
            ),
            "tear": _said(
                _NATS,
                "streams",
                "a message block ends in the middle of a record; it is cut at the start",
            ),
        },
    ),
    "kafka": Profile(
        name="kafka",
        capabilities=Capabilities(
            engine="kafka",
            dense_offsets=True,
            durable=True,
            frames=True,
            forks=False,
            producers=True,
            groups=True,
            group_order=True,
            compaction=True,
            retention=frozenset({"age", "bytes"}),
        ),
        silent_commit=False,
        loses_acknowledged=False,
        permits={
            "crash": _said(
                _KAFKA,
                "replication",
                "a broker dies and another leads; with `acks=all` nothing acknowledged is lost",
            ),
            "delay": _said(
                _KAFKA,
                "replication",
                "readers see up to the high watermark, which follows the replicas",
            ),
            "disconnect": _said(
                _KAFKA, "producer configuration", "no leader, or none within `delivery.timeout.ms`"
            ),
            "expire_lease": _said(
                _KAFKA,
                "consumer configuration",
                "over `max.poll.interval.ms` the partitions go to others",
            ),
            "fence": _said(
                _KAFKA,
                "message delivery semantics",
                "a newer epoch of the same `transactional.id` has begun",
            ),
            "lose_ack": _said(
                _KAFKA,
                "producer configuration",
                "the response is lost, and the producer gives up after `delivery.timeout.ms`",
            ),
            "lose_commit": _said(
                _KAFKA,
                "message delivery semantics",
                "an offset commit fails while the group rebalances",
            ),
            "redeliver": _said(
                _KAFKA,
                "message delivery semantics",
                "after a rebalance reading goes on from the committed offsets",
            ),
            "reorder": _said(
                _KAFKA, "concepts and terms", "there is order within a partition only"
            ),
            "slow": _said(_KAFKA, "the consumer", "a consumer pulls when it can"),
            "tear": _said(
                _KAFKA,
                "the log",
                "a segment ends in the middle of a batch; it is cut when the broker starts",
            ),
        },
    ),
}


def profile_of(name: object) -> Profile:
    """The profile of that name, or ``InvalidOption``."""
    profile = PROFILES.get(name) if isinstance(name, str) else None
    if profile is None:
        raise InvalidOption(
            f"profile is one of {', '.join(PROFILES)}, not {name!r}", option="profile"
        )
    return profile


def check_permitted(profile: Profile, kind: str) -> None:
    """Raise ``InvalidOption`` unless the imitated engine can fail in that way."""
    if kind not in FAULTS:
        raise InvalidOption(f"there is no fault {kind!r}; there are {_list(FAULTS)}", option=kind)
    if kind not in profile.permits:
        others = [name for name, other in PROFILES.items() if kind in other.permits]
        raise InvalidOption(
            f"{profile.name} cannot fail by {kind}; the profiles that permit it: {_list(others)}",
            option=kind,
        )


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)

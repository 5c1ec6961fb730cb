"""The kinds of faults: what each does, and to which calls it can happen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["FAULTS", "OPERATIONS", "PUBLISHES", "WRITES", "Kind"]

WRITES = frozenset(
    """
    ack atomic commit configure delete end extend fork nak producer publish publish_many
    seek trim
    """.split()  # noqa: SIM905
)
READS = frozenset({"get", "info", "lag", "sync"})
OPERATIONS = WRITES | READS
PUBLISHES = frozenset({"publish", "publish_many"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of fault: what it does, in which operations, and in which calls of them.

    A call has traits: ``producer`` and ``expect`` guard a publish, ``durable`` was asked for, and
    a ``get`` is that of a ``cursor``, a ``group`` or a ``subscription``. A fault needs one of
    ``needs``, if there are any, and none of ``spares``.
    """

    does: str
    operations: frozenset[str]
    needs: frozenset[str] = frozenset()
    spares: frozenset[str] = frozenset()

    def fits(self, operation: str, traits: frozenset[str]) -> bool:
        """Whether it can happen to such a call."""
        return (
            operation in self.operations
            and (not self.needs or not self.needs.isdisjoint(traits))
            and self.spares.isdisjoint(traits)
        )


FAULTS: Mapping[str, Kind] = {
    "crash": Kind(
        does="the engine dies before or behind the operation, and comes back",
        operations=OPERATIONS,
    ),
    "delay": Kind(
        does="readers see it later, by so many seconds of the clock",
        operations=PUBLISHES,
    ),
    "disconnect": Kind(
        does="nothing is done, and the caller hears Disconnected(happened=False)",
        operations=OPERATIONS,
    ),
    "duplicate": Kind(
        does="it is stored twice, by a client that tried again",
        operations=PUBLISHES,
        spares=frozenset({"expect", "producer"}),
    ),
    "expire_lease": Kind(
        does="the lease is over while the consumer works: another gets the message",
        operations=frozenset({"ack", "extend", "get", "nak"}),
        needs=frozenset({"group"}),
    ),
    "fence": Kind(
        does="a newer epoch of the producer has opened",
        operations=PUBLISHES,
        needs=frozenset({"producer"}),
    ),
    "full": Kind(
        does="there is no room: nothing is written, and the caller hears DiskFull",
        operations=PUBLISHES | {"atomic"},
    ),
    "lose_ack": Kind(
        does="it is done, and the caller hears Disconnected(happened=None)",
        operations=WRITES,
    ),
    "lose_commit": Kind(
        does="what was done with is forgotten: it is delivered again",
        operations=frozenset({"ack", "commit"}),
        spares=frozenset({"durable"}),
    ),
    "lose_write": Kind(
        does="it is acknowledged, and is not there",
        operations=PUBLISHES,
        spares=frozenset({"durable", "expect", "producer"}),
    ),
    "redeliver": Kind(
        does="what was delivered and is not done with is delivered again",
        operations=frozenset({"get"}),
        needs=frozenset({"cursor", "group"}),
    ),
    "reorder": Kind(
        does="readers see it behind what is published to other channels later",
        operations=PUBLISHES,
    ),
    "slow": Kind(
        does="the consumer gets it late, by so many seconds of the clock; leases run meanwhile",
        operations=frozenset({"get"}),
    ),
    "tear": Kind(
        does="the engine dies in the middle of the write, which leaves a torn tail",
        operations=PUBLISHES,
    ),
}

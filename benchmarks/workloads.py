"""The workloads by their names, what all of them promise, and how they share the time of a run."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from . import agents, append, channels, double, engines, fan, growth, open, replay, retention, wake
from .harness import Claim

__all__ = ["APART", "WORKLOADS", "promised", "share_seconds"]

WORKLOADS: dict[str, ModuleType] = {
    "append": append,
    "replay": replay,
    "wake": wake,
    "fan": fan,
    "agents": agents,
    "channels": channels,
    "open": open,
    "growth": growth,
    "retention": retention,
}
# Measured and told by themselves: `all` is the embedded log.
APART: dict[str, ModuleType] = {"engines": engines, "double": double}
# By how many cases there are and how long a round of each takes.
_WEIGHTS = {
    "append": 4,
    "replay": 4,
    "wake": 2,
    "fan": 1,
    "agents": 2,
    "channels": 2,
    "open": 1,
    "growth": 2,
    "retention": 1,
    "engines": 4,
    "double": 1,
}


def promised() -> list[Claim]:
    """The targets of all workloads."""
    return [claim for workload in WORKLOADS.values() for claim in workload.CLAIMS]


def share_seconds(seconds_left: float, names: Sequence[str]) -> float:
    """How much of the time that is left the first of the workloads to come may take."""
    weights = [_WEIGHTS[name] for name in names]
    return max(0.0, seconds_left) * weights[0] / sum(weights)

"""Who meets whom: each scenario runs the real code with two or three threads."""

from __future__ import annotations

from ..exploring import Scenario
from . import appending, committing, compacting, leaving, listing, waking

__all__ = ["SCENARIOS"]

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for room in (waking, appending, committing, compacting, listing, leaving)
    for scenario in room.SCENARIOS
}

"""The campaign: every plant against who must catch it."""

from __future__ import annotations

from collections.abc import Iterator

from ..campaign import Campaign, Outcome, Progress
from .detecting import is_campaign, try_detectors, try_plant
from .planting import Plant
from .reading import PLANTS

__all__ = ["PLANTED", "pairs"]


def pairs() -> list[tuple[Plant, str]]:
    """Every plant with its fastest detector, then every plant with each of the others."""
    return [(plant, plant.caught_by[0]) for plant in PLANTS] + [
        (plant, detector) for plant in PLANTS for detector in plant.caught_by[1:]
    ]


def _run(count: int, seed: int, progress: Progress) -> Outcome:
    """``seed`` changes nothing: there is nothing random here but what detectors bring."""
    outcome = Outcome()
    chosen = pairs()[:count]
    detectors = list(dict.fromkeys(detector for _, detector in chosen))
    for failure in try_detectors(detectors):
        outcome.fail(failure)
    for plant, some in _grouped(chosen):
        for failure in try_plant(plant, some):
            outcome.fail(failure)
        outcome.tried += len(some)
        if not progress(outcome.tried):
            break
    outcome.facts["bugs"] = len(dict.fromkeys(plant.name for plant, _ in chosen))
    outcome.facts["tests"] = sum(not is_campaign(detector) for detector in detectors)
    outcome.facts["campaigns"] = sum(is_campaign(detector) for detector in detectors)
    return outcome


def _grouped(chosen: list[tuple[Plant, str]]) -> Iterator[tuple[Plant, list[str]]]:
    for plant in dict.fromkeys(plant for plant, _ in chosen):
        yield plant, [detector for other, detector in chosen if other is plant]


PLANTED = Campaign(
    "planted", "classic bugs, planted one by one: each is caught by a named test or campaign",
    "catches", len(PLANTS), len(pairs()), _run,
)  # fmt: skip

"""What a campaign is: so many tries, from a seed, and what came of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Campaign", "Outcome", "Progress", "passed"]

FAILURES_MAX = 20


@dataclass
class Outcome:
    """What a campaign has seen.

    ``tried`` counts in the campaign's own unit, ``facts`` are further figures worth telling, and
    each of ``failures`` says what went wrong and what tries exactly that again. ``skipped`` says
    why this machine cannot run it.
    """

    tried: int = 0
    facts: dict[str, int | float | str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    skipped: str = ""

    def fail(self, what: str) -> None:
        """Note a failure; of very many only the first are kept."""
        if len(self.failures) < FAILURES_MAX:
            self.failures.append(what)


class Progress:
    """Told how far a campaign is; says when its time is over. The default says nothing."""

    def __init__(
        self, tell: Callable[[int], None] | None = None, seconds: float | None = None
    ) -> None:
        self._tell = tell
        self._stop = None if seconds is None else time.monotonic() + seconds
        self._next = 0.0

    def __call__(self, tried: int) -> bool:
        """``tried`` tries are done; returns whether to go on."""
        now = time.monotonic()
        if self._tell is not None and now >= self._next:
            self._next = now + 0.5
            self._tell(tried)
        return self._stop is None or now < self._stop


class Campaign(NamedTuple):
    """One way of trying. ``run(count, seed, progress)`` makes ``count`` tries, or all there are if
    that is fewer; the same count and seed try the same. ``unit`` is the plural of what is counted;
    ``small`` and ``full`` are how many CI and a full run make."""

    name: str
    title: str
    unit: str
    small: int
    full: int
    run: Callable[[int, int, Progress], Outcome]


def passed(campaign: Campaign, seed: int = 1) -> Outcome:
    """Run a campaign at its small size and hold it to its word; for the tests."""
    outcome = campaign.run(campaign.small, seed, Progress())
    assert outcome.failures == []
    assert outcome.tried > 0 or outcome.skipped
    return outcome

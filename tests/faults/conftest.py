"""A double of an embedded log, on disk and in memory, from threads and from tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import chanlog
from chanlog.testing.clock import VirtualClock
from chanlog.testing.faults import Faults


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


Make = Callable[..., Faults]


@pytest.fixture(params=["disk", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Any, clock: VirtualClock) -> Iterator[Make]:
    """Makes doubles of a log that is closed at the end."""
    made: list[Faults] = []

    def make(profile: Any = "redis", seed: int = 1, **options: Any) -> Faults:
        path = tmp_path / f"log{len(made)}" if request.param == "disk" else None
        options.setdefault("background", False)
        log = chanlog.open(path, host=clock.host, **options)
        made.append(Faults(log, profile=profile, seed=seed))
        return made[-1]

    yield make
    for faults in made:
        faults.log.close()

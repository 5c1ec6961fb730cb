"""Concurrent histories are explained; and the checker finds what cannot be."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from ..campaign import Progress, passed
from . import CAMPAIGNS
from .histories import Hands, Worlds
from .linear import Operation, explain

LINEARIZABILITY = next(c for c in CAMPAIGNS if c.name == "linearizability")


def test_linearizability():
    assert passed(LINEARIZABILITY).tried == LINEARIZABILITY.small


def one_after_the_other(*calls: tuple[str, tuple[Any, ...], Any]) -> list[Operation]:
    """A history without concurrency: each call begins when the one before has returned."""
    return [
        Operation(kind, arguments, result, 2 * n, 2 * n + 1, "a")
        for n, (kind, arguments, result) in enumerate(calls)
    ]


RIGHT = one_after_the_other(
    ("publish", (0, "x"), 0),
    ("publish_many", (0, ["y", "z"]), 1),
    ("produce", (0, "p", 0), 3),
    ("produce", (0, "p", 0), 3),
    ("expect", (0, "e", 4), 4),
    ("commit", (0, 1), None),
    ("frame", (0, "f", 2), (5, 0)),
    ("read", (0, 5), "f"),
    ("replay", (1,), (0, "f")),
    ("trim", (0, 3), None),
    ("read", (0, 1), ("raised", "OffsetTrimmed", 3)),
    ("end", (1,), 1),
    ("info", (1,), (0, 1, True, -1, 0)),
    ("info", (0,), (3, 6, False, 3, 1)),
)


def test_what_is_right_is_explained():
    assert explain(RIGHT) == (RIGHT, [])


# The place in the history, and the result that it has instead.
FAULTS = {
    "a lost message": (7, None),
    "a message changed": (7, "g"),
    "a doubled sequence": (3, 4),
    "an offset given twice": (1, 0),
    "an offset left out": (1, 2),
    "a stale end": (13, (3, 5, False, 3, 1)),
    "an end that comes back": (12, (0, 1, False, -1, 0)),
    "a cursor that goes back": (13, (3, 6, False, 2, 1)),
    "a trim that is forgotten": (10, "y"),
    "half of a frame": (8, (0,)),
    "a producer that forgets": (13, (3, 6, False, 3, 0)),
    "an expectation that was not held": (4, 5),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_history_is_found(fault):
    place, result = FAULTS[fault]
    history = list(RIGHT)
    assert history[place].result != result
    history[place] = history[place]._replace(result=result)
    assert explain(history)[0] is None


def test_two_winners_are_found():
    """Both at once, both expecting the same end offset, and both told that it held."""
    both = [
        Operation("expect", (0, "a", 0), 0, 0, 3, "a"),
        Operation("expect", (0, "b", 0), 0, 1, 2, "b"),
    ]
    assert explain(both)[0] is None
    lost = both[1]._replace(result=("raised", "UnexpectedOffset", 1))
    assert explain([both[0], lost])[0] is not None


def test_an_order_against_real_time_is_found():
    """Read before it was published: right in some order, and not in this one."""
    read = Operation("read", (0, 0), "x", 0, 1, "a")
    publish = Operation("publish", (0, "x"), 0, 2, 3, "b")
    assert explain([read, publish])[0] is None
    assert explain([read._replace(returned=3), publish])[0] is not None


class Torn(Hands):
    """Many at once, one by one."""

    async def publish_many(self, which: int, values: list[Any]) -> Any:
        offsets = [await self._call(self.channels[which], "publish", v) for v in values]
        return offsets[0]


class Halved(Hands):
    """A frame in two halves."""

    async def frame(self, which: int, value: Any, offset: int) -> Any:
        one, two = self.channels
        await self._call(one.cursor("c"), "commit", offset)
        first = await self._call(one, "publish", value)
        return first, await self._call(two, "publish", value)


class Stale(Hands):
    """Snapshots from before."""

    _last: Any = None

    async def info(self, which: int) -> Any:
        now = await super().info(which)
        last, self._last = self._last, (which, now)
        return last[1] if last is not None and last[0] == which else now


class Unchecked(Hands):
    """The expected end offset compared outside of the lock."""

    async def expect(self, which: int, value: Any, expected: int) -> Any:
        info = self.channels[which].info()
        if not info.ended and info.end_offset != expected:
            return ("raised", "UnexpectedOffset", info.end_offset)
        return await self._call(self.channels[which], "publish", value)


class Doubling(Hands):
    """Retries that are written again."""

    async def produce(self, which: int, value: Any, sequence: int) -> Any:
        offset = await super().produce(which, value, sequence)
        await self._call(self.channels[which], "publish", value)
        return offset


@pytest.mark.parametrize("hands", [Torn, Halved, Stale, Unchecked, Doubling])
def test_a_fault_in_the_use_of_a_log_is_found(tmp_path: Path, hands: type[Hands]):
    """Real histories of a log that is used as if it had the fault: one of them betrays it."""
    with Worlds(tmp_path, hands) as worlds:
        for number in range(300):
            if explain(worlds.record(number, Random(number)))[0] is None:
                return
    raise AssertionError(f"{hands.__doc__} Nothing of it was found in 300 histories")


def test_a_run_that_fails_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.campaign.crowds.histories.Hands", Doubling)
    monkeypatch.setattr(
        "tests.campaign.crowds.histories.Worlds",
        lambda folder: Worlds(folder, Doubling),
    )
    outcome = LINEARIZABILITY.run(20, 1, Progress())
    assert outcome.failures
    assert "explained as far as" in outcome.failures[0]

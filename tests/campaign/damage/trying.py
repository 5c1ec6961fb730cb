"""The campaigns of damage: which of all the tries there are is made, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

from ..campaign import Outcome, Progress
from . import damages
from .checking import WAYS, check
from .damages import Kind
from .layouts import LAYOUTS, layout

__all__ = ["Try", "attempt", "bits", "sectors", "truncations", "tries"]

# How often everything is told in a larger log.
LARGE = 3

KINDS: dict[str, Kind] = {
    "bits": damages.bits,
    "truncations": damages.truncations,
    "sectors": damages.sectors,
}


class Try(NamedTuple):
    """One damage, looked at one way."""

    layout: str
    size: int
    file: str
    kind: str
    number: int
    way: str

    @property
    def command(self) -> str:
        """What makes it again."""
        return "python -m tests.campaign.damage " + " ".join(map(str, self))


def attempt(one: Try) -> str:
    """Make one try; returns what was wrong, or nothing."""
    log = layout(one.layout, one.size)
    damage = KINDS[one.kind].make(one.file, log.files[one.file], one.number)
    try:
        check(log, damage, one.way)
    except Exception as error:
        return f"{damage.text}, {one.way}: {type(error).__name__}: {error}\n    {one.command}"
    return ""


def tries(kind: str, count: int, seed: int) -> Iterator[Try]:
    """So many of all the tries there are: one of each file and way in turn. Larger logs are tried
    too where the small ones have not that many."""
    blocks = _blocks(kind, 1)
    if count > sum(total for _, total in blocks):
        blocks += _blocks(kind, LARGE)
    for turn in range(max(total for _, total in blocks)):
        for one, total in blocks:
            if turn >= total:
                continue
            if not count:
                return
            count -= 1
            yield one._replace(number=(seed + turn * _step(total)) % total)


def _blocks(kind: str, size: int) -> list[tuple[Try, int]]:
    """Each file and way with how many damages there are."""
    return [
        (Try(name, size, file, kind, 0, way), KINDS[kind].count(len(content)))
        for name in LAYOUTS
        for file, content in sorted(layout(name, size).files.items())
        for way in WAYS
    ]


@cache
def _step(total: int) -> int:
    """A step that comes to every one of ``total`` places once, and never near the last ones."""
    step = round(total * (math.sqrt(5) - 1) / 2)
    while math.gcd(step, total) != 1:
        step += 1
    return step


def _run(kind: str, count: int, seed: int, progress: Progress) -> Outcome:
    outcome = Outcome()
    seen: set[tuple[str, int, str]] = set()
    for one in tries(kind, count, seed):
        outcome.tried += 1
        seen.add((one.layout, one.size, one.file))
        if wrong := attempt(one):
            outcome.fail(wrong)
        if outcome.tried % 16 == 0 and not progress(outcome.tried):
            break
    outcome.facts["files"] = len(seen)
    return outcome


bits: Callable[[int, int, Progress], Outcome] = partial(_run, "bits")
truncations: Callable[[int, int, Progress], Outcome] = partial(_run, "truncations")
sectors: Callable[[int, int, Progress], Outcome] = partial(_run, "sectors")

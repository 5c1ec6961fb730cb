"""Taking a sample in which every kind of point appears."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

__all__ = ["sample"]

T = TypeVar("T")


def sample(every: Sequence[T], count: int, seed: int, stratum: Callable[[T], Hashable]) -> list[T]:
    """``count`` of ``every`` in an order that begins with one of each stratum; the same for the
    same seed."""
    shuffled = list(every)
    random.Random(seed).shuffle(shuffled)
    first: dict[Hashable, T] = {}
    rest = []
    for item in shuffled:
        if first.setdefault(stratum(item), item) is not item:
            rest.append(item)
    return [*first.values(), *rest][:count]

"""Names in order, such that a signal can do no harm to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from sortedcontainers import SortedList

__all__ = ["SortedNames"]

V = TypeVar("V")


class SortedNames(dict[str, V]):
    """A dict of names that can be walked in order.

    The dict is the truth, and changes in one step of C. A ``SortedList`` is Python, and what a
    signal has interrupted in the middle of it is in no order any more; so it counts only if the
    last change of it came to its end, and is made anew from the dict otherwise.
    """

    __slots__ = ("_order", "_ordered")

    def __init__(self) -> None:
        super().__init__()
        self._order: SortedList[str] = SortedList()
        self._ordered = True

    def __setitem__(self, name: str, value: V) -> None:
        if name in self:
            super().__setitem__(name, value)
            return
        ordered, self._ordered = self._ordered, False
        super().__setitem__(name, value)
        if ordered:
            self._order.add(name)
            self._ordered = True

    def __delitem__(self, name: str) -> None:
        ordered, self._ordered = self._ordered, False
        super().__delitem__(name)
        if ordered:
            self._order.remove(name)
            self._ordered = True

    def shrunk(self) -> SortedNames[V]:
        """The same in a table of its own size: a dict from which much was deleted keeps its room
        for ever. Nothing may be done to this one afterwards."""
        same: SortedNames[V] = SortedNames()
        dict.update(same, self)
        same._order, same._ordered = self._order, self._ordered
        return same

    def walk(self, start: str, *, inclusive: bool) -> Iterator[str]:
        """The names from ``start`` on, sorted; nothing may change meanwhile."""
        if not self._ordered:
            self._order = SortedList(self)
            self._ordered = True
        names: Iterator[str] = self._order.irange(start, None, inclusive=(inclusive, True))
        return names

"""What a log must hold: the oracle of the power cuts. It shares no code with what it checks.

A log is one sequence of **units**: appends that happen whole or not at all. ``History`` keeps what
could be read after each unit, at which step of the disk each could begin to be there, and from
which step on it had to last. After a cut the log must hold exactly what it held after some number
of units, no fewer than had to last, and no more than had begun.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, NamedTuple

from chanlog import Message, Retention

__all__ = ["ChannelModel", "History", "Shape", "View"]

NO_RETENTION = Retention()


class Shape(NamedTuple):
    """Everything of a channel but its messages."""

    start: int
    end: int
    ended: bool
    cursors: tuple[tuple[str, int], ...]
    producers: tuple[tuple[str, tuple[int, int]], ...]
    retention: Retention
    parent: tuple[str | None, int] | None


class ChannelModel:
    """One channel. ``messages`` has all from offset 0 on, those of its parent first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.messages: list[Message] = []
        self.start = 0
        self.ended = False
        self.deleted = False
        self.cursors: dict[str, int] = {}
        # Epoch, next sequence, and the offset of each sequence.
        self.producers: dict[str, tuple[int, int, tuple[int, ...]]] = {}
        self.retention: Retention | None = None
        self.parent: tuple[ChannelModel, int] | None = None
        self.parent_shape: tuple[str | None, int] | None = None
        self.touched_ns = 0

    def find_parent(self, models: dict[str, ChannelModel]) -> None:
        """Take the parent from among the others; one that is not there was deleted."""
        if self.parent_shape is not None:
            name, at = self.parent_shape
            gone = ChannelModel("gone")
            gone.deleted = True
            self.parent = (gone if name is None else models[name], at)

    def shape(self, end: int) -> Shape:
        """As it is now."""
        parent = None
        if self.parent is not None:
            origin, at = self.parent
            parent = (None if origin.deleted else origin.name, at)
        return Shape(
            self.start,
            end,
            self.ended,
            tuple(sorted(self.cursors.items())),
            tuple((name, known[:2]) for name, known in sorted(self.producers.items())),
            NO_RETENTION if self.retention is None else self.retention,
            parent,
        )


class Held(NamedTuple):
    """A channel after a unit: ``messages`` is the model's own list, of which the first
    ``shape.end`` count."""

    shape: Shape
    messages: list[Message]
    producers: dict[str, tuple[int, int, tuple[int, ...]]]

    def readable(self) -> list[Message]:
        """The messages that can be read."""
        return self.messages[self.shape.start : self.shape.end]

    def model(self, name: str) -> ChannelModel:
        """A model to go on with from here."""
        model = ChannelModel(name)
        model.messages = self.messages[: self.shape.end]
        model.start = self.shape.start
        model.ended = self.shape.ended
        model.cursors = dict(self.shape.cursors)
        model.producers = dict(self.producers)
        model.retention = self.shape.retention
        model.parent_shape = self.shape.parent
        return model


class View(NamedTuple):
    """What can be read after a unit, and at which step of the disk the unit's operation began."""

    channels: dict[str, Held]
    begun: int
    what: str

    @property
    def key(self) -> tuple[Any, ...]:
        """The shapes of all channels."""
        return tuple((name, held.shape) for name, held in sorted(self.channels.items()))


class History:
    """The units of a log in order, what could be read after each, and what had to last.

    ``views[k]`` is after ``k`` units. What has lasted before the history begins is ``first``.
    """

    def __init__(self, view: View | None = None) -> None:
        self.views = [View({} if view is None else view.channels, 0, "nothing")]
        self.models = {name: held.model(name) for name, held in self.views[0].channels.items()}
        for model in self.models.values():
            model.find_parent(self.models)
        # (step, units, why): from this step on, so many units had to last.
        self._musts: list[tuple[int, int, str]] = []
        self._places: dict[tuple[Any, ...], list[int]] | None = None

    @property
    def units(self) -> int:
        """How many there are."""
        return len(self.views) - 1

    def happened(self, what: str, begun: int) -> None:
        """One more unit, of an operation that began behind the step ``begun``."""
        channels = {}
        for name, model in self.models.items():
            if not model.deleted:
                shape = model.shape(len(model.messages))
                channels[name] = Held(shape, model.messages, dict(model.producers))
        self.views.append(View(channels, begun, what))

    def must(self, step: int, units: int, why: str) -> None:
        """From ``step`` on so many units have to last."""
        self._musts.append((step, units, why))

    def must_have(self, step: int, name: str, end: int, ended: bool, why: str) -> None:
        """From ``step`` on what a channel has now has to last: its messages below ``end``, and its
        end. To be called before the next operation."""
        units = self.units
        while units and self._has(units - 1, name, end, ended):
            units -= 1
        if self._has(units, name, end, ended):
            self.must(step, units, why)

    def _has(self, units: int, name: str, end: int, ended: bool) -> bool:
        held = self.views[units].channels.get(name)
        return held is not None and held.shape.end >= end and held.shape.ended >= ended

    def bounds(self, step: int) -> tuple[int, int]:
        """The fewest and the most units that may be there after a cut behind ``step``."""
        least = max((units for since, units, _ in self._musts if since <= step), default=0)
        most = bisect_left(self.views, step, key=lambda view: view.begun, lo=1) - 1
        return least, max(least, most)

    def why(self, step: int, units: int) -> str:
        """Why more than ``units`` had to last."""
        return next(why for since, n, why in self._musts if since <= step and n > units)

    def find(self, key: tuple[Any, ...]) -> Iterator[int]:
        """After how many units the channels had these shapes, the most first."""
        if self._places is None:
            self._places = {}
            for units, view in enumerate(self.views):
                self._places.setdefault(view.key, []).append(units)
        yield from reversed(self._places.get(key, ()))

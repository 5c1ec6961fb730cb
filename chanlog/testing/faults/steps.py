"""One body for a call and its coroutine twin.

The body is a generator that yields what is to be asked of somebody who may wait. ``drive`` asks
the method itself, ``adrive`` its twin; so a fault is written once and is the same in threads and
in tasks.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, TypeVar

__all__ = ["Ask", "Steps", "adrive", "ask", "drive"]

T = TypeVar("T")


# Twins whose names do not differ by the prefix alone.
_TWINS = {"__exit__": "__aexit__", "sync": "async_"}


class Ask(NamedTuple):
    """A call of ``target.method``, or of its twin."""

    target: Any
    method: str
    args: tuple[Any, ...]
    options: dict[str, Any]


Steps = Generator[Ask, Any, T]


def ask(target: Any, method: str, *args: Any, **options: Any) -> Steps[Any]:
    """Ask, and return the answer: ``yield from ask(channel, "publish", data)``."""
    return (yield Ask(target, method, args, options))


def drive(steps: Steps[T]) -> T:
    """Run the steps in this thread."""
    try:
        asked = next(steps)
        while True:
            try:
                answer = getattr(asked.target, asked.method)(*asked.args, **asked.options)
            except BaseException as error:
                asked = steps.throw(error)
            else:
                asked = steps.send(answer)
    except StopIteration as stop:
        value: T = stop.value
        return value


async def adrive(steps: Steps[T]) -> T:
    """Run the steps in this task."""
    try:
        asked = next(steps)
        while True:
            try:
                twin = _TWINS.get(asked.method, "a" + asked.method)
                answer = await getattr(asked.target, twin)(*asked.args, **asked.options)
            except BaseException as error:
                asked = steps.throw(error)
            else:
                asked = steps.send(answer)
    except StopIteration as stop:
        value: T = stop.value
        return value

"""A checker of concurrent histories: is there one order of the operations that explains them all?

A history is linearizable if each operation can be given a moment between its invocation and its
return such that, in the order of these moments, every result is what a log used by one thread
alone would have given. The search is that of Wing and Gong (Testing and verifying concurrent
objects, 1993) with Lowe's memory of the states it has been in (Testing for linearizability, 2017).
The log used by one thread is ``step`` below; it shares nothing with chanlog.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["EMPTY", "Operation", "explain", "step"]


class Operation(NamedTuple):
    """One call. ``invoked`` and ``returned`` are ticks of one counter that all actors share;
    ``result`` is what it returned, or ("raised", the name of the exception, a fact of it)."""

    kind: str
    arguments: tuple[Any, ...]
    result: Any
    invoked: int
    returned: int
    actor: str

    def __str__(self) -> str:
        arguments = ", ".join(map(repr, self.arguments))
        when = f"{self.actor} {self.invoked}-{self.returned}"
        return f"{when}: {self.kind}({arguments}) = {self.result!r}"


class Line(NamedTuple):
    """One channel: its messages from offset 0, what is trimmed, whether it has ended, the position
    of its cursor, and the offset that each sequence of its producer got."""

    values: tuple[Any, ...] = ()
    start: int = 0
    ended: bool = False
    position: int | None = None
    sequences: tuple[int, ...] = ()


State = tuple[Line, Line]
EMPTY: State = (Line(), Line())


def raised(name: str, fact: Any = None) -> tuple[str, str, Any]:
    """The result of a call that raised."""
    return ("raised", name, fact)


def _publish(line: Line, values: tuple[Any, ...]) -> tuple[Line, Any]:
    if line.ended:
        return line, raised("ChannelEnded")
    return line._replace(values=line.values + values), len(line.values)


def _expect(line: Line, value: Any, expected: int) -> tuple[Line, Any]:
    if not line.ended and expected != len(line.values):
        return line, raised("UnexpectedOffset", len(line.values))
    return _publish(line, (value,))


def _end(line: Line) -> tuple[Line, Any]:
    return line._replace(ended=True), len(line.values)


def _trim(line: Line, before: int) -> tuple[Line, Any]:
    if before > len(line.values):
        return line, raised("UnknownOffset")
    return line._replace(start=max(line.start, before)), None


def _commit(line: Line, offset: int) -> tuple[Line, Any]:
    position = line.start if line.position is None else line.position
    if offset + 1 > len(line.values):
        return line, raised("UnknownOffset")
    if offset + 1 < position:
        return line, raised("CommitBehind", position)
    return line._replace(position=offset + 1), None


def _produce(line: Line, value: Any, sequence: int) -> tuple[Line, Any]:
    if sequence < len(line.sequences):
        return line, line.sequences[sequence]
    if sequence > len(line.sequences):
        return line, raised("SequenceGap", len(line.sequences))
    line, offset = _publish(line, (value,))
    if isinstance(offset, int):
        line = line._replace(sequences=(*line.sequences, offset))
    return line, offset


def _read(line: Line, offset: int) -> Any:
    if offset > len(line.values):
        return raised("UnknownOffset")
    if offset < line.start:
        return raised("OffsetTrimmed", line.start)
    if offset < len(line.values):
        return line.values[offset]
    return raised("EndOfChannel") if line.ended else None


def _replay(line: Line, result: Any) -> Any:
    """Where it starts is asked for after where it stops, and what it has still to read may be
    trimmed before it comes to it; so of its moment only the end is certain."""
    if result[0] == "raised":
        return raised("OffsetTrimmed", line.start)
    start = max(line.start, result[0])
    return (start, *line.values[start:])


def _info(line: Line) -> Any:
    position = -1 if line.position is None else line.position
    return line.start, len(line.values), line.ended, position, len(line.sequences)


def step(state: State, operation: Operation) -> State | None:
    """The state after ``operation``, or ``None`` if its result cannot be had in this state."""
    kind, arguments, result = operation[:3]
    which, *rest = arguments
    if kind == "frame":
        return _frame(state, rest, result)
    line = state[which]
    if kind == "publish":
        after, expected = _publish(line, tuple(rest))
    elif kind == "publish_many":
        after, expected = _publish(line, tuple(rest[0]))
    elif kind == "expect":
        after, expected = _expect(line, *rest)
    elif kind == "end":
        after, expected = _end(line)
    elif kind == "trim":
        after, expected = _trim(line, *rest)
    elif kind == "commit":
        after, expected = _commit(line, *rest)
    elif kind == "produce":
        after, expected = _produce(line, *rest)
    elif kind == "read":
        after, expected = line, _read(line, *rest)
    elif kind == "replay":
        after, expected = line, _replay(line, result)
    elif kind == "info":
        after, expected = line, _info(line)
    else:
        raise ValueError(f"no operation is called {kind!r}")
    if result != expected:
        return None
    return (after, state[1]) if which == 0 else (state[0], after)


def _frame(state: State, parts: list[Any], result: Any) -> State | None:
    """Publish to both channels, and commit the cursor of the first, or none of it."""
    one, two = state
    value, offset = parts
    first, committed = _commit(one, offset)
    if committed is not None:
        return state if result == committed else None
    if one.ended or two.ended:
        return state if result == raised("ChannelEnded") else None
    if result != (len(one.values), len(two.values)):
        return None
    return first._replace(values=(*first.values, value)), two._replace(values=(*two.values, value))


def explain(
    history: Iterable[Operation], begin: State = EMPTY
) -> tuple[list[Operation] | None, list[Operation]]:
    """(an order that explains the whole history or ``None``, the longest one that was found).

    Exponential in how many operations run at once, and with offsets in the results close to
    linear in how many there are: of the writes that could come next, at most one fits.
    """
    operations = sorted(history, key=lambda operation: operation.invoked)
    by_return = sorted(range(len(operations)), key=lambda n: operations[n].returned)
    everything = (1 << len(operations)) - 1
    seen: set[tuple[int, State]] = set()
    best: list[int] = []
    order: list[int] = []
    # Of each step that was taken: which have been done, in which state, and what is left to try.
    stack = [(0, begin, _next(operations, by_return, 0))]
    while stack:
        done, state, choices = stack[-1]
        if done == everything:
            return [operations[n] for n in order], []
        if not choices:
            stack.pop()
            if order:
                order.pop()
            continue
        chosen = choices.pop()
        after = step(state, operations[chosen])
        if after is None:
            continue
        reached = done | 1 << chosen
        if (reached, after) in seen:
            continue
        seen.add((reached, after))
        order.append(chosen)
        if len(order) > len(best):
            best = list(order)
        stack.append((reached, after, _next(operations, by_return, reached)))
    return None, [operations[n] for n in best]


def _next(operations: list[Operation], by_return: list[int], done: int) -> list[int]:
    """Which may come next: all that were invoked before any other that is left has returned. The
    one that returned first is the last of the list, and so tried first."""
    left = [n for n in by_return if not done >> n & 1]
    if not left:
        return []
    soonest = operations[left[0]].returned
    return [n for n in reversed(left) if operations[n].invoked < soonest]

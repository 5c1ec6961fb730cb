"""The campaign ``signals``: an exception at every place where CPython looks for signals."""

from __future__ import annotations

import gc
import sys
import warnings
from typing import Any

from ...storage.interrupts import Interrupter
from ..campaign import Campaign, Outcome, Progress
from .operations import OPERATIONS, Operation, Subject, check, told

__all__ = ["SIGNALS", "interrupt"]


def run(count: int, seed: int, progress: Progress) -> Outcome:
    """Interrupt each operation at every place, or at every k-th so that it is ``count`` in all."""
    if sys.version_info >= (3, 12):
        return Outcome(skipped="traces single opcodes the way Python 3.11 does")
    outcome = Outcome()
    places = {name: _places(operation) for name, operation in OPERATIONS.items()}
    every = max(1, -(-sum(places.values()) // count))
    with warnings.catch_warnings():
        # Of a coroutine that was made and, for the signal came first, not awaited.
        warnings.simplefilter("ignore", RuntimeWarning)
        for name, operation in OPERATIONS.items():
            allowed = allowed_after(operation)
            for at in range(seed % every, places[name], every):
                outcome.tried += 1
                try:
                    interrupt(operation, at, allowed)
                except Exception as error:
                    outcome.fail(f"{name}, place {at}: {error!r}; again: {_command(name, at)}")
                if not progress(outcome.tried):
                    break
        gc.collect()
    outcome.facts = {"operations": len(OPERATIONS), "places": sum(places.values())}
    return outcome


def _command(name: str, at: int) -> str:
    return f'python -m tests.campaign.races signal "{name}" {at}'


def _places(operation: Operation) -> int:
    """How many places there are."""
    subject = operation.prepare()
    interrupter = Interrupter(-1)
    interrupter.run(lambda: operation.work(subject))
    subject.log.close()
    return interrupter.count


def allowed_after(operation: Operation) -> list[Any]:
    """What may be told of the log afterwards: what was before, and what comes of the operation."""
    before, after = operation.prepare(), operation.prepare()
    operation.work(after)
    found = [told(before.log)]
    if operation.closing:
        with after.copy() as copy:
            found.append(told(copy))
    else:
        found.append(told(after.log))
    before.log.close()
    after.log.close()
    return found


def interrupt(operation: Operation, at: int, allowed: list[Any]) -> str:
    """Interrupt an operation at its ``at``-th place and check what is left; returns where."""
    subject: Subject = operation.prepare()
    interrupter = Interrupter(at)
    result = None
    try:
        result = interrupter.run(lambda: operation.work(subject))
    except KeyboardInterrupt:
        result = None
    try:
        check(operation, subject, result, allowed)
    except AssertionError as error:
        raise type(error)(f"{error} (interrupted at {interrupter.where})") from error
    finally:
        subject.log._closed = True
        subject.log.close()
    return interrupter.where


SIGNALS = Campaign(
    "signals",
    "An exception at every place where CPython looks for signals, in every operation",
    "places",
    1_000,
    100_000,
    run,
)

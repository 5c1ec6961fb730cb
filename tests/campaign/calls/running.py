"""Running the steps of a scenario in a directory, and telling what came of each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import chanlog
from tests.storage.worlds import fixed_host

from .shim import Calls
from .steps import Close, Open, Publish, Step, World, look

__all__ = ["AFTER", "Facts", "Outcome", "Scenario", "open_log", "run"]

AFTER = Publish("after", "the fault is over", durable=True)


@dataclass(frozen=True)
class Scenario:
    """What is there before, and the steps in which something goes wrong.

    ``before`` is done without a fault. ``crashed``: its log is not closed, but dies; ``spoil``
    changes the files then. ``steps`` ends with a ``Close``.
    """

    name: str
    before: tuple[Step, ...]
    steps: tuple[Step, ...]
    options: dict[str, Any] = field(default_factory=dict)
    crashed: bool = False
    spoil: Callable[[Path], None] | None = None

    def told(self) -> World:
        """The model after what was done before."""
        world: World = {}
        for step in self.before:
            step.tell(world)
        return world


class Facts(NamedTuple):
    """An exception: its class and those above, the errno of it or of its reason, its text."""

    kinds: tuple[str, ...]
    number: int | None
    text: str

    def __str__(self) -> str:
        return f"{self.kinds[0]}({self.text})"


class Outcome(NamedTuple):
    """What came of step ``index`` (-1 of the one when the fault was over): a value or an error,
    whether the log was failed before and after, and what could be seen after an error."""

    index: int
    value: Any = None
    error: Facts | None = None
    failed_before: bool = False
    failed_after: bool = False
    seen: Any = None
    unseen: Facts | None = None


def facts_of(error: BaseException) -> Facts:
    kinds = tuple(kind.__name__ for kind in type(error).__mro__)
    reason = getattr(error, "reason", error)
    return Facts(kinds, getattr(reason, "errno", None), str(error))


def open_log(path: Path, scenario: Scenario) -> Any:
    """Open the log of a scenario; clock and randomness are the same each time."""
    options = {"sync": "os", "segment_bytes": 64 * 1024, "background": False, **scenario.options}
    return chanlog.open(path, host=fixed_host(), **options)


def run(
    scenario: Scenario,
    path: Path,
    tell: Callable[[Outcome], None],
    calls: Calls | None = None,
) -> None:
    """Do the steps in the log at ``path``; ``tell`` hears of each at once.

    What cannot be opened is opened a second time, so a fault that strikes once is over then.
    """
    logger = logging.getLogger("chanlog")
    before, logger.disabled = logger.disabled, True
    try:
        _Run(scenario, path, tell, calls).run()
    finally:
        logger.disabled = before


class _Run:
    def __init__(
        self,
        scenario: Scenario,
        path: Path,
        tell: Callable[[Outcome], None],
        calls: Calls | None,
    ) -> None:
        self.scenario = scenario
        self.path = path
        self.tell = tell
        self.calls = calls
        self.log: Any = None

    def run(self) -> None:
        for index, step in enumerate(self.scenario.steps):
            if isinstance(step, Open):
                if not self._open(index):
                    self._open(index)
            elif self.log is None:
                continue
            elif isinstance(step, Close):
                self._go_on()
                self._close(index)
            else:
                self._do(index, step)

    def _open(self, index: int) -> bool:
        if self.calls is not None:
            self.calls.opened_anew()
        try:
            self.log = open_log(self.path, self.scenario)
        except Exception as error:
            self.tell(Outcome(index, error=facts_of(error)))
            return False
        self.tell(Outcome(index))
        return True

    def _close(self, index: int) -> None:
        log, self.log = self.log, None
        failed = log._store.failed is not None
        try:
            log.close()
        except Exception as error:
            now = log._store.failed is not None
            self.tell(Outcome(index, None, facts_of(error), failed, now))
            return
        self.tell(Outcome(index, None, None, failed, failed))

    def _go_on(self) -> None:
        """A log that is not failed works again when the fault is over."""
        if self.calls is not None and self.calls.struck is not None:
            self.calls.lifted = True
            self._do(-1, AFTER)
            self.calls.lifted = False

    def _do(self, index: int, step: Step) -> None:
        store = self.log._store
        failed = store.failed is not None
        try:
            value = step.do(self.log)
        except Exception as error:
            facts = facts_of(error)
        else:
            self.tell(Outcome(index, value, None, failed, store.failed is not None))
            if self.calls is not None and step.durable and self.calls.unsynced:
                self.calls.complaints.append(f"{step} is durable without {self.calls.unsynced}")
            return
        seen = unseen = None
        try:
            seen = look(self.log)
        except Exception as error:
            unseen = facts_of(error)
        self.tell(Outcome(index, None, facts, failed, store.failed is not None, seen, unseen))

"""An agent that does one step after the other, and is started again when it dies."""

from __future__ import annotations

from typing import Any

import chanlog

__all__ = ["CarefulAgent", "CarelessAgent", "supervise"]


class CarelessAgent:
    """Says that a step is done before it is: whoever comes after a death does not do it."""

    def __init__(self, log: Any) -> None:
        self._steps = log.channel("steps").cursor("agent")
        self._results = log.channel("results")

    def work(self) -> None:
        """Do all the steps there are."""
        while (message := self._steps.get(timeout=0)) is not None:
            self._steps.commit(message)
            self._results.publish(message.data.upper())


class CarefulAgent(CarelessAgent):
    """Says so when it has happened; a step may be done twice, and none is left out."""

    def work(self) -> None:
        while (message := self._steps.get(timeout=0)) is not None:
            self._results.publish(message.data.upper())
            self._steps.commit(message)


def supervise(agent: type[CarelessAgent], log: Any, lives: int = 5) -> None:
    """Start the agent again each time it dies."""
    for _ in range(lives):
        try:
            agent(log).work()
            return
        except chanlog.Disconnected:
            continue
    raise AssertionError("it dies each time")

"""Trying again: what an engine is asked while it is away is asked again, until time is up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import ChanlogError, Disconnected
from ..host import monotonic

__all__ = ["Trying"]

Result = TypeVar("Result")

_PAUSE_SECONDS_MIN = 0.01
_PAUSE_SECONDS_MAX = 0.5


class Trying:
    """How long, and after which exceptions, an engine is asked again. Never changes."""

    def __init__(
        self,
        engine: str,
        address: str,
        seconds: float,
        lost: tuple[type[Exception], ...],
        unsent: tuple[type[Exception], ...] = (),
    ) -> None:
        self._engine = engine
        self._address = address
        self._seconds = seconds
        self._lost = lost
        # After which nothing can have been done: not even a connection was there.
        self._unsent = unsent

    async def attempt(
        self,
        work: Callable[[], Awaitable[Result]],
        sleep: Callable[[float], Awaitable[None]],
        *,
        certain: bool,
        over: Callable[[], bool] = lambda: False,
        is_sent: bool = False,
        began: float | None = None,
    ) -> Result:
        """Do ``work`` until it comes to its end, time is up, or all is ``over``. ``certain`` says
        that ``work`` changes nothing; ``is_sent``, that it was asked for in another way already,
        at ``began``. Raises ``Disconnected``."""
        deadline = (monotonic() if began is None else began) + self._seconds
        pause = _PAUSE_SECONDS_MIN
        while True:
            try:
                return await work()
            except self._lost as error:
                if over():
                    raise
                if isinstance(error, ChanlogError) and (certain or not is_sent):
                    # A full disk is an ``OSError`` too. What it says of this attempt does not hold
                    # for one before it that had no answer.
                    raise
                is_sent = is_sent or not isinstance(error, self._unsent)
                if monotonic() >= deadline:
                    raise self._disconnected(error, certain or not is_sent) from error
            await sleep(pause)
            pause = min(2 * pause, _PAUSE_SECONDS_MAX)

    def _disconnected(self, error: Exception, certain: bool) -> Disconnected:
        sure = "Nothing was done" if certain else "What was asked may have been done"
        return Disconnected(
            f"{self._engine} at {self._address} did not answer for {self._seconds:g} seconds: "
            f"{error or type(error).__name__}. {sure}; try again when it is there",
            engine=self._engine,
            happened=False if certain else None,
        )

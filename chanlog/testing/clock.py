"""A clock that is moved by hand, and a way to wait until all that it set going has come to rest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import Empty, Queue
from time import monotonic, sleep
from types import TracebackType
from typing import Any

from ..channels.waking import TaskWaiter, ThreadWaiter
from ..errors import ChanlogError, InvalidOption
from ..host import Host, Timer
from .resting import Rest, look, look_at_tasks

__all__ = ["NotSettled", "VirtualClock"]

# So fine that nobody sees it, and so that sums of seconds are exact for centuries: what waits for
# 0.2 seconds is woken by two steps of 0.1.
_UNITS_PER_SECOND = 1 << 20
_LOOK_SECONDS = 0.0002


class NotSettled(ChanlogError, TimeoutError):
    """Somebody still ran when ``settle`` gave up. ``running`` says who, and where."""

    running: tuple[str, ...]


class VirtualClock(Timer):
    """Time that passes only in ``advance``: for time-outs, leases, retention and delays of a log.

    A log opened with ``host=clock.host`` takes its time from it: what messages say, what
    retention and leases compare, and each wait with a timeout, in threads and in tasks.

    >>> import chanlog
    >>> from chanlog.testing.clock import VirtualClock
    >>> clock = VirtualClock()
    >>> with chanlog.open(host=clock.host) as log:
    ...     channel = log.channel("workflow-42")
    ...     channel.configure(chanlog.Retention(age=3600))
    ...     channel.publish("old")
    ...     clock.advance(3601)
    ...     clock.settle()
    ...     list(channel.replay())
    0
    []
    """

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._lock = threading.Lock()
        self._now_ns = now_ns
        self._units = 0
        self._alarms: dict[_Alarm, None] = {}
        # Who was there before and never asks for the time is somebody else's business.
        self._outside = set(threading.enumerate())
        self._seen: set[int] = set()

    @property
    def host(self) -> Host:
        """What to give to ``chanlog.open(host=...)``: this machine, with this clock."""
        return Host(clock=self, timer=self)

    @property
    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self._now_ns

    def __call__(self) -> int:
        # Every append asks for the time, so whoever publishes is known from here.
        self._seen.add(threading.get_ident())
        return self._now_ns

    def __repr__(self) -> str:
        return f"<VirtualClock at {self._now_ns}>"

    # What a log asks of it.

    def now(self) -> float:
        """Seconds since the clock was made, at least as many as ``now_ns`` has gone on."""
        return self._units / _UNITS_PER_SECOND

    def alarm(self, when: float, wake: Callable[[], object]) -> _Alarm:
        """Call ``wake`` as soon as it is ``when``, unless the block has been left before."""
        return _Alarm(self, when, wake)

    def queue(self) -> Queue[Any]:
        """A queue whose ``get(timeout=...)`` waits for so many seconds of this clock."""
        return _Queue(self)

    # What a test asks of it.

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass at once, and wake everybody whose time is up.

        It does not wait until they have looked; ``settle`` does. Somebody who would wait again
        for a shorter time than what passes does so from the end of it: advance in steps where
        each counts. From any thread, and inside an event loop.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
            raise InvalidOption(
                f"seconds is a number of 0 or more, not {seconds!r}", option="seconds"
            )
        # What the log does by itself begins to wait before time goes on, not in the middle of it.
        self._until_at_rest(lambda: look(self, self._is_background), 10.0)
        with self._lock:
            self._now_ns += round(seconds * 1_000_000_000)
            # Rounded up, for nobody may sleep through an instant that has come.
            self._units += -int(-seconds * _UNITS_PER_SECOND // 1)
            now = self.now()
            due = [alarm for alarm in self._alarms if alarm.when <= now]
        for alarm in sorted(due, key=lambda alarm: alarm.when):
            alarm.ring()

    def settle(self, timeout: float = 10.0) -> None:
        """Wait until every thread that works on a log waits again: all those woken have looked,
        and nobody is left to run. In place of sleeping.

        It looks at every thread that was started after the clock was made, or has published since:
        it must wait in chanlog, for a ``threading`` or ``queue`` object, in an event loop that has
        nothing to do, or have ended. Raises ``NotSettled`` after ``timeout`` seconds of the real
        clock, saying who still runs. Blocks the thread; inside an event loop use ``asettle``.
        """
        if asyncio._get_running_loop() is not None:
            raise InvalidOption(
                "settle() would keep the tasks of this event loop from running; "
                "use `await clock.asettle()`",
                option="settle",
            )
        self._until_at_rest(lambda: look(self, self._is_inside), timeout)

    async def asettle(self, timeout: float = 10.0) -> None:
        """``settle`` for an event loop: every other task of the loop waits, too."""
        loop = asyncio.get_running_loop()
        deadline = monotonic() + timeout
        before: Rest | None = None
        while True:
            await asyncio.sleep(0)
            rest = look_at_tasks(loop) + look(self, self._is_inside)
            if rest.is_same(before):
                return
            if rest.running and monotonic() >= deadline:
                raise _not_settled(rest, timeout)
            before = rest
            if rest.running:
                await asyncio.sleep(_LOOK_SECONDS)

    def _until_at_rest(self, look: Callable[[], Rest], timeout: float) -> None:
        deadline = monotonic() + timeout
        before: Rest | None = None
        while True:
            rest = look()
            if rest.is_same(before):
                return
            if rest.running and monotonic() >= deadline:
                raise _not_settled(rest, timeout)
            before = rest
            sleep(_LOOK_SECONDS if rest.running else 0)

    def _is_inside(self, thread: threading.Thread) -> bool:
        return thread not in self._outside or thread.ident in self._seen

    def _is_background(self, thread: threading.Thread) -> bool:
        return thread.name.startswith("chanlog-") and thread not in self._outside

    def sleep(self, seconds: float) -> None:
        """Block the thread until so many seconds have been advanced."""
        waiter = ThreadWaiter(None)
        with self.alarm(self.now() + seconds, waiter.wake):
            waiter.wait(None)

    async def asleep(self, seconds: float) -> None:
        """``sleep`` without blocking the event loop."""
        waiter = TaskWaiter(asyncio.get_running_loop(), None)
        with self.alarm(self.now() + seconds, waiter.wake):
            await waiter.future


class _Alarm:
    """One wait for a time; entered once."""

    __slots__ = ("_clock", "_wake", "when")

    def __init__(self, clock: VirtualClock, when: float, wake: Callable[[], object]) -> None:
        self._clock = clock
        self._wake = wake
        self.when = when

    def ring(self) -> None:
        """Wake whoever waits for it."""
        self._wake()

    def __enter__(self) -> None:
        clock = self._clock
        with clock._lock:
            late = clock.now() >= self.when
            if not late:
                clock._alarms[self] = None
        if late:
            self.ring()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._clock._lock:
            self._clock._alarms.pop(self, None)


class _Queue(Queue[Any]):
    """A queue that waits for a clock moved by hand."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """As in ``queue.Queue``."""
        if not block or timeout is None:
            return super().get(block)
        deadline = self._clock.now() + timeout
        with self._clock.alarm(deadline, self._ring), self.not_empty:
            while not self._qsize():
                if self._clock.now() >= deadline:
                    raise Empty
                self.not_empty.wait()
            return self._get()

    def _ring(self) -> None:
        with self.not_empty:
            self.not_empty.notify_all()


def _not_settled(rest: Rest, timeout: float) -> NotSettled:
    running = tuple(rest.running)
    return NotSettled(
        f"not at rest after {timeout:g} seconds; still running: {'; '.join(running)}. "
        "Whatever works on the log has to wait in it, or for a threading or queue object",
        running=running,
    )

"""Threads that run one at a time, and change places only where a plan says.

Every thread of a schedule is a real one, but all but one of them stand at a gate. Before each line
(or each opcode) of the code that is looked at, the running thread comes to a *point*; there the
plan may send another one on its way. Locks are those below, so it is known who is blocked, and a
deadlock shows at once. The same plan gives the same run.

The idea is that of CHESS: M. Musuvathi and S. Qadeer, "Iterative Context Bounding for Systematic
Testing of Multithreaded Programs", PLDI 2007.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from types import CodeType, FrameType
from typing import Any, NamedTuple

from .points import Points

__all__ = [
    "INTERRUPT",
    "Deadlock",
    "Decision",
    "Lock",
    "Plan",
    "Scheduler",
    "Stuck",
    "leave",
    "running",
]

Plan = tuple[tuple[int, int], ...]
"""At which steps which thread goes on; (12, 1) sends thread 1 on its way at step 12."""

INTERRUPT = -1
"""In place of a thread: the running one is interrupted by a signal."""

# A wait for so long or longer is there for what should not happen; a shorter one may always end.
PATIENT_SECONDS = 1.0
STEPS_MAX = 20_000
HANG_SECONDS = 20.0


class Deadlock(Exception):
    """Nobody can go on, and not everybody is done."""


class Stuck(Exception):
    """A schedule does not come to its end."""


class Abandoned(BaseException):
    """Unwinds the threads of a schedule that has failed."""


class Decision(NamedTuple):
    """At ``step`` one of ``ready`` could go on, and ``taken`` did. It was ``forced`` if the thread
    that ran before could not."""

    step: int
    ready: tuple[int, ...]
    taken: int
    forced: bool


class Ending(NamedTuple):
    """What a thread came to: what it returned, or what it raised."""

    value: Any
    error: BaseException | None

    def result(self) -> Any:
        """What it returned."""
        if self.error is not None:
            raise self.error
        return self.value


class Worker:
    """A thread that is lent to one schedule after another."""

    def __init__(self) -> None:
        self.gate = _thread.allocate_lock()
        self.gate.acquire()
        self.job: Callable[[], None] | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            self.gate.acquire()
            job, self.job = self.job, None
            if job is not None:
                job()


class Lock:
    """A lock whose waiters the scheduler knows. Outside of a schedule it never blocks."""

    def __init__(self) -> None:
        self.held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        scheduler = running()
        if scheduler is None:
            if self.held and blocking and timeout < 0:
                raise Deadlock("a lock is held by nobody who runs")
            free, self.held = not self.held, True
            return free
        scheduler.resume_tracing()
        while self.held:
            if not blocking or not scheduler.block(self, timeout):
                return False
        self.held = True
        return True

    def release(self) -> None:
        if not self.held:
            raise RuntimeError("release unlocked lock")
        self.held = False
        scheduler = running()
        if scheduler is not None:
            scheduler.resume_tracing()
            scheduler.free(self)

    def locked(self) -> bool:
        return self.held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Scheduler:
    """One schedule of a few threads.

    ``points`` says where a thread may be taken off. ``plan`` is followed, and where it says
    nothing the running thread goes on, or if it cannot the first that can. ``interruptible`` are
    the threads that may be interrupted. ``rescued`` says that a wait which is there for what
    should not happen may run out, once nobody can go on.
    """

    def __init__(
        self,
        points: Points,
        plan: Plan = (),
        *,
        interruptible: Iterable[int] = (),
        rescued: bool = False,
        chooser: Callable[[int, tuple[int, ...]], int] | None = None,
    ) -> None:
        self.points = points
        self.plan = plan
        self.interruptible = frozenset(interruptible)
        self.rescued = rescued
        # Asked at each point where the plan is silent, in a random walk.
        self.chooser = chooser
        self.step = 0
        self.now = 1000.0
        self.decisions: list[Decision] = []
        self.log: list[tuple[int, str]] | None = None
        self.failure: BaseException | None = None
        self._next = 0
        self._due = plan[0][0] if plan else -1
        self._quiet_until = plan[-1][0] if plan else -1
        self._workers: list[Worker] = []
        self._current = 0
        self._ready: tuple[int, ...] = ()
        # Of those who wait: the lock, and the timeout.
        self._waiting: dict[int, tuple[Lock, float]] = {}
        self._expired: set[int] = set()
        self._left = 0
        self._interrupted = False
        self._over = _thread.allocate_lock()
        self._endings: list[Ending | None] = []

    # Running.

    def run(self, works: Sequence[Callable[[], Any]]) -> list[Ending]:
        """Run each of ``works`` in a thread of its own, and return what they came to.

        Raises ``Deadlock``, ``Stuck``, or ``ValueError`` if the plan cannot be followed.
        """
        global _running
        while len(_workers) < len(works):
            _workers.append(Worker())
        self._workers = _workers[: len(works)]
        self._left = len(works)
        self._endings = [None] * len(works)
        self._ready = tuple(range(len(works)))
        for number, work in enumerate(works):
            self._workers[number].job = self._job(number, work)
        self._over.acquire()
        _running = self
        try:
            self._current = self._choose()
            self._workers[self._current].gate.release()
            if not self._over.acquire(timeout=HANG_SECONDS):
                _workers.clear()
                raise Stuck("a thread blocks on something that the scheduler does not know")
        finally:
            _running = None
        if self.failure is not None:
            raise self.failure
        if self._due >= 0:
            raise ValueError(f"the plan is not for this: the schedule has {self.step} steps")
        return [ending for ending in self._endings if ending is not None]

    def _job(self, number: int, work: Callable[[], Any]) -> Callable[[], None]:
        def job() -> None:
            value, error = None, None
            if self.failure is None:
                sys.settrace(self._call)
                try:
                    value = work()
                except BaseException as raised:
                    error = raised.with_traceback(None)
                finally:
                    sys.settrace(None)
            self._finish(number, Ending(value, error))

        return job

    def _finish(self, number: int, ending: Ending) -> None:
        self._endings[number] = ending
        self._left -= 1
        self._ready = tuple(n for n in self._ready if n != number)
        if not self._left:
            self._over.release()
            return
        self._pass_on()

    # Points.

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        if not self.points.looks_at(frame.f_code):
            return None
        if self.points.opcodes:
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            return self._opcode
        return self._line

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line" and frame.f_lineno in self.points.lines(frame.f_code):
            self._point(frame)
        return self._line

    def _opcode(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            kinds = self.points.offsets(frame.f_code)
            if frame.f_lasti in kinds.switching:
                self._point(frame)
            if self.interruptible and frame.f_lasti in kinds.signals:
                self._signal(frame)
        return self._opcode

    def _point(self, frame: FrameType) -> None:
        if self.log is not None:
            self.log.append((self._current, _where(frame)))
        if self.failure is not None:
            raise Abandoned
        step = self.step
        self.step = step + 1
        if step > STEPS_MAX:
            self._fail(Stuck(f"no end after {STEPS_MAX} steps"))
            raise Abandoned
        if len(self._ready) < 2:
            return
        if step == self._due:
            to = self._follow()
        elif self.chooser is not None:
            to = self.chooser(step, self._ready)
            if to < 0:
                to = self._current
        else:
            if step > self._quiet_until:
                self.decisions.append(Decision(step, self._ready, self._current, False))
            return
        self._go(to)

    def _signal(self, frame: FrameType) -> None:
        """A place where a signal could arrive; it has a step of its own."""
        if self._current not in self.interruptible or self._interrupted:
            return
        step = self.step
        self.step = step + 1
        if step == self._due:
            self._next_due()
            self._interrupted = True
            if self.log is not None:
                self.log.append((self._current, f"{_where(frame)} INTERRUPTED"))
            raise KeyboardInterrupt
        if step > self._quiet_until and self.chooser is None:
            self.decisions.append(Decision(step, (INTERRUPT, self._current), self._current, False))

    def resume_tracing(self) -> None:
        """The interpreter stops tracing a thread whose trace function has raised."""
        if self._interrupted and sys.gettrace() is None:
            sys.settrace(self._call)

    def _follow(self) -> int:
        to = self.plan[self._next][1]
        self._next_due()
        if to not in self._ready:
            self._fail(ValueError(f"the plan is not for this: thread {to} cannot go on"))
            raise Abandoned
        return to

    def _next_due(self) -> None:
        self._next += 1
        self._due = self.plan[self._next][0] if self._next < len(self.plan) else -1

    # Changing places.

    def _go(self, to: int) -> None:
        """Let ``to`` run, and stand at the gate until somebody lets this thread run."""
        me = self._current
        if to != me:
            if to in self._waiting:
                self._expire(to)
            self._current = to
            self._workers[to].gate.release()
            self._workers[me].gate.acquire()
        if self.failure is not None:
            raise Abandoned

    def _choose(self) -> int:
        """Who goes on where the one that ran cannot."""
        if self.failure is not None:
            raise Abandoned
        step = self.step
        self.step = step + 1
        if step == self._due:
            return self._follow()
        taken = next((n for n in self._ready if n not in self._waiting), self._ready[0])
        if len(self._ready) > 1:
            if self.chooser is not None:
                chosen = self.chooser(step, self._ready)
                taken = chosen if chosen >= 0 else taken
            elif step > self._quiet_until:
                self.decisions.append(Decision(step, self._ready, taken, True))
        return taken

    def _pass_on(self) -> None:
        """Let somebody else run; this thread cannot."""
        if self.failure is None and not self._ready:
            late = [n for n, (_, timeout) in self._waiting.items() if timeout >= 0]
            if late and self.rescued:
                self._ready = (late[0],)
            else:
                self._fail(Deadlock(f"threads {sorted(self._waiting)} wait, and nobody else runs"))
        try:
            to = self._choose()
        except Abandoned:
            # One after the other, they unwind.
            to = next(n for n, ending in enumerate(self._endings) if ending is None)
        if to in self._waiting:
            self._expire(to)
        self._current = to
        self._workers[to].gate.release()

    def block(self, lock: Lock, timeout: float) -> bool:
        """The running thread waits until ``lock`` is free: True, or ``timeout`` is over."""
        if self.failure is not None:
            raise Abandoned
        me = self._current
        self._waiting[me] = (lock, timeout)
        if self.log is not None:
            self.log.append((me, "waits"))
        if not 0 <= timeout < PATIENT_SECONDS:
            self._ready = tuple(n for n in self._ready if n != me)
        self._pass_on()
        self._workers[me].gate.acquire()
        if self.failure is not None:
            raise Abandoned
        if me in self._expired:
            self._expired.discard(me)
            return False
        return True

    def _expire(self, number: int) -> None:
        """The wait of this thread is over without what it waited for."""
        _, timeout = self._waiting.pop(number)
        self.now += timeout
        self._expired.add(number)
        if number not in self._ready:
            self._ready = tuple(sorted((*self._ready, number)))

    def free(self, lock: Lock) -> None:
        """``lock`` was released: those who wait for it may try again."""
        woken = [n for n, (other, _) in self._waiting.items() if other is lock]
        for number in woken:
            del self._waiting[number]
        if woken:
            self._ready = tuple(sorted({*self._ready, *woken}))

    def _fail(self, failure: BaseException) -> None:
        if self.failure is None:
            self.failure = failure


def _where(frame: FrameType) -> str:
    code: CodeType = frame.f_code
    return f"{code.co_qualname}:{frame.f_lineno}"


def running() -> Scheduler | None:
    """The schedule that runs now, if this is one of its threads."""
    return _running


def leave() -> None:
    """In the child of a fork there is no schedule any more, only this thread."""
    global _running
    _running = None


_running: Scheduler | None = None
_workers: list[Worker] = []

"""Who runs and who waits: a look at the threads of this process and the tasks of an event loop.

A thread is looked at from outside, through its innermost frame: nothing that waits has to tell, so
the log pays nothing for being watched. What one look finds may be over when the look ends. But if
two looks find every thread in the very same wait, then all of them waited at the moment between
the two, and whoever is woken later is woken by somebody else.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable
from concurrent.futures import thread as executors
from types import FrameType
from typing import Any

from ..channels.waking import ThreadWaiter
from ..storage.store import Store

__all__ = ["Rest", "look", "look_at_tasks"]


_looking = threading.Lock()


class Rest:
    """What one look has found: ``waits`` by thread or task, and who is ``running``."""

    __slots__ = ("running", "waits")

    def __init__(self, waits: dict[Any, object], running: list[str]) -> None:
        self.waits = waits
        self.running = running

    def __add__(self, other: Rest) -> Rest:
        return Rest({**self.waits, **other.waits}, self.running + other.running)

    def is_same(self, before: Rest | None) -> bool:
        """Whether nobody has run from the look ``before`` to this one."""
        return (
            before is not None
            and not before.running
            and not self.running
            and self.waits.keys() == before.waits.keys()
            and all(wait is before.waits[key] for key, wait in self.waits.items())
        )


def look(timer: object, is_inside: Callable[[threading.Thread], bool]) -> Rest:
    """Look at the threads that are ``is_inside``, but for the one that asks, and for what another
    log than those of ``timer`` does in the background.

    The interpreter makes a frame of another thread into an object when it is asked for it. If that
    begins a garbage collection whose finalizers let the thread run, the object is of a frame that
    is gone, and looking at it is a crash (CPython 3.11). So nothing is collected meanwhile.
    """
    with _looking:
        collects = gc.isenabled()
        gc.disable()
        try:
            return _look(timer, is_inside)
        finally:
            if collects:
                gc.enable()


def _look(timer: object, is_inside: Callable[[threading.Thread], bool]) -> Rest:
    waits: dict[Any, object] = {}
    running = []
    me = threading.current_thread()
    threads = threading.enumerate()
    frames = sys._current_frames()
    for thread in threads:
        if thread is me or not is_inside(thread):
            continue
        frame = frames.get(thread.ident or 0)
        if frame is None:
            if thread.is_alive() or thread.ident is None:
                running.append(f"thread {thread.name!r}, which starts or ends")
            continue
        if thread.name.startswith("chanlog-") and not _is_of(frame, timer):
            continue
        wait = _wait_of(frame)
        if wait is None:
            running.append(f"thread {thread.name!r} {_place(frame)}")
        else:
            waits[thread] = wait
    return Rest(waits, running)


def look_at_tasks(loop: asyncio.AbstractEventLoop) -> Rest:
    """Look at the tasks of the loop that runs here, but for the one that asks."""
    waits: dict[Any, object] = {}
    running = []
    me = asyncio.current_task()
    for task in asyncio.all_tasks(loop):
        if task is me:
            continue
        # The future that a task waits for. It is how anyio's `wait_all_tasks_blocked` looks, too.
        future = getattr(task, "_fut_waiter", None)
        if future is None or future.done():
            frames = task.get_stack(limit=1)
            running.append(f"task {task.get_name()!r} {_place(frames[0]) if frames else ''}")
        else:
            waits[task] = future
    if not running and getattr(loop, "_ready", None):
        running.append("callbacks of the event loop")
    return Rest(waits, running)


def _is_of(frame: FrameType | None, timer: object) -> bool:
    """Whether a thread of chanlog's own works for a log of ``timer``."""
    while frame is not None:
        store = getattr(frame.f_locals.get("self"), "_store", None)
        if isinstance(store, Store):
            # Who follows the log of another process looks again and again, and never rests.
            return store.timer is timer and not store.read_only
        frame = frame.f_back
    return True


def _wait_of(frame: FrameType) -> object | None:
    """What the thread waits for, ``None`` if it runs. The same object only for the same wait."""
    code, names = frame.f_code, frame.f_locals
    if code is ThreadWaiter.wait.__code__:
        waiter = names["self"]
        # Said by whoever wakes it, so that it holds before the thread has got to run.
        return None if waiter.woken or not waiter._lock.locked() else waiter
    if code is threading.Condition.wait.__code__:
        lock = names.get("waiter")
        # Taken out by whoever notifies it.
        return lock if lock is not None and lock in names["self"]._waiters else None
    if code is executors._worker.__code__:
        idle = names.get("work_item") is None and names["work_queue"].empty()
        return frame if idle else None
    name = frame.f_globals.get("__name__")
    if name == "threading" and code.co_name in {"join", "_wait_for_tstate_lock"}:
        return frame
    if name == "selectors" and code.co_name == "select":
        loop = _loop_around(frame)
        return None if loop is not None and getattr(loop, "_ready", None) else frame
    return None


def _loop_around(frame: FrameType | None) -> object | None:
    """The event loop that waits in ``frame``, if one does."""
    while frame is not None:
        found = frame.f_locals.get("self")
        if isinstance(found, asyncio.AbstractEventLoop):
            return found
        frame = frame.f_back
    return None


def _place(frame: FrameType) -> str:
    """Where that is, for a reader."""
    return f"in {frame.f_code.co_name} at {frame.f_code.co_filename}:{frame.f_lineno}"

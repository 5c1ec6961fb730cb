"""A thread that works in the background from the first need on."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Background"]


class Background:
    """At most one thread that runs ``work``, from the first ``start`` on; from any thread.

    A signal may interrupt whoever starts it when the thread runs already, and before anybody has
    noted that. So the thread notes it itself, and ends at once if there is another.
    """

    __slots__ = ("_lock", "_name", "_work", "stopped", "thread")

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._name = name
        self._lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.stopped = False

    def start(self) -> None:
        """Start it if it does not run. Later is early enough if it cannot be started now: there
        are too many threads, or the interpreter is exiting."""
        with self._lock:
            if self.thread is None and not self.stopped:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return
                self.thread = thread

    def _run(self) -> None:
        me = threading.current_thread()
        with self._lock:
            if self.stopped or self.thread not in (None, me):
                return
            self.thread = me
        self._work()

    def stop(self, ask: Callable[[], None]) -> None:
        """Let it start no more, ``ask`` it to end, and wait until it has."""
        with self._lock:
            self.stopped = True
            thread = self.thread
        if thread is not None and thread is not threading.current_thread():
            ask()
            thread.join()
        # Whoever works here holds this, and neither must outlive the log for the sake of the other.
        self._work = _nothing


def _nothing() -> None:
    """What is left to do when it was stopped."""

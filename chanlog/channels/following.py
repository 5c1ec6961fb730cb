"""Waking those who wait on somebody else's log: the thread that looks for what was appended."""

from __future__ import annotations

import threading

from ..errors import ChanlogError
from ..host import sleep
from ..storage.following import follow
from ..storage.store import Store

__all__ = ["Follower"]

_PAUSE_SECONDS_MIN = 0.001
_PAUSE_SECONDS_MAX = 0.02


class Follower:
    """Looks at the owner's file while somebody waits, more seldom the longer nothing comes.

    Memory shared with another process cannot wake anybody in this one, so here, and only here,
    chanlog looks again and again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread: threading.Thread | None = None
        self._needed = threading.Event()
        if store.read_only:
            store.on_wait = self._wanted

    def _wanted(self) -> None:
        self._needed.set()
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="chanlog-follow", daemon=True)
            thread.start()
            self._thread = thread

    def stop(self) -> None:
        """End the thread; for a store that is closed."""
        self._needed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        store = self._store
        pause = _PAUSE_SECONDS_MIN
        while True:
            # Before looking: whoever comes or closes the log from here on sets it again.
            self._needed.clear()
            if store.closed:
                return
            if not self._anybody():
                self._needed.wait()
                pause = _PAUSE_SECONDS_MIN
                continue
            try:
                found = follow(store)
            except (ChanlogError, OSError) as error:
                store.fail(error)
                return
            pause = _PAUSE_SECONDS_MIN if found else min(pause * 2, _PAUSE_SECONDS_MAX)
            sleep(pause)

    def _anybody(self) -> bool:
        with self._store.lock:
            return any(
                state.listeners is not None and state.listeners.count()
                for state in list(self._store.listening)
            )

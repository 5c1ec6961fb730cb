"""Waking those who wait on somebody else's log: the thread that looks for what was appended."""

from __future__ import annotations

import threading

from ..errors import ChanlogError
from ..host import sleep
from ..storage.following import follow
from ..storage.store import Store
from .background import Background

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
        self._background = Background(self._run, "chanlog-follow")
        self._needed = threading.Event()
        if store.read_only:
            store.on_wait = self._wanted

    def _wanted(self) -> None:
        self._needed.set()
        if self._background.thread is None:
            self._background.start()

    def stop(self) -> None:
        """End the thread; for a store that is closed."""
        self._background.stop(self._needed.set)

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

"""Upkeep: the thread that clusters, applies retention and gives room back."""

from __future__ import annotations

import logging
from queue import Empty, Queue, SimpleQueue

from ..errors import ChanlogError
from ..host import monotonic
from ..options import NO_RETENTION
from ..storage.maintenance import maintain
from ..storage.store import Store
from .background import Background

__all__ = ["Upkeep"]

_RETENTION_SECONDS = 0.5
_PAUSE_SECONDS = 0.5
_logger = logging.getLogger("chanlog")


class Upkeep:
    """Runs a pass whenever a segment was sealed or something was trimmed or deleted, and every
    second while there is a retention.

    Its thread starts with the first need, and sleeps while there is none.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        timer = store.timer
        self._queue: SimpleQueue[bool] | Queue[bool] = (
            SimpleQueue() if timer is None else timer.queue()
        )
        self._now = monotonic if timer is None else timer.now
        self._background = Background(self._run, "chanlog-upkeep")
        self._stopped = False
        self._complained = False
        if store.options.background and not store.read_only:
            store.on_roll = self.poke
            store.on_configured = self.poke
            store.on_death = self.poke
            if store.options.retention != NO_RETENTION or store.table.retained:
                self.poke()

    def poke(self) -> None:
        """There may be something to do. From any thread, and with the store's lock held."""
        self._queue.put(True)
        if self._background.thread is None:
            self._background.start()

    def stop(self) -> None:
        """End the thread; the pass it is in leaves the rest for another time."""
        self._stopped = True
        self._store.stopping = True
        self._background.stop(lambda: self._queue.put(False))

    def _run(self) -> None:
        self._wait(None)
        while not self._stopped:
            self._pass()
            # Many trims in a row are one reason to look, not many.
            pause = self._now() + _PAUSE_SECONDS
            if not self._wait(pause):
                self._wait(pause + _RETENTION_SECONDS if self._is_retained() else None)

    def _is_retained(self) -> bool:
        store = self._store
        return store.table.retained or store.options.retention != NO_RETENTION

    def _wait(self, deadline: float | None) -> bool:
        """Wait for a poke; returns whether there was one. With a ``deadline``, until then."""
        poked = False
        while not self._stopped:
            try:
                left = None if deadline is None else max(0.0, deadline - self._now())
                if not self._queue.get(timeout=left):
                    break
                poked = True
                if deadline is None:
                    break
            except Empty:
                break
        return poked

    def _pass(self) -> None:
        store = self._store
        try:
            maintain(store)
            self._complained = False
        except (ChanlogError, OSError) as error:
            if store.stopping or store.failed is not None:
                return
            # A full disk, say. Everything stays readable and right, and the next pass tries again.
            if not self._complained:
                _logger.warning("compaction of %s has to wait: %s", store.folder.path, error)
            self._complained = True

"""The cast: all the workers of one log, and the child in which they work."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import chanlog

from .child import Say, asked
from .ledger import Ledger, Tally, Violation
from .lives import Lives
from .streams import WAYS, Crew, Cursor, Kept, Reader, Stream, Tasks
from .workers import Background, Frames, Relay, Scene, Weaver, Worker

__all__ = ["Cast", "Plan", "open_log"]

SEGMENT_BYTES = 64 * 1024


class Plan(NamedTuple):
    """One child: its number, its sync policy, and from where its chances are drawn."""

    cycle: int
    sync: str
    seed: int


def open_log(path: Path, sync: str = "os", **options: bool) -> chanlog.Log:
    """The log in ``path``, with segments so small that it rolls and clusters all the time."""
    options.setdefault("background", False)
    return chanlog.open(
        path, sync=sync, sync_interval=0.005, segment_bytes=SEGMENT_BYTES, **options
    )


class Cast:
    """Everybody who works on a log, with the ledger of what they have done.

    ``opened`` counts the logs that a child has opened, ``closed`` those it has closed; ``cut`` is
    1 from just before the disk goes away, when nothing that fails is a surprise any more.
    """

    def __init__(self, mode: str = "kill") -> None:
        ledger = self.ledger = Ledger(mode)
        self.opened = ledger.slot()
        self.closed = ledger.slot()
        self.cut = ledger.slot()
        streams = {way: Stream(ledger, way, trims=way not in ("single", "durable")) for way in WAYS}
        tasks = Tasks(ledger)
        self.single = streams["single"]
        self._tallies = [stream.count for stream in (*streams.values(), *tasks.streams)]
        self.workers: list[Worker] = [
            *streams.values(),
            tasks,
            Relay(ledger, "single", streams["single"].count),
            Frames(ledger),
            Weaver(ledger),
            Cursor(ledger, streams["durable"]),
            Crew(ledger, streams["durable"]),
            Reader(streams["many"]),
            Kept(ledger),
            Lives(ledger),
            Background("compactor", lambda scene: scene.log.compact()),
            Background("syncer", self._sync),
        ]
        if mode == "power":
            self.workers.append(Background("watcher", self._watch))
        self._names = [stream.name for stream in (*streams.values(), *tasks.streams)]

    def tallies_of(self, worker: Worker) -> list[Tally]:
        """What a worker sets, as far as its name says."""
        streams = worker.streams if isinstance(worker, Tasks) else [worker]
        names = {stream.name for stream in streams}
        return [t for t in self.ledger.tallies if t.what.removeprefix("start of ") in names]

    def tally(self, what: str) -> Tally:
        """The tally of that name."""
        return next(tally for tally in self.ledger.tallies if tally.what == what)

    def _sync(self, scene: Scene) -> None:
        done = [tally.done for tally in self._tallies]
        scene.log.sync()
        for tally, count in zip(self._tallies, done, strict=True):
            tally.synced = count

    def _watch(self, scene: Scene) -> None:
        for name, tally in zip(self._names, self._tallies, strict=True):
            durable = scene.log.channel(name).info().durable_offset
            tally.promised = max(tally.promised, durable)

    def play(
        self, path: Path, plan: Plan, say: Say, workers: Sequence[Worker] | None = None
    ) -> None:
        """In the child: work on the log until killed, or until asked to close it.

        Without ``workers``, some of all are drawn.
        """
        gc.disable()
        # That compaction has to wait is no news when the disk is gone, nor is a map that cannot be
        # touched any more.
        logging.disable()
        if self.ledger.mode == "power":
            faulthandler.disable()
        draw = Random(plan.seed)
        sys.setswitchinterval(10.0 ** -draw.randrange(3, 7))
        try:
            log = open_log(path, plan.sync, background=draw.random() < 0.8)
        except Exception as error:
            if self._is_expected(error):
                return
            raise
        self.ledger.slots[self.opened] += 1
        some = draw.sample(self.workers, draw.randrange(3, len(self.workers) + 1))
        for worker in workers or some:
            scene = Scene(log, Random(draw.random()), plan.cycle, plan.sync)
            threading.Thread(target=self._work, args=(worker, scene, say)).start()
        asked()
        log.close()
        self.ledger.slots[self.closed] += 1

    def _work(self, worker: Worker, scene: Scene, say: Say) -> None:
        try:
            worker.work(scene)
        except BaseException as error:
            if not self._is_expected(error):
                say(f"{worker.name}: {traceback.format_exc()}")
                os._exit(1)

    def _is_expected(self, error: BaseException) -> bool:
        if isinstance(error, BaseExceptionGroup):
            return all(map(self._is_expected, error.exceptions))
        if isinstance(error, Violation):
            return False
        if self.ledger.slots[self.cut] and isinstance(error, chanlog.LogFailed | OSError):
            return True
        return isinstance(error, chanlog.LogClosed)

    def check(self, path: Path, how: str) -> dict[str, int]:
        """Open the log and hold it against the ledger; returns what was found.

        ``how`` is ``"look"`` to change nothing, ``"die"`` to leave it open, as a kill would, and
        ``"own"`` to close it, and to walk through all its files then.
        """
        log = open_log(path, read_only=how == "look")
        recovery = log.recovery
        if recovery.damage:
            raise Violation(f"damage: {recovery.damage}")
        facts = {"torn tails": len(recovery.torn), "catalogs rebuilt": recovery.catalog_rebuilt}
        facts["messages read"] = sum(worker.check(log) for worker in self.workers)
        if how == "own":
            log.close()
            problems = chanlog.verify(path).problems
            if problems:
                raise Violation(f"verify: {problems}")
        return facts

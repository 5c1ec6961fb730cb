"""Lives of channels: written, forked, ended, deleted, and the name used again."""

from __future__ import annotations

from typing import Any

import chanlog

from .ledger import Ledger, Violation
from .workers import Scene, Worker

__all__ = ["Lives", "world"]

_STEPS = 9
# As many lives are there at once: a fork outlives its parent.
_LIVES = 3


class Lives(Worker):
    """One life after the other, step by step; after any number of steps one state is right."""

    name = "lives"

    def __init__(self, ledger: Ledger) -> None:
        self._steps = ledger.tally(self.name)

    def work(self, scene: Scene) -> None:
        while True:
            count = self._steps.done
            life, step = divmod(count, _STEPS)
            self._steps.begun = count + 1
            _step(scene.log, life, step)
            self._steps.done = count + 1
            if scene.sync == "always":
                self._steps.durable = count + 1

    def check(self, log: chanlog.Log) -> int:
        found = {
            name: (list(log.channel(name).replay().data()), log.channel(name).info().ended)
            for name in log.channels(pattern="life*")
        }
        for count in reversed(self._steps.possible()):
            if world(count) == found:
                self._steps.settle(self._steps.judge(count))
                return sum(len(data) for data, _ in found.values())
        raise Violation(f"lives: {found} is not the state after any of {self._steps.possible()}")


def _step(log: chanlog.Log, life: int, step: int) -> None:
    """Take one step; each is one append to the log."""
    name = f"life-{life % _LIVES}"
    channel, fork = log.channel(name), log.channel(f"life-fork-{life % _LIVES}")
    if step == 0:
        channel.publish_many([[life, place, "x" * 300] for place in range(4)])
    elif step == 1:
        channel.trim(1)
    elif step == 2:
        channel.fork(fork.name, at=3)
    elif step == 3:
        fork.publish([life, "fork"])
    elif step == 4:
        channel.end()
    elif step == 5:
        channel.delete()
    elif step == 6:
        # The name is free, and its offsets begin anew.
        if channel_offset := log.channel(name).publish([life, "again"]):
            raise Violation(f"lives: {name} begins at {channel_offset}")
    elif step == 7:
        log.channel(name).delete()
    else:
        fork.delete()


def world(count: int) -> dict[str, tuple[list[Any], bool]]:
    """What is there after ``count`` steps: the payloads of each channel, and whether it ended."""
    life, step = divmod(count, _STEPS)
    name, fork = f"life-{life % _LIVES}", f"life-fork-{life % _LIVES}"
    found: dict[str, tuple[list[Any], bool]] = {}
    if 1 <= step <= 5:
        all_of_it = [[life, place, "x" * 300] for place in range(4)]
        found[name] = (all_of_it[1 if step >= 2 else 0 :], step == 5)
    if step == 7:
        found[name] = ([[life, "again"]], False)
    if step >= 3:
        shared = [[life, place, "x" * 300] for place in range(1, 3)]
        found[fork] = (shared + ([[life, "fork"]] if step >= 4 else []), False)
    return found

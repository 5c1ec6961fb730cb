"""The workers: threads that use a log until it dies, and know what must be there afterwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import chanlog

from .ledger import Ledger, Tally, Violation

__all__ = ["Frames", "Relay", "Scene", "Weaver", "Worker", "read"]


class Scene(NamedTuple):
    """What a worker is given: the log, chances to draw, and the number of the child it is in."""

    log: chanlog.Log
    draw: Random
    cycle: int
    sync: str


class Worker(ABC):
    """Something that one thread does with a log, over and over, and the check of it.

    ``work`` never returns, but for the log being closed or failed, which raises. ``check`` looks
    at a log that was opened again, raises ``Violation``, and returns how many messages it has
    looked at. What it has found settles the tallies: from there the next child goes on.
    """

    name: str

    @abstractmethod
    def work(self, scene: Scene) -> None: ...

    @abstractmethod
    def check(self, log: chanlog.Log) -> int: ...


def read(channel: chanlog.Channel) -> tuple[int, list[Any]]:
    """The start offset, and the payloads from there to the end; they must be as many."""
    info = channel.info()
    found = list(channel.replay().data())
    if len(found) != info.count:
        raise Violation(f"{channel.name}: {info.count} messages told, {len(found)} read")
    return info.start_offset, found


def filler(draw: Random, most: int) -> str:
    """Text of some length, mostly short, so that batches end anywhere in a page and a segment."""
    return "x" * int(most * draw.random() ** 4)


class Frames(Worker):
    """One message into each of three channels, in one frame: they must stay equal."""

    name = "frames"

    def __init__(self, ledger: Ledger) -> None:
        self._count = ledger.tally(self.name)
        self._names = [f"frame-{place}" for place in range(3)]

    def work(self, scene: Scene) -> None:
        while True:
            count = self._count.done
            durable = scene.draw.random() < 0.1
            self._count.begun = count + 1
            with scene.log.atomic(durable=durable) as frame:
                for name in self._names:
                    frame.publish(name, [count, filler(scene.draw, 900)])
            self._count.done = count + 1
            if durable or scene.sync == "always":
                self._count.durable = count + 1

    def check(self, log: chanlog.Log) -> int:
        counts = set()
        for name in self._names:
            _, found = read(log.channel(name))
            if [data[0] for data in found] != list(range(len(found))):
                raise Violation(f"{name}: out of order")
            counts.add(len(found))
        if len(counts) != 1:
            raise Violation(f"frames: some have {counts}")
        count = counts.pop()
        self._count.settle(self._count.judge(count))
        return 3 * count


class Relay(Worker):
    """Reads a channel through a cursor, and publishes a message for each it has read in one frame
    with the commit: once for each, whatever happens."""

    name = "relay"

    def __init__(self, ledger: Ledger, source: str, count: Tally) -> None:
        self._position = ledger.tally(self.name)
        self._source = source
        self._count = count

    def work(self, scene: Scene) -> None:
        cursor = scene.log.channel(self._source).cursor(self.name)
        for message in cursor:
            if message.offset != self._position.done:
                raise Violation(f"relay: read {message.offset} at {self._position.done}")
            self._count.seen = max(self._count.seen, message.offset + 1)
            self._position.begun = message.offset + 1
            with scene.log.atomic() as frame:
                frame.publish("relayed", [message.offset, message.data[0]])
                frame.commit(cursor, message)
            self._position.done = message.offset + 1
            if scene.sync == "always":
                self._position.durable = message.offset + 1

    def check(self, log: chanlog.Log) -> int:
        _, found = read(log.channel("relayed"))
        if found != [[offset, offset] for offset in range(len(found))]:
            raise Violation("relayed: not once for each message, in order")
        position = log.channel(self._source).info().cursors.get(self.name, 0)
        if position != len(found):
            raise Violation(f"relay: {len(found)} relayed, and the cursor at {position}")
        self._position.settle(self._position.judge(position))
        return len(found)


class Weaver(Worker):
    """Numbers that go from channel to channel: what is left of them has no gap, in any order that
    the log could have lost them in."""

    name = "weaver"

    def __init__(self, ledger: Ledger) -> None:
        self._count = ledger.tally(self.name)
        self._names = [f"weave-{place}" for place in range(5)]

    def work(self, scene: Scene) -> None:
        channels = [scene.log.channel(name) for name in self._names]
        while True:
            count = self._count.done
            self._count.begun = count + 1
            channels[count % 5].publish([count, filler(scene.draw, 600)], type="weave")
            self._count.done = count + 1
            if scene.sync == "always":
                self._count.durable = count + 1

    def check(self, log: chanlog.Log) -> int:
        found = [data[0] for name in self._names for data in read(log.channel(name))[1]]
        if sorted(found) != list(range(len(found))):
            missing = sorted(set(range(max(found) + 1)) - set(found))
            raise Violation(f"weaver: {missing[:10]} are missing below {max(found)}")
        self._count.settle(self._count.judge(len(found)))
        return len(found)


class Background(Worker):
    """Does something to a log again and again, and leaves nothing to check."""

    def __init__(self, name: str, step: Callable[[Scene], None]) -> None:
        self.name = name
        self._step = step

    def work(self, scene: Scene) -> None:
        while True:
            self._step(scene)

    def check(self, log: chanlog.Log) -> int:
        return 0

"""The campaign ``switching``: real threads that the interpreter switches between all the time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chanlog

from ...support import spawn
from ..campaign import Campaign, Outcome, Progress

__all__ = ["SWITCHING"]

SWITCH_SECONDS = 1e-6
LIMIT = 60.0


class Workload:
    """Writers, readers and what else there is, drawn by a seed; at the end everything is told."""

    def __init__(self, path: Path | None, seed: int) -> None:
        chance = self.chance = random.Random(seed)
        self.sync = chance.choice(("interval", "interval", "os", "always"))
        self.log = chanlog.open(
            path, sync=self.sync, sync_interval=0.001, segment_bytes=64 * 1024,
            background=chance.random() < 0.5,
        )  # fmt: skip
        self.channel = self.log.channel("w")
        self.padding = "x" * chance.choice((0, 200, 1500))
        self.each = chance.randrange(20, 60)
        self.writers = chance.randrange(2, 6)
        self.readers = chance.randrange(1, 4)
        self.done = threading.Event()
        self.wrong: list[str] = []

    # Writers.

    def write(self, name: int, seed: int) -> dict[int, Any]:
        """Publish in every form; returns what was acknowledged where."""
        chance = random.Random(seed)
        mine = self.log.channel("w", sender=f"w{name}")
        producer = mine.producer(f"p{name}") if chance.random() < 0.3 else None
        found: dict[int, Any] = {}
        number = 0
        while number < self.each:
            data: list[Any] = [name, number, self.padding]
            way = chance.randrange(10)
            if way == 0:
                many = [data, [name, number + 1, self.padding]]
                found.update(zip(mine.publish_many(many), many, strict=True))
                number += 1
            elif way == 1:
                found[mine.publish(data, durable=True)] = data
            elif way == 2:
                with self.log.atomic() as frame:
                    frame.publish("w", data)
                    frame.publish("beside", data)
                found[frame.offsets[0]] = data
            elif way == 3 and producer is not None:
                found[producer.publish(data)] = data
            elif way == 4:
                found[asyncio.run(mine.apublish(data, durable=True))] = data
            else:
                found[mine.publish(data, type="t" if number % 3 == 0 else None)] = data
            number += 1
        return found

    # Readers. Each returns what it has seen, and what it should have of a history.

    def follow(self) -> tuple[list[Any], Callable[[list[Any]], list[Any]]]:
        return list(self.channel.subscribe()), lambda history: history

    def follow_type(self) -> tuple[list[Any], Callable[[list[Any]], list[Any]]]:
        seen = list(self.channel.subscribe(types={"t"}))
        return seen, lambda history: [message for message in history if message.type == "t"]

    def follow_live(self) -> tuple[list[Any], Callable[[list[Any]], list[Any]]]:
        reader = self.channel.subscribe(live=True)
        first = reader.offset
        return list(reader), lambda history: history[first:]

    def follow_in_tasks(self) -> tuple[list[Any], Callable[[list[Any]], list[Any]]]:
        async def one() -> list[Any]:
            return [message async for message in self.channel.subscribe()]

        async def both() -> list[list[Any]]:
            return await asyncio.gather(one(), one())

        first, second = asyncio.run(both())
        return first, lambda history: history if second == first else ["two tasks differ"]

    def follow_briefly(self) -> tuple[list[Any], Callable[[list[Any]], list[Any]]]:
        """Begin again with every message, and wait for a moment only."""
        seen: list[Any] = []
        while True:
            after = seen[-1].offset if seen else None
            with self.channel.subscribe(after=after) as reader:
                try:
                    while (message := reader.get(timeout=0.001)) is not None:
                        seen.append(message)
                        if len(seen) % 7 == 0:
                            break
                except chanlog.EndOfChannel:
                    return seen, lambda history: history

    # Whoever is in the way.

    def compact(self) -> None:
        while not self.done.is_set():
            self.log.compact()

    def replay(self) -> None:
        while not self.done.is_set():
            offsets = [message.offset for message in self.channel.replay()]
            if offsets != list(range(len(offsets))):
                self.wrong.append("a replay has a gap")

    def commit(self) -> None:
        cursor = self.channel.cursor("c")
        for message in cursor:
            cursor.commit(message)

    def come_and_go(self) -> None:
        number = 0
        while not self.done.is_set():
            number += 1
            other = self.log.channel(f"other-{number % 3}")
            other.publish(number)
            other.fork(f"fork-{number}").delete()
            names = list(self.log.channels())
            if names != sorted(set(names)) or "w" not in names:
                self.wrong.append(f"a listing is wrong: {names}")
            other.delete()

    # All of it.

    def run(self) -> list[str]:
        """What is wrong in the end."""
        self.channel.publish([-1, 0, ""])
        kinds = [
            self.follow, self.follow_type, self.follow_live, self.follow_in_tasks,
            self.follow_briefly,
        ]  # fmt: skip
        reading = [spawn(self.chance.choice(kinds)) for _ in range(self.readers)]
        ways = self.chance.sample([self.compact, self.replay, self.come_and_go], 2)
        beside = [spawn(way) for way in ways]
        committing = spawn(self.commit)
        writing = [spawn(self.write, n, self.chance.random()) for n in range(self.writers)]
        acknowledged = {
            offset: data for one in writing for offset, data in one.result(LIMIT).items()
        }
        end = self.channel.end()
        seen = [one.result(LIMIT) for one in reading]
        committing.result(LIMIT)
        self.done.set()
        for one in beside:
            one.result(LIMIT)
        self._judge(acknowledged, end, seen)
        return self.wrong

    def _judge(self, acknowledged: dict[int, Any], end: int, seen: list[Any]) -> None:
        history = list(self.channel.replay())
        if [message.offset for message in history] != list(range(end)):
            self.wrong.append("the offsets are not dense")
        data = {message.offset: message.data for message in history}
        del data[0]
        if data != acknowledged:
            self.wrong.append("what was acknowledged is not what is there")
        for found, wanted in seen:
            if found != wanted(history):
                self.wrong.append(f"a reader has seen {len(found)} messages, and others")
        if self.channel.info().cursors != {"c": end}:
            self.wrong.append("the cursor is not at the end")
        if self.log.statistics().waiters:
            self.wrong.append("a waiter is left")

    def leave(self, path: Path | None) -> None:
        """Close while somebody waits and somebody writes, and look at what is there."""
        waiting = spawn(self._until_closed, lambda: self.log.channel("quiet").subscribe().get())
        writing = spawn(self._until_closed, self._write_on)
        while self.log.statistics().waiters == 0:
            continue
        self.log.close()
        waiting.result(LIMIT)
        written = writing.result(LIMIT)
        if path is not None:
            with chanlog.open(path, background=False) as log:
                found = [message.data for message in log.channel("late").replay()]
                if found[: len(written)] != written or len(found) > len(written) + 1:
                    self.wrong.append(f"{len(written)} were acknowledged, {len(found)} are there")

    def _write_on(self) -> list[int]:
        channel = self.log.channel("late")
        written: list[int] = []
        try:
            while True:
                channel.publish(len(written))
                written.append(len(written))
        except chanlog.LogClosed:
            return written

    @staticmethod
    def _until_closed(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except chanlog.LogClosed:
            return None


def one(seed: int) -> list[str]:
    """Run one workload, on the disk or in memory; returns what was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log" if seed % 2 else None
        workload = Workload(path, seed)
        try:
            wrong = workload.run()
            workload.leave(path)
        except Exception as error:
            return [f"{type(error).__name__}: {error}"]
        finally:
            workload.done.set()
            with contextlib.suppress(Exception):
                spawn(workload.log.close).result(LIMIT)
            workload.log._closed = True
        return wrong


def run(count: int, seed: int, progress: Progress) -> Outcome:
    """Run ``count`` workloads."""
    outcome = Outcome()
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        for number in range(count):
            this = seed * 1_000_000 + number
            outcome.tried += 1
            for what in one(this):
                outcome.fail(f"workload {this}: {what}; again: {_command(this)}")
            if not progress(outcome.tried):
                break
    finally:
        sys.setswitchinterval(before)
    return outcome


def _command(seed: int) -> str:
    return f"python -m tests.campaign.races workload {seed}"


SWITCHING = Campaign(
    "switching",
    "Real threads that take turns after every few bytecodes",
    "workloads",
    20,
    10_000,
    run,
)

"""Concurrent histories of a real log: threads and tasks use two channels and write down what came.

``Hands`` is how an actor uses the log; a test plants faults by giving it other ones.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import chanlog

from ..campaign import Outcome, Progress
from .linear import Operation, explain

__all__ = ["Hands", "Worlds", "history", "run"]

THREADS = 3
TASKS = 2
OPERATIONS = 6


class Hands:
    """Every operation on the two channels of a history, in the form that ``linear.step`` knows.

    Each is a coroutine. With ``twins`` it awaits the coroutine twins, and belongs in an event
    loop; without, it blocks and never waits, so that a thread drives it by a single ``send``.
    """

    def __init__(self, log: chanlog.Log, name: str, twins: bool) -> None:
        self.log = log
        self.twins = twins
        self.channels = [log.channel(f"{name}-{which}") for which in range(2)]
        self.producers = [channel.producer("p") for channel in self.channels]

    async def _call(self, target: Any, method: str, *arguments: Any, **options: Any) -> Any:
        if self.twins:
            return await getattr(target, "a" + method)(*arguments, **options)
        return getattr(target, method)(*arguments, **options)

    async def publish(self, which: int, value: Any) -> Any:
        return await self._call(self.channels[which], "publish", value)

    async def publish_many(self, which: int, values: list[Any]) -> Any:
        offsets = await self._call(self.channels[which], "publish_many", values)
        if list(offsets) != list(range(offsets[0], offsets[0] + len(values))):
            return list(offsets)
        return offsets[0]

    async def expect(self, which: int, value: Any, expected: int) -> Any:
        return await self._call(self.channels[which], "publish", value, expect=expected)

    async def end(self, which: int) -> Any:
        return await self._call(self.channels[which], "end")

    async def trim(self, which: int, before: int) -> Any:
        start = await self._call(self.channels[which], "trim", before)
        return None if start >= before else start

    async def commit(self, which: int, offset: int) -> Any:
        return await self._call(self.channels[which].cursor("c"), "commit", offset)

    async def produce(self, which: int, value: Any, sequence: int) -> Any:
        return await self._call(self.producers[which], "publish", value, sequence=sequence)

    async def read(self, which: int, offset: int) -> Any:
        channel = self.channels[which]
        reader = channel.subscribe(after=offset - 1) if offset else channel.subscribe()
        if not offset:
            reader.seek(0)
        message = await self._call(reader, "get", timeout=0)
        return None if message is None else message.data

    async def replay(self, which: int) -> Any:
        messages = list(self.channels[which].replay())
        start = messages[0].offset if messages else None
        if start is None:
            # Nothing to tell where it would have started.
            return await self.info(which)
        if [message.offset for message in messages] != list(range(start, start + len(messages))):
            return "a gap", [message.offset for message in messages]
        return (start, *(message.data for message in messages))

    async def info(self, which: int) -> Any:
        info = await self._call(self.channels[which], "info")
        return (
            info.start_offset, info.end_offset, info.ended, info.cursors.get("c", -1),
            info.producers["p"][1],
        )  # fmt: skip

    async def frame(self, which: int, value: Any, offset: int) -> Any:
        if self.twins:
            async with self.log.atomic() as frame:
                self._fill(frame, value, offset)
        else:
            with self.log.atomic() as frame:
                self._fill(frame, value, offset)
        return tuple(frame.offsets)

    def _fill(self, frame: chanlog.Frame, value: Any, offset: int) -> None:
        one, two = self.channels
        frame.commit(one.cursor("c"), offset)
        frame.publish(one, value)
        frame.publish(two, value)


# What of an exception is compared.
FACTS = {
    chanlog.UnexpectedOffset: "end_offset",
    chanlog.CommitBehind: "position",
    chanlog.SequenceGap: "expected",
    chanlog.OffsetTrimmed: "start_offset",
    chanlog.ChannelEnded: None,
    chanlog.UnknownOffset: None,
    chanlog.EndOfChannel: None,
}
KINDS = (
    "publish", "publish", "publish_many", "expect", "expect", "produce", "produce", "read", "read",
    "replay", "info", "info", "commit", "frame", "frame", "trim", "end",
)  # fmt: skip


class Actor:
    """Does operations of its own choice and writes them down."""

    def __init__(self, name: str, random: Random, hands: Hands, ticks: Callable[[], int]) -> None:
        self._name = name
        self._random = random
        self._hands = hands
        self._ticks = ticks
        self._values = itertools.count()
        # What it has heard of the end of each channel, and of the next sequence.
        self._ends = [0, 0]
        self._sequences = [0, 0]
        self.done: list[Operation] = []

    def _arguments(self, kind: str, which: int) -> tuple[Any, ...]:
        end = self._ends[which]
        near = max(0, end + self._random.randrange(-2, 2))
        if kind == "publish":
            return which, f"{self._name}{next(self._values)}"
        if kind == "publish_many":
            return which, [f"{self._name}{next(self._values)}" for _ in range(3)]
        if kind == "expect":
            return which, f"{self._name}{next(self._values)}", end
        if kind == "produce":
            back = self._random.random() < 0.3 and self._sequences[which] > 0
            return which, f"{self._name}{next(self._values)}", self._sequences[which] - back
        if kind == "frame":
            return 0, f"{self._name}{next(self._values)}", max(0, self._ends[0] - 1)
        if kind == "trim":
            return which, max(0, end - 3)
        if kind in {"read", "commit"}:
            return which, near
        return (which,)

    async def act(self) -> None:
        """One operation."""
        kind = self._random.choice(KINDS)
        if kind == "end" and self._random.random() < 0.7:
            kind = "info"
        which = self._random.randrange(2)
        arguments = self._arguments(kind, which)
        call = getattr(self._hands, kind)
        invoked = self._ticks()
        try:
            result = await call(*arguments)
        except tuple(FACTS) as error:
            fact = FACTS[type(error)]
            result = ("raised", type(error).__name__, getattr(error, fact) if fact else None)
        returned = self._ticks()
        if kind == "replay" and len(result) == 5 and isinstance(result[2], bool):
            kind = "info"
        self._learn(kind, which, result)
        self.done.append(Operation(kind, arguments, result, invoked, returned, self._name))

    def _learn(self, kind: str, which: int, result: Any) -> None:
        if kind == "info":
            self._ends[which] = result[1]
            self._sequences[which] = result[4]
        elif isinstance(result, int):
            self._ends[which] = result + 1
            if kind == "produce":
                self._sequences[which] += 1
        elif isinstance(result, tuple) and result[0] == "raised":
            if result[1] == "UnexpectedOffset":
                self._ends[which] = result[2]
            elif result[1] == "SequenceGap":
                self._sequences[which] = result[2]


class Worlds:
    """The logs that histories are recorded on, a loop in a thread for their tasks, and a thread
    that compacts all the time. Use it in ``with``."""

    def __init__(self, folder: Path, hands: type[Hands] = Hands) -> None:
        self._hands = hands
        self._logs = [
            chanlog.open(folder / "always", sync="always", segment_bytes=64 * 1024),
            chanlog.open(folder / "interval", sync="interval", segment_bytes=64 * 1024),
            chanlog.open(None, segment_bytes=64 * 1024),
            chanlog.open(folder / "os", sync="os", segment_bytes=64 * 1024),
            chanlog.open(None, sync="always", segment_bytes=64 * 1024),
        ]
        self._pool = ThreadPoolExecutor(THREADS)
        self._loop = asyncio.new_event_loop()
        self._looping = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stopping = threading.Event()
        self._compacting = threading.Thread(target=self._compact, daemon=True)

    def __enter__(self) -> Worlds:
        self._before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        self._looping.start()
        self._compacting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._compacting.join()
        self._pool.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._looping.join()
        self._loop.close()
        for log in self._logs:
            log.close()
        sys.setswitchinterval(self._before)

    def _compact(self) -> None:
        for log in itertools.cycle(self._logs):
            if self._stopping.wait(0.01):
                return
            log.compact()

    def record(self, number: int, random: Random) -> list[Operation]:
        """One history, on one of the logs and on channels of its own."""
        log = self._logs[number % len(self._logs)]
        name = f"h{number}"
        threads = self._hands(log, name, False)
        tasks = self._hands(log, name, True)
        ticks = itertools.count().__next__
        actors = [
            Actor(letter, Random(random.random()), threads if n < THREADS else tasks, ticks)
            for n, letter in zip(range(THREADS + TASKS), "abcdefgh", strict=False)
        ]
        gate = threading.Barrier(THREADS + 1)

        async def act(actor: Actor) -> None:
            for _ in range(OPERATIONS):
                await actor.act()
                await asyncio.sleep(0)

        async def act_all() -> None:
            gate.wait(30)
            await asyncio.gather(*(act(actor) for actor in actors[THREADS:]))

        def drive(actor: Actor) -> None:
            gate.wait(30)
            for _ in range(OPERATIONS):
                try:
                    actor.act().send(None)
                except StopIteration:
                    continue
                raise AssertionError("a blocking call waited like a coroutine")

        futures: list[Any] = [self._pool.submit(drive, actor) for actor in actors[:THREADS]]
        futures.append(asyncio.run_coroutine_threadsafe(act_all(), self._loop))
        for future in futures:
            future.result(60)
        for channel in threads.channels:
            channel.delete()
        return [operation for actor in actors for operation in actor.done]


def history(operations: list[Operation], longest: list[Operation]) -> str:
    """A history that cannot be explained, for a reader."""
    lines = [str(operation) for operation in sorted(operations, key=lambda o: o.invoked)]
    explained = "; ".join(str(operation) for operation in longest)
    return "\n    ".join([*lines, f"explained as far as: {explained}"])


def run(count: int, seed: int, progress: Progress) -> Outcome:
    """Record so many histories and explain each. The operations and their arguments come from the
    seed; how the threads take turns does not, so a history that fails is told whole."""
    outcome = Outcome()
    operations = 0
    with tempfile.TemporaryDirectory(prefix="chanlog-linear-") as folder:
        with Worlds(Path(folder)) as worlds:
            while outcome.tried < count and progress(outcome.tried):
                number = outcome.tried
                recorded = worlds.record(number, Random(f"{seed} {number}"))
                operations += len(recorded)
                order, longest = explain(recorded)
                if order is None:
                    outcome.fail(f"seed {seed}, number {number}:\n    {history(recorded, longest)}")
                outcome.tried += 1
    outcome.facts["operations"] = operations
    return outcome

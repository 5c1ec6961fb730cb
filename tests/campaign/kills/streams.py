"""Streams: channels with one writer each, in every way in which one can write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import chanlog

from .ledger import Ledger, Tally, Violation
from .workers import Scene, Worker, filler, read

__all__ = ["Crew", "Cursor", "Kept", "Reader", "Stream", "Tasks"]

WAYS = ("single", "many", "durable", "expected", "produced")
_KEPT_MIN = 100


class Stream(Worker):
    """One writer that numbers its messages, so that the number is the offset.

    A message is ``[number, first of its batch, messages in its batch, child, filler]``. With
    ``trims`` all but the last hundred are trimmed now and then.
    """

    def __init__(self, ledger: Ledger, way: str, *, trims: bool = True, name: str = "") -> None:
        self.name = name or way
        self.count = ledger.tally(self.name)
        self._start = ledger.tally(f"start of {self.name}") if trims else None
        self._way = way

    def work(self, scene: Scene) -> None:
        channel = scene.log.channel(self.name, sender=self._way)
        producer = self._producer(scene, channel)
        while True:
            items, durable = self._begin(scene)
            if producer is not None:
                offsets: Sequence[int] = producer.publish_many(
                    items, sequence=items[0][0], durable=durable
                )
            elif len(items) > 1:
                offsets = channel.publish_many(items, type="many", durable=durable)
            else:
                expect = items[0][0] if self._way == "expected" else None
                offsets = [channel.publish(items[0], key="k", expect=expect, durable=durable)]
            self._end(scene, items, offsets, durable)
            if self._start is not None and scene.draw.random() < 0.03:
                self._trim(scene, channel, self._start)

    async def awork(self, scene: Scene) -> None:
        """The same for an event loop."""
        channel = scene.log.channel(self.name, sender=self._way)
        while True:
            items, durable = self._begin(scene)
            if len(items) > 1:
                offsets = await channel.apublish_many(items, type="many", durable=durable)
            else:
                offsets = [await channel.apublish(items[0], durable=durable)]
            self._end(scene, items, offsets, durable)
            # Without anything to wait for, no other task would have its turn.
            await asyncio.sleep(0)

    def _producer(self, scene: Scene, channel: chanlog.Channel) -> chanlog.Producer | None:
        if self._way != "produced":
            return None
        producer = channel.producer("writer", epoch=scene.cycle)
        count = self.count.done
        if producer.sequence() != count:
            raise Violation(f"{self.name}: sequence {producer.sequence()}, {count} published")
        if count and producer.publish("again", sequence=count - 1) != count - 1:
            raise Violation(f"{self.name}: a retry was told another offset")
        return producer

    def _begin(self, scene: Scene) -> tuple[list[list[Any]], bool]:
        draw, first = scene.draw, self.count.done
        several = self._way in ("many", "produced", "tasks") and draw.random() < 0.7
        count = draw.randrange(2, 30) if several else 1
        # Now and then more than what is copied into the map, and more than a segment.
        most = 600 if draw.random() < 0.98 else 120_000
        items = [
            [first + place, first, count, scene.cycle, filler(draw, most)] for place in range(count)
        ]
        self.count.begun = first + count
        return items, self._way == "durable" or draw.random() < 0.02

    def _end(
        self, scene: Scene, items: list[list[Any]], offsets: Sequence[int], durable: bool
    ) -> None:
        if list(offsets) != [item[0] for item in items]:
            raise Violation(f"{self.name}: {items[0][0]} is at {list(offsets)}")
        self.count.done = items[-1][0] + 1
        if durable or scene.sync == "always":
            self.count.durable = items[-1][0] + 1

    def _trim(self, scene: Scene, channel: chanlog.Channel, start: Tally) -> None:
        before = self.count.done - _KEPT_MIN
        if before > start.done:
            start.begun = before
            channel.trim(before)
            start.done = before
            if scene.sync == "always":
                start.durable = before

    def check(self, log: chanlog.Log) -> int:
        channel = log.channel(self.name)
        start, found = read(channel)
        numbers = [data[0] for data in found]
        if numbers != list(range(start, start + len(found))):
            raise Violation(f"{self.name}: out of order, from {start}: {numbers[:20]}...")
        end = start + len(found)
        if found and found[-1][1] + found[-1][2] != end:
            raise Violation(f"{self.name}: the last batch is not whole, {found[-1][:4]}")
        if self._start is not None:
            self._start.settle(self._start.judge(start))
        elif start:
            raise Violation(f"{self.name}: starts at {start}, and was never trimmed")
        self.count.settle(self.count.judge(end))
        produced = channel.info().producers.get("writer")
        if produced is not None and produced[1] != end:
            raise Violation(f"{self.name}: sequence {produced[1]}, {end} published")
        return len(found)


class Tasks(Worker):
    """Streams as tasks of one event loop, with a reader of each."""

    name = "tasks"

    def __init__(self, ledger: Ledger) -> None:
        self.streams = [
            Stream(ledger, "tasks", name=f"task-{place}", trims=False) for place in range(3)
        ]

    def work(self, scene: Scene) -> None:
        asyncio.run(self._all(scene))

    async def _all(self, scene: Scene) -> None:
        async with asyncio.TaskGroup() as group:
            for stream in self.streams:
                group.create_task(stream.awork(scene))
                group.create_task(self._read(scene, stream))

    async def _read(self, scene: Scene, stream: Stream) -> None:
        expected = stream.count.seen
        async for message in scene.log.channel(stream.name).subscribe(after=expected - 1):
            if (message.offset, message.data[0]) != (expected, expected):
                raise Violation(f"{stream.name}: read {message} at {expected}")
            expected += 1
            stream.count.seen = expected

    def check(self, log: chanlog.Log) -> int:
        return sum(stream.check(log) for stream in self.streams)


class Reader(Worker):
    """Reads a stream, from somewhere on: what it has seen must stay."""

    def __init__(self, stream: Stream) -> None:
        self.name = f"reader of {stream.name}"
        self._stream = stream

    def work(self, scene: Scene) -> None:
        stream = self._stream
        channel = scene.log.channel(stream.name)
        reader = channel.subscribe(last=scene.draw.randrange(200))
        expected = reader.offset
        while True:
            try:
                message = reader.get()
            except chanlog.OffsetTrimmed as error:
                expected = error.start_offset
                reader.seek(expected)
                continue
            if (message.offset, message.data[0]) != (expected, expected):
                raise Violation(f"{self.name}: {message} at {expected}")
            expected += 1
            stream.count.seen = max(stream.count.seen, expected)
            if scene.sync == "always":
                # Readers see only what is durable.
                stream.count.promised = max(stream.count.promised, expected)

    def check(self, log: chanlog.Log) -> int:
        return 0


class Cursor(Worker):
    """Reads a stream through a cursor and commits what it has read, one by one or many at once."""

    def __init__(self, ledger: Ledger, stream: Stream) -> None:
        self.name = f"cursor of {stream.name}"
        self._position = ledger.tally(self.name)
        self._stream = stream

    def work(self, scene: Scene) -> None:
        cursor = scene.log.channel(self._stream.name).cursor("slow")
        for message in cursor:
            if message.offset < self._position.done:
                raise Violation(f"{self.name}: {message.offset} again at {self._position.done}")
            if scene.draw.random() < 0.7:
                durable = scene.draw.random() < 0.1
                self._position.begun = message.offset + 1
                cursor.commit(message, durable=durable)
                self._position.done = message.offset + 1
                if durable or scene.sync == "always":
                    self._position.durable = message.offset + 1

    def check(self, log: chanlog.Log) -> int:
        position = log.channel(self._stream.name).info().cursors.get("slow", 0)
        self._position.settle(self._position.judge(position))
        return 0


class Crew(Worker):
    """Reads a stream as the only consumer of a group, and now and then gives a message back: what
    it has acknowledged never comes again, and nothing else is passed over."""

    def __init__(self, ledger: Ledger, stream: Stream) -> None:
        self.name = f"crew of {stream.name}"
        self._position = ledger.tally(self.name)
        self._stream = stream

    def work(self, scene: Scene) -> None:
        for delivery in scene.log.channel(self._stream.name).group("crew", lease=3600):
            offset = delivery.message.offset
            if offset != self._position.done:
                raise Violation(f"{self.name}: {offset} at {self._position.done}")
            if scene.draw.random() < 0.1:
                delivery.nak()
                continue
            self._position.begun = offset + 1
            delivery.ack()
            self._position.done = offset + 1
            if scene.sync == "always":
                self._position.durable = offset + 1

    def check(self, log: chanlog.Log) -> int:
        group = log.channel(self._stream.name).info().groups.get("crew")
        self._position.settle(self._position.judge(0 if group is None else group.position))
        return 0


class Kept(Worker):
    """A channel that keeps its last so many messages: never fewer."""

    name = "kept"

    def __init__(self, ledger: Ledger) -> None:
        self._count = ledger.tally(self.name)

    def work(self, scene: Scene) -> None:
        channel = scene.log.channel(self.name)
        channel.configure(chanlog.Retention(count=_KEPT_MIN))
        while True:
            count = self._count.done
            self._count.begun = count + 7
            channel.publish_many([[count + place, "x" * 200] for place in range(7)])
            self._count.done = count + 7
            if scene.sync == "always":
                self._count.durable = count + 7

    def check(self, log: chanlog.Log) -> int:
        start, found = read(log.channel(self.name))
        end = start + len(found)
        if [data[0] for data in found] != list(range(start, end)):
            raise Violation(f"kept: out of order from {start}")
        if len(found) < min(end, _KEPT_MIN):
            raise Violation(f"kept: {len(found)} of {end} are left")
        self._count.settle(self._count.judge(end))
        return len(found)

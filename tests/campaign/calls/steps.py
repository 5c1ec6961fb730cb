"""What a scenario does, step by step: to a log, and to a model of one that is obviously right."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import chanlog

__all__ = [
    "CURSOR_NAME", "Chan", "Close", "Commit", "Compact", "Delete", "End", "Fork", "Frame", "Look",
    "Open", "OpenProducer", "Produce", "Publish", "PublishMany", "Read", "Step", "Sync",
    "SyncQuietly", "Trim", "Upkeep", "World", "look",
]  # fmt: skip

CURSOR_NAME = "c"


@dataclass(frozen=True)
class Chan:
    """A channel: its messages from the first ever on, where it begins now, its cursor, whether
    a producer was opened, and the offset of each of its sequences."""

    data: tuple[Any, ...] = ()
    start: int = 0
    ended: bool = False
    cursor: int | None = None
    produced: bool = False
    sent: tuple[int, ...] = ()

    def seen(self) -> tuple[Any, ...]:
        """What can be seen of it: start, end, ended, cursor, messages."""
        cursor = self.start if self.cursor is None else self.cursor
        return self.start, len(self.data), self.ended, cursor, self.data[self.start :]


World = dict[str, Chan]


def look(log: Any) -> dict[str, tuple[Any, ...]]:
    """What can be seen of each channel of a log, as ``Chan.seen`` tells it; of a failed log, up to
    what was durable."""
    found = {}
    for name in log.channels():
        channel = log.channel(name)
        info = channel.info()
        messages: list[Any] = []
        with suppress(chanlog.LogFailed):
            messages.extend(channel.replay())
        offsets = [message.offset for message in messages]
        if offsets != list(range(info.start_offset, info.start_offset + len(offsets))):
            raise AssertionError(f"the offsets of {name!r} are {offsets}")
        data = tuple(message.data for message in messages)
        cursor = channel.cursor(CURSOR_NAME).position()
        found[name] = (info.start_offset, info.end_offset, info.ended, cursor, data)
    return found


class Step:
    """One thing done to a log. ``durable`` says that all so far is, once it has succeeded."""

    durable = False

    def do(self, log: Any) -> Any:
        """Do it, and return what the log said."""
        raise NotImplementedError

    def tell(self, world: World) -> Any:
        """Do it to the model, and return what the log should say."""
        return None

    def __str__(self) -> str:
        return repr(self) if len(repr(self)) < 100 else repr(self)[:97] + "..."


@dataclass(frozen=True)
class Open(Step):
    """Open the log; the runner does it."""


@dataclass(frozen=True)
class Close(Step):
    """Close the log; the runner does it."""

    durable = True


@dataclass(frozen=True)
class Publish(Step):
    channel: str
    data: Any
    durable: bool = False

    def do(self, log: Any) -> Any:
        return log.channel(self.channel).publish(self.data, durable=self.durable)

    def tell(self, world: World) -> Any:
        chan = world.get(self.channel, Chan())
        world[self.channel] = replace(chan, data=(*chan.data, self.data))
        return len(chan.data)


@dataclass(frozen=True)
class PublishMany(Step):
    channel: str
    items: tuple[Any, ...]
    durable: bool = False

    def do(self, log: Any) -> Any:
        return list(log.channel(self.channel).publish_many(self.items, durable=self.durable))

    def tell(self, world: World) -> Any:
        return [Publish(self.channel, item).tell(world) for item in self.items]


@dataclass(frozen=True)
class OpenProducer(Step):
    channel: str

    def do(self, log: Any) -> Any:
        return log.channel(self.channel).producer("p", epoch=1).epoch

    def tell(self, world: World) -> Any:
        chan = world.get(self.channel, Chan())
        world[self.channel] = replace(chan, produced=True)
        return 1


@dataclass(frozen=True)
class Produce(Step):
    """A message with its sequence, from a producer that may have sent it before; ``None`` if there
    is no such producer or the one before was refused, for the writer would send that first."""

    channel: str
    sequence: int
    data: Any

    def do(self, log: Any) -> Any:
        channel = log.channel(self.channel)
        if "p" not in channel.state.producers:
            return None
        producer = channel.producer("p", epoch=1)
        if producer.sequence() < self.sequence:
            return None
        return producer.publish(self.data, sequence=self.sequence)

    def tell(self, world: World) -> Any:
        chan = world.get(self.channel, Chan())
        if not chan.produced or len(chan.sent) < self.sequence:
            return None
        if len(chan.sent) == self.sequence:
            offset = len(chan.data)
            chan = replace(chan, data=(*chan.data, self.data), sent=(*chan.sent, offset))
            world[self.channel] = chan
        return chan.sent[self.sequence]


@dataclass(frozen=True)
class End(Step):
    channel: str

    def do(self, log: Any) -> Any:
        return log.channel(self.channel).end()

    def tell(self, world: World) -> Any:
        chan = world.get(self.channel, Chan())
        world[self.channel] = replace(chan, ended=True)
        return len(chan.data)


@dataclass(frozen=True)
class Trim(Step):
    channel: str
    before: int

    def do(self, log: Any) -> Any:
        log.channel(self.channel).trim(before=self.before)

    def tell(self, world: World) -> Any:
        world[self.channel] = replace(world[self.channel], start=self.before)


@dataclass(frozen=True)
class Delete(Step):
    channel: str

    def do(self, log: Any) -> Any:
        log.channel(self.channel).delete()

    def tell(self, world: World) -> Any:
        world.pop(self.channel, None)


@dataclass(frozen=True)
class Fork(Step):
    channel: str
    new: str
    at: int

    def do(self, log: Any) -> Any:
        log.channel(self.channel).fork(self.new, at=self.at)

    def tell(self, world: World) -> Any:
        parent = world[self.channel]
        world[self.new] = Chan(parent.data[: self.at], parent.start)


@dataclass(frozen=True)
class Commit(Step):
    channel: str
    offset: int
    durable: bool = False

    def do(self, log: Any) -> Any:
        log.channel(self.channel).cursor(CURSOR_NAME).commit(self.offset, durable=self.durable)

    def tell(self, world: World) -> Any:
        world[self.channel] = replace(world[self.channel], cursor=self.offset + 1)


@dataclass(frozen=True)
class Frame(Step):
    """Several publishes and commits, all together."""

    parts: tuple[Publish | Commit, ...]
    durable: bool = False

    def do(self, log: Any) -> Any:
        with log.atomic(durable=self.durable) as frame:
            for part in self.parts:
                if isinstance(part, Publish):
                    frame.publish(part.channel, part.data)
                else:
                    frame.commit(log.channel(part.channel).cursor(CURSOR_NAME), part.offset)

    def tell(self, world: World) -> Any:
        for part in self.parts:
            part.tell(world)


@dataclass(frozen=True)
class Sync(Step):
    durable = True

    def do(self, log: Any) -> Any:
        log.sync()


@dataclass(frozen=True)
class SyncQuietly(Step):
    """What the background does after an interval: whatever goes wrong, it does not raise."""

    def do(self, log: Any) -> Any:
        log._committer._sync_quietly()


@dataclass(frozen=True)
class Compact(Step):
    def do(self, log: Any) -> Any:
        log.compact()


@dataclass(frozen=True)
class Upkeep(Step):
    """A pass of the background's upkeep: whatever goes wrong, it does not raise."""

    def do(self, log: Any) -> Any:
        log._upkeep._pass()


@dataclass(frozen=True)
class Look(Step):
    """Read everything; what is seen is compared with the model."""

    def do(self, log: Any) -> Any:
        return look(log)

    def tell(self, world: World) -> Any:
        return {name: chan.seen() for name, chan in world.items()}


@dataclass(frozen=True)
class Read(Step):
    """Read a channel with one subscription, which goes on after an error as if there was none."""

    channel: str

    def do(self, log: Any) -> Any:
        found = []
        refused = 0
        with log.channel(self.channel).subscribe() as subscription:
            while True:
                try:
                    message = subscription.get(timeout=0)
                except OSError:
                    refused += 1
                    if refused == _TRIES:
                        raise
                    continue
                if message is None:
                    return found
                found.append(message.data)

    def tell(self, world: World) -> Any:
        chan = world[self.channel]
        return list(chan.data[chan.start :])


_TRIES = 3

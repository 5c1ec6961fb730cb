"""What every peer is: the same few verbs for stores and queues of all kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from ..settings import Shape

__all__ = ["EXTRA", "Ability", "Peer", "Role"]

EXTRA = "pip install chanlog[bench]"

Ability = Literal[
    "append",
    "many",
    "durable",
    "durable tasks",
    "replay",
    "messages",
    "interleaved",
    "thread to thread",
    "thread to task",
    "task to task",
    "open",
    "fan-out to tasks",
    "fan-out to threads",
    "agents",
    "cold channels",
    "growth",
    "retention",
]
Role = Literal["chanlog", "bound", "peer"]
"""``bound``: does less than a log has to, and shows what is possible. ``peer``: keeps messages in
channels, on a disk or in a server, as chanlog does."""


class Peer:
    """One store or queue, used as its own documentation advises for speed, one channel or many.

    To add a peer: subclass, name it, say in ``can`` what it is able to do, write the methods for
    that, and add the class to ``benchmarks.peers.PEERS``. Methods that return a callable may
    prepare all they like; only the calls are timed.
    """

    name: ClassVar[str]
    role: ClassVar[Role]
    can: ClassVar[frozenset[Ability]]
    has_channels: ClassVar[bool] = True
    wakes_share: ClassVar[float] = 1.0
    """Which part of the wake-ups it is asked for: less where each takes milliseconds."""
    open_bytes_max: ClassVar[int] = 1 << 40
    """The largest store that is filled for it to open: less where filling takes minutes."""
    kill_loses: ClassVar[str] = ""
    """Why acknowledged messages may be gone after a kill; empty where none are."""
    replay_share: ClassVar[float] = 1.0
    """Which part of the messages it holds for replay: less where reading all takes a minute."""

    def __init__(self, folder: Path, shape: Shape) -> None:
        self.folder = folder
        self.shape = shape

    @classmethod
    def missing(cls) -> str:
        """What it needs and does not find here; empty if it can take part."""
        return ""

    def open(self) -> None:
        """Open the store in ``folder``, which exists; new or as it was left."""

    def close(self) -> None:
        """Close the store; what is stored stays."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def writer(self, channel: str) -> Callable[[Any], object]:
        """A call that appends one message; it need not be on stable storage afterwards."""
        raise NotImplementedError

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        """A call that appends a list of messages."""
        raise NotImplementedError

    def durable_writer(self, channel: str) -> Callable[[Any], object]:
        """A call that appends one message and returns when it is on stable storage."""
        raise NotImplementedError

    def durable_task_writer(self, channel: str) -> Callable[[Any], Awaitable[object]]:
        """``durable_writer`` for a task."""
        write = self.durable_writer(channel)
        return lambda data: asyncio.to_thread(write, data)

    def reader(self, channel: str) -> Iterator[Any]:
        """All payloads of a channel, decoded, in order."""
        raise NotImplementedError

    def end(self, channel: str) -> int:
        """How many messages a channel has."""
        raise NotImplementedError

    def at(self, channel: str, offset: int) -> Any:
        """The data of one message."""
        raise NotImplementedError

    def last(self, channel: str) -> Any:
        """The data of the newest message, as whoever attaches to the tail gets it."""
        return self.at(channel, self.end(channel) - 1)

    def names(self, prefix: str) -> Iterator[str]:
        """The channels whose names begin so, sorted."""
        raise NotImplementedError

    def bounded_writer(self, channel: str, count: int) -> Callable[[Sequence[Any]], object]:
        """A call that appends a list of messages to a channel that keeps the newest ``count``."""
        raise NotImplementedError

    def settle(self) -> None:
        """Let what goes on in the background come to its end."""

    def message_reader(self, channel: str) -> Iterator[Any]:
        """All messages of a channel as objects or tuples that know offset and time as well."""
        raise NotImplementedError

    def interleave(self, channels: Sequence[str], items: Sequence[Any]) -> None:
        """Append every item to every channel, round by round."""
        writers = list(map(self.writer, channels))
        for item in items:
            for write in writers:
                write(item)

    def signaller(self, channel: str) -> Callable[[Any], object]:
        """A call that appends one message and wakes who waits for it."""
        return self.writer(channel)

    def thread_signaller(self, channel: str) -> Callable[[Any], object]:
        """``signaller``, from another thread than the loop that waits."""
        return self.signaller(channel)

    def waiter(self, channel: str) -> Callable[[], Any]:
        """A call that blocks its thread until there is a message, and returns its data."""
        raise NotImplementedError

    def task_waiter(self, channel: str) -> Callable[[], Awaitable[Any]]:
        """``waiter`` for a task; asked for inside its loop."""
        raise NotImplementedError

    async def leave_loop(self) -> None:
        """Give back what belongs to the running loop, which is about to end."""

    def broadcaster(self, channel: str) -> Callable[[Any], object]:
        """A call that sends one message to all followers of a channel, asked for after them."""
        return self.signaller(channel)

    def follower(self, channel: str, got: list[Any], count: int) -> Callable[[], None]:
        """A call for a thread of its own: put the data of ``count`` messages into ``got``."""
        wait = self.waiter(channel)

        def follow() -> None:
            for _ in range(count):
                got.append(wait())

        return follow

    def task_follower(
        self, channel: str, got: list[Any], count: int
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        """``follower`` for a task; asked for inside its loop."""
        wait = self.task_waiter(channel)

        async def follow() -> None:
            for _ in range(count):
                got.append(await wait())

        return follow

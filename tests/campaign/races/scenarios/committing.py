"""Group commit: whoever returns is durable, and nobody is forgotten in the row."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from typing import Any

import chanlog
from chanlog.host.memory import MemoryFile, MemoryFolder
from chanlog.storage.segment import log_position
from chanlog.storage.store import Store

from ....storage.worlds import open_image
from ..exploring import Scenario
from ..scheduler import Ending
from ..world import World

__all__ = ["SCENARIOS"]


class SyncedFile(MemoryFile):
    """Memory that notes in its folder how far the log was when a sync of it began."""

    __slots__ = ("folder",)

    def sync(self) -> None:
        for segment in self.folder.store.segments if self.folder.store else ():
            if segment.file is self:
                position = log_position(segment.first, segment.tail)
                self.folder.synced = max(self.folder.synced, position)


class SyncedFolder(MemoryFolder):
    """A folder of them: ``synced`` is what a disk would have, whatever the store says."""

    __slots__ = ("store", "synced")

    def __init__(self) -> None:
        super().__init__()
        self.store: Store | None = None
        self.synced = 0

    def create(self, name: str) -> MemoryFile:
        file = SyncedFile(name)
        file.folder = self
        return self._files.setdefault(name, file)


def noted(*, left: int | None = None, **options: Any) -> World:
    """A world whose syncs are noted; with room for ``left`` bytes more, if that is said, and all
    there is durable."""
    folder = SyncedFolder()
    world = World(folder=folder, **options)
    folder.store = world.store
    if left is not None:
        world.fill(left)
        world.log.sync()
    return world


def full() -> World:
    """No room for one more message."""
    return noted(left=20)


def nearly_full() -> World:
    """Room for one more message and not for two."""
    return noted(left=90)


def always() -> World:
    return noted(sync="always")


def always_full() -> World:
    return noted(left=20, sync="always")


def position_of(store: Store, id: int, offset: int) -> int:
    """The log position behind the message ``offset``."""
    for segment in store.segments:
        for position in segment.positions(id):
            if segment.base_offset(position) <= offset < segment.end_offset(position):
                return log_position(segment.first, position + segment.header(position).length)
    raise AssertionError(f"offset {offset} is nowhere")


def publish(payload: str) -> Callable[[World], Any]:
    """Publish durably; returns the offset, and how far the log was durable then."""

    def body(world: World) -> tuple[int, int]:
        offset = world.channel.publish(payload, durable=True)
        return offset, world.folder.synced

    return body


def publish_quickly(world: World) -> tuple[int, int]:
    return world.channel.publish("q"), 1 << 63


def check_durable(world: World, endings: list[Ending]) -> None:
    found = [ending.result() for ending in endings]
    assert sorted(offset for offset, _ in found) == list(range(2, 2 + len(found)))
    for offset, durable in found:
        assert position_of(world.store, world.channel.state.id, offset) <= durable, (
            f"offset {offset} was acknowledged before it was durable"
        )
    world.whole()


def read_durable(world: World) -> tuple[int, int]:
    """Wait for a message; returns its offset, and how far the log was durable then."""
    message = world.channel.subscribe(after=1).get()
    return message.offset, world.folder.synced


def check_read(world: World, endings: list[Ending]) -> None:
    offset, durable = endings[-1].result()
    assert offset == 2
    assert position_of(world.store, world.channel.state.id, 2) <= durable, (
        "a reader saw what was not durable"
    )
    check_durable(world, endings[:-1])


# A leader that is interrupted.


def publish_interrupted(world: World) -> Any:
    try:
        return publish("x")(world)
    except KeyboardInterrupt:
        return None


def check_interrupted(world: World, endings: list[Ending]) -> None:
    found = [ending.result() for ending in endings]
    for offset, durable in filter(None, found):
        assert position_of(world.store, world.channel.state.id, offset) <= durable
    data = world.seen()
    if found[0] is None and "x" not in data:
        assert data == [0, 1, "y"]
    else:
        assert sorted(data[2:]) == ["x", "y"]
    # Whoever comes next may find that nobody leads any more; the row is for whoever waits in it.
    if world.store.row is not None:
        assert world.store.row == []
        world.store.row = None
    world.whole()


# A sync that fails.


class FailingFile(MemoryFile):
    """Memory whose sync fails once it is told so, once."""

    __slots__ = ("folder",)

    def sync(self) -> None:
        if self.folder.broken and not self.folder.failed:
            self.folder.failed = True
            raise OSError(errno.EIO, "planted")
        if self.folder.failed:
            self.folder.retried = True


class FailingFolder(MemoryFolder):
    """A folder of them."""

    __slots__ = ("broken", "failed", "retried")

    def __init__(self) -> None:
        super().__init__()
        self.broken = self.failed = self.retried = False

    def create(self, name: str) -> MemoryFile:
        file = FailingFile(name)
        file.folder = self
        return self._files.setdefault(name, file)


def failing() -> World:
    world = World.__new__(World)
    world.folder = FailingFolder()
    world.log = open_image(world.folder)
    world.store = world.log._store
    world.channel = world.log.channel("a")
    world.channel.publish_many([0, 1])
    world.log.sync()
    world.folder.broken = True
    return world


def publish_or_fail(payload: str) -> Callable[[World], Any]:
    def body(world: World) -> Any:
        try:
            return world.channel.publish(payload, durable=True)
        except chanlog.LogFailed:
            return None

    return body


def check_failed(world: World, endings: list[Ending]) -> None:
    assert [ending.result() for ending in endings] == [None] * len(endings)
    assert world.store.failed is not None
    assert not world.folder.retried, "a sync was tried again"
    found = []
    with contextlib.suppress(chanlog.LogFailed):
        for message in world.channel.replay():
            found.append(message.data)
    assert found == [0, 1]
    assert world.store.row is None
    world.log.close()


def wait_for_failure(world: World) -> Any:
    """A reader that has read all that is durable hears of it, and of no message that is not."""
    try:
        message = world.channel.subscribe(after=1).get()
        return None if message.data in ("x", "y") else message
    except chanlog.LogFailed:
        return None


SCENARIOS = (
    Scenario("durable, durable", noted, [publish("x"), publish("y")], check_durable),
    Scenario(
        "durable, durable, durable", noted, [publish("x"), publish("y"), publish("z")],
        check_durable,
    ),
    Scenario("durable, publish", noted, [publish("x"), publish_quickly], check_durable),
    Scenario("durable, publish, full", full, [publish("x"), publish_quickly], check_durable),
    Scenario(
        "durable, publish, rolling", nearly_full, [publish("x"), publish_quickly], check_durable
    ),
    Scenario("durable, durable, rolling", full, [publish("x"), publish("y")], check_durable),
    Scenario("always, always", always, [publish("x"), publish("y")], check_durable),
    Scenario("always, get", always, [publish("x"), read_durable], check_read),
    Scenario("always, always, get", always, [publish("x"), publish("y"), read_durable], check_read),
    Scenario("always, get, rolling", always_full, [publish("x"), read_durable], check_read),
    Scenario(
        "interrupted leader, durable", noted, [publish_interrupted, publish("y")],
        check_interrupted, interruptible=(0,), rescued=True, opcodes=True,
    ),
    Scenario(
        "failing sync", failing, [publish_or_fail("x"), publish_or_fail("y")], check_failed
    ),
    Scenario("failing sync, get", failing, [publish_or_fail("x"), wait_for_failure], check_failed),
    Scenario(
        "durable, durable, by opcode", noted, [publish("x"), publish("y")], check_durable,
        opcodes=True,
    ),
)  # fmt: skip

"""A log in memory whose locks and clock are the scheduler's."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

from chanlog import log as log_module
from chanlog.channels import background, subscription, waking
from chanlog.format.batch import HEADER_BYTES
from chanlog.host import MemoryFolder
from chanlog.storage import store, syncing

from ...storage.worlds import folder_of, open_image
from .points import Points
from .scheduler import Lock, running

__all__ = ["POINTS", "POINTS_OPCODES", "World", "files_of", "scheduled"]

_FILES = ("chanlog/storage/", "chanlog/channels/", "chanlog/log.py", "races/planted.py")
# What is not yet, or never, in the hands of another thread: a file that has its temporary name,
# what is known of an object that is being made, bytes of a sealed segment, which nobody changes.
_PRIVATE = frozenset(
    """
    Writer.__init__ Writer._put Writer._flush Writer._batch Writer.position Writer.channel
    Writer.finish _raw_control_records control_records _key _groups _merged _batches _verified
    Keep.__init__ ClusteredSegment.__init__ RawSegment.__init__ Run.__init__ Run.messages Run._cut
    Run.data CatalogMeta.__init__ CatalogMeta.encode CatalogMeta.decode ChannelState.__init__
    batch_at inside RawSegment.header RawSegment.base_offset RawSegment.end_offset
    """.split()  # noqa: SIM905
)
POINTS = Points(*_FILES, private=_PRIVATE)
POINTS_OPCODES = Points(*_FILES, private=_PRIVATE, opcodes=True)


def monotonic() -> float:
    """The time of the schedule that runs; it passes when a wait runs out."""
    scheduler = running()
    return scheduler.now if scheduler is not None else 1000.0


@contextlib.contextmanager
def scheduled() -> Iterator[None]:
    """Logs that are opened in this block can be scheduled."""
    locks = SimpleNamespace(
        Lock=Lock, Thread=threading.Thread, current_thread=threading.current_thread
    )
    with contextlib.ExitStack() as stack:
        for module in (store, background, log_module):
            stack.enter_context(mock.patch.object(module, "threading", locks))
        for module in (syncing, waking):
            stack.enter_context(mock.patch.object(module, "Lock", Lock))
        for module in (waking, subscription):
            stack.enter_context(mock.patch.object(module, "monotonic", monotonic))
        yield


class World:
    """A log in memory, a channel with two messages, and room for whatever a scenario needs."""

    def __init__(
        self, *, messages: int = 2, folder: MemoryFolder | None = None, **options: Any
    ) -> None:
        self.folder = folder or MemoryFolder()
        self.log = open_image(self.folder, **options)
        self.store = self.log._store
        self.channel = self.log.channel("a", sender="me")
        for number in range(messages):
            self.channel.publish(number, type="t")
        self.extra = SimpleNamespace()

    def fill(self, left: int = 20) -> None:
        """Leave room for ``left`` bytes in the active segment, behind which it has to roll."""
        filler = self.log.channel("filler")
        filler.publish(b"")
        active = self.store.active
        rest = active.size - HEADER_BYTES - active.tail - left
        # The header of a batch, and that of a payload of so many bytes.
        filler.publish(b"x" * (rest - HEADER_BYTES - 3))
        assert self.store.active is active
        assert active.size - HEADER_BYTES - active.tail == left

    def seen(self, name: str = "a") -> list[Any]:
        """What a new reader sees; dense, or it is an error."""
        messages = list(self.log.channel(name).replay())
        offsets = [message.offset for message in messages]
        first = offsets[0] if offsets else 0
        assert offsets == list(range(first, first + len(offsets))), f"offsets {offsets}"
        return [message.data for message in messages]

    def whole(self) -> None:
        """Nobody waits any more, no lock is held, the log goes on, and opening it anew shows the
        same."""
        store = self.store
        for lock in (store.lock, store.leading, store.maintaining, store.row_lock):
            assert not lock.locked(), "a lock is still held"
        assert store.row is None, "somebody stands in the row for a sync"
        assert self.log.statistics().waiters == 0, "somebody is still registered"
        if store.failed is None and not self.channel.info().ended:
            offset = self.channel.publish("next")
            assert offset == self.channel.info().end_offset - 1
        names = list(self.log.channels())
        before = {name: self._told(self.log, name) for name in names}
        with open_image(folder_of(files_of(self.folder))) as copy:
            assert copy.recovery.torn == []
            assert list(copy.channels()) == names
            assert {name: self._told(copy, name) for name in names} == before
        self.log.close()

    def done(self) -> None:
        """Close the log, whatever has become of it: its locks may be held by nobody."""
        with contextlib.suppress(Exception):
            self.log.close()
        self.log._closing = Lock()
        self.log._closed = True
        self.log.close()
        # The loops of this try are closed, and the next is to find none of them.
        waking._hubs.clear()

    @staticmethod
    def _told(log: Any, name: str) -> Any:
        channel = log.channel(name)
        info = channel.info()
        messages = [(m.offset, m.data, m.type, m.time_ns) for m in channel.replay()]
        return (
            messages, info.start_offset, info.end_offset, info.ended, info.cursors, info.producers,
        )  # fmt: skip


def files_of(folder: MemoryFolder) -> dict[str, bytes]:
    """What another process would find."""
    files = {}
    for name in folder.names():
        file = folder.open(name, writable=False)
        files[name] = file.read(0, file.size())
    return files

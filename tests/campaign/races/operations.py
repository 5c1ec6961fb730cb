"""What is interrupted by a signal, and what has to hold afterwards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import chanlog
from chanlog.channels.waking import ThreadWaiter
from chanlog.format.batch import HEADER_BYTES
from chanlog.host import MemoryFolder

from ...storage.worlds import folder_of, open_image
from ...support import spawn
from .world import files_of

__all__ = ["OPERATIONS", "Operation", "Subject", "check", "told"]

LIMIT = 10.0


class Subject:
    """A log in memory with a channel that somebody waits on, and readers that have begun."""

    def __init__(self, *, left: int | None = None, durable: bool = False, **options: Any) -> None:
        self.folder = MemoryFolder()
        # Then it is written as if it were a disk: with a thread that syncs, and a last catalog.
        self.folder.durable = durable
        self.log = open_image(self.folder, **options)
        self.store = self.log._store
        self.channel = self.log.channel("a", sender="me")
        self.channel.publish("first", type="t")
        self.channel.publish("second", type="t")
        self.log.channel("old").publish_many(["o", "p", "q"])
        self.channel.cursor("c").commit(0)
        self.producer = self.channel.producer("p")
        if left is not None:
            self._fill(left)
        self.subscription = self.channel.subscribe(after=1)
        self.waiter = ThreadWaiter(None)
        assert self.subscription._register(self.waiter)
        self.extra = SimpleNamespace()

    def _fill(self, left: int) -> None:
        filler = self.log.channel("filler")
        filler.publish(b"")
        active = self.store.active
        rest = active.size - HEADER_BYTES - active.tail - left
        filler.publish(b"x" * (rest - HEADER_BYTES - 3))

    def copy(self) -> Any:
        """The log as another process would find it."""
        return open_image(folder_of(files_of(self.folder)))


def told(log: chanlog.Log) -> Any:
    """All that can be read of a log."""
    found = {}
    for name in log.channels():
        channel = log.channel(name)
        info = channel.info()
        found[name] = (
            info.start_offset, info.end_offset, info.ended, info.cursors, info.producers,
            info.retention, info.parent, [(m.offset, m.data, m.type) for m in channel.replay()],
        )  # fmt: skip
    assert log.statistics().channels == len(found), "the channels are miscounted"
    return found


class Operation(NamedTuple):
    """``work`` is done once or not at all. A reading one returns a list of messages, and what it
    did not return is still the next. After a closing one the log may be closed."""

    name: str
    work: Callable[[Subject], Any]
    prepare: Callable[[], Subject] = Subject
    reads: bool = False
    closing: bool = False


def always() -> Subject:
    return Subject(sync="always")


def on_disk() -> Subject:
    return Subject(durable=True, sync="os")


def on_disk_full() -> Subject:
    return Subject(durable=True, sync="os", left=20)


def in_background() -> Subject:
    """With a thread that syncs, which the next append starts."""
    subject = Subject(durable=True, sync="os")
    subject.log._committer = type(subject.log._committer)(subject.store)
    subject.store.on_dirty = subject.log._committer._dirty
    subject.store.dirty = False
    subject.channel = subject.log.channel("a", sender="me")
    return subject


def full() -> Subject:
    """The next append rolls."""
    return Subject(left=20)


def full_always() -> Subject:
    return Subject(left=20, sync="always")


def catalogued() -> Subject:
    """With clustered segments and a catalog, and something to rewrite."""
    subject = Subject()
    subject.log.compact()
    subject.log.channel("old").trim(1)
    subject.log.channel("short").publish("s")
    subject.log.channel("short").delete()
    subject.channel.publish("third")
    return subject


def frame(subject: Subject) -> None:
    with subject.log.atomic() as frame:
        frame.publish("a", "x")
        frame.publish("new", "y")
        frame.commit(subject.channel.cursor("c"), 1)


def retain(subject: Subject) -> None:
    subject.channel.configure(chanlog.Retention(count=100))


def reading() -> Subject:
    """With readers of another channel, one of which has something in its buffer."""
    subject = Subject()
    old = subject.log.channel("old")
    old.publish("r", type="t")
    subject.extra.fresh = old.subscribe()
    subject.extra.begun = old.subscribe()
    subject.extra.read = [subject.extra.begun.get()]
    subject.extra.typed = old.subscribe(types={"t"})
    subject.extra.cursor = old.cursor("d")
    subject.extra.reader = subject.extra.fresh
    return subject


def reading_with(name: str) -> Callable[[], Subject]:
    def prepare() -> Subject:
        subject = reading()
        subject.extra.reader = getattr(subject.extra, name)
        if name != "begun":
            subject.extra.read = []
        subject.extra.wanted = ["r"] if name == "typed" else ["o", "p", "q", "r"]
        return subject

    return prepare


def get(subject: Subject) -> list[Any]:
    return [subject.extra.reader.get()]


def take_next(subject: Subject) -> list[Any]:
    return [next(subject.extra.reader)]


def aget(subject: Subject) -> list[Any]:
    return [asyncio.run(subject.extra.reader.aget())]


def waiting() -> Subject:
    """With a reader that has read all there is."""
    subject = Subject()
    subject.extra.reader = subject.log.channel("old").subscribe(live=True)
    subject.extra.read = []
    subject.extra.wanted = []
    return subject


def wait(subject: Subject) -> list[Any]:
    assert subject.extra.reader.get(timeout=1e-9) is None
    return []


def await_(subject: Subject) -> list[Any]:
    assert asyncio.run(subject.extra.reader.aget(timeout=1e-9)) is None
    return []


def read(way: Callable[[Subject], Any]) -> Callable[[Subject], list[Any]]:
    """A walk over history, which changes nothing and takes nothing."""

    def work(subject: Subject) -> list[Any]:
        way(subject)
        return []

    return work


def apublish(**options: Any) -> Callable[[Subject], Any]:
    return lambda subject: asyncio.run(subject.channel.apublish("x", **options))


WRITING = (
    Operation("publish", lambda s: s.channel.publish("x", type="t")),
    Operation("publish with a key", lambda s: s.channel.publish("x", key="k", headers={"h": 1})),
    Operation("publish, expecting", lambda s: s.channel.publish("x", expect=2)),
    Operation("publish, rolling", lambda s: s.channel.publish("x"), full),
    Operation("publish durably", lambda s: s.channel.publish("x", durable=True)),
    Operation("publish durably, rolling", lambda s: s.channel.publish("x", durable=True), full),
    Operation("publish large", lambda s: s.channel.publish(b"x" * 40_000, durable=True)),
    Operation("publish, always", lambda s: s.channel.publish("x"), always),
    Operation("publish, always, rolling", lambda s: s.channel.publish("x"), full_always),
    Operation("publish many", lambda s: s.channel.publish_many([1, 2, 3])),
    Operation("publish many, rolling", lambda s: s.channel.publish_many([1, 2, 3]), full),
    Operation("publish many, always", lambda s: s.channel.publish_many([1, 2, 3]), always),
    Operation("publish many batches", lambda s: s.channel.publish_many([b"y" * 9000] * 8)),
    Operation("publish the first", lambda s: s.log.channel("new").publish("x")),
    Operation("publish the first, always", lambda s: s.log.channel("new").publish("x"), always),
    Operation("publish, starting a thread", lambda s: s.channel.publish("x"), in_background),
    Operation("apublish", apublish()),
    Operation("apublish durably", apublish(durable=True)),
    Operation("apublish, always", apublish(), always),
    Operation("produce", lambda s: s.producer.publish("x")),
    Operation("produce with a sequence", lambda s: s.producer.publish("x", sequence=0)),
    Operation("open a producer", lambda s: s.channel.producer("q", epoch=1)),
    Operation("frame", frame),
    Operation("frame, rolling", frame, full),
    Operation("frame, always", frame, always),
    Operation("commit", lambda s: s.channel.cursor("c").commit(1)),
    Operation("commit durably", lambda s: s.channel.cursor("c").commit(1, durable=True)),
    Operation("seek", lambda s: s.channel.cursor("c").seek(0)),
    Operation("delete a cursor", lambda s: s.channel.cursor("c").delete()),
    Operation("end", lambda s: s.channel.end()),
    Operation("end, always", lambda s: s.channel.end(), always),
    Operation("trim", lambda s: s.channel.trim(before=1)),
    Operation("delete", lambda s: s.log.channel("old").delete()),
    Operation("delete a cold one", lambda s: s.log.channel("old").delete(), catalogued),
    Operation("fork", lambda s: s.channel.fork("f", at=1)),
    Operation("configure", retain),
    Operation("sync", lambda s: s.log.sync()),
    Operation("roll", lambda s: s.store.roll()),
    Operation("compact", lambda s: s.log.compact()),
    Operation("compact, rolled", lambda s: s.log.compact(), full),
    Operation("compact once more", lambda s: s.log.compact(), catalogued),
)
READING = (
    Operation("get", get, reading_with("fresh"), reads=True),
    Operation("get from the buffer", get, reading_with("begun"), reads=True),
    Operation("get of a type", get, reading_with("typed"), reads=True),
    Operation("get of a cursor", get, reading_with("cursor"), reads=True),
    Operation("next", take_next, reading_with("fresh"), reads=True),
    Operation("next from the buffer", take_next, reading_with("begun"), reads=True),
    Operation("aget", aget, reading_with("fresh"), reads=True),
    Operation("wait", wait, waiting, reads=True),
    Operation("wait in a task", await_, waiting, reads=True),
    Operation("subscribe", read(lambda s: s.channel.subscribe(last=1, types={"t"})),
              reading_with("fresh"), reads=True),
    Operation("subscribe since", read(lambda s: s.channel.subscribe(since=1)),
              reading_with("fresh"), reads=True),
    Operation("replay", read(lambda s: list(s.log.channel("old").replay())),
              reading_with("fresh"), reads=True),
    Operation("list", read(lambda s: list(s.log.channels())), reading_with("fresh"), reads=True),
    Operation("info", read(lambda s: s.channel.info()), reading_with("fresh"), reads=True),
)  # fmt: skip
CLOSING = (
    Operation("close", lambda s: s.log.close(), on_disk, closing=True),
    Operation("close, rolled", lambda s: s.log.close(), on_disk_full, closing=True),
    Operation("close, in memory", lambda s: s.log.close(), closing=True),
    Operation("close, always", lambda s: s.log.close(), always, closing=True),
)
OPERATIONS = {operation.name: operation for operation in (*WRITING, *READING, *CLOSING)}


def check(operation: Operation, subject: Subject, result: Any, allowed: list[Any]) -> None:
    """Whatever was interrupted, the log is whole and everybody goes on."""
    store = subject.store
    for lock in (store.lock, store.leading, store.maintaining, store.row_lock):
        assert not lock.locked(), "a lock is still held"
    if operation.closing:
        subject.log.close()
        assert store.closed
        assert not subject.folder._locked, "the folder is still locked"
        with subject.copy() as copy:
            assert told(copy) in allowed
            assert copy.recovery.torn == []
        return
    if store.deferred:
        # What was appended and not synced is shown with the next sync.
        subject.log.sync()
    found = told(subject.log)
    assert found in allowed, f"neither before nor after: {found}"
    if operation.reads:
        _check_read(subject, result)
        # Whoever was interrupted as he left may still be listed, until the next message at most.
        subject.log.channel("old").publish("late")
    info = subject.channel.info()
    if (info.end_offset > 2 and operation.prepare is not catalogued) or info.ended:
        assert subject.waiter.woken, "somebody waits beside what he waits for"
    if not info.ended:
        # In another thread, which would wait for what this one has left behind.
        publish = subject.channel.publish
        if "apublish" in operation.name:
            publish = _in_a_task(subject.channel.apublish)
        offset = spawn(publish, "next", durable=True).result(LIMIT)
        assert offset == info.end_offset
        assert subject.waiter.woken, "somebody was not woken"
        assert subject.channel.subscribe(after=offset - 1).get(timeout=0).data == "next"
    assert subject.log.statistics().waiters == 0, "a waiter is left"
    found = told(subject.log)
    with subject.copy() as copy:
        assert copy.recovery.torn == []
        assert told(copy) == found, "opening again shows something else"
    subject.log.compact()
    assert told(subject.log) == found, "compaction has changed what can be read"
    spawn(subject.log.close).result(LIMIT)
    for thread in threading.enumerate():
        # One that a signal has kept from beginning, inside of ``threading``, never will.
        if thread.name.startswith("chanlog-") and thread._started.is_set():
            thread.join(LIMIT)
            assert not thread.is_alive(), f"{thread.name} lives on"


def _in_a_task(work: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **options: asyncio.run(work(*args, **options))


def _check_read(subject: Subject, result: Any) -> None:
    messages = [*subject.extra.read, *(result or [])]
    while (message := subject.extra.reader.get(timeout=0)) is not None:
        messages.append(message)
    assert [message.data for message in messages] == subject.extra.wanted, "lost or doubled"

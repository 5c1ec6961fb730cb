"""Whoever writes to a log on a simulated disk, and keeps its history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import chanlog
from chanlog import Message, Retention
from chanlog.host import Host
from chanlog.storage.syncing import durable_end

from ...storage.worlds import SEGMENT_BYTES, START_NS, Ticks
from .history import ChannelModel, History, View
from .power import Content
from .simulated import SimulatedDisk

__all__ = ["Author"]

PATH = Path("simulated")


class Author:
    """Does things to a log, each of which is also done to a model, and notes what was promised.

    ``policy`` is the sync policy. ``durable`` is how likely it asks for durability by itself.
    ``files`` is what a power cut has left, ``view`` what that holds, and ``opened`` the step at
    which the log was open.
    """

    def __init__(
        self,
        policy: str,
        random: Random,
        *,
        durable: float = 0.0,
        files: Mapping[str, Content] | None = None,
        view: View | None = None,
        now_ns: int = START_NS,
    ) -> None:
        self.policy = policy
        self.random = random
        self.durable = durable
        self.disk = SimulatedDisk(files)
        self.history = History(view)
        self.clock = Ticks()
        self.clock.now_ns = now_ns
        self.log: Any = None
        self._begun = 0
        self._saw: list[tuple[int, str, int, bool, str]] = []
        self._seen: dict[tuple[str, str], tuple[int, bool]] = {}
        self._ids = 0
        self.disk.before = lambda _: self._look()
        self.disk.after = self._look
        self.open()
        self.opened = self.disk.step

    # The log.

    def open(self) -> None:
        """Open it, as its only owner."""
        host = Host(clock=self.clock, random_bytes=self.random.randbytes, disk=self.disk.folder)
        options: dict[str, Any] = {"sync": self.policy, "sync_interval": 3600.0}
        with self._doing():
            self.log = chanlog.open(
                PATH, host=host, background=False, segment_bytes=SEGMENT_BYTES, **options
            )

    def close(self) -> None:
        """Close it: then everything lasts."""
        with self._doing():
            log, self.log = self.log, None
            log.close()
        self.history.must(self.disk.step, self.history.units, "closed")

    def reopen(self) -> None:
        """Both."""
        self.close()
        self.open()

    def die(self) -> None:
        """The process dies, and nobody opens the log again."""
        self.disk.observe()
        self.disk.recording = False
        log, self.log = self.log, None
        if log is not None:
            log.close()

    @contextmanager
    def _doing(self) -> Iterator[None]:
        """One operation: what it does to the disk comes behind this step."""
        self.disk.observe()
        self._begun = self.disk.step
        yield
        self.disk.observe()
        self._look()
        for step, name, end, ended, why in self._saw:
            self.history.must_have(step, name, end, ended, why)
        self._saw.clear()

    def _look(self) -> None:
        """Note what a reader sees now that must last: what is said to be durable, and under the
        policy ``always`` everything."""
        log = self.log
        if log is None or log._store.lock.locked():
            return
        store = log._store
        for name in self.history.models:
            # What ``info()`` tells and ``subscribe()`` shows, without the wait for a sync that
            # would be one for this very call.
            state = store.table.find(name)
            if state is not None:
                end = state.end_offset
                self._note(name, durable_end(store, state, end), False, "said to be durable")
                if self.policy == "always":
                    self._note(name, end, state.ended, "seen by readers")

    def _note(self, name: str, end: int, ended: bool, why: str) -> None:
        known = self._seen.get((name, why), (0, False))
        if (end, ended) != known:
            self._seen[name, why] = (end, ended)
            if end > known[0] or ended > known[1]:
                self._saw.append((self.disk.step, name, end, ended, why))

    def _acknowledged(self, what: str, durable: bool = False) -> None:
        """An operation has returned; its one unit is written down."""
        self.disk.observe()
        self.history.happened(what, self._begun)
        self._lasts(what, durable)

    def _lasts(self, what: str, durable: bool) -> None:
        if durable or self.policy == "always":
            how = "durable" if durable else "acknowledged"
            self.history.must(self.disk.step, self.history.units, f"{how}: {what}")

    def _is_durable(self, durable: bool | None) -> bool:
        return self.random.random() < self.durable if durable is None else durable

    # The operations.

    def model(self, name: str) -> ChannelModel:
        """The model of a channel, made at its first use."""
        model = self.history.models.get(name)
        if model is None or model.deleted:
            # At the end, so that the models are in the order in which channels were created.
            self.history.models.pop(name, None)
            model = self.history.models[name] = ChannelModel(name)
            self._seen.pop((name, "said to be durable"), None)
            self._seen.pop((name, "seen by readers"), None)
        return model

    def payload(self, size: int = 0) -> Any:
        """Data that nobody has published before."""
        self._ids += 1
        if size:
            head = b"%d." % self._ids
            return head + self.random.randbytes(size - len(head)) if size > len(head) else head
        return {"n": self._ids, "text": "token " * (self._ids % 5)}

    def _published(self, model: ChannelModel, offsets: Any, items: list[Any], **meta: Any) -> None:
        """Take over what was published, after a look at what readers get."""
        first = len(model.messages)
        assert list(offsets) == list(range(first, first + len(items)))
        found = list(self.log.channel(model.name).replay(first, first + len(items)))
        expected = [(meta.get("type"), meta.get("key"), meta.get("headers"), meta.get("sender"))]
        assert [message.data for message in found] == items
        assert [message[3:] for message in found] == expected * len(items)
        model.messages += [Message(*message) for message in found]
        if found:
            model.touched_ns = found[-1].time_ns

    def publish(
        self, name: str, data: Any = None, *, durable: bool | None = None, **meta: Any
    ) -> None:
        """Publish one message."""
        data = self.payload() if data is None else data
        durable = self._is_durable(durable)
        sender = meta.pop("sender", None)
        with self._doing():
            channel = self.log.channel(name, sender=sender)
            offset = channel.publish(data, durable=durable, **meta)
            self._published(self.model(name), [offset], [data], sender=sender, **meta)
            self._acknowledged(f"publish {name}", durable)

    def many(
        self, name: str, count: int, size: int = 0, *, durable: bool | None = None, **meta: Any
    ) -> None:
        """Publish many at once."""
        items = [self.payload(size) for _ in range(count)]
        durable = self._is_durable(durable)
        with self._doing():
            offsets = self.log.channel(name).publish_many(items, durable=durable, **meta)
            self._published(self.model(name), offsets, items, **meta)
            self._acknowledged(f"publish {count} to {name}", durable)

    def produce(
        self, name: str, producer: str, epoch: int, count: int, *, durable: bool | None = None
    ) -> None:
        """Open the epoch of a producer, and publish as it."""
        durable = self._is_durable(durable)
        with self._doing():
            handle = self.log.channel(name).producer(producer, epoch=epoch)
            model = self.model(name)
            known = model.producers.get(producer, (-1, 0, ()))
            if known[0] != epoch:
                model.producers[producer] = (epoch, *known[1:])
                self._acknowledged(f"open epoch {epoch} of {producer} of {name}")
        if not count:
            return
        items = [self.payload() for _ in range(count)]
        with self._doing():
            offsets = handle.publish_many(items, durable=durable)
            self._published(model, offsets, items)
            known = model.producers[producer]
            model.producers[producer] = (epoch, known[1] + count, (*known[2], *offsets))
            self._acknowledged(f"publish as {producer} to {name}", durable)

    def retry(self, name: str, producer: str, *, durable: bool | None = None) -> None:
        """Publish the last message of a producer again, which writes nothing."""
        durable = self._is_durable(durable)
        model = self.model(name)
        epoch, sequence, offsets = model.producers[producer]
        with self._doing():
            handle = self.log.channel(name).producer(producer, epoch=epoch)
            data = model.messages[offsets[-1]].data
            again = handle.publish(data, sequence=sequence - 1, durable=durable)
            assert again == offsets[-1]
            self._lasts(f"retry of {producer} of {name}", durable)

    def frame(
        self,
        names: list[str],
        *,
        cursors: Mapping[tuple[str, str], int] | None = None,
        ends: tuple[str, ...] = (),
        durable: bool | None = None,
    ) -> None:
        """Publish to several channels, commit cursors and end channels, all together."""
        durable = self._is_durable(durable)
        items = [(name, self.payload()) for name in names]
        with self._doing():
            with self.log.atomic(durable=durable) as frame:
                for name, data in items:
                    frame.publish(name, data, type="framed")
                for (name, cursor), position in (cursors or {}).items():
                    frame.commit(self.log.channel(name).cursor(cursor), position - 1)
                for name in ends:
                    frame.end(name)
            for offset, (name, data) in zip(frame.offsets, items, strict=True):
                self._published(self.model(name), [offset], [data], type="framed")
            for (name, cursor), position in (cursors or {}).items():
                self.model(name).cursors[cursor] = position
            for name in ends:
                self.model(name).ended = True
            self._acknowledged(f"frame to {names}", durable)

    def commit(self, name: str, cursor: str, position: int, *, durable: bool | None = None) -> None:
        """Commit a cursor, so that it stands at ``position``."""
        durable = self._is_durable(durable)
        model = self.model(name)
        known = model.cursors.get(cursor) == position
        with self._doing():
            self.log.channel(name).cursor(cursor).commit(position - 1, durable=durable)
            model.cursors[cursor] = position
            model.touched_ns = self.clock.now_ns
            if durable or not known:
                self._acknowledged(f"commit {cursor} of {name}", durable)

    def seek(self, name: str, cursor: str, position: int) -> None:
        """Move a cursor, back perhaps."""
        with self._doing():
            self.log.channel(name).cursor(cursor).seek(position)
            self.model(name).cursors[cursor] = position
            self._acknowledged(f"seek {cursor} of {name}")

    def forget(self, name: str, cursor: str) -> None:
        """Delete a cursor."""
        with self._doing():
            self.log.channel(name).cursor(cursor).delete()
            if self.model(name).cursors.pop(cursor, None) is not None:
                self._acknowledged(f"delete {cursor} of {name}")

    def end(self, name: str, *, durable: bool | None = None) -> None:
        """End a channel."""
        durable = self._is_durable(durable)
        with self._doing():
            self.log.channel(name).end(durable=durable)
            model = self.model(name)
            if not model.ended:
                model.ended = True
                self._acknowledged(f"end {name}", durable)

    def trim(self, name: str, before: int) -> None:
        """Forget its oldest messages."""
        with self._doing():
            self.log.channel(name).trim(before)
            self._trimmed(self.model(name), before)

    def _trimmed(self, model: ChannelModel, before: int) -> None:
        if before > model.start:
            model.start = before
            self._acknowledged(f"trim {model.name} to {before}")

    def delete(self, name: str) -> None:
        """Delete a channel."""
        with self._doing():
            self.log.channel(name).delete()
            self._deleted(self.model(name))

    def _deleted(self, model: ChannelModel) -> None:
        model.deleted = True
        self._acknowledged(f"delete {model.name}")

    def fork(self, name: str, to: str, at: int) -> None:
        """Branch off."""
        with self._doing():
            self.log.channel(name).fork(to, at=at)
            origin = self.model(name)
            model = self.model(to)
            model.messages = origin.messages[:at]
            model.start = min(origin.start, at)
            model.parent = (origin, at)
            model.touched_ns = self.clock.now_ns
            self._acknowledged(f"fork {name} to {to}")

    def configure(self, name: str, retention: Retention | None) -> None:
        """Give a channel a retention."""
        with self._doing():
            self.log.channel(name).configure(retention)
            model = self.model(name)
            model.retention = retention
            model.touched_ns = model.touched_ns or self.clock.now_ns
            self._acknowledged(f"configure {name}")

    def sync(self) -> None:
        """Make all of it last."""
        with self._doing():
            self.log.sync()
        self.history.must(self.disk.step, self.history.units, "log.sync()")

    def age(self, seconds: float) -> None:
        """Time goes by."""
        self.clock.now_ns += int(seconds * 1e9)

    def compact(self) -> None:
        """Apply every retention, which is known of only when it has happened, and cluster."""
        with self._doing():
            now = self.clock.now_ns
            self.log.compact()
            for model in [*self.history.models.values()]:
                if model.deleted or model.retention is None:
                    continue
                ttl, count = model.retention.ttl, model.retention.count
                if ttl is not None and now - model.touched_ns >= ttl.total_seconds() * 1e9:
                    self._deleted(model)
                elif count is not None:
                    self._trimmed(model, len(model.messages) - count)
            names = [name for name, model in self.history.models.items() if not model.deleted]
            assert sorted(names) == [*self.log.channels()]

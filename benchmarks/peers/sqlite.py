"""sqlite3: the table most people keep their events in."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from operator import itemgetter
from typing import Any

from .base import Peer

__all__ = ["Polling", "Sqlite"]

_SCHEMA = """
create table if not exists channels (id integer primary key, name text unique);
create table if not exists messages (
    channel integer, offset integer, time_ns integer, data blob, primary key (channel, offset)
) without rowid;
"""
_INSERT = "insert into messages values (?, ?, ?, ?)"


class Sqlite(Peer):
    """WAL with ``synchronous=normal``, which SQLite's documentation calls the good choice for most;
    ``full`` where a commit has to be durable. Rows are clustered by channel and offset, statements
    are prepared once (the module caches them), many rows are one transaction, and threads share a
    connection under a lock, since SQLite has one writer at a time.
    (https://www.sqlite.org/wal.html and https://www.sqlite.org/pragma.html#pragma_synchronous)"""

    name = "sqlite3 WAL"
    role = "peer"
    can = frozenset(
        {
            "append",
            "many",
            "durable",
            "durable tasks",
            "replay",
            "messages",
            "interleaved",
            "thread to thread",
            "open",
            "fan-out to threads",
            "cold channels",
            "growth",
            "retention",
        }
    )

    def open(self) -> None:
        self.db = sqlite3.connect(
            self.folder / "messages.db", isolation_level=None, check_same_thread=False
        )
        self.db.execute("pragma journal_mode=wal")
        self.db.execute("pragma synchronous=normal")
        self.db.execute("pragma mmap_size=2147418112")
        self.db.executescript(_SCHEMA)
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.ids: dict[str, int] = {}

    def close(self) -> None:
        self.db.close()

    def _id(self, channel: str) -> int:
        if channel not in self.ids:
            self.db.execute("insert or ignore into channels (name) values (?)", (channel,))
            found = self.db.execute("select id from channels where name = ?", (channel,))
            self.ids[channel] = found.fetchone()[0]
        return self.ids[channel]

    def end(self, channel: str) -> int:
        query = "select coalesce(max(offset) + 1, 0) from messages where channel = ?"
        return int(self.db.execute(query, (self._id(channel),)).fetchone()[0])

    def at(self, channel: str, offset: int) -> Any:
        query = "select data from messages where channel = ? and offset = ?"
        row = self.db.execute(query, (self._id(channel), offset)).fetchone()
        return self.shape.decode(row[0])

    def names(self, prefix: str) -> Iterator[str]:
        query = "select name from channels where name >= ? and name < ? order by name"
        return map(itemgetter(0), self.db.execute(query, (prefix, prefix + "\U0010ffff")))

    def writer(self, channel: str) -> Callable[[Any], object]:
        execute, encode, lock, now = self.db.execute, self.shape.encode, self.lock, time.time_ns
        number = self._id(channel)
        offsets = count(self.end(channel))

        def write(data: Any) -> None:
            body = encode(data)
            with lock:
                execute(_INSERT, (number, next(offsets), now(), body))

        return write

    def durable_writer(self, channel: str) -> Callable[[Any], object]:
        self.db.execute("pragma synchronous=full")
        return self.writer(channel)

    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        encode, number = self.shape.encode, self._id(channel)
        offsets = count(self.end(channel))

        def write(items: Sequence[Any]) -> None:
            now = time.time_ns()
            rows = [(number, next(offsets), now, encode(data)) for data in items]
            with self.lock, self.db:
                self.db.execute("begin")
                self.db.executemany(_INSERT, rows)

        return write

    def bounded_writer(self, channel: str, count: int) -> Callable[[Sequence[Any]], object]:
        """Delete what is too old with each transaction; the pages are used again."""
        write, number = self.many_writer(channel), self._id(channel)
        end = self.end(channel)

        def write_and_delete(items: Sequence[Any]) -> None:
            nonlocal end
            write(items)
            end += len(items)
            self.db.execute(
                "delete from messages where channel = ? and offset < ?", (number, end - count)
            )

        return write_and_delete

    def interleave(self, channels: Sequence[str], items: Sequence[Any]) -> None:
        encode, numbers = self.shape.encode, list(map(self._id, channels))
        for offset, data in enumerate(items):
            now, body = time.time_ns(), encode(data)
            with self.db:
                self.db.execute("begin")
                self.db.executemany(_INSERT, [(number, offset, now, body) for number in numbers])

    def reader(self, channel: str) -> Iterator[Any]:
        query = "select data from messages where channel = ? order by offset"
        bodies = map(itemgetter(0), self.db.execute(query, (self._id(channel),)))
        return map(self.shape.decode, bodies)

    def message_reader(self, channel: str) -> Iterator[Any]:
        decode = self.shape.decode
        query = "select offset, time_ns, data from messages where channel = ? order by offset"
        for offset, time_ns, body in self.db.execute(query, (self._id(channel),)):
            yield offset, time_ns, decode(body)

    def signaller(self, channel: str) -> Callable[[Any], object]:
        write = self.writer(channel)

        def signal(data: Any) -> None:
            write(data)
            with self.changed:
                self.changed.notify_all()

        return signal

    def waiter(self, channel: str) -> Callable[[], Any]:
        query = "select data from messages where channel = ? and offset = ?"
        decode, number, offset = self.shape.decode, self._id(channel), self.end(channel)

        def wait() -> Any:
            nonlocal offset
            with self.changed:
                while not (row := self.db.execute(query, (number, offset)).fetchone()):
                    self.changed.wait()
            offset += 1
            return decode(row[0])

        return wait


class Polling(Sqlite):
    """The habit to replace: look into the table every ten milliseconds."""

    name = "polling SQLite, 10 ms"
    can = frozenset({"thread to thread", "thread to task", "task to task"})
    wakes_share = 0.1
    PAUSE_SECONDS = 0.01

    def signaller(self, channel: str) -> Callable[[Any], object]:
        return self.writer(channel)

    def waiter(self, channel: str) -> Callable[[], Any]:
        look = self._looker(channel)

        def wait() -> Any:
            while (found := look()) is None:
                time.sleep(self.PAUSE_SECONDS)
            return found

        return wait

    def task_waiter(self, channel: str) -> Callable[[], Awaitable[Any]]:
        look = self._looker(channel)

        async def wait() -> Any:
            while (found := look()) is None:
                await asyncio.sleep(self.PAUSE_SECONDS)
            return found

        return wait

    def _looker(self, channel: str) -> Callable[[], Any]:
        query = "select data from messages where channel = ? and offset = ?"
        decode, number, offset = self.shape.decode, self._id(channel), self.end(channel)

        def look() -> Any:
            nonlocal offset
            with self.lock:
                row = self.db.execute(query, (number, offset)).fetchone()
            if row is None:
                return None
            offset += 1
            return decode(row[0])

        return look

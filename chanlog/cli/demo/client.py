"""The person's terminal: a client in another process than the agent, whose connection drops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chanlog
from chanlog import HandleClosed, Log, LogClosed, Message, Subscription

from .ledger import Receipt

__all__ = ["Client", "received"]


def received(message: Message, received_ns: int, connected_ns: int) -> Receipt:
    """The receipt of a message, for a client that has been connected since ``connected_ns``."""
    number = message.data["n"] if message.type == "token" else None
    live = message.time_ns >= connected_ns
    return Receipt(message.offset, number, message.time_ns, received_ns, live)


@dataclass
class _Connection:
    log: Log
    subscription: Subscription
    thread: threading.Thread
    dropped: threading.Event = field(default_factory=threading.Event)


class Client:
    """Follows a channel in a thread and notes each message the moment it arrives.

    ``tell`` is called in that thread: ``("message", (message, live))``, ``("caught_up", (count,
    seconds))`` once all that was missed has arrived, ``("end", None)`` and ``("failed", error)``.
    """

    def __init__(self, path: Path, channel: str, tell: Callable[[str, Any], None]) -> None:
        self.path = path
        self.channel = channel
        self.tell = tell
        self.last: int | None = None
        self.messages: list[Message] = []
        self.receipts: list[Receipt] = []
        self._connection: _Connection | None = None

    def connect(self) -> int:
        """Come (back), exactly behind the last message it has; how many it has missed."""
        log = chanlog.open(self.path, read_only=True)
        try:
            channel = log.channel(self.channel)
            connected_ns = time.time_ns()
            missed = channel.info().end_offset - (0 if self.last is None else self.last + 1)
            subscription = channel.subscribe(after=self.last)
        except BaseException:
            log.close()
            raise
        thread = threading.Thread(target=lambda: self._follow(connection, connected_ns, missed))
        thread.daemon = True
        connection = self._connection = _Connection(log, subscription, thread)
        thread.start()
        return missed

    def drop(self) -> None:
        """The connection is gone. Doing it twice is fine."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.dropped.set()
        connection.subscription.close()
        connection.thread.join()
        connection.log.close()

    def _follow(self, connection: _Connection, connected_ns: int, missed: int) -> None:
        began = time.perf_counter()
        arrived = 0
        try:
            for message in connection.subscription:
                receipt = received(message, time.time_ns(), connected_ns)
                self.receipts.append(receipt)
                self.messages.append(message)
                self.last = message.offset
                arrived += 1
                self.tell("message", (message, receipt.live))
                if arrived == missed:
                    self.tell("caught_up", (missed, time.perf_counter() - began))
            if not connection.dropped.is_set():
                self.tell("end", None)
        except (HandleClosed, LogClosed):
            if not connection.dropped.is_set():
                self.tell("failed", "its connection was closed under it")
        except Exception as error:  # whatever it is, the story must not wait for ever
            self.tell("failed", error)

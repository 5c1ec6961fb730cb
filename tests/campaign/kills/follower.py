"""A follower: another process that watches the log through the deaths of its owners."""

from __future__ import annotations

from pathlib import Path
from random import Random

import chanlog

from .child import Say
from .ledger import Violation
from .streams import Stream

__all__ = ["Follower"]

_WAIT_SECONDS = 0.05


class Follower:
    """Reads a stream with ``read_only=True`` and remembers which message it saw at which offset.

    A message carries the number of the child that wrote it, so an offset that went to another
    message later shows. Set the slot ``stopping`` to let it look at everything once more and end.
    """

    def __init__(self, stream: Stream, stopping: int) -> None:
        self._stream = stream
        self._stopping = stopping
        self._slots = stream.count.ledger.slots
        self._seen: list[list[int]] = []

    def run(self, path: Path, seed: int, say: Say) -> None:
        """In a child of its own."""
        draw = Random(seed)
        while not self._slots[self._stopping]:
            try:
                with chanlog.open(path, read_only=True) as log:
                    self._follow(log, draw)
            except chanlog.LogNotFound:
                # The first owner has not made it yet.
                continue
        if self._stream.count.done:
            with chanlog.open(path, read_only=True) as log:
                self._compare(log)

    def _follow(self, log: chanlog.Log, draw: Random) -> None:
        """Read on, for a while."""
        reader = log.channel(self._stream.name).subscribe(after=len(self._seen) - 1)
        for _ in range(draw.randrange(1, 400)):
            message = reader.get(_WAIT_SECONDS)
            if message is not None:
                if message.offset != len(self._seen):
                    raise Violation(f"follower: {message.offset} behind {len(self._seen)}")
                self._seen.append(message.data[:4])
            if self._slots[self._stopping]:
                return
        self._compare(log)

    def _compare(self, log: chanlog.Log) -> None:
        channel = log.channel(self._stream.name)
        found = [data[:4] for data in channel.replay(0).data()]
        if len(found) < len(self._seen):
            raise Violation(f"follower: {len(self._seen)} were seen, {len(found)} are left")
        for offset, (seen, now) in enumerate(zip(self._seen, found, strict=False)):
            if seen != now:
                raise Violation(f"follower: {offset} was {seen}, and is {now}")

"""A day in the life of a log: everything is used once, and nothing goes wrong.

A plant must pass it. A bug that shows here would be found by whoever tries the package for a minute
and needs no campaign.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from pathlib import Path
from typing import Any

import chanlog

__all__ = ["live_everywhere"]


def _live(path: Path, sync: Any) -> None:
    """Write, read, wait, close, open and compact, with one writer and one reader at a time."""
    with chanlog.open(path, sync=sync, background=False, segment_bytes=1 << 16) as log:
        _write(log)
        _wait(log)
        expected = _contents(log)
    with chanlog.open(path, sync=sync, background=False, segment_bytes=1 << 16) as log:
        assert log.recovery.clean
        assert _contents(log) == expected
        log.compact()
        assert _contents(log) == expected
        assert log.channel("tokens").publish("more") == expected["tokens"][0]
        assert log.channel("tokens").cursor("reader").position() == 3
        producer = log.channel("produced").producer("p", epoch=1)
        assert producer.publish("again", sequence=1) == 1
    with chanlog.open(path, read_only=True) as log:
        assert [m.data for m in log.channel("tokens").replay()][-1] == "more"


def _write(log: chanlog.Log) -> None:
    tokens = log.channel("tokens", sender="agent")
    for number in range(20):
        tokens.publish({"n": number}, type="token")
    tokens.publish_many([b"x" * 3000] * 30)
    tokens.publish("kept", durable=True)
    cursor = tokens.cursor("reader")
    for message in range(3):
        cursor.commit(message)
    with log.atomic() as frame:
        frame.publish("tokens", "framed")
        frame.publish("lifecycle", "framed")
    producer = log.channel("produced").producer("p", epoch=1)
    for number in range(3):
        assert producer.publish(number) == number
    log.channel("ended").publish("last")
    log.channel("ended").end()
    log.channel("trimmed").publish_many(list(range(10)))
    log.channel("trimmed").trim(4)
    log.channel("deleted").publish("gone")
    log.channel("deleted").delete()
    tokens.fork("fork", at=5).publish("goes its own way")
    log.sync()


def _wait(log: chanlog.Log) -> None:
    """A thread waits and then a task, each for a message that comes a moment later."""
    channel = log.channel("waited")
    channel.publish("first")
    subscription = channel.subscribe(after=0)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(subscription.get(timeout=10)))
    thread.start()
    while not log.statistics().waiters:
        thread.join(0.001)
    channel.publish("second")
    thread.join(10)
    assert [message.data for message in found] == ["second"]

    async def task() -> Any:
        waiting = asyncio.ensure_future(subscription.aget(timeout=10))
        await asyncio.sleep(0)
        await channel.apublish("third", durable=True)
        return await waiting

    assert asyncio.run(task()).data == "third"


def _contents(log: chanlog.Log) -> dict[str, tuple[int, list[Any]]]:
    return {
        name: (
            log.channel(name).info().end_offset,
            [(m.offset, m.data, m.type, m.sender) for m in log.channel(name).replay()],
        )
        for name in log.channels()
    }


def live_everywhere() -> None:
    """Do so with a policy that waits for the disk, and with one that does not."""
    for sync in ("always", "os"):
        with tempfile.TemporaryDirectory() as folder:
            _live(Path(folder) / "log", sync)

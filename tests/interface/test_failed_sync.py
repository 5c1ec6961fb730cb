"""A sync that fails is never believed again (docs/guarantees.md G16).

A kernel was seen to report a failed sync once and success for the next three, while what it had
been asked to write was gone. So the log is failed from the first error on: nothing more is
accepted, and what can still be read ends where the last successful sync did.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import chanlog


class Disk:
    """Stands before ``os.fdatasync``, and fails it while ``broken``."""

    def __init__(self) -> None:
        self.broken = False
        self.asked = 0
        self._sync = os.fdatasync

    def sync(self, descriptor: int) -> None:
        self.asked += 1
        if self.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._sync(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(os, "fdatasync", made.sync)
    return made


@pytest.fixture
def log(disk: Disk, tmp_path: Path) -> Iterator[chanlog.Log]:
    """Five durable messages, five that are not, and a sync that failed over another."""
    with chanlog.open(tmp_path, sync="os") as log:
        channel = log.channel("c")
        channel.publish_many(range(5), durable=True)
        channel.publish_many(range(5, 10))
        disk.broken = True
        with pytest.raises(chanlog.LogFailed) as caught:
            channel.publish(10, durable=True)
        assert isinstance(caught.value.reason, OSError)
        assert caught.value.reason.errno == errno.EIO
        yield log


def test_nothing_more_is_accepted(log: chanlog.Log, disk: Disk) -> None:
    disk.broken = False
    channel = log.channel("c")
    asked = disk.asked
    with pytest.raises(chanlog.LogFailed):
        channel.publish("more")
    with pytest.raises(chanlog.LogFailed):
        channel.publish("more", durable=True)
    with pytest.raises(chanlog.LogFailed):
        log.channel("new").publish("more")
    with pytest.raises(chanlog.LogFailed):
        channel.cursor("k").commit(0)
    with pytest.raises(chanlog.LogFailed):
        channel.end()
    with pytest.raises(chanlog.LogFailed), log.atomic() as frame:
        frame.publish("c", "more")
    with pytest.raises(chanlog.LogFailed):
        log.sync()
    log.close()
    assert disk.asked == asked, "a failed sync was tried again"


def test_subscriptions_end_at_the_durable_offset(log: chanlog.Log) -> None:
    channel = log.channel("c")
    assert channel.info().durable_offset == 5
    assert log.statistics().failed
    seen = []
    with pytest.raises(chanlog.LogFailed):
        for message in channel.subscribe():
            seen.append(message.data)
    assert seen == [0, 1, 2, 3, 4]


def test_replay_ends_at_the_durable_offset(log: chanlog.Log) -> None:
    seen = []
    with pytest.raises(chanlog.LogFailed):
        for message in log.channel("c").replay():
            seen.append(message.data)
    assert seen == [0, 1, 2, 3, 4]


async def _gets(subscription: chanlog.Subscription) -> None:
    with pytest.raises(chanlog.LogFailed):
        await subscription.aget(timeout=5)


def test_who_waits_is_told(disk: Disk, tmp_path: Path) -> None:
    import asyncio

    async def main() -> None:
        with chanlog.open(tmp_path, sync="os") as log:
            channel = log.channel("c")
            channel.publish(0, durable=True)
            # On another channel: a message that is not durable yet may be read under ``os``.
            waiting = asyncio.create_task(_gets(log.channel("quiet").subscribe()))
            await asyncio.sleep(0)
            disk.broken = True
            with pytest.raises(chanlog.LogFailed):
                await channel.apublish(1, durable=True)
            await waiting

    asyncio.run(main())


def test_opening_again_verifies(log: chanlog.Log, disk: Disk, tmp_path: Path) -> None:
    log.close()
    disk.broken = False
    with chanlog.open(tmp_path) as again:
        assert not again.recovery.clean
        assert again.recovery.scanned_bytes > 0
        # What was not acknowledged has happened once or not at all.
        found = list(again.channel("c").replay().data())
        assert found[:5] == [0, 1, 2, 3, 4]
        assert found == list(range(len(found)))
        again.channel("c").publish("goes on", durable=True)

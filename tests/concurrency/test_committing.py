"""Durability for tasks where there is no thread to ask for it."""

from __future__ import annotations

import asyncio
import threading

import pytest

import chanlog
from chanlog.channels.committing import Request, answer

from ..support import LIMIT, run, until


def refuse(thread):
    raise RuntimeError("can't start new thread")


def test_without_a_thread_a_task_is_not_left_waiting(disk, monkeypatch):
    log = disk.open(sync="os")
    channel = log.channel("w")
    channel.publish(0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        run(asyncio.wait_for(channel.apublish(1, durable=True), LIMIT))
    assert channel.info().durable_offset == 2


def test_the_thread_is_started_when_it_can_be(disk, monkeypatch):
    """The log passed for dirty, so nobody tried again, and nothing was synced for good."""
    log = disk.open(sync="interval", sync_interval=0.001)
    channel = log.channel("w")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        channel.publish(0)
    channel.publish(1)
    until(lambda: channel.info().durable_offset == 2)


def test_a_task_that_meets_a_close_is_answered(disk):
    """Its request came after the thread had looked for the last time."""
    log = disk.open(sync="os")
    channel = log.channel("w")
    channel.publish(0)
    log._committer.stop()
    with pytest.raises(chanlog.LogClosed):
        run(asyncio.wait_for(channel.apublish(1, durable=True), LIMIT))


@pytest.mark.parametrize("sync", ["interval", "os"])
def test_without_a_thread_the_close_syncs(disk, monkeypatch, sync):
    log = disk.open(sync=sync)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        log.channel("w").publish(0)
        log.close()
    with disk.open() as log:
        assert log.recovery.clean
        assert log.channel("w").info().durable_offset == 1


def test_syncing_somebody_elses_log_is_nothing(disk, face):
    """What can be read of it is what its owner has written; there is nothing of ours."""
    disk.open().channel("w").publish(0)
    with disk.open(read_only=True) as looking:
        face(looking).sync()
        assert looking.statistics().syncs == 0


def test_a_task_that_has_gone_is_not_answered():
    """It was cancelled between the sync and the answer, which then failed, and with it those of
    all other tasks of the loop."""

    async def main():
        loop = asyncio.get_running_loop()
        requests = [Request(0, loop, loop.create_future()) for _ in range(3)]
        requests[1].future.cancel()
        answer(requests, None, 0)
        await asyncio.wait([request.future for request in requests])
        return [request.future.cancelled() for request in requests]

    assert run(main()) == [False, True, False]

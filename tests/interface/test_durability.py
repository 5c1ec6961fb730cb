"""When bytes are on stable storage, and who may wait for that."""

from __future__ import annotations

import asyncio
import threading

import pytest

import chanlog

from ..support import LIMIT, gather, replayed, run, spawn, take, until

POLICIES = ["always", "interval", "os"]


@pytest.mark.parametrize("sync", POLICIES)
def test_durable_waits_for_the_disk(disk, face, sync):
    log = disk.open(sync=sync)
    channel = log.channel("w")
    for n in range(5):
        face(channel).publish(n, durable=True)
        assert channel.info().durable_offset == n + 1
    face(channel).publish_many([5, 6], durable=True)
    assert channel.info().durable_offset == 7
    assert replayed(channel) == list(range(7))


@pytest.mark.parametrize("sync", POLICIES)
def test_sync_waits_for_all_so_far(disk, face, sync):
    log = disk.open(sync=sync)
    one, two = log.channel("one"), log.channel("two")
    one.publish_many(range(100))
    two.publish("x")
    face(log).sync()
    assert one.info().durable_offset == 100
    assert two.info().durable_offset == 1
    assert log.statistics().unsynced_bytes == 0
    face(log).sync()


def test_always_syncs_each_publish(disk, face):
    log = disk.open(sync="always")
    channel = log.channel("w")
    for n in range(5):
        face(channel).publish(n)
        assert channel.info().durable_offset == n + 1
    face(channel).publish_many([5, 6])
    assert channel.info().durable_offset == 7
    with log.atomic() as frame:
        frame.publish("w", 7)
    assert channel.info().durable_offset == 8


def test_os_leaves_it_to_the_system(disk):
    log = disk.open(sync="os")
    channel = log.channel("w")
    channel.publish("a", durable=True)
    syncs = log.statistics().syncs
    channel.publish_many(range(100))
    assert log.statistics().syncs == syncs
    assert channel.info().durable_offset == 1
    assert log.statistics().unsynced_bytes > 0


def test_interval_is_the_default_and_syncs_in_the_background(disk):
    """A background thread does it; here only the bound of the test knows of time."""
    with disk.open(background=True) as log:
        channel = log.channel("w")
        channel.publish_many(range(100))
        until(lambda: channel.info().durable_offset == 100)
        assert log.statistics().unsynced_bytes == 0
        channel.publish("later")
        until(lambda: channel.info().durable_offset == 101)


def test_the_background_sleeps_when_nothing_is_dirty(disk):
    with disk.open(background=True, sync_interval=0.001) as log:
        channel = log.channel("w")
        channel.publish(1)
        until(lambda: channel.info().durable_offset == 1)
        syncs = log.statistics().syncs
        pause = threading.Event()
        assert not pause.wait(0.05)  # Fifty intervals, in which there is nothing to do.
        assert log.statistics().syncs == syncs


def test_durable_is_never_beyond_the_end_and_never_goes_back(disk):
    with disk.open(background=True, sync_interval=0.001) as log:
        channel = log.channel("w")
        done = threading.Event()

        def watch():
            last = 0
            while not done.is_set():
                info = channel.info()
                assert last <= info.durable_offset <= info.end_offset
                last = info.durable_offset

        watching = spawn(watch)
        for n in range(2000):
            channel.publish(n, durable=n % 100 == 0)
        done.set()
        watching.result(LIMIT)


def test_the_other_durable_calls(disk, face):
    log = disk.open(sync="os")
    channel = log.channel("w")
    channel.publish_many(range(5))
    with channel.cursor("c") as cursor:
        face(cursor).commit(take(cursor, 1)[0], durable=True)
    assert channel.info().durable_offset == 5
    channel.publish(5)
    with log.atomic(durable=True) as frame:
        frame.publish("w", 6)
    assert channel.info().durable_offset == 7
    face(channel.producer("p")).publish(7, durable=True)
    assert channel.info().durable_offset == 8
    face(channel.producer("p")).publish_many([8, 9], durable=True)
    assert channel.info().durable_offset == 10
    channel.publish(10)
    face(channel).end(durable=True)
    assert channel.info().durable_offset == 11
    assert log.statistics().unsynced_bytes == 0


def test_a_durable_retry_is_durable(disk, face):
    """What was published without waiting, and is retried with: the promise must hold."""
    log = disk.open(sync="os")
    channel = log.channel("w")
    producer = channel.producer("p")
    producer.publish("a")
    assert face(producer).publish("a", sequence=0, durable=True) == 0
    assert channel.info().durable_offset == 1


def test_memory_takes_the_same_calls(store, face):
    log = store.open(sync="always")
    channel = log.channel("w")
    assert face(channel).publish("a", durable=True) == 0
    face(log).sync()
    with log.atomic(durable=True) as frame:
        frame.publish("w", "b")
    assert face(channel).end(durable=True) == 2
    assert channel.info().durable_offset <= 2


def test_closing_syncs(disk):
    with disk.open(sync="os") as log:
        log.channel("w").publish_many(range(10))
    with disk.open(sync="os") as log:
        assert log.channel("w").info().durable_offset == 10
        assert log.recovery.clean
        assert log.recovery.torn == []
        assert log.recovery.damage == []


def test_threads_share_syncs(disk):
    """Group commit: all that wait are served, in no more syncs than calls."""
    log = disk.open(sync="os")
    channel = log.channel("w")
    before = log.statistics().syncs

    def write(n):
        for m in range(25):
            offset = channel.publish([n, m], durable=True)
            assert channel.info().durable_offset > offset

    gather([spawn(write, n) for n in range(16)])
    assert channel.info().durable_offset == 400
    assert log.statistics().syncs - before < 400


def test_tasks_share_syncs(disk):
    log = disk.open(sync="os")
    channel = log.channel("w")
    before = log.statistics().syncs

    async def main():
        return await asyncio.gather(*(channel.apublish(n, durable=True) for n in range(200)))

    assert sorted(run(main())) == list(range(200))
    assert channel.info().durable_offset == 200
    assert log.statistics().syncs - before < 200


@pytest.mark.parametrize("sync", ["never", None, 1, ""])
def test_a_policy_that_does_not_exist(tmp_path, sync):
    with pytest.raises(chanlog.InvalidOption) as caught:
        chanlog.open(tmp_path / "log", sync=sync)
    assert caught.value.option == "sync"
    assert not (tmp_path / "log").exists()

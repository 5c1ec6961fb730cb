"""What a log does by itself: clustering, retention, giving space back."""

from __future__ import annotations

import threading

import chanlog
from chanlog.channels import upkeep
from chanlog.errors import DiskFull
from chanlog.host import DiskFolder, Host

from ..support import host_with, replayed, take, until


def test_sealed_segments_are_clustered(disk):
    with disk.open(background=True, segment_bytes=64 * 1024) as log:
        for n in range(600):
            log.channel(f"w{n % 3}").publish([n, "x" * 500])
        until(lambda: log.statistics().segments_clustered >= 1)
        for place in range(3):
            found = [data[0] for data in replayed(log.channel(f"w{place}"))]
            assert found == list(range(place, 600, 3))


def test_deleted_channels_give_their_space_back(disk):
    with disk.open(background=True, segment_bytes=64 * 1024) as log:
        for n in range(1000):
            log.channel(f"w{n % 10}").publish(b"x" * 2000)
        log.channel("stays").publish("here")
        before = log.statistics().disk_bytes
        for n in range(10):
            log.channel(f"w{n}").delete()
        until(lambda: log.statistics().disk_bytes < before / 2)
        assert list(log.channels()) == ["stays"]
        assert replayed(log.channel("stays")) == ["here"]


def test_the_log_keeps_to_its_size(disk):
    limit = 512 * 1024
    with disk.open(background=True, segment_bytes=64 * 1024, log_bytes_max=limit) as log:
        for n in range(2000):
            log.channel("w").publish([n, "x" * 1000])
        until(lambda: log.statistics().disk_bytes <= limit + 2 * 64 * 1024)
        kept = [data[0] for data in replayed(log.channel("w"))]
        assert kept == list(range(kept[0], 2000))
        assert kept[0] > 0


def test_a_clock_that_stands_still_stops_nobody(disk, clock):
    """Waiting and waking do not depend on the time of day."""
    with disk.open(background=True, host=host_with(clock), sync_interval=0.001) as log:
        channel = log.channel("w")
        with channel.subscribe() as reader:
            channel.publish(1)
            clock.advance(-(10**6))
            channel.publish(2)
            assert [message.data for message in take(reader, 2)] == [1, 2]
        until(lambda: channel.info().durable_offset == 2)


def test_a_retention_is_applied_without_a_publish(disk, clock):
    """What has expired while nobody had the log open goes when somebody opens it."""
    retention = chanlog.Retention(ttl=60)
    with disk.open(host=host_with(clock)) as log:
        log.channel("old").publish("x")
        log.channel("own").publish("x")
        log.channel("own").configure(chanlog.Retention(ttl=60))
    clock.advance(100)
    with disk.open(background=True, host=host_with(clock)) as log:
        until(lambda: list(log.channels()) == ["old"])
    with disk.open(background=True, host=host_with(clock), retention=retention) as log:
        until(lambda: list(log.channels()) == [])


def test_without_a_thread_upkeep_is_for_another_time(disk, monkeypatch):
    """No thread can be started, at exit or because there are too many: a roll is not held up, and
    the next one tries again."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with disk.open(background=True, sync="os") as log:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            log.channel("w").publish("first")
            log._store.roll()
            log.channel("w").publish("second")
        assert log.statistics().segments_clustered == 0
        log._store.roll()
        until(lambda: log.statistics().segments_clustered >= 1)
        assert replayed(log.channel("w")) == ["first", "second"]


class FullFolder(DiskFolder):
    """A disk on which nothing clustered can be written while ``full`` is set."""

    full = threading.Event()

    def create(self, name):
        if self.full.is_set() and ".seg" in name:
            raise DiskFull(f"no room for {name}", path=self.path / name)
        return super().create(name)


def test_compaction_waits_for_room_and_says_so_once(disk, caplog, monkeypatch):
    """A full disk keeps compaction from making room; publishing and reading go on, it is tried
    again, and the log file is not filled with it."""
    monkeypatch.setattr(upkeep, "_PAUSE_SECONDS", 0.0)
    passes = []
    maintain = upkeep.maintain

    def counted(store):
        try:
            maintain(store)
        finally:
            passes.append(store)

    monkeypatch.setattr(upkeep, "maintain", counted)
    FullFolder.full.set()
    with disk.open(background=True, host=Host(disk=FullFolder)) as log:
        for number in range(3):
            log.channel("w").publish(number)
            log._store.roll()
            until(lambda number=number: len(passes) > number)
        until(lambda: caplog.records)
        assert log.statistics().segments_clustered == 0
        assert replayed(log.channel("w")) == [0, 1, 2]
        FullFolder.full.clear()
        log._store.on_death()
        until(lambda: log.statistics().segments_clustered >= 1)
        assert replayed(log.channel("w")) == [0, 1, 2]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "compaction" in caplog.text

"""What a log says of itself."""

from __future__ import annotations

from ..support import LIMIT, spawn, take, until, until_waiting


def test_an_empty_log(log):
    statistics = log.statistics()
    assert (statistics.channels, statistics.appends, statistics.waiters) == (0, 0, 0)
    assert statistics.failed is False


def test_it_counts_channels_and_messages(log):
    log.channel("a").publish(1)
    log.channel("a").publish_many(range(10))
    log.channel("b").publish(1)
    statistics = log.statistics()
    assert statistics.channels == 2
    assert statistics.appends >= 3
    log.channel("b").delete()
    assert log.statistics().channels == 1


def test_it_counts_who_waits(log, channel):
    with channel.subscribe() as one, channel.subscribe() as two:
        assert log.statistics().waiters == 0
        waiting = [spawn(reader.get, timeout=LIMIT) for reader in (one, two)]
        until_waiting(log, 2)
        assert log.statistics().waiters == 2
        channel.publish(1)
        for future in waiting:
            assert future.result(LIMIT).data == 1
        until(lambda: log.statistics().waiters == 0)


def test_waiting_in_vain_leaves_nobody(log, channel):
    with channel.subscribe() as reader:
        for _ in range(20):
            assert reader.get(timeout=0.0001) is None
    assert log.statistics().waiters == 0


def test_segments_and_their_clustering(disk):
    with disk.open(segment_bytes=64 * 1024) as log:
        for n in range(500):
            log.channel(f"w{n % 3}").publish("x" * 1000)
        statistics = log.statistics()
        assert statistics.segments >= 5
        assert statistics.disk_bytes >= 500_000
        log.compact()
        assert log.statistics().segments_clustered >= 1
        assert log.statistics().compactions >= 1
        with log.channel("w0").subscribe() as reader:
            assert len(take(reader, 167)) == 167

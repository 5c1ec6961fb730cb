"""What a log does by itself: clustering, retention, giving space back."""

from __future__ import annotations

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

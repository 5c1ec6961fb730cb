"""Keeping: retention forgets the oldest, says so, and never too much."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from ...errors import OffsetTrimmed
from ...interface import Channel, Log, Subscription
from ...options import Retention
from ..harness import Harness
from .base import LIMIT_SECONDS, Scenarios, datas, drain, needs, spawn, until

__all__ = ["Keeping"]


class Keeping(Scenarios):
    """Slightly more than a retention says may be readable; never less."""

    @needs("retention.count")
    def test_count_keeps_the_newest(self, log: Log, channel: Channel, harness: Harness) -> None:
        """The newest messages stay, at least as many as was said, and the oldest go."""
        channel.configure(Retention(count=50))
        for start in range(0, 2000, 100):
            channel.publish_many(range(start, start + 100))
        _until_forgotten(log, channel, harness, 1000)
        found = datas(channel.replay())
        assert found == list(range(2000 - len(found), 2000))
        assert len(found) >= 50

    @needs("retention.bytes")
    def test_bytes_keep_the_newest(self, log: Log, channel: Channel, harness: Harness) -> None:
        """At least the newest so many bytes of payload stay."""
        channel.configure(Retention(bytes=100_000))
        for number in range(500):
            channel.publish([number, b"x" * 10_000])
        _until_forgotten(log, channel, harness, 250)
        found = [number for number, _ in datas(channel.replay())]
        assert found == list(range(500 - len(found), 500))
        assert len(found) >= 9

    @needs("retention.age")
    def test_age_forgets_the_old(self, log: Log, channel: Channel, harness: Harness) -> None:
        """What is older than that goes."""
        channel.configure(Retention(age=1.0))
        old = channel.publish_many("ab")
        harness.advance(1.2)
        channel.publish("c")

        def gone() -> bool:
            harness.retain(log)
            return not {"a", "b"} & set(datas(channel.replay()))

        until(gone, "what is older than the age is forgotten")
        assert channel.info().start_offset > old[-1]

    @needs("retention.age")
    def test_age_keeps_the_young(self, log: Log, channel: Channel, harness: Harness) -> None:
        """What is younger than that stays."""
        channel.configure(Retention(age=timedelta(hours=1)))
        channel.publish_many("abc")
        harness.retain(log)
        assert datas(channel.replay()) == ["a", "b", "c"]

    @needs("retention.ttl")
    def test_ttl_deletes_an_idle_channel(
        self, log: Log, channel: Channel, harness: Harness
    ) -> None:
        """A channel in which nothing happened for that long is deleted, others are not."""
        channel.configure(Retention(ttl=0.5))
        channel.publish("a")
        other = log.channel(harness.new_name())
        other.publish("b")
        harness.advance(0.7)

        def gone() -> bool:
            harness.retain(log)
            return not log.channel(channel.name).info().exists

        until(gone, "a channel that is idle for its ttl is deleted")
        assert datas(other.replay()) == ["b"]

    @needs("retention.count")
    def test_a_reader_is_told_what_retention_took(
        self, log: Log, channel: Channel, harness: Harness
    ) -> None:
        """A reader that is too slow gets ``OffsetTrimmed``, and never skips in silence."""
        channel.configure(Retention(count=10))
        reader = channel.subscribe()
        channel.publish_many(range(10))
        assert reader.get(timeout=0) is not None
        for start in range(10, 2000, 10):
            channel.publish_many(range(start, start + 10))
        _until_forgotten(log, channel, harness, 1000)
        seen = []
        with pytest.raises(OffsetTrimmed) as caught:
            while (message := reader.get(timeout=0)) is not None:
                seen.append(message.data)
        assert seen == list(range(1, 1 + len(seen)))
        reader.seek(caught.value.start_offset)
        assert datas(drain(reader)) == datas(channel.replay())

    @needs("retention.count")
    def test_retention_under_load(self, log: Log, channel: Channel, harness: Harness) -> None:
        """While a writer publishes and retention runs, a reader misses only what it is told of,
        and the newest are always there."""
        count, keep = 3000, 200
        channel.configure(Retention(count=keep))

        def write() -> None:
            for start in range(0, count, 20):
                channel.publish_many(range(start, start + 20))

        writing = spawn(write)
        reading = spawn(_follow, channel.subscribe(after=-1), count)
        while not writing.done():
            harness.retain(log)
        writing.result()
        seen, holes = reading.result(3 * LIMIT_SECONDS)
        assert seen[-1] == count - 1
        assert all(a < b for a, b in pairwise(seen))
        jumps = sum(a + 1 != b for a, b in pairwise([-1, *seen]))
        assert jumps <= holes, "a message is missing, and no OffsetTrimmed said so"
        assert datas(channel.replay())[-keep:] == list(range(count - keep, count))

    @needs("retention.count")
    def test_retention_is_told_and_taken_back(self, log: Log, channel: Channel) -> None:
        """``info`` has the retention of a channel; ``None`` goes back to the log's."""
        before = channel.info().retention
        channel.configure(Retention(count=7))
        assert log.channel(channel.name).info().retention.count == 7
        assert channel.info().exists
        channel.configure(None)
        assert channel.info().retention == before


def _until_forgotten(log: Log, channel: Channel, harness: Harness, most: int) -> None:
    def forgotten() -> bool:
        harness.retain(log)
        return channel.info().count <= most

    until(forgotten, f"retention leaves at most {most} messages")


def _follow(reader: Subscription, count: int) -> tuple[list[int], int]:
    """The numbers up to ``count``, and how often it was told that some are gone."""
    seen: list[int] = []
    holes = 0
    while not seen or seen[-1] < count - 1:
        try:
            message = reader.get(timeout=LIMIT_SECONDS)
        except OffsetTrimmed as error:
            holes += 1
            reader.seek(error.start_offset)
            continue
        assert message is not None, f"nothing came behind {seen[-1:]}"
        seen.append(message.data)
    return seen, holes

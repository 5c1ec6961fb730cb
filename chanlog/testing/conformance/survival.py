"""Survival: handles that come and go, engines that stop, die, or cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ...errors import ChannelEnded, Disconnected, ProducerFenced
from ...interface import Channel, Log, Subscription
from ..harness import Harness
from .base import LIMIT_SECONDS, Scenarios, datas, drain, needs, spawn, take, until

__all__ = ["CutNetwork", "Survival"]

Ending = Callable[[], None]


class Survival(Scenarios):
    """What was acknowledged outlives the handle, the process, the engine."""

    @needs("reopen")
    def test_messages_survive_reopening(self, log: Log, channel: Channel, harness: Harness) -> None:
        """What was published is there when the log is opened again, and offsets go on."""
        offsets = list(channel.publish_many("abc"))
        before = channel.info()
        log.close()
        again = harness.open().channel(channel.name)
        assert datas(again.replay()) == ["a", "b", "c"]
        assert again.info().end_offset == before.end_offset
        offsets.append(again.publish("d"))
        assert [message.offset for message in again.replay()] == offsets
        assert offsets[3] > offsets[2]

    @needs("reopen")
    def test_ends_trims_and_deletes_survive_reopening(self, log: Log, harness: Harness) -> None:
        """What has ended, was trimmed or deleted is so still."""
        ended, trimmed, deleted = (log.channel(harness.new_name()) for _ in range(3))
        ended.publish("a")
        ended.end()
        offsets = trimmed.publish_many("abc")
        start = trimmed.trim(offsets[1])
        deleted.publish("a")
        deleted.delete()
        log.close()
        log = harness.open()
        assert datas(log.channel(ended.name).subscribe()) == ["a"]
        with pytest.raises(ChannelEnded):
            log.channel(ended.name).publish("b")
        assert datas(log.channel(trimmed.name).replay()) == ["b", "c"]
        assert log.channel(trimmed.name).info().start_offset == start
        assert not log.channel(deleted.name).info().exists

    @needs("restart")
    def test_a_restart_loses_nothing(self, log: Log, channel: Channel, harness: Harness) -> None:
        """Messages, cursors, producers and ends are there after the engine was started again."""
        _outlives(log, channel, harness, harness.restart)

    @needs("crash")
    def test_a_crash_loses_nothing(self, log: Log, channel: Channel, harness: Harness) -> None:
        """The same after ``kill -9`` of the engine: it was acknowledged, so it is there."""
        _outlives(log, channel, harness, harness.crash)

    @needs("crash")
    def test_several_crashes(self, log: Log, channel: Channel, harness: Harness) -> None:
        """Each crash leaves what was there before it, and the log goes on."""
        expected: list[int] = []
        for round in range(3):
            log = harness.open() if round else log
            again = log.channel(channel.name)
            assert datas(again.replay()) == expected
            expected.append(round)
            again.publish(round)
            harness.crash()
        assert datas(harness.open().channel(channel.name).replay()) == expected

    @needs("crash")
    def test_a_crash_in_the_middle_of_publishing(self, harness: Harness) -> None:
        """Every message that was acknowledged is there once and in order; of those that were not,
        at most the ones that were on their way."""
        name = harness.new_name()
        acknowledged = harness.publish_until_crash(name, 200)
        found = datas(harness.open().channel(name).replay())
        assert sorted(set(found)) == found, "doubled, or out of order"
        assert set(acknowledged) <= set(found)
        assert len(found) <= len(acknowledged) + 1_000

    @needs("crash", "durable")
    def test_durable_survives_a_crash(self, log: Log, channel: Channel, harness: Harness) -> None:
        """``durable=True`` says that it is on stable storage, and so it is."""
        channel.publish("a", durable=True)
        channel.publish_many("bc", durable=True)
        harness.crash()
        assert datas(harness.open().channel(channel.name).replay()) == ["a", "b", "c"]

    @needs("crash", "frames")
    def test_a_frame_survives_a_crash(self, log: Log, harness: Harness) -> None:
        """All of a frame is there, its cursor too."""
        a, b = log.channel(harness.new_name()), log.channel(harness.new_name())
        offsets = a.publish_many("xyz")
        with log.atomic() as frame:
            frame.publish(b, "X")
            frame.commit(a.cursor("worker"), offsets[0])
        harness.crash()
        log = harness.open()
        assert datas(log.channel(b.name).replay()) == ["X"]
        assert datas(drain(log.channel(a.name).cursor("worker"))) == ["y", "z"]

    @needs("remote", "restart")
    def test_handles_go_on_after_a_restart(self, channel: Channel, harness: Harness) -> None:
        """A handle finds the engine again by itself: for publishing, and for reading on."""
        _goes_on(channel, harness, harness.restart)

    @needs("remote", "crash")
    def test_handles_go_on_after_a_crash(self, channel: Channel, harness: Harness) -> None:
        """The same after ``kill -9`` of the engine."""
        _goes_on(channel, harness, harness.crash)

    @needs("remote", "restart")
    def test_a_waiting_reader_outlives_a_restart(self, channel: Channel, harness: Harness) -> None:
        """A reader that waits while the engine is started again gets what comes afterwards."""
        _waits_through(channel, harness, harness.restart)

    @needs("remote", "crash")
    def test_a_waiting_reader_outlives_a_crash(self, channel: Channel, harness: Harness) -> None:
        """The same after ``kill -9`` of the engine."""
        _waits_through(channel, harness, harness.crash)

    @needs("remote", "crash", "producers")
    def test_retries_across_a_crash_double_nothing(
        self, channel: Channel, harness: Harness
    ) -> None:
        """A producer that publishes a sequence until it is acknowledged has published it once,
        though the engine died twice meanwhile."""
        producer = channel.producer("agent")

        def publish() -> None:
            for number in range(300):
                _insist(lambda number=number: producer.publish(number, sequence=number))  # type: ignore[misc]

        publishing = spawn(publish)
        reader = channel.subscribe()
        for count in (50, 100):
            _take_through(reader, count)
            harness.crash()
        publishing.result(3 * LIMIT_SECONDS)
        assert datas(channel.replay()) == list(range(300))

    @needs("remote", "crash")
    def test_a_crash_in_the_middle_of_reading(self, channel: Channel, harness: Harness) -> None:
        """A reader that is in the middle of a long history goes on where it was."""
        for start in range(0, 5000, 500):
            channel.publish_many(range(start, start + 500))
        reader = channel.subscribe()
        seen = datas(take(reader, 1200))
        harness.crash()
        seen += _take_through(reader, 3800)
        assert seen == list(range(5000))


class CutNetwork(Scenarios):
    """A network that fails is told, and nothing is lost or doubled by it."""

    @needs("cut_network")
    def test_publishing_through_a_cut(self, channel: Channel, harness: Harness) -> None:
        """A publish while the network is cut is there once if it returned, and if it raised
        ``Disconnected`` at most once, and not if that says so."""
        channel.publish("before")
        with harness.cut_network():
            cut = spawn(channel.publish, "through")
            with pytest.raises((TimeoutError, Disconnected)):
                cut.result(0.3)
        try:
            cut.result(3 * LIMIT_SECONDS)
            allowed = {1}
        except Disconnected as error:
            allowed = {0} if error.happened is False else {0, 1}
        _insist(lambda: channel.publish("after"))
        found = datas(channel.replay())
        assert found[0] == "before" and "after" in found
        assert found.count("through") in allowed

    @needs("cut_network")
    def test_reading_through_a_cut(self, channel: Channel, harness: Harness) -> None:
        """A reader that waits through a cut, or is told of it, misses nothing."""
        channel.publish_many(range(100))
        reader = channel.subscribe()
        seen = datas(take(reader, 50))
        waiting = spawn(_take_through, reader, 150)
        with harness.cut_network():
            pass
        for number in range(100, 200):
            _insist(lambda number=number: channel.publish(number))  # type: ignore[misc]
        seen += waiting.result(3 * LIMIT_SECONDS)
        # Without a sequence a publish that is retried may be there twice, at its place.
        assert list(dict.fromkeys(seen)) == list(range(seen[-1] + 1))

    @needs("cut_network", "producers")
    def test_retries_through_a_cut_double_nothing(self, channel: Channel, harness: Harness) -> None:
        """A producer that retries until it is acknowledged has published once, however often the
        network is cut."""
        producer = channel.producer("agent")

        def publish() -> None:
            for number in range(200):
                _insist(lambda number=number: producer.publish(number, sequence=number))  # type: ignore[misc]

        reader = channel.subscribe()
        publishing = spawn(publish)
        seen: list[int] = []
        for _ in range(4):
            seen += _take_through(reader, 20)
            with harness.cut_network():
                pass
        publishing.result(3 * LIMIT_SECONDS)
        seen += _take_through(reader, 120)
        assert seen == datas(channel.replay()) == list(range(200))

    @needs("cut_network")
    def test_commits_through_a_cut(self, channel: Channel, harness: Harness) -> None:
        """A commit that is retried after a cut has happened, and those before it are kept."""
        offsets = channel.publish_many("abc")
        cursor = channel.cursor("worker")
        cursor.commit(offsets[0])
        with harness.cut_network():
            pass
        _insist(lambda: cursor.commit(offsets[1]))
        assert datas(drain(channel.cursor("worker"))) == ["c"]


def _insist(call: Callable[[], object]) -> int:
    """Call until the engine can be reached; returns how many attempts that took."""
    attempts = 0

    def reached() -> bool:
        nonlocal attempts
        attempts += 1
        try:
            call()
        except Disconnected:
            return False
        return True

    until(reached, "the engine can be reached")
    return attempts


def _take_through(reader: Subscription, count: int) -> list[Any]:
    """The next ``count`` payloads, asking again where the engine could not be reached."""
    seen: list[Any] = []
    while len(seen) < count:
        _insist(lambda: seen.extend(datas(take(reader, 1))))
    return seen


def _outlives(log: Log, channel: Channel, harness: Harness, ending: Ending) -> None:
    capable = log.capabilities.producers
    offsets = channel.publish_many("abc", type="letter", headers={"h": 1})
    channel.cursor("worker").commit(offsets[0])
    ended = log.channel(harness.new_name())
    ended.publish("last")
    ended.end()
    retried = channel.producer("agent", epoch=2).publish("d", sequence=0) if capable else None
    before = list(channel.replay())
    ending()
    log = harness.open()
    again = log.channel(channel.name)
    assert list(again.replay()) == before
    assert datas(drain(again.cursor("worker"))) == datas(before)[1:]
    assert datas(log.channel(ended.name).subscribe()) == ["last"]
    if capable:
        with pytest.raises(ProducerFenced):
            again.producer("agent", epoch=1)
        assert again.producer("agent", epoch=2).publish("d", sequence=0) == retried
    again.publish("e")
    assert datas(again.replay()) == [*datas(before), "e"]


def _goes_on(channel: Channel, harness: Harness, ending: Ending) -> None:
    channel.publish_many("ab")
    reader = channel.subscribe()
    take(reader, 1)
    ending()
    attempts = _insist(lambda: channel.publish("c"))
    assert _take_through(reader, 2) == ["b", "c"]
    # An attempt of which it is not known whether it happened may have.
    found = datas(channel.replay())
    assert found[:3] == ["a", "b", "c"]
    assert found[3:] in [["c"] * more for more in range(attempts)]


def _waits_through(channel: Channel, harness: Harness, ending: Ending) -> None:
    channel.publish("a")
    reader = channel.subscribe()
    take(reader, 1)
    waiting = spawn(_take_through, reader, 1)
    ending()
    _insist(lambda: channel.publish("b"))
    assert waiting.result(3 * LIMIT_SECONDS) == ["b"]

"""Whoever waits asks once, and is told."""

from __future__ import annotations

import asyncio
from time import sleep
from typing import Any

import pytest

import chanlog
from chanlog.testing.conformance.base import until

from ..support import LIMIT, spawn

QUIET_SECONDS = 0.3
SOON_SECONDS = 5
FEW = 6


@pytest.fixture
def channel(log, harness):
    return log.channel(harness.new_name())


def test_a_reader_of_a_channel_that_does_not_exist(channel, asked):
    assert channel.subscribe().get(timeout=QUIET_SECONDS) is None
    assert sum(asked.values()) <= FEW


def test_a_reader_at_the_end(channel, asked):
    channel.publish("a")
    reader = channel.subscribe(live=True)
    assert reader.get(timeout=QUIET_SECONDS) is None
    assert sum(asked.values()) <= FEW


def test_a_reader_of_a_name_whose_channel_was_deleted(log, harness, channel, asked):
    """What is left of it for those who have it open said again and again that there is something to
    read, and the reader asked a thousand times a second."""
    channel.publish("a")
    channel.delete()
    asked.clear()
    reader = log.channel(channel.name).subscribe()
    assert reader.get(timeout=QUIET_SECONDS) is None
    assert sum(asked.values()) <= FEW
    waiting = spawn(reader.get, LIMIT)
    log.channel(channel.name).publish("b")
    assert waiting.result(LIMIT).data == "b"


def test_a_reader_through_three_lives(log, channel):
    for life in range(3):
        reader = log.channel(channel.name).subscribe()
        waiting = spawn(reader.get, LIMIT)
        other = log.channel(channel.name)
        other.publish(life)
        assert waiting.result(LIMIT).data == life
        other.delete()
        with pytest.raises(chanlog.ChannelDeleted):
            reader.get(timeout=LIMIT)


def test_a_consumer_when_the_channel_has_ended(channel, asked):
    """The end was news each time, while another consumer was still at work."""
    channel.publish("a")
    channel.end()
    one, other = (channel.group("g") for _ in range(2))
    delivery = one.get(timeout=LIMIT)
    assert other.get(timeout=QUIET_SECONDS) is None
    assert sum(asked.values()) <= 3 * FEW
    waiting = spawn(other.get, LIMIT)
    delivery.ack()
    with pytest.raises(chanlog.EndOfChannel):
        waiting.result(LIMIT)


def test_a_consumer_of_an_ended_channel_that_is_deleted(channel):
    channel.publish("a")
    channel.end()
    one, other = (channel.group("g") for _ in range(2))
    one.get(timeout=LIMIT)
    waiting = spawn(other.get, LIMIT)
    channel.delete()
    with pytest.raises(chanlog.ChannelDeleted):
        waiting.result(LIMIT)


@pytest.mark.parametrize("moment", range(6))
def test_a_reader_that_is_closed_in_any_moment(log, harness, moment):
    """A client that was told to stop while it wrote went on, and its reader waited with it."""
    for _ in range(12):
        reader = log.channel(harness.new_name()).subscribe()
        waiting = spawn(reader.get)
        sleep(moment * 0.0003)
        reader.close()
        with pytest.raises(chanlog.HandleClosed):
            waiting.result(SOON_SECONDS)
    loop = log._runner._loop
    until(lambda: not any(map(waits, asyncio.all_tasks(loop))), "nobody waits any more")


def waits(task: asyncio.Task[Any]) -> bool:
    return "Runner.begin" in task.get_coro().__qualname__


def test_whoever_waits_does_so_for_longer_than_a_call_may_take(harness):
    address = harness.server.url
    if address.startswith("redis"):
        address += "?socket_timeout=0.1"
    with chanlog.connect(address, timeout=0.3) as log:
        assert log.channel(harness.new_name()).subscribe().get(timeout=1) is None


def test_a_reader_that_waits_is_there_when_the_server_is_again(log, harness):
    """On NATS it had asked the one before, and looked up seven seconds later."""
    channel = log.channel(harness.new_name())
    channel.publish("a")
    waiting = spawn(channel.subscribe(live=True).get, LIMIT)
    until(lambda: log._runner._thread is not None, "the reader waits")
    sleep(QUIET_SECONDS)
    harness.restart()
    channel.publish("b")
    assert waiting.result(SOON_SECONDS - 1).data == "b"


def test_an_acknowledgement_wakes_nobody_for_nothing(channel, asked):
    """Each of a crowd that waits would look again, and find that nothing has become free."""
    channel.publish_many(range(3))
    group = channel.group("g")
    deliveries = [group.get(timeout=LIMIT) for _ in range(3)]
    idle = channel.group("g")
    assert idle.get(timeout=0) is None
    waiting = spawn(idle.get, LIMIT)
    until(lambda: asked["wait"] == 1, "the consumer waits")
    deliveries[0].ack()
    deliveries[1].ack()
    channel.publish("new")
    assert waiting.result(LIMIT).message.data == "new"
    assert asked["wait"] == 1

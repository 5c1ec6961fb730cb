"""A thread is paused just before it takes the lock of the log, and something happens meanwhile.

Whatever it had looked at by then is no more than a hint: what counts is decided under the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

import chanlog

from ..support import LIMIT, gather, replayed, spawn, until


class Gate:
    """The lock of a log, before which the threads that were asked to are stopped once."""

    def __init__(self, lock: Any) -> None:
        self.acquire = lock.acquire
        self.release = lock.release
        self.locked = lock.locked
        self.arrived = 0
        self.go = threading.Event()
        self._stops = threading.local()
        self._counting = threading.Lock()

    def stopping(self, work: Callable[[], Any], time: int) -> Any:
        self._stops.left = time
        return work()

    def __enter__(self) -> None:
        self._stops.left = getattr(self._stops, "left", 0) - 1
        if self._stops.left == 0:
            with self._counting:
                self.arrived += 1
            assert self.go.wait(LIMIT)
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


@contextmanager
def paused(log: Any, *works: Callable[[], Any], time: int = 1) -> Iterator[list[Future[Any]]]:
    """Run each of ``works`` in a thread up to where it takes the log's lock for the first, or the
    given, time; they go on at the end of the block."""
    gate = log._store.lock = Gate(log._store.lock)
    futures = [spawn(gate.stopping, work, time) for work in works]
    try:
        until(lambda: gate.arrived == len(works))
        yield futures
    finally:
        gate.go.set()


@pytest.mark.parametrize("durable", [False, True])
def test_of_two_that_expect_the_same_one_wins(log, channel, durable):
    channel.publish("first")
    works = [
        lambda: channel.publish("a", expect=1, durable=durable),
        lambda: channel.publish("b", expect=1, durable=durable),
        lambda: channel.publish_many(["c", "d"], expect=1, durable=durable),
    ]
    with paused(log, *works) as futures:
        pass
    failed = [future for future in futures if future.exception(LIMIT) is not None]
    assert [type(future.exception()) for future in failed] == [chanlog.UnexpectedOffset] * 2
    assert replayed(channel)[1:] in (["a"], ["b"], ["c", "d"])


def test_two_that_create_a_channel_create_one(log):
    works = [lambda: log.channel("new").publish("a"), lambda: log.channel("new").publish("b")]
    with paused(log, *works) as futures:
        pass
    assert sorted(gather(futures)) == [0, 1]
    assert sorted(replayed(log.channel("new"))) == ["a", "b"]
    assert list(log.channels()) == ["new"]


def test_two_tries_of_one_sequence_are_one_message(log, channel):
    producer = channel.producer("p", epoch=1)
    works = [lambda: producer.publish("x", sequence=0)] * 2
    # The first time it is to look at the sequence, the second to write.
    with paused(log, *works, time=2) as futures:
        pass
    assert gather(futures) == [0, 0]
    assert replayed(channel) == ["x"]


def test_a_paused_writer_is_fenced(log, channel):
    """It had asked for its epoch, and its successor opens before it writes."""
    old = channel.producer("p", epoch=1)
    with paused(log, lambda: old.publish("too late")) as (writing,):
        new = channel.producer("p", epoch=2)
    with pytest.raises(chanlog.ProducerFenced):
        writing.result(LIMIT)
    assert new.publish("mine") == 0
    assert replayed(channel) == ["mine"]


def test_a_paused_opener_is_fenced(log, channel):
    with paused(log, lambda: channel.producer("p", epoch=1)) as (opening,):
        channel.producer("p", epoch=2)
    with pytest.raises(chanlog.ProducerFenced):
        opening.result(LIMIT)
    assert channel.info().producers["p"][0] == 2


def test_a_paused_commit_does_not_go_back(log, channel):
    channel.publish_many(range(9))
    late = channel.cursor("c")
    with paused(log, lambda: late.commit(3)) as (committing,):
        channel.cursor("c").commit(7)
    with pytest.raises(chanlog.CommitBehind):
        committing.result(LIMIT)
    assert late.position() == 8


@pytest.mark.parametrize("what", ["trimmed", "deleted", "taken"])
def test_a_paused_fork(log, channel, what):
    """Its parent loses what it would start from, or its name is gone."""
    channel.publish_many(range(9))
    with paused(log, lambda: channel.fork("fork", at=4)) as (forking,):
        if what == "trimmed":
            channel.trim(6)
        elif what == "deleted":
            channel.delete()
        else:
            log.channel("fork").publish("mine")
    errors = {
        "trimmed": chanlog.OffsetTrimmed,
        "deleted": chanlog.ChannelDeleted,
        "taken": chanlog.ChannelExists,
    }
    with pytest.raises(errors[what]):
        forking.result(LIMIT)
    assert ("fork" in log.channels()) == (what == "taken")


@pytest.mark.parametrize("what", ["published", "ended", "deleted", "closed", "frame"])
def test_a_reader_that_was_paused_before_it_waits(log, channel, what):
    """It had looked and found nothing, and was not among those who wait yet when it came."""
    channel.publish("first")
    reader = channel.subscribe(after=0)
    with paused(log, reader.get) as (getting,):
        if what == "published":
            channel.publish("second")
        elif what == "frame":
            with log.atomic() as frame:
                frame.publish(channel, "second")
                frame.publish("other", "second")
        elif what == "ended":
            channel.end()
        elif what == "deleted":
            channel.delete()
        else:
            reader.close()
    until(lambda: getting.done() or log.statistics().waiters)
    assert log.statistics().waiters == 0
    errors = {
        "ended": chanlog.EndOfChannel,
        "deleted": chanlog.ChannelDeleted,
        "closed": chanlog.HandleClosed,
    }
    if what in errors:
        with pytest.raises(errors[what]):
            getting.result(LIMIT)
    else:
        assert getting.result(LIMIT).data == "second"

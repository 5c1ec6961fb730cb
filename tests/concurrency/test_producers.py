"""Producers that meet: two that open at once, and a retry beside the first try."""

from __future__ import annotations

import threading

import pytest

from chanlog.channels import channel as channels
from chanlog.host.disk import DiskFile
from chanlog.storage.state import ProducerState

from ..support import LIMIT, gather, replayed, run, spawn


@pytest.mark.parametrize("asynchronous", [False, True])
def test_two_that_open_at_once_have_ids_of_their_own(log, monkeypatch, asynchronous):
    """The id was chosen before the lock was taken, so both got the same one, and the retries of
    the second doubled its messages."""
    channel = log.channel("w")
    channel.publish("first")
    honest = channels.open_producer

    def overtaken(*args):
        draft = honest(*args)
        monkeypatch.setattr(channels, "open_producer", honest)
        channel.producer("other")
        return draft

    monkeypatch.setattr(channels, "open_producer", overtaken)
    mine = run(channel.aproducer("mine")) if asynchronous else channel.producer("mine")
    other = channel.producer("other")
    for _ in range(2):
        mine.publish("of mine", sequence=0)
        other.publish("of other", sequence=0)
    assert replayed(channel) == ["first", "of mine", "of other"]


@pytest.fixture
def held_sync(monkeypatch):
    """Syncs that wait until they are let go: the event of the first one, and the one to set."""
    reached, release = threading.Event(), threading.Event()
    honest = DiskFile.sync

    def sync(file):
        reached.set()
        assert release.wait(LIMIT)
        honest(file)

    monkeypatch.setattr(DiskFile, "sync", sync)
    yield reached, release
    release.set()


@pytest.mark.parametrize("what", ["publish", "apublish", "end", "end durably"])
def test_a_second_try_waits_for_the_sync_of_the_first(disk, held_sync, what):
    """It found that there was nothing to write, and returned before any of it was durable."""
    reached, release = held_sync
    release.set()
    log = disk.open(sync="interval" if what == "end durably" else "always", sync_interval=3600)
    channel = log.channel("w")
    producer = channel.producer("agent")
    channel.publish("something", durable=True)
    work = {
        "publish": lambda: producer.publish("m", sequence=0),
        "apublish": lambda: run(producer.apublish("m", sequence=0)),
        "end": channel.end,
        "end durably": lambda: channel.end(durable=True),
    }[what]
    reached.clear()
    release.clear()
    first = spawn(work)
    assert reached.wait(LIMIT)
    synced = []
    second = spawn(lambda: (work(), synced.append(release.is_set())))
    # Whatever the second does, it has had its chance when a third call has been answered.
    for _ in range(100):
        channel.info()
    release.set()
    gather([first, second])
    assert synced == [True]


def test_a_retry_after_an_interrupt_doubles_nothing(log, monkeypatch):
    """The next offset had moved, and with that the message passed for known altogether."""

    class Interrupt(BaseException):
        pass

    channel = log.channel("w")
    producer = channel.producer("agent")
    honest = ProducerState.note

    def interrupted(*args):
        monkeypatch.setattr(ProducerState, "note", honest)
        raise Interrupt

    monkeypatch.setattr(ProducerState, "note", interrupted)
    with pytest.raises(Interrupt):
        producer.publish("m", sequence=0)
    assert producer.publish("m", sequence=0) == 0
    assert replayed(channel) == ["m"]

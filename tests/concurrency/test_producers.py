"""Producers that meet: two that open at once, and a retry beside the first try."""

from __future__ import annotations

import threading

import pytest

import chanlog
from chanlog.channels import channel as channels
from chanlog.host.disk import DiskFile
from chanlog.storage.state import ProducerState

from ..meanwhile import Meanwhile
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


@pytest.mark.parametrize("asynchronous", [False, True])
def test_one_handle_from_two_threads_at_once(log, asynchronous):
    """Between the look at the sequence and the append another thread had published: the message
    takes the next sequence, and none is lost or written twice."""
    channel = log.channel("a")
    producer = channel.producer("p")
    producer.publish("first")
    other = log.channel("a").producer("p")
    log._store.lock = Meanwhile(log._store.lock, lambda: other.publish("meanwhile"))
    if asynchronous:
        assert run(producer.apublish("second")) == 2
    else:
        assert producer.publish("second") == 2
    assert log._store.lock.done
    assert replayed(channel) == ["first", "meanwhile", "second"]
    assert producer.sequence() == 3


@pytest.mark.parametrize("asynchronous", [False, True])
def test_fenced_while_it_opens(log, asynchronous):
    """A successor opened a later epoch between the look at the epochs and the append: the older
    one would have counted as open."""
    channel = log.channel("a")
    channel.publish("x")
    log._store.lock = Meanwhile(log._store.lock, lambda: channel.producer("p", epoch=2))
    with pytest.raises(chanlog.ProducerFenced) as caught:
        run(channel.aproducer("p", epoch=1)) if asynchronous else channel.producer("p", epoch=1)
    assert (caught.value.epoch, caught.value.current_epoch) == (1, 2)
    assert channel.info().producers == {"p": (2, 0)}

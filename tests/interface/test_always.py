"""Under ``always`` nobody is told what power may still take (docs/guarantees.md, G2).

The disk is held in the middle of a sync. What was appended is not durable then, and no other
thread may learn of it: not by a value, not by a refusal, not by being told that there is nothing
left to do.
"""

from __future__ import annotations

from concurrent.futures import TimeoutError as StillWaiting

import pytest

import chanlog

from ..support import LIMIT, spawn
from .test_failing_disk import host, switch  # noqa: F401


@pytest.fixture
def log(disk, host, switch):  # noqa: F811
    log = disk.open(host=host, sync="always")
    channel = log.channel("w")
    channel.publish_many(range(10))
    channel.cursor("c").commit(2)
    channel.producer("p", epoch=1).publish("by p")
    switch.arrived.clear()
    yield log
    switch.gate.set()


def raising(error):
    """A call that is refused with ``error``: returns that it was."""

    def expecting(call):
        def tried():
            with pytest.raises(error):
                call()
            return error

        return tried

    return expecting


# What one thread does, what another then asks, and what it must be told once the sync is done.
CASES = {
    "a channel exists": (
        lambda log: log.channel("new").publish(1),
        lambda log: list(log.channels()),
        ["new", "w"],
    ),
    "info of a new channel": (
        lambda log: log.channel("new").publish(1),
        lambda log: log.channel("new").info().exists,
        True,
    ),
    "a channel is gone from the list": (
        lambda log: log.channel("w").delete(),
        lambda log: list(log.channels()),
        [],
    ),
    "a name is free": (
        lambda log: log.channel("w").delete(),
        lambda log: log.channel("w").info().exists,
        False,
    ),
    "it was trimmed, by info": (
        lambda log: log.channel("w").trim(4),
        lambda log: log.channel("w").info().start_offset,
        4,
    ),
    "it was trimmed already": (
        lambda log: log.channel("w").trim(4),
        lambda log: log.channel("w").trim(4),
        4,
    ),
    "where a cursor stands": (
        lambda log: log.channel("w").cursor("c").commit(5),
        lambda log: log.channel("w").cursor("c").position(),
        6,
    ),
    "how far a cursor is behind": (
        lambda log: log.channel("w").cursor("c").commit(5),
        lambda log: log.channel("w").cursor("c").lag(),
        5,
    ),
    "the cursor stands there already": (
        lambda log: log.channel("w").cursor("c").commit(5),
        lambda log: log.channel("w").cursor("c").commit(5),
        None,
    ),
    "the cursor is deleted already": (
        lambda log: log.channel("w").cursor("c").delete(),
        lambda log: log.channel("w").cursor("c").delete(),
        None,
    ),
    "the epoch is open already": (
        lambda log: log.channel("w").producer("p", epoch=2),
        lambda log: log.channel("w").producer("p", epoch=2).epoch,
        2,
    ),
    "the sequence": (
        lambda log: log.channel("w").producer("p", epoch=1).publish("more"),
        lambda log: log.channel("w").producer("p", epoch=1).sequence(),
        2,
    ),
    "a retry": (
        lambda log: log.channel("w").producer("p", epoch=1).publish("more", sequence=1),
        lambda log: log.channel("w").producer("p", epoch=1).publish("more", sequence=1),
        11,
    ),
    "how it is configured": (
        lambda log: log.channel("w").configure(chanlog.Retention(count=99)),
        lambda log: log.channel("w").info().retention.count,
        99,
    ),
    "it has ended already": (
        lambda log: log.channel("w").end(),
        lambda log: log.channel("w").end(),
        11,
    ),
}

REFUSALS = {
    "deleted, to a reader": (
        lambda log: log.channel("w").delete(),
        lambda log, reader, writer: reader.get(),
        chanlog.ChannelDeleted,
    ),
    "deleted, to a writer": (
        lambda log: log.channel("w").delete(),
        lambda log, reader, writer: writer.publish(1),
        chanlog.ChannelDeleted,
    ),
    "trimmed, to a reader": (
        lambda log: log.channel("w").trim(4),
        lambda log, reader, writer: reader.get(),
        chanlog.OffsetTrimmed,
    ),
    "ended, to a writer": (
        lambda log: log.channel("w").end(),
        lambda log, reader, writer: writer.publish(1),
        chanlog.ChannelEnded,
    ),
    "another end offset": (
        lambda log: log.channel("w").publish(1),
        lambda log, reader, writer: writer.publish(1, expect=11),
        chanlog.UnexpectedOffset,
    ),
    "a cursor that has gone on": (
        lambda log: log.channel("w").cursor("c").commit(7),
        lambda log, reader, writer: log.channel("w").cursor("c").commit(5),
        chanlog.CommitBehind,
    ),
    "a fenced producer": (
        lambda log: log.channel("w").producer("p", epoch=2),
        lambda log, reader, writer: log.channel("w").producer("p", epoch=1),
        chanlog.ProducerFenced,
    ),
    "a fork of that name": (
        lambda log: log.channel("w").fork("x", at=1),
        lambda log, reader, writer: log.channel("w").fork("x", at=1),
        chanlog.ChannelExists,
    ),
}


def held(log, switch, act, ask):  # noqa: F811
    """Hold the sync of ``act``, then ``ask`` in another thread; what that is told in the end."""
    switch.gate.clear()
    acting = spawn(act, log)
    assert switch.arrived.wait(LIMIT)
    asking = spawn(ask)
    with pytest.raises(StillWaiting):
        asking.result(0.05)
    switch.gate.set()
    acting.result(LIMIT)
    return asking.result(LIMIT)


@pytest.mark.parametrize("case", CASES)
def test_what_is_told_is_durable(log, switch, case):  # noqa: F811
    act, ask, expected = CASES[case]
    assert held(log, switch, act, lambda: ask(log)) == expected


@pytest.mark.parametrize("case", REFUSALS)
def test_why_it_is_refused_is_durable(log, switch, case):  # noqa: F811
    act, ask, error = REFUSALS[case]
    reader, writer = log.channel("w").subscribe(), log.channel("w")
    assert writer.info().end_offset == 11
    asked = raising(error)(lambda: ask(log, reader, writer))
    assert held(log, switch, act, asked) is error


def test_a_producer_is_as_far_as_its_messages_show(log, switch):  # noqa: F811
    """Of a run of sequences the first is durable and the next in the middle of its sync: who asks
    meanwhile is told of the first at once, as of the messages."""
    switch.gate.clear()
    publishing = spawn(log.channel("w").producer("p", epoch=1).publish, "more")
    assert switch.arrived.wait(LIMIT)
    info = log.channel("w").info()
    assert (info.end_offset, info.producers["p"]) == (11, (1, 1))
    switch.gate.set()
    assert publishing.result(LIMIT) == 11
    assert log.channel("w").info().producers["p"] == (1, 2)


def test_nothing_waits_when_all_is_durable(log, switch):  # noqa: F811
    """Asking costs no sync of its own."""
    syncs = switch.syncs
    log.channel("w").info()
    list(log.channels())
    log.channel("w").cursor("c").position()
    log.channel("w").trim(0)
    assert switch.syncs == syncs

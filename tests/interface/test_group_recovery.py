"""What a group was at survives a close, a crash and an interrupt."""

from __future__ import annotations

import itertools
import shutil
import signal
import threading

import pytest

import chanlog
from chanlog.channels import folding, group, journal, leasing
from chanlog.channels.channel import EmbeddedChannel
from chanlog.storage.companions import companion_name

from ..concurrency import test_interrupts
from ..concurrency.test_interrupts import interrupted
from ..concurrency.test_interrupts import pytestmark as only_where_it_can_be_traced
from ..support import LIMIT, ManualClock, gather, host_with, python, replayed, spawn, stop
from .test_group import get, numbers


@pytest.fixture(params=["close", "crash", "compact"])
def again(request, disk, clock, tmp_path):
    """Opens the log of ``disk`` again, after a close or as a killed process leaves it."""
    places = itertools.count()

    def again(log):
        if request.param == "crash":
            disk.path, old = tmp_path / f"dead-{next(places)}", disk.path
            shutil.copytree(old, disk.path)
        else:
            if request.param == "compact":
                log.compact()
            log.close()
        return disk.open(host=host_with(clock))

    return again


@pytest.fixture
def log(disk, clock):
    return disk.open(host=host_with(clock))


def everything(group):
    """All deliveries there are now, as (data, how often)."""
    found = []
    while (delivery := group.get(timeout=0)) is not None:
        found.append((delivery.message.data, delivery.deliveries))
    return found


def companion(log, channel, group):
    """The hidden channel that a group is kept in."""
    name = companion_name(log.channel(channel).state.id, group)
    return EmbeddedChannel(log, log._store, log._committer, name, None)


class TestReopened:
    def test_what_is_done_stays_done_and_what_is_pending_comes_again(self, log, again):
        channel = log.channel("w")
        channel.publish_many("abcdef")
        group = channel.group("g", lease=3600)
        held = [get(group) for _ in range(4)]
        held[0].ack()
        held[2].ack()
        held[3].nak()
        log = again(log)
        group = log.channel("w").group("g")
        assert numbers(group.info()) == (1, 0, 2, 2, 0)
        assert everything(group) == [("b", 2), ("d", 2), ("e", 1), ("f", 1)]

    def test_counts_go_on(self, log, again):
        log.channel("w").publish("a")
        for n in range(1, 5):
            group = log.channel("w").group("g", deliveries_max=4, dead_letter="dead")
            assert everything(group) == [("a", n)]
            log = again(log)
        group = log.channel("w").group("g", deliveries_max=4, dead_letter="dead")
        assert everything(group) == []
        assert replayed(log.channel("dead")) == ["a"]
        log = again(log)
        assert numbers(log.channel("w").info().groups["g"]) == (1, 0, 0, 0, 1)
        assert replayed(log.channel("dead")) == ["a"]

    def test_a_delay_goes_on(self, log, again, clock):
        log.channel("w").publish("a")
        get(log.channel("w").group("g")).nak(10)
        clock.advance(4)
        group = again(log).channel("w").group("g")
        assert everything(group) == []
        clock.advance(5)
        assert everything(group) == []
        clock.advance(1)
        assert everything(group) == [("a", 2)]

    def test_a_delay_under_a_clock_that_was_set_back(self, log, again, clock):
        log.channel("w").publish("a")
        get(log.channel("w").group("g")).nak(10)
        clock.advance(-3600)
        group = again(log).channel("w").group("g")
        assert everything(group) == []
        clock.advance(9)
        assert everything(group) == []
        clock.advance(1)
        assert everything(group) == [("a", 2)]

    def test_the_order_of_keys_goes_on(self, log, again):
        channel = log.channel("w")
        for n, key in enumerate(["a", "a", "b", None, "a", "b", "c"]):
            channel.publish(n, key=key)
        group = channel.group("g", by_key=True)
        held = [get(group) for _ in range(4)]
        assert [d.message.data for d in held] == [0, 2, 3, 6]
        held[3].ack()
        held[1].ack()
        log = again(log)
        group = log.channel("w").group("g", by_key=True)
        assert numbers(group.info()) == (0, 0, 2, 3, 0)
        assert everything(group) == [(0, 2), (3, 2), (5, 1)]

    def test_what_was_passed_over_is_for_everybody(self, log, again):
        channel = log.channel("w")
        for n, key in enumerate("aab"):
            channel.publish(n, key=key)
        channel.publish(3)
        channel.publish(4, key="a")
        group = channel.group("g", by_key=True)
        assert [get(group).message.data for _ in range(3)] == [0, 2, 3]
        group = again(log).channel("w").group("g")
        assert everything(group) == [(0, 2), (2, 2), (3, 2), (1, 1), (4, 1)]

    def test_what_was_trimmed_meanwhile(self, log, again):
        channel = log.channel("w")
        for n, key in enumerate("aaaab"):
            channel.publish(n, key=key)
        group = channel.group("g", by_key=True)
        assert [get(group).message.data for _ in range(2)] == [0, 4]
        channel.trim(before=2)
        log = again(log)
        group = log.channel("w").group("g", by_key=True)
        assert numbers(group.info()) == (2, 0, 1, 2, 0)
        assert everything(group) == [(4, 2), (2, 1)]

    def test_a_deleted_group_stays_deleted(self, log, again):
        log.channel("w").publish("a")
        group = log.channel("w").group("g")
        get(group).ack()
        group.delete()
        log = again(log)
        assert log.channel("w").info().groups == {}
        assert everything(log.channel("w").group("g")) == [("a", 1)]

    def test_the_groups_of_a_deleted_channel_stay_deleted(self, log, again):
        log.channel("w").publish("a")
        get(log.channel("w").group("g")).ack()
        log.channel("w").delete()
        log = again(log)
        log.channel("w").publish("b")
        assert log.channel("w").info().groups == {}
        assert log.statistics().channels == 1
        assert len(list(log._store.table.states())) == 1

    def test_companions_are_hidden_and_not_counted(self, log, again):
        log.channel("w").publish("a")
        get(log.channel("w").group("g")).ack()
        log = again(log)
        assert list(log.channels()) == ["w"]
        assert log.statistics().channels == 1


class TestSnapshots:
    """A snapshot takes the place of the events before it, every so many."""

    @pytest.fixture(autouse=True)
    def few(self, monkeypatch):
        monkeypatch.setattr(journal, "_EVENTS_MAX", 10)

    def test_little_is_kept(self, log, again):
        channel = log.channel("w")
        group = channel.group("g")
        for n in range(100):
            channel.publish(n)
            get(group).ack()
        kept = companion(log, "w", "g").info()
        assert kept.end_offset > 200
        assert kept.count <= 10
        log = again(log)
        assert numbers(log.channel("w").info().groups["g"]) == (100, 0, 0, 0, 0)

    def test_it_says_all(self, log, again, clock):
        channel = log.channel("w")
        for n in range(60):
            channel.publish(n, key=f"k{n % 20}" if n < 50 else None)
        group = channel.group("g", by_key=True, deliveries_max=2, dead_letter="dead", lease=99)
        held = [get(group) for _ in range(30)]
        held[4].nak(10)
        held[5].nak()
        get(group).nak()
        for delivery in held[6:10]:
            delivery.ack()
        held[11].nak(3600)
        assert group.get(timeout=0) is not None
        # By now in order: dead 5, and the second of 6 to 9 and 5 are free.
        rest = [get(group).message.data for _ in range(4)]
        assert rest == [26, 27, 28, 29]
        before = group.info()
        kept = companion(log, "w", "g").info()
        assert kept.count < kept.end_offset
        log = again(log)
        group = log.channel("w").group("g", by_key=True, deliveries_max=2)
        after = group.info()
        assert (after.position, after.lag, after.dead) == (before.position, before.lag, 1)
        assert after.waiting == before.pending + before.waiting
        found = everything(group)
        assert (4, 2) not in found and (11, 2) not in found
        clock.advance(10)
        assert everything(group) == [(4, 2)]
        assert len(found) == after.waiting - 2

    def test_a_large_one_comes_more_seldom(self, log, again):
        channel = log.channel("w")
        channel.publish_many(range(300))
        group = channel.group("g", lease=3600)
        for _ in range(300):
            get(group)
        # One after 10 and then each time that twice as many events have come.
        kept = companion(log, "w", "g").info()
        assert kept.end_offset - 300 < 10
        log = again(log)
        assert numbers(log.channel("w").info().groups["g"]) == (0, 0, 300, 0, 0)

    def test_one_that_cannot_be_written(self, log, again, monkeypatch):
        channel = log.channel("w")
        channel.publish_many(range(9))
        group = channel.group("g", lease=3600)
        for _ in range(5):
            get(group).ack()
        with monkeypatch.context() as patched:

            def full(*_, **__):
                raise chanlog.DiskFull("no room", path=None)

            patched.setattr(log._store, "write", full)
            with pytest.raises(chanlog.DiskFull):
                group.get(timeout=0)
        assert get(group).message.data == 5
        log = again(log)
        assert numbers(log.channel("w").info().groups["g"]) == (5, 0, 1, 3, 0)


CHILD = """
import sys, threading, chanlog
log = chanlog.open(sys.argv[1])
channel = log.channel("w")
if len(sys.argv) > 2:
    channel.publish_many(range(int(sys.argv[2])))
lock = threading.Lock()

def work():
    group = channel.group("g", lease=3600, deliveries_max=3, dead_letter="dead", by_key=True)
    while True:
        delivery = group.get()
        if delivery.message.data % 10 == 3:
            delivery.nak()
            continue
        delivery.ack()
        # Told behind the ack, so whoever reads this may rely on it.
        with lock:
            print(delivery.message.data, flush=True)

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
threading.Event().wait()
"""


def test_killed_again_and_again(tmp_path):
    """What was acknowledged is never delivered again, and what was not is not lost."""
    path, count = tmp_path / "log", 2000
    acked = []
    arguments = [path, count]
    for _ in range(3):
        process = python(CHILD, *arguments)
        try:
            for _ in range(300):
                acked.append(int(process.stdout.readline()))
            process.send_signal(signal.SIGKILL)
            acked += [int(line) for line in process.stdout.read().splitlines() if line]
        finally:
            stop(process)
        arguments = [path]
    with chanlog.open(path) as log:
        channel = log.channel("w")
        group = channel.group("g", deliveries_max=3, dead_letter="dead")
        left = []
        while (delivery := group.get(timeout=0)) is not None:
            if delivery.message.data % 10 == 3:
                delivery.nak()
                continue
            left.append(delivery.message.data)
            delivery.ack()
        assert len(acked) == len(set(acked))
        assert not set(acked) & set(left)
        dead = replayed(log.channel("dead"))
        assert len(dead) == len(set(dead)) == group.info().dead
        # An ack may have happened just before the kill, and nobody was told.
        untold = set(range(count)) - set(acked) - set(left) - set(dead)
        assert len(untold) <= 3 * 3
        assert numbers(group.info())[:4] == (count, 0, 0, 0)


def test_a_dead_letter_is_torn_as_a_whole(disk, tmp_path):
    """Whatever of the last write is left: the message is dead and a letter, or neither."""
    log = disk.open(sync="os")
    channel = log.channel("w")
    channel.publish("a")
    log.channel("dead").publish("other")
    group = channel.group("g", deliveries_max=1, dead_letter="dead")
    get(group).nak()
    (file,) = disk.path.glob("*.log")
    before = file.read_bytes()
    assert group.get(timeout=0) is None
    after = file.read_bytes()
    start = next(n for n, (x, y) in enumerate(zip(before, after, strict=True)) if x != y)
    stop_ = len(after.rstrip(b"\0"))
    seen = set()
    for place, cut in enumerate([*range(start, stop_, 7), stop_]):
        copy = tmp_path / f"copy-{place}"
        shutil.copytree(disk.path, copy)
        (copy / file.name).write_bytes(after[:cut] + bytes(len(after) - cut))
        with chanlog.open(copy, background=False) as torn:
            dead = torn.channel("w").info().groups["g"].dead
            assert replayed(torn.channel("dead")) == ["other", "a"][: 1 + dead]
            seen.add(dead)
        shutil.rmtree(copy)
    assert seen == {0, 1}


class TestDamage:
    def test_events_that_say_nothing(self, log):
        log.channel("w").publish("a")
        for place, event in enumerate([7, [9], [0, 1], {"a": 1}, [4, 0, 0, [1], []]]):
            name = f"g{place}"
            companion(log, "w", name).publish(event)
            with pytest.raises(chanlog.FormatError):
                log.channel("w").group(name).info()

    def test_events_of_what_is_not_there(self, log):
        """They do no harm: each sets what it says outright."""
        channel = log.channel("w")
        channel.publish_many("ab")
        kept = companion(log, "w", "g")
        for event in ([1, 0], [2, 0, 5, 5], [3, 7, 1], [0, 0, 1, 1, 5], [0, 0, 1, 1, 5]):
            kept.publish(event)
        assert numbers(channel.group("g").info()) == (0, 0, 1, 1, 1)

    def test_deliveries_that_were_lost(self, log):
        """What was before a delivery and is not known of is delivered, keys or not."""
        channel = log.channel("w")
        for n, key in enumerate([None, "a", "a", "a"]):
            channel.publish(n, key=key)
        companion(log, "w", "g").publish([0, 3, 1, 1, 0])
        group = channel.group("g", by_key=True)
        assert numbers(group.info()) == (0, 0, 1, 3, 0)
        assert everything(group) == [(0, 1), (1, 1)]

    @pytest.fixture
    def damaged(self, disk):
        """A log that has lost the messages 1 to 3 of five."""
        log = disk.open()
        channel = log.channel("w")
        channel.publish("first")
        channel.publish_many(["damage" * 9] * 3)
        channel.publish("last")
        log.close()
        (file,) = disk.path.glob("*.log")
        found = bytearray(file.read_bytes())
        found[found.index(b"damage")] ^= 1
        file.write_bytes(found)
        return disk

    def test_a_gap_is_delivered_as_one(self, damaged):
        with damaged.open(on_corruption="gap") as log:
            group = log.channel("w").group("g", deliveries_max=2, dead_letter="dead")
            get(group).ack()
            for deliveries in (1, 2):
                delivery = get(group)
                gap = delivery.message
                assert isinstance(gap, chanlog.Gap)
                assert (gap.offset, gap.missing, delivery.deliveries) == (1, 3, deliveries)
                assert numbers(group.info()) == (1, 1, 0, 1, 0)
                delivery.nak()
            assert get(group).message.data == "last"
            assert numbers(group.info()) == (4, 1, 0, 0, 1)
            assert not log.channel("dead").info().exists

    def test_or_raises(self, damaged):
        with damaged.open() as log:
            group = log.channel("w").group("g")
            get(group).ack()
            for _ in range(2):
                with pytest.raises(chanlog.CorruptionError):
                    group.get(timeout=0)
            assert numbers(group.info()) == (1, 0, 0, 4, 0)

    def test_what_a_group_was_at_is_partly_lost(self, disk):
        """Then it is delivered again rather than lost."""
        log = disk.open()
        log.channel("w").publish_many("abc")
        group = log.channel("w").group("g")
        for _ in range(3):
            get(group).ack()
        log.close()
        (file,) = disk.path.glob("*.log")
        found = bytearray(file.read_bytes())
        # The acknowledgement of the second.
        place = found.index(bytes([0x92, 1, 1]))
        found[place + 2] = 9
        file.write_bytes(found)
        with disk.open(on_corruption="gap") as log:
            group = log.channel("w").group("g")
            assert numbers(group.info()) == (1, 0, 1, 0, 0)
            assert everything(group) == [("b", 2)]


def idle(group):
    """The group of a channel in which nothing is published."""
    return group._channel._owner.channel("idle").group("g")


ROOMS = tuple(module.__file__ for module in (folding, group, journal, leasing))
OPERATIONS = {
    "get": lambda group, delivery: group.get(timeout=0),
    "get by key": lambda group, delivery: group._channel.group("g", by_key=True).get(timeout=0),
    "wait": lambda group, delivery: idle(group).get(timeout=0.0001),
    "bury": lambda group, delivery: (
        delivery.nak(),
        group._channel.group("g", deliveries_max=1, dead_letter="dead").get(timeout=0),
    ),
    "ack": lambda group, delivery: delivery.ack(),
    "nak": lambda group, delivery: delivery.nak(),
    "extend": lambda group, delivery: delivery.extend(),
    "info": lambda group, delivery: group.info(),
}


class TestInterrupted:
    """An exception out of a signal handler at every place inside of an operation."""

    pytestmark = only_where_it_can_be_traced

    @pytest.mark.parametrize(
        ("name", "tidy"), [*((name, False) for name in OPERATIONS), ("get", True), ("ack", True)]
    )
    def test_at_every_place(self, name, tidy, monkeypatch):
        # Those in the floors below are tried by themselves.
        monkeypatch.setattr(test_interrupts, "PACKAGE", ROOMS)
        work = OPERATIONS[name]
        for at in range(1, 100_000):
            clock = ManualClock()
            with chanlog.open(background=False, host=host_with(clock)) as log:
                channel = log.channel("w")
                for n in range(6):
                    channel.publish(n, key=f"k{n % 2}")
                group = channel.group("g", lease=10)
                get(group).ack()
                delivery = get(group)
                if tidy:
                    group._shared()._journal.events_max = 1
                more = interrupted(lambda: work(group, delivery), at)  # noqa: B023
                self.check(log, group, clock)
            if not more:
                return
        raise AssertionError("it never came to its end")

    def check(self, log, group, clock):
        """Everything works, and each message is done with, dead, or comes again."""
        before = group.info()
        clock.advance(100)
        found = []
        while (delivery := group.get(timeout=LIMIT if not found else 0)) is not None:
            delivery.ack()
            found.append(delivery.message.data)
        assert len(found) == len(set(found)) == before.pending + before.waiting + before.lag
        assert 0 not in found
        assert len(replayed(log.channel("dead"))) == before.dead
        assert numbers(group.info()) == (6, 0, 0, 0, before.dead)
        # Who was interrupted before it could say that it waits no more is forgotten now.
        group._channel.publish(6)
        log.channel("idle").publish(6)
        assert log.statistics().waiters == 0
        get(group).ack()
        # What is kept says the same as what is known.
        group._shared()._whole = False
        assert numbers(group.info()) == (7, 0, 0, 0, before.dead)


def test_consumers_of_two_lives_of_a_process(disk):
    """Many threads in each of several lives: nobody handles what somebody has acknowledged."""
    handled = []
    lock = threading.Lock()
    with disk.open() as log:
        log.channel("w").publish_many(range(600))
        log.channel("w").end()

    def work(group, most):
        for _, delivery in zip(range(most), group, strict=False):
            with delivery:
                with lock:
                    handled.append(delivery.message.data)

    for most in (20, 20, 600):
        with disk.open() as log:
            gather([spawn(work, log.channel("w").group("g"), most) for _ in range(6)])
    assert len(set(handled)) == 600
    # ``zip`` takes one more than it uses, which comes again in the next life.
    assert sorted(handled) == list(range(600))

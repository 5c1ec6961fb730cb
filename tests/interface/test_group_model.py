"""Groups against an obviously right model, in random order, with reopening and trimming."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import chanlog
from chanlog.channels import journal, leasing

from ..support import ManualClock, host_with

SCALE = float(os.environ.get("CHANLOG_TEST_SCALE", "1"))
SETTINGS = settings(
    max_examples=max(1, int(60 * SCALE)),
    stateful_step_count=60,
    deadline=None,
    derandomize=SCALE == 1,
    print_blob=True,
    report_multiple_bugs=False,
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=list(HealthCheck),
)
LEASE = 10
places = st.integers(0, 1_000_000)
twins = st.booleans()


class Item:
    """What the model knows of one message."""

    def __init__(self, offset, key):
        self.offset = offset
        self.key = key
        self.deliveries = 0
        # Of each: not delivered, leased until ``due``, waiting until ``due``, or over.
        self.what = "new"
        self.due = 0


class Model:
    """Walks all messages for each question."""

    def __init__(self):
        self.items = []
        self.dead = []
        self.now = 0
        self.start = 0

    def open_items(self):
        return [item for item in self.items[self.start :] if item.what != "over"]

    def available(self):
        again = [item for item in self.open_items() if item.what != "new" and item.due <= self.now]
        return again + [item for item in self.open_items() if item.what == "new"]

    def get(self, deliveries_max, by_key):
        for item in self.available():
            before = [other for other in self.open_items() if other.offset < item.offset]
            if by_key and item.key is not None and item.key in {other.key for other in before}:
                continue
            if deliveries_max is not None and item.deliveries >= deliveries_max:
                item.what = "over"
                self.dead.append(item.offset)
                return self.get(deliveries_max, by_key)
            item.deliveries += 1
            item.what, item.due = "leased", self.now + LEASE
            return item
        return None

    def reopen(self):
        for item in self.items:
            if item.what == "leased":
                item.due = self.now

    def numbers(self):
        items = self.open_items()
        leased = [item for item in items if item.what == "leased" and item.due > self.now]
        new = [item for item in items if item.what == "new"]
        return (
            items[0].offset if items else len(self.items),
            len(leased),
            len(items) - len(leased) - len(new),
            len(new),
            len(self.dead),
        )


class Machine(RuleBasedStateMachine):
    by_key = False

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="chanlog-group-"))
        self.lives = 0
        self.clock = ManualClock()
        self.model = Model()
        self.loop = asyncio.new_event_loop()
        self.held = []
        self.open()

    def open(self):
        self.log = chanlog.open(
            self.folder / str(self.lives),
            sync="os",
            background=False,
            segment_bytes=64 * 1024,
            host=host_with(self.clock),
        )
        self.channel = self.log.channel("w")
        options = {"lease": LEASE, "by_key": self.by_key}
        self.patient = self.channel.group("g", **options)
        self.strict = self.channel.group("g", deliveries_max=2, dead_letter="dead", **options)

    def call(self, twin, target, method, *arguments, **options):
        if twin:
            twin_ = getattr(target, "a" + method)
            return self.loop.run_until_complete(twin_(*arguments, **options))
        return getattr(target, method)(*arguments, **options)

    @rule(keys=st.lists(st.sampled_from([None, "a", "b", "c"]), max_size=4))
    def publish(self, keys):
        for key in keys:
            self.model.items.append(Item(self.channel.publish("x" * 500, key=key), key))

    @rule(strict=st.booleans(), twin=twins)
    def get(self, strict, twin):
        group = self.strict if strict else self.patient
        expected = self.model.get(2 if strict else None, self.by_key)
        found = self.call(twin, group, "get", timeout=0)
        assert (found is None) == (expected is None)
        if found is not None:
            assert found.message.offset == expected.offset
            assert found.deliveries == expected.deliveries
            self.held.append((found, expected, found.deliveries))

    def take(self, place):
        """A delivery, whether its lease still holds, and its item."""
        found, item, deliveries = self.held[place % len(self.held)]
        return found, item.what == "leased" and item.deliveries == deliveries, item

    @rule(place=places, twin=twins, how=st.sampled_from(["ack", "ack", "nak", "extend"]))
    def finish(self, place, twin, how):
        if not self.held:
            return
        found, holds, item = self.take(place)
        if item.offset < self.model.start:
            return
        if not holds:
            with pytest.raises(chanlog.LeaseLost):
                self.call(twin, found, how)
            self.held = [held for held in self.held if held[0] is not found]
            return
        self.call(twin, found, how)
        if how == "extend":
            item.due = self.model.now + LEASE
            return
        item.what = "over" if how == "ack" else "waiting"
        item.due = self.model.now
        self.held = [held for held in self.held if held[0] is not found]

    @rule(place=places, delay=st.integers(1, 30))
    def give_back_for_later(self, place, delay):
        if not self.held:
            return
        found, holds, item = self.take(place)
        if holds and item.offset >= self.model.start:
            found.nak(delay)
            item.what, item.due = "waiting", self.model.now + delay
            self.held = [held for held in self.held if held[0] is not found]

    @rule(seconds=st.sampled_from([1, 5, 10, 30]))
    def pass_time(self, seconds):
        self.clock.advance(seconds)
        self.model.now += seconds

    @rule(seconds=st.sampled_from([7, 3600]))
    def set_the_clock_back(self, seconds):
        """No time passes by that."""
        self.patient.info()
        self.clock.advance(-seconds)
        self.patient.info()

    @rule(place=places)
    def trim(self, place):
        start = self.model.start + place % 3
        if start <= len(self.model.items):
            self.channel.trim(before=start)
            self.model.start = start

    @rule()
    def compact(self):
        self.log.compact()

    @rule(crash=st.booleans())
    def reopen(self, crash):
        # Else a delay goes on by a clock that has jumped; that is tested by itself.
        if self.patient.info().waiting:
            return
        old = self.folder / str(self.lives)
        self.lives += 1
        if crash:
            shutil.copytree(old, self.folder / str(self.lives))
        self.log.close()
        if not crash:
            old.rename(self.folder / str(self.lives))
        self.held = []
        self.open()
        self.model.reopen()
        self.patient.info()

    @rule()
    def begin_anew_in_memory(self):
        """As after an interrupt: all is folded from what is kept."""
        self.patient._shared()._whole = False

    @invariant()
    def numbers_agree(self):
        found = self.patient.info()
        numbers = (found.position, found.pending, found.waiting, found.lag, found.dead)
        assert numbers == self.model.numbers()
        letters = self.log.channel("dead").replay()
        assert [letter.headers["dead-letter-offset"] for letter in letters] == self.model.dead

    def teardown(self):
        self.log.close()
        assert chanlog.verify(self.folder / str(self.lives)).problems == []
        self.loop.close()
        shutil.rmtree(self.folder)


class ByKey(Machine):
    by_key = True


@pytest.mark.parametrize("machine", [Machine, ByKey])
@pytest.mark.parametrize("events_max", [7, 1024])
def test_against_the_model(machine, events_max, monkeypatch):
    monkeypatch.setattr(journal, "_EVENTS_MAX", events_max)
    run_state_machine_as_test(machine, settings=SETTINGS)


def test_a_fault_is_found(monkeypatch):
    """One that needs two leases that ran out, of which the later began first."""
    monkeypatch.setattr(leasing.GroupState, "next_due", lambda group, now: None)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Machine, settings=SETTINGS)

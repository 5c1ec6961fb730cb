"""The whole interface, in random order, against an obviously right model."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

import chanlog

from .base import twins
from .reading import Reading
from .writing import Writing

SCALE = float(os.environ.get("CHANLOG_TEST_SCALE", "1"))
SETTINGS = settings(
    max_examples=max(1, int(150 * SCALE)),
    stateful_step_count=50,
    deadline=None,
    derandomize=SCALE == 1,
    print_blob=True,
    report_multiple_bugs=False,
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=list(HealthCheck),
)


class InMemory(Writing, Reading):
    pass


class OnDisk(InMemory):
    on_disk = True

    def forget_handles(self) -> None:
        """Whoever held something of the closed log is told, and opens it anew."""
        for subscription, _ in self.readers:
            with pytest.raises(chanlog.LogClosed):
                subscription.get(timeout=0)
        for producer, life, _, _ in self.producers:
            with pytest.raises((chanlog.LogClosed, chanlog.ChannelDeleted)):
                producer.publish("x")
            assert life.end >= 0
        self.readers, self.cursors, self.producers = [], [], []
        self.walks, self.stale = [], []
        self.unwalked.update(self.oracle.existing())

    @rule()
    def reopen(self):
        self.log.close()
        self.forget_handles()
        self.log = self.open()
        assert self.log.recovery.clean

    @rule()
    def crash(self):
        """Reopen from what kill -9 leaves; all of it must be there."""
        self.open_copy()
        self.forget_handles()
        assert self.log.recovery.torn == []
        assert self.log.recovery.damage == []

    @precondition(lambda self: self.oracle.existing())
    @rule(twin=twins)
    def sync(self, twin):
        if twin:
            self.loop.run_until_complete(self.log.async_())
        else:
            self.log.sync()
        for name, life in self.oracle.existing().items():
            assert self.log.channel(name).info().durable_offset == life.end


@pytest.mark.parametrize("machine", [InMemory, OnDisk])
def test_against_the_model(machine):
    run_state_machine_as_test(machine, settings=SETTINGS)

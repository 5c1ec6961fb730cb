"""Random operations on the embedded log and on real servers, compared one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from chanlog.testing.harness import Harness
from chanlog.testing.presence import present
from chanlog.testing.remote import NatsHarness, RedisHarness

from ..support import ManualClock
from .machine import Differential

engines = pytest.importorskip("chanlog.engines", reason="this chanlog has no engines")

SCALE = float(os.environ.get("CHANLOG_TEST_SCALE", "1"))
SETTINGS = settings(
    max_examples=max(1, int(15 * SCALE)),
    stateful_step_count=40,
    deadline=None,
    derandomize=SCALE == 1,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", params=[RedisHarness, NatsHarness], ids=["redis", "nats"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("server")
    harness = present(lambda: request.param(folder, engines.connect))
    yield harness
    harness.close()


@pytest.fixture
def machine(server: Harness, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Differential]]:
    """The machine on the server, with one clock for the leases of both sides."""
    clock = ManualClock()
    monkeypatch.setattr("chanlog.engines.leasing._clock", clock)

    class Here(Differential):
        pass

    Here.logs, Here.clock = [server.open(), server.open()], clock
    yield Here
    server.close_handles()


def test_an_engine_answers_as_the_embedded_log_does(machine: type[Differential]) -> None:
    run_state_machine_as_test(machine, settings=SETTINGS)

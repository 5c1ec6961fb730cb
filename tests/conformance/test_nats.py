"""The engine on NATS JetStream is held to the contract, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from chanlog.testing.conformance import Contract
from chanlog.testing.faults.profiles import PROFILES
from chanlog.testing.harness import Harness
from chanlog.testing.presence import present
from chanlog.testing.remote import NatsHarness

engines = pytest.importorskip("chanlog.engines", reason="this chanlog has no engines")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("nats")
    harness = present(lambda: NatsHarness(folder, engines.connect))
    yield harness
    harness.close()


class TestNats(Contract):
    @pytest.fixture
    def harness(self, server: Harness) -> Harness:
        return server


def test_the_double_can_do_what_the_engine_can(server: Harness) -> None:
    """What passes on a log that imitates it must not fail here for want of something, nor the other
    way round. Whether it can be durable depends on how a server is run."""
    with server.connect() as log:
        double = PROFILES["nats"].capabilities
        assert replace(log.capabilities, durable=double.durable) == double

"""The engine on Redis Streams is held to the contract, on a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chanlog.testing.conformance import Contract
from chanlog.testing.harness import Harness
from chanlog.testing.presence import present
from chanlog.testing.remote import RedisHarness

engines = pytest.importorskip("chanlog.engines", reason="this chanlog has no engines")


class TestRedis(Contract):
    @pytest.fixture(scope="class")
    def harness(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
        folder = tmp_path_factory.mktemp("redis")
        harness = present(lambda: RedisHarness(folder, engines.connect))
        yield harness
        harness.close()

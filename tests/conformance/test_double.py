"""The double without a fault is held to the contract, as each of the engines that it imitates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import chanlog
from chanlog.testing.conformance import Contract
from chanlog.testing.embedded import MemoryHarness
from chanlog.testing.faults import PROFILES, Faults
from chanlog.testing.harness import Harness


class DoubleHarness(MemoryHarness):
    """A log in memory that passes for an engine."""

    def __init__(self, profile: Any) -> None:
        super().__init__()
        self._profile = profile
        self.profile = f"the double of {profile}"

    def connect(self, **options: Any) -> chanlog.Log:
        self._inner = super().connect(**options)
        return Faults(self._inner, profile=self._profile).log

    def retain(self, log: chanlog.Log) -> None:
        # An engine that cannot be asked to compact does so by itself; so does the log below.
        self._inner.compact()


class TestDouble(Contract):
    @pytest.fixture(params=PROFILES)
    def harness(self, request: pytest.FixtureRequest) -> Iterator[Harness]:
        harness = DoubleHarness(request.param)
        yield harness
        harness.close()

"""The embedded log is held to the contract: on disk and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chanlog.testing.conformance import Contract
from chanlog.testing.embedded import DiskHarness, MemoryHarness
from chanlog.testing.harness import Harness


class TestMemory(Contract):
    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        harness = MemoryHarness()
        yield harness
        harness.close()


class TestDisk(Contract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[Harness]:
        harness = DiskHarness(tmp_path)
        yield harness
        harness.close()

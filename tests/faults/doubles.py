"""A pytest plugin: every log that the tests open is seen through a double without faults."""

from __future__ import annotations

import os
from typing import Any

import pytest

import chanlog
from chanlog.testing.faults import Faults

from .. import conftest


@pytest.fixture(autouse=True)
def doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    """``store.open`` gives the double; the store closes the log behind it."""
    opened = conftest.Store.open

    def open(self: conftest.Store, **options: Any) -> chanlog.Log:
        log = opened(self, **options)
        faults = Faults(log, profile="kafka", seed=1)
        # What an imitated engine lacks is not what is tried here.
        faults.capabilities = log.capabilities
        if "CHANLOG_PLANTED" in os.environ:
            faults.on("get", nth=2).disconnect()
        return faults.log

    monkeypatch.setattr(conftest.Store, "open", open)

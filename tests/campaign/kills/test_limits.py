"""What runs out and comes back, and that the checks of it can fail."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import chanlog
from chanlog.channels.channel import EmbeddedChannel
from chanlog.log import EmbeddedLog

from ..campaign import passed
from . import CAMPAIGNS
from .limits import ordeal
from .mounts import why_not
from .scenarios import SCENARIOS, Scenario
from .squeezes import SQUEEZES, FileSize, Squeeze

LIMITS = next(campaign for campaign in CAMPAIGNS if campaign.name == "limits")


def test_limits() -> None:
    outcome = passed(LIMITS)
    assert sum(isinstance(times, int) and ": " in what for what, times in outcome.facts.items()) > 5


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: Scenario) -> None:
    if scenario.needs and (reason := why_not(scenario.needs)):
        pytest.skip(reason)
    assert scenario.run() == ""


@pytest.mark.parametrize("kind", SQUEEZES, ids=lambda kind: kind.name)
def test_what_is_scarce_is_refused(kind: type[Squeeze]) -> None:
    """Each of the squeezes makes something fail, so that there is something to check."""
    if kind.needs and (reason := why_not(kind.needs)):
        pytest.skip(reason)
    squeeze = kind()
    facts: Counter[str] = Counter()
    try:
        number = 0
        while not facts:
            assert number < 30
            assert ordeal(squeeze, f"refused-{number}", facts) == ""
            number += 1
    finally:
        squeeze.close()


def _said_to_be_full(publish: Any) -> Any:
    def planted(self: Any, *args: Any, **options: Any) -> int:
        try:
            return publish(self, *args, **options)
        except chanlog.DiskFull:
            self.end()
            raise

    return planted


def _swallowed(publish: Any) -> Any:
    def planted(self: Any, *args: Any, **options: Any) -> int:
        try:
            return publish(self, *args, **options)
        except chanlog.DiskFull:
            return 0

    return planted


def _leaking(publish: Any) -> Any:
    def planted(self: Any, *args: Any, **options: Any) -> int:
        os.open(os.devnull, os.O_RDONLY)
        return publish(self, *args, **options)

    return planted


def _other_error(publish: Any) -> Any:
    def planted(self: Any, *args: Any, **options: Any) -> int:
        try:
            return publish(self, *args, **options)
        except chanlog.DiskFull as error:
            raise chanlog.LogClosed("no room") from error

    return planted


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (_said_to_be_full, "ChannelEnded"),
        (_swallowed, "after publish"),
        (_leaking, "left open"),
        (_other_error, "raised LogClosed"),
    ],
)
def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, plant: Any, says: str) -> None:
    monkeypatch.setattr(EmbeddedChannel, "publish", plant(EmbeddedChannel.publish))
    assert says in _found()


def test_a_compaction_that_loses_something_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def compact(self: Any) -> None:
        for name in self.channels():
            self.channel(name).trim(self.channel(name).info().end_offset)

    monkeypatch.setattr(EmbeddedLog, "compact", compact)
    assert "should be" in _found()


def _found() -> str:
    """What the first ordeal that fails says."""
    squeeze = FileSize()
    try:
        problems = (ordeal(squeeze, f"planted-{number}", Counter()) for number in range(60))
        return next(filter(None, problems), "")
    finally:
        squeeze.close()


def test_a_directory_is_left_as_it_was(tmp_path: Path) -> None:
    """Nothing stays behind of what was mounted or made."""
    squeeze = FileSize()
    (squeeze.home / "log").mkdir()
    squeeze.clean()
    assert list(squeeze.home.iterdir()) == []
    squeeze.close()
    assert not squeeze.home.exists()

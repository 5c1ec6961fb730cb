"""Hostile bytes at the size of CI; and that the checks can fail."""

from __future__ import annotations

import pytest

from chanlog.format import records
from chanlog.storage import scanning

from .campaign import Progress, passed
from .damage import CAMPAIGNS, fuzzing
from .damage.guided import available
from .damage.parsing import targets

BY_NAME = {campaign.name: campaign for campaign in CAMPAIGNS}


@pytest.mark.parametrize("name", ["fuzz-format", "fuzz-open"])
def test_every_input_is_accepted_or_refused(name: str) -> None:
    """With one exception, and without allocating more than a cap."""
    outcome = passed(BY_NAME[name])
    accepted = outcome.facts.get("accepted", outcome.facts.get("opened", 0))
    assert outcome.tried // 20 < accepted < outcome.tried * 19 // 20


@pytest.mark.skipif(not available(), reason="atheris is not installed")
def test_guided_by_coverage() -> None:
    outcome = BY_NAME["fuzz-guided"].run(2000, 1, Progress())
    assert outcome.failures == []
    assert outcome.tried >= 2000


def test_without_atheris_it_says_so(monkeypatch) -> None:
    monkeypatch.setattr("tests.campaign.damage.guided.available", lambda: False)
    assert "atheris" in BY_NAME["fuzz-guided"].run(10, 1, Progress()).skipped


def test_samples_are_right_as_they_are() -> None:
    for target in targets().values():
        for sample in target.samples:
            content = bytearray(sample)
            target.mend(content)
            assert bytes(content) == sample
            target.parse(sample)


def test_another_exception_is_found(monkeypatch) -> None:
    monkeypatch.setattr(records, "is_producer", lambda name, id, epoch, runs: runs[0][0] >= 0)
    outcome = BY_NAME["fuzz-format"].run(100_000, 1, Progress())
    assert any("TypeError" in what for what in outcome.failures)


def test_a_frame_that_is_not_looked_into_is_found(monkeypatch) -> None:
    monkeypatch.setattr(scanning, "_is_filled", lambda buffer, position, stop, salt: True)
    assert BY_NAME["fuzz-format"].run(20_000, 1, Progress()).failures


def test_a_process_that_grows_is_found(monkeypatch) -> None:
    peaks = iter(range(0, 1 << 40, fuzzing.ALLOCATED_MAX))
    monkeypatch.setattr(fuzzing, "_peak_bytes", lambda: next(peaks))
    assert any("grown" in what for what in BY_NAME["fuzz-format"].run(5000, 1, Progress()).failures)

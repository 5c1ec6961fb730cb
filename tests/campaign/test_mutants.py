"""Mutants: a few of them tried for real, and the trying itself held to its word."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from .campaign import Progress, passed
from .mutants import CAMPAIGNS, running
from .mutants.mutating import Mutant, called_lines, mutants_of, mutated
from .mutants.units import UNITS

SOURCE = '''
"""What it is."""
import os
LIMIT = 3

def f(a, b):
    """Says."""
    if not a or b < LIMIT:
        raise ValueError(f"{a + 1}")
    a += 1
    return max(a, b)
'''


def test_a_sample_of_the_mutants_dies() -> None:
    passed(CAMPAIGNS[0])


def test_every_explanation_is_of_a_mutant_there_is() -> None:
    known = {(mutant.file, mutant.key) for mutant in running.everything()}
    reasons = running.explained()
    assert set(reasons) <= known
    assert all(reason for reason in reasons.values())


def test_every_test_of_a_unit_is_there() -> None:
    for file, tests in UNITS.items():
        for path in (file, *tests):
            assert (running.ROOT / path).is_file(), path


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "source.py").write_text(SOURCE)
    return str(tmp_path / "source.py")


def test_what_can_be_changed(source: str) -> None:
    assert [mutant.key for mutant in mutants_of(source)] == [
        "module, LIMIT: 3 -> 4",
        "f: not a or b < LIMIT -> not a and b < LIMIT",
        "f: not a -> a",
        "f: b < LIMIT -> b <= LIMIT",
        "f: b < LIMIT -> b >= LIMIT",
        "f: if not a or b < LIMIT -> negated",
        "f: raise ValueError(f'{a + 1}') -> pass",
        "f: a += 1 -> pass",
        "f: 1 -> 2",
        "f: a += 1 -> a -= 1",
        "f: return max(a, b) -> return None",
        "f: max(a, b) -> min(a, b)",
    ]


def test_each_change_changes_something(source: str) -> None:
    whole = ast.unparse(ast.parse(SOURCE))
    changed = {ast.unparse(mutated(source, mutant.place)) for mutant in mutants_of(source)}
    assert len(changed) == len(mutants_of(source))
    assert whole not in changed


def test_what_runs_when_it_is_called(source: str) -> None:
    """The rest has run when the tests are collected: changed behind that, it would survive."""
    assert called_lines(source) == {7, 8, 9, 10, 11}


def test_a_mutant_meets_the_tests_that_run_it_and_the_quickest_first() -> None:
    """A line within a statement does not show where the one before it is told of."""
    tests: running.Covering = {"slow": ([3, 5, 7], 2.0), "quick": ([5], 1.0), "other": ([3], 0.0)}
    called = {4, 5, 6, 7}

    def chosen(line: int) -> list[str]:
        return list(running._choose(tests, Mutant("file", 0, line, ""), called))

    assert chosen(5) == chosen(6) == ["quick", "slow"]
    assert chosen(7) == ["slow"]
    assert chosen(3) == ["other", "quick", "slow"]


@pytest.mark.parametrize("verdict", ["survived", "killed", "timeout"])
@pytest.mark.parametrize("known", [False, True])
def test_a_survivor_must_be_explained(
    monkeypatch: pytest.MonkeyPatch, verdict: str, known: bool
) -> None:
    mutant = running.everything()[0]
    reasons: Any = {(mutant.file, mutant.key): "because"} if known else {}
    monkeypatch.setattr(running, "explained", lambda: reasons)
    monkeypatch.setattr(running, "verdicts", lambda mutants: [(mutant, verdict)])
    outcome = running.run(1, 1, Progress())
    assert bool(outcome.failures) == (verdict == "survived" and not known)
    assert any("now dies" in fact for fact in outcome.facts) == (verdict == "killed" and known)


def test_tests_that_fail_without_a_change_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would kill every mutant, and prove nothing."""
    broken = Mutant("chanlog/format/batch.py", -1, 0, "")
    monkeypatch.setattr(running, "verdicts", lambda mutants: [(broken, "killed")])
    assert running.run(1, 1, Progress()).failures

"""The contract can fail: each backend that is broken on purpose is found by a named scenario."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from chanlog.testing import conformance
from chanlog.testing.conformance import Contract, Scenarios
from chanlog.testing.embedded import MemoryHarness
from chanlog.testing.harness import Harness

from ..docs.pages import blocks
from ..support import ROOT
from .broken import BROKEN

SCENARIOS = sorted(name for name in dir(Contract) if name.startswith("test_"))


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, set[str]]:
    """What became of each scenario of each class, in a process whose waits are short."""
    place = "tests/conformance/broken.py"
    wanted = [f"{place}::{kind}::{scenario}" for kind, scenario in BROKEN.items()]
    for scenario in sorted(set(BROKEN.values())):
        wanted.append(f"{place}::TestSound::{scenario}")
        wanted.append(f"{place}::TestSoundOnDisk::{scenario}")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", *wanted],
        cwd=ROOT,
        env={"CHANLOG_CONFORMANCE_SECONDS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, set[str]] = defaultdict(set)
    pattern = r"^\S+::(\w+)::(\w+)(?:\[.*\])? (PASSED|FAILED|ERROR|SKIPPED)"
    for kind, scenario, outcome in re.findall(pattern, ran.stdout, re.MULTILINE):
        found[f"{kind}::{scenario}"].add(outcome)
    assert found, ran.stdout + ran.stderr
    return found


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_broken_is_found(outcomes: Mapping[str, set[str]], kind: str) -> None:
    found = outcomes[f"{kind}::{BROKEN[kind]}"]
    if found == {"SKIPPED"}:
        pytest.skip(f"the embedded log cannot be held to {BROKEN[kind]}")
    assert "FAILED" in found


@pytest.mark.parametrize("scenario", sorted(set(BROKEN.values())))
def test_what_is_sound_passes(outcomes: Mapping[str, set[str]], scenario: str) -> None:
    for kind in ("TestSound", "TestSoundOnDisk"):
        assert len(outcomes[f"{kind}::{scenario}"]) <= 1
        assert outcomes[f"{kind}::{scenario}"] <= {"PASSED", "SKIPPED"}


def test_there_are_enough() -> None:
    assert len(SCENARIOS) >= 60


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_says_what_is_promised(scenario: str) -> None:
    assert inspect.getdoc(getattr(Contract, scenario))


def test_no_scenario_hides_another() -> None:
    """All are methods of one class in the end, so two of a name would be one."""
    names = [
        name
        for kind in Contract.__mro__
        if issubclass(kind, Scenarios)
        for name in vars(kind)
        if name.startswith("test_")
    ]
    assert sorted(names) == SCENARIOS


def test_the_contract_has_all_parts() -> None:
    parts = {
        value
        for name in conformance.__all__
        if inspect.isclass(value := getattr(conformance, name)) and issubclass(value, Scenarios)
    }
    assert parts <= set(Contract.__mro__)


def test_what_a_scenario_needs_can_be_asked_for() -> None:
    harness = MemoryHarness()
    for scenario in SCENARIOS:
        for need in getattr(getattr(Contract, scenario), "needs", ()):
            harness.lacks(need)
    with pytest.raises(AttributeError):
        harness.lacks("wings")


@pytest.mark.parametrize(
    ("need", "reason"),
    [
        ("crash", 'embedded in memory has no "crash" in harness.can (the engine can be killed'),
        ("retention.moons", 'has no "moons" in log.capabilities.retention'),
        ("groups", "has log.capabilities.groups == False"),
    ],
)
def test_a_reason_names_the_capability(
    monkeypatch: pytest.MonkeyPatch, need: str, reason: str
) -> None:
    harness = MemoryHarness()
    monkeypatch.setitem(vars(harness), "capabilities", replace(harness.capabilities, groups=False))
    assert reason in (harness.lacks(need) or "")


def test_no_scenario_sleeps() -> None:
    """Time passes by the harness alone; waiting is bounded, and ends with what is waited for."""
    folder = Path(conformance.__file__).parent
    sleeping = [
        f"{path.name}:{node.lineno}"
        for path in sorted(folder.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("sleep")
        # Letting the other tasks of a loop run is not sleeping.
        and ast.unparse(node) != "asyncio.sleep(0)"
    ]
    assert sleeping == []


class Diverging(MemoryHarness):
    divergences = {  # noqa: RUF012
        "test_a_retry_is_not_doubled": "it has never heard of sequences",
        "test_offsets_grow": "they may stand still, it was said",
    }


def test_a_divergence_is_held_to(pytester: pytest.Pytester) -> None:
    """What is said to fail has to: a list of divergences that are none any more is found."""
    pytester.makepyfile(
        """
        import pytest
        from chanlog.testing.conformance import Contract
        from tests.conformance.broken import TestDoublesOnRetry as Doubles
        from tests.conformance.test_kit import Diverging

        Doubles.__test__ = False

        class TestMine(Doubles):
            __test__ = True
            Harness = Diverging
        """
    )
    ran = pytester.runpytest_inprocess(
        "-rxf", "-k", "TestMine and (test_a_retry_is_not_doubled and thread or test_offsets_grow)"
    )
    ran.assert_outcomes(xfailed=1, failed=1)
    ran.stdout.fnmatch_lines(["*XPASS(strict)*they may stand still, it was said*"])
    ran.stdout.fnmatch_lines(["XFAIL*embedded in memory: it has never heard of sequences"])


def test_the_page_holds_its_own_backend_to_the_contract(pytester: pytest.Pytester) -> None:
    """What a reader copies from the how-to is a test file that passes."""
    page = ROOT / "docs" / "howto" / "conformance.md"
    pytester.makepyfile("\n".join(b.text for b in blocks(page) if b.language == "python"))
    ran = pytester.runpytest_inprocess("-rs", "-k", "offset or reopening or restart or crash")
    outcomes = ran.parseoutcomes()
    assert outcomes["passed"] > 10 and outcomes.keys() <= {"passed", "skipped", "deselected"}
    ran.stdout.fnmatch_lines(
        ['SKIPPED*survival.py:*: mine has no "crash" in harness.can (the engine can be killed*']
    )


def test_without_a_harness(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from chanlog.testing.conformance import Order

        class TestMine(Order):
            pass
        """
    )
    ran = pytester.runpytest_inprocess("-k", "test_offsets_grow")
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["*override the fixture harness*"])


def test_the_harness_says_what_it_cannot() -> None:
    harness: Harness = MemoryHarness()
    for call in (harness.restart, harness.crash, harness.cut_network):
        with pytest.raises(NotImplementedError, match="embedded in memory cannot"):
            call()

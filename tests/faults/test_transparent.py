"""Without a fault the double changes nothing: the tests of the interface pass through it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ..support import ROOT

FILES = (
    "cursor", "delete", "end", "errors", "expect", "frame", "producer", "publish", "subscribe",
    "trim", "two_way", "waiting",
)  # fmt: skip

# They look into the embedded log itself, or count the steps of its code.
PRIVATE = (
    "not interpreter_exits_is_refused and not ready_costs_the_same and not forked_child_is_refused"
)


def run(*options: str) -> subprocess.CompletedProcess[str]:
    files = [f"tests/interface/test_{name}.py" for name in FILES]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.faults.doubles", "-p", "no:cacheprovider",
         "-x", "-k", PRIVATE, *options, *files],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_tests_of_the_interface_pass() -> None:
    done = run()
    assert done.returncode == 0, done.stdout[-4000:]


def test_they_do_see_the_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """One fault, and they fail."""
    monkeypatch.setenv("CHANLOG_PLANTED", "1")
    done = run()
    assert done.returncode == 1
    assert "Disconnected" in done.stdout

"""The two commands of the README, and what CI runs, are the same text."""

from __future__ import annotations

import re
from pathlib import Path

from .pages import ROOT, blocks


def setup_commands(page: Path) -> list[str]:
    """The commands of the ``sh`` blocks of ``page``."""
    return [
        line
        for block in blocks(page)
        if block.language == "sh"
        for line in block.text.splitlines()
        if line.strip()
    ]


def test_the_readme_has_two_commands() -> None:
    demo, tests = setup_commands(ROOT / "README.md")
    assert demo.startswith("python3 -m venv ") and demo.endswith("chanlog demo")
    assert tests.startswith("python3 -m venv ") and tests.endswith("pytest")


def test_ci_takes_its_command_from_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"^\s*tests=\$\(sed -n '/(.*)/p' README\.md\)$", script, re.MULTILINE)
    assert pattern
    found = [
        line
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if re.search(pattern[1], line)
    ]
    assert found == [setup_commands(ROOT / "README.md")[1]]
    # CI has no other way of running all tests; a part may run again with more installed.
    assert not re.search(
        r"^[^#]*\bpytest\b(?! tests/)", script.replace(pattern[0], ""), re.MULTILINE
    )

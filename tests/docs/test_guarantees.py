"""Every promise of docs/guarantees.md names the tests that hold it, and those are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from .pages import ROOT, prose

PAGE = ROOT / "docs" / "guarantees.md"

# Promises that no test holds yet. The list only shrinks.
NOT_HELD: set[str] = set()


def promises() -> list[str]:
    """The numbers of the promises, in order."""
    return re.findall(r"^- \*\*(G\d+)\.", "\n".join(prose(PAGE)), re.MULTILINE)


def holders() -> dict[str, list[str]]:
    """The tests that the table names for each promise."""
    rows = re.findall(r"^\| (G\d+) \| (.*) \|$", "\n".join(prose(PAGE)), re.MULTILINE)
    return {number: re.findall(r"`(tests/\S+?\.py::\w+)`", text) for number, text in rows}


def functions(path: Path) -> set[str]:
    """The tests that a file defines, at any depth."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_numbers_are_dense() -> None:
    for letter in "LAG":
        found = re.findall(rf"^- \*\*{letter}(\d+)\.", "\n".join(prose(PAGE)), re.MULTILINE)
        assert [int(number) for number in found] == list(range(1, len(found) + 1))


def test_every_promise_has_its_tests() -> None:
    held = holders()
    assert list(held) == promises()
    assert {number for number, tests in held.items() if not tests} == NOT_HELD


def test_the_tests_are_there() -> None:
    missing = []
    for tests in holders().values():
        for test in tests:
            place, _, name = test.partition("::")
            path = ROOT / place
            if not path.exists() or name not in functions(path):
                missing.append(test)
    assert missing == []


def test_what_code_and_tests_cite_exists() -> None:
    known = set(promises()) | set(
        re.findall(r"\*\*([LA]\d+)\.", "\n".join(prose(PAGE)), re.MULTILINE)
    )
    cited = {}
    for folder in ("chanlog", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for number in re.findall(
                r"guarantees\.md[^\n]{0,20}\b([LAG]\d+)\b", path.read_text(encoding="utf-8")
            ):
                cited[number] = path
    assert cited.keys() - known == set()

"""Habits that a reader of a diff would miss."""

from __future__ import annotations

import ast
import re

import pytest

from .sources import ROOT, Source, source, sources, tracked

# Spelled in pieces, so that this file does not hold what it looks for.
_MACHINE_PATH = re.compile(
    r"(?<![\w.~-])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers"]) + r")/\w"
)


def machine_paths(text: str) -> list[str]:
    """Paths in ``text`` that exist on one developer's machine only."""
    return [match[0] for match in _MACHINE_PATH.finditer(text)]


def test_no_file_names_a_path_of_one_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match}" for match in machine_paths(text)]
    assert found == []


def test_a_path_of_one_machine_is_found() -> None:
    assert machine_paths("cd /ho" + "me/ada/chanlog")
    assert machine_paths("'/wo" + "rk/main'")
    assert not machine_paths("see https://example.org/home/page and docs/work/x")


@pytest.mark.parametrize("module", sources(), ids=lambda module: module.name)
def test_a_module_says_what_it_is(module: Source) -> None:
    assert ast.get_docstring(module.tree)


# Methods by which something changes, whatever has them.
_CHANGING = frozenset(
    """
    acquire add append clear commit discard extend insert pop popleft release remove send
    setdefault update write
    """.split()  # noqa: SIM905
)


def busy_asserts(module: Source) -> list[int]:
    """Lines of assertions that do something: under ``python -O`` it would not be done."""
    doing = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert):
            for inner in ast.walk(node.test):
                calls = isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute)
                if isinstance(inner, doing) or (calls and inner.func.attr in _CHANGING):
                    found.append(node.lineno)
    return found


@pytest.mark.parametrize("module", sources(), ids=lambda module: module.name)
def test_assertions_only_look(module: Source) -> None:
    assert busy_asserts(module) == []


def test_an_assertion_that_acts_is_found() -> None:
    assert busy_asserts(source("chanlog.log", "assert waiting.pop() == 1")) == [1]
    assert busy_asserts(source("chanlog.log", "assert (n := f())")) == [1]
    assert not busy_asserts(source("chanlog.log", "assert len(waiting) == 1"))

"""Small rooms: a module is one noun, a function one thought.

A module or function that is longer on purpose stands in the lists below with its reason and the
size it must not outgrow. An entry that is no longer needed fails too, so the lists only shrink.
"""

from __future__ import annotations

import ast

from .sources import Source, source, sources

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 80

LONG_MODULES = {
    # Declarations and docstrings only: the interface is read in one place.
    "chanlog.interface": 900,
}
LONG_FUNCTIONS: dict[str, int] = {}


def long_modules(modules: tuple[Source, ...]) -> dict[str, int]:
    sizes = {module.name: len(module.text.splitlines()) for module in modules}
    return {name: size for name, size in sizes.items() if size > MODULE_LINES_MAX}


def long_functions(modules: tuple[Source, ...]) -> dict[str, int]:
    found = {}
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > FUNCTION_LINES_MAX:
                    found[f"{module.name}.{node.name}"] = size
    return found


def test_modules_are_small() -> None:
    found = long_modules(sources())
    assert {n: s for n, s in found.items() if s > LONG_MODULES.get(n, MODULE_LINES_MAX)} == {}
    assert LONG_MODULES.keys() - found.keys() == set()


def test_functions_are_short() -> None:
    found = long_functions(sources())
    assert {n: s for n, s in found.items() if s > LONG_FUNCTIONS.get(n, FUNCTION_LINES_MAX)} == {}
    assert LONG_FUNCTIONS.keys() - found.keys() == set()


def test_long_ones_are_found() -> None:
    body = "    x = 1\n" * FUNCTION_LINES_MAX
    planted = source("chanlog.log", f"class Log:\n  def f(self):\n{body}" + "\n" * MODULE_LINES_MAX)
    assert long_functions((planted,)) == {"chanlog.log.f": FUNCTION_LINES_MAX + 1}
    assert list(long_modules((planted,))) == ["chanlog.log"]

"""The examples in the docstrings of the package run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import chanlog

MODULES = ["chanlog"] + [
    module.name
    for module in pkgutil.walk_packages(chanlog.__path__, "chanlog.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.REPORT_NDIFF
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert failed == 0


@pytest.mark.parametrize(
    "name", ["open", "Channel", "Cursor", "Frame", "Producer", "Replay", "Subscription"]
)
def test_the_main_ones_show_an_example(name: str) -> None:
    examples = doctest.DocTestFinder(recurse=False).find(getattr(chanlog, name), name)
    assert any(test.examples for test in examples)

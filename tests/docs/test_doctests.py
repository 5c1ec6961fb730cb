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

"""The reference is generated, complete, and as the docstrings are."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

import chanlog

from .pages import ROOT, prose


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up while it is made.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_reference_is_up_to_date() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert page == _generator().page(), "run python docs/generate.py"


@pytest.mark.parametrize("name", chanlog.__all__)
def test_every_public_name_has_a_heading(name: str) -> None:
    headings = {
        word.strip(" #`")
        for line in prose(ROOT / "docs" / "reference.md")
        if line.startswith("#")
        for word in line.split(",")
    }
    assert name in headings


def test_every_command_is_documented() -> None:
    from chanlog.cli import parser

    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    operations = (ROOT / "docs" / "howto" / "operations.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [
        name
        for action in parser.build()._actions
        if hasattr(action, "_choices_actions")
        for name in action.choices or ()
    ]
    assert commands
    assert [name for name in commands if f"### chanlog {name}\n" not in text] == []
    # And shown at work: by a block that runs, or in the README for the demo.
    assert [n for n in commands if f"chanlog {n}" not in operations + readme] == []

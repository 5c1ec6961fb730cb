"""The page on engines names scenarios that there are."""

from __future__ import annotations

import re

from chanlog.testing.conformance import Contract

from .pages import ROOT


def test_each_difference_names_a_scenario() -> None:
    page = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`(test_\w+)`", page))
    assert len(names) > 5
    assert sorted(name for name in names if not hasattr(Contract, name)) == []

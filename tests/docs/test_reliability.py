"""docs/reliability.md says of every campaign what it is, and its table is what was recorded."""

from __future__ import annotations

import re

from ..campaign.__main__ import CAMPAIGNS
from ..campaign.table import newest, table
from .pages import ROOT

PAGE = ROOT / "docs" / "reliability.md"
RECORDS = ROOT / "docs" / "reliability.jsonl"


def test_every_campaign_is_told() -> None:
    text = PAGE.read_text(encoding="utf-8")
    told = text[text.index("## What each does") :]
    assert [campaign.name for campaign in CAMPAIGNS if f"`{campaign.name}`" not in told] == []


def test_the_table_is_what_was_recorded() -> None:
    assert table(RECORDS) in PAGE.read_text(encoding="utf-8")


def test_what_was_recorded_is_a_campaign_that_did_not_fail() -> None:
    known = {campaign.name for campaign in CAMPAIGNS}
    for record in newest(RECORDS):
        assert record["campaign"] in known
        assert record["failed"] == 0
        assert record["tried"] > 0


def test_no_campaign_has_two_names() -> None:
    names = [campaign.name for campaign in CAMPAIGNS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", name) for name in names)

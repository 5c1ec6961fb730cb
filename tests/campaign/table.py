"""The table of docs/reliability.md, made from what the campaigns have recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["newest", "table"]


def newest(path: Path) -> list[dict[str, Any]]:
    """The last record of each campaign, in the order in which they first came."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        found[record["campaign"]] = record
    return list(found.values())


def table(path: Path) -> str:
    """One row a campaign, as Markdown."""
    rows = ["| campaign | tried | failed | took | commit |", "| --- | --- | --- | --- | --- |"]
    for record in newest(path):
        tried = f"{record['tried']:,} {record['unit']}"
        took = _duration(record["seconds"])
        rows.append(
            f"| `{record['campaign']}` | {tried} | {record['failed']} | {took} "
            f"| `{record['commit']}` |"
        )
    return "\n".join(rows)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"

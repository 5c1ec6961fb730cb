"""``python -m tests.campaign``: list the campaigns, or run some of them."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import calls, crowds, damage, disk, kills, mutants, planted, races
from .campaign import Campaign, Outcome, Progress
from .table import table

CAMPAIGNS: tuple[Campaign, ...] = tuple(
    campaign
    for folder in (disk, calls, damage, kills, races, crowds, planted, mutants)
    for campaign in folder.CAMPAIGNS
)


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; returns the number of campaigns that failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("name", nargs="*", help="campaigns to run, or 'all'; without one, a list")
    parser.add_argument("--full", action="store_true", help="the full size; else that of CI")
    parser.add_argument("--count", type=int, help="so many tries")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="stop each campaign after so long")
    parser.add_argument("--record", type=Path, help="append what was found to this file, as JSON")
    parser.add_argument("--table", type=Path, help="print what such a file holds, as Markdown")
    options = parser.parse_args(arguments)
    if options.table is not None:
        print(table(options.table))
        return 0
    known = {campaign.name: campaign for campaign in CAMPAIGNS}
    unknown = [name for name in options.name if name not in known and name != "all"]
    if unknown:
        parser.error(f"there is no campaign {unknown[0]!r}; run without a name for a list")
    if not options.name:
        for campaign in CAMPAIGNS:
            size = f"{campaign.small:,} / {campaign.full:,} {campaign.unit}"
            print(f"{campaign.name:<16}{size:<36}{campaign.title}")
        return 0
    chosen = CAMPAIGNS if "all" in options.name else [known[name] for name in options.name]
    return sum(_run(campaign, options) for campaign in chosen)


def _run(campaign: Campaign, options: argparse.Namespace) -> bool:
    """Run one campaign and print a line about it; returns whether it failed."""
    count = options.count or (campaign.full if options.full else campaign.small)

    def tell(tried: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{campaign.name}: {tried:,} of {count:,} {campaign.unit}", end="\r",
                  file=sys.stderr, flush=True)  # fmt: skip

    seconds = None if options.minutes is None else options.minutes * 60
    begun = time.monotonic()
    outcome = campaign.run(count, options.seed, Progress(tell, seconds))
    took = time.monotonic() - begun
    print(_line(campaign, outcome, took), flush=True)
    for failure in outcome.failures:
        print(f"  {failure}", flush=True)
    if options.record is not None:
        with options.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_record(campaign, outcome, options.seed, took)) + "\n")
    return bool(outcome.failures)


def _line(campaign: Campaign, outcome: Outcome, took: float) -> str:
    if outcome.skipped:
        return f"{campaign.name}: not run: {outcome.skipped}"
    facts = "".join(f", {name} {_number(value)}" for name, value in outcome.facts.items())
    verdict = f"{len(outcome.failures)} FAILED" if outcome.failures else "none failed"
    return f"{campaign.name}: {outcome.tried:,} {campaign.unit} in {took:.0f} s, {verdict}{facts}"


def _number(value: float | str) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _record(campaign: Campaign, outcome: Outcome, seed: int, took: float) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "campaign": campaign.name,
        "unit": campaign.unit,
        "tried": outcome.tried,
        "failed": len(outcome.failures),
        "skipped": outcome.skipped,
        "facts": outcome.facts,
        "seed": seed,
        "seconds": round(took, 1),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }


if __name__ == "__main__":
    raise SystemExit(1 if main() else 0)

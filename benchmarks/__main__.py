"""The command line: ``python -m benchmarks [WORKLOAD ...]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .harness import Case, Figure, measure
from .peers import PEERS
from .report import as_json, claim_line, claims, environment, table
from .settings import SHAPES, Settings
from .workloads import APART, WORKLOADS, share_seconds

__all__ = ["arguments", "main"]

_KNOWN = WORKLOADS | APART


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="What chanlog costs beside what else a Python user would pick.",
    )
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="WORKLOAD",
        help=f"{', '.join(WORKLOADS)}, all of these (default); {', '.join(APART)}",
    )
    parser.add_argument("--quick", action="store_true", help="everything runs, nothing is precise")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases with this in their names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    parser.add_argument("--shape", default=",".join(SHAPES), help="payloads (default: %(default)s)")
    parser.add_argument("--peers", default="", help=", ".join(peer.name for peer in PEERS))
    parser.add_argument("--runs", type=int, help="rounds, of which the median counts")
    parser.add_argument("--case-seconds", type=float, help="no round begins after so long a time")
    parser.add_argument(
        "--minutes",
        type=float,
        help="workloads share these, and begin no second rounds after (default: 16)",
    )
    parser.add_argument(
        "--log-mb", type=int, metavar="MB", help="how large a log `growth` grows (default: 10240)"
    )
    parser.add_argument(
        "--channels", type=int, metavar="N", help="how many `channels` makes (default: 1000000)"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="on the disk to be measured (default: %(default)s)",
    )
    asked = parser.parse_args(words)
    if unknown := set(asked.workloads) - {*_KNOWN, "all"}:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(_KNOWN)}")
    if not asked.workloads or "all" in asked.workloads:
        asked.workloads = list(WORKLOADS)
    if unknown := set(asked.shape.split(",")) - set(SHAPES):
        parser.error(f"no shape {', '.join(sorted(unknown))}; there are {', '.join(SHAPES)}")
    known = {peer.name for peer in PEERS}
    if unknown := {name for name in asked.peers.split(",") if name} - known:
        parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return asked


def settings_for(asked: argparse.Namespace) -> Settings:
    """How large a run that asks for."""
    settings = Settings(
        folder=asked.folder,
        shapes=tuple(asked.shape.split(",")),
        peers=tuple(name for name in asked.peers.split(",") if name),
    )
    if asked.quick:
        settings = settings.quick()
    if asked.runs:
        settings = replace(settings, runs=asked.runs)
    if asked.case_seconds:
        settings = replace(settings, case_seconds=asked.case_seconds)
    if asked.minutes:
        settings = replace(settings, minutes=asked.minutes)
    if asked.channels:
        settings = replace(settings, cold_channels=asked.channels)
    if asked.log_mb:
        sizes = (*(size for size in settings.growth_mb if size < asked.log_mb), asked.log_mb)
        settings = replace(settings, growth_mb=sizes)
    return settings


def main(words: Sequence[str] | None = None) -> int:
    """Run what was asked for; a contestant that fails or cheats ends the run with its error."""
    asked = arguments(words)
    settings = settings_for(asked)
    print(", ".join(f"{name} {value}" for name, value in environment(settings.folder).items()))
    for peer in PEERS:
        if missing := peer.missing():
            print(f"without {peer.name}: {missing}")
    promised = [claim for name in asked.workloads for claim in _KNOWN[name].CLAIMS]
    cases: list[Case] = []
    figures: list[Figure] = []
    begun = time.monotonic()
    for place, name in enumerate(asked.workloads):
        started = time.monotonic()
        seconds_left = begun + settings.minutes * 60 - started
        deadline = started + share_seconds(seconds_left, asked.workloads[place:])
        for case in _KNOWN[name].cases(settings):
            if asked.only not in case.name:
                continue
            left = deadline - time.monotonic()
            found = measure(case, settings.runs, min(settings.case_seconds, left))
            figures += found
            # Of what it could run nothing is kept: its stores are as large as memory.
            cases.append(replace(case, contestants={}))
            print("\n".join(table(found, case.absent)), flush=True)
        print(f"\n{name}: {time.monotonic() - started:.0f} s", flush=True)
        if asked.json:
            # After each, so that a run that ends early has not been for nothing.
            seconds = time.monotonic() - begun
            asked.json.write_text(as_json(settings, seconds, cases, figures, promised) + "\n")
    print("\ntargets, in this run")
    for claim in claims(promised, figures):
        print(claim_line(claim))
    return 0


if __name__ == "__main__":
    sys.exit(main())

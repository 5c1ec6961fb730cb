"""The command line: ``python -m benchmarks append|replay|wake|open|all``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from . import append, open, replay, wake
from .harness import Figure, measure
from .peers import PEERS
from .report import as_json, claim_line, claims, environment, table
from .settings import SHAPES, Settings

WORKLOADS: dict[str, ModuleType] = {
    "append": append,
    "replay": replay,
    "wake": wake,
    "open": open,
}


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="What chanlog costs beside what else a Python user would pick.",
    )
    parser.add_argument("workload", choices=[*WORKLOADS, "all"])
    parser.add_argument("--quick", action="store_true", help="all of it in less than a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    parser.add_argument("--shape", default=",".join(SHAPES), help="payloads (default: %(default)s)")
    parser.add_argument("--peers", default="", help=", ".join(peer.name for peer in PEERS))
    parser.add_argument("--runs", type=int, help="rounds, of which the median counts")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="on the disk to be measured (default: %(default)s)",
    )
    asked = parser.parse_args(words)
    if unknown := set(asked.shape.split(",")) - set(SHAPES):
        parser.error(f"no shape {', '.join(sorted(unknown))}; there are {', '.join(SHAPES)}")
    known = {peer.name for peer in PEERS}
    if unknown := {name for name in asked.peers.split(",") if name} - known:
        parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return asked


def main(words: Sequence[str] | None = None) -> int:
    """Run what was asked for; a contestant that fails or cheats ends the run with its error."""
    asked = arguments(words)
    settings = Settings(
        folder=asked.folder,
        shapes=tuple(asked.shape.split(",")),
        peers=tuple(name for name in asked.peers.split(",") if name),
    )
    if asked.quick:
        settings = settings.quick()
    if asked.runs:
        settings = replace(settings, runs=asked.runs)
    workloads = list(WORKLOADS.values()) if asked.workload == "all" else [WORKLOADS[asked.workload]]

    print(", ".join(f"{name} {value}" for name, value in environment(settings.folder).items()))
    figures: list[Figure] = []
    for workload in workloads:
        for case in workload.cases(settings):
            found = measure(case, settings.runs)
            figures += found
            print("\n".join(table(found)), flush=True)
    promised = [claim for workload in workloads for claim in workload.CLAIMS]
    print("\nclaims, in this run")
    for claim in claims(promised, figures):
        print(claim_line(claim))
    if asked.json:
        asked.json.write_text(as_json(settings, figures, promised) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

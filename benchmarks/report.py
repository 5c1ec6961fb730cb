"""Figures as a table for people and as JSON for whoever compares runs."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import msgpack

from .harness import Claim, Figure, compare
from .settings import Settings

__all__ = ["as_json", "claims", "environment", "table"]


def environment(folder: Path) -> dict[str, str | int]:
    """What a figure means little without."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cpus": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "kernel": f"{platform.system()} {platform.release()}",
        "disk": _file_system(folder),
        "switch_interval": f"{sys.getswitchinterval() * 1000:g} ms",
        "load": f"{os.getloadavg()[0]:.1f}",
        "msgpack": ".".join(map(str, msgpack.version)),
        "sqlite": sqlite3.sqlite_version,
    }


def _file_system(folder: Path) -> str:
    """The kind of file system that ``folder`` is on: that of the longest mount point above it."""
    found = ("", "unknown")
    place = folder.resolve()
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return found[1]
    for _, point, kind, *_ in map(str.split, mounts):
        if place.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def table(figures: Sequence[Figure]) -> Iterator[str]:
    """Lines of a table: one block a case, one line a contestant and unit."""
    for (workload, case, shape), rows in groupby(
        figures, lambda figure: (figure.workload, figure.case, figure.shape)
    ):
        yield f"\n{workload}: {case} [{shape}]"
        for row in rows:
            spread = f"{_number(min(row.values))} - {_number(max(row.values))}"
            ratio = "" if row.ratio is None else f"{row.ratio:9.2f} x"
            yield (
                f"  {row.contestant:<36}{_number(row.median):>12} {row.unit:<11}"
                f"{spread:>24}{ratio:>12}"
            )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.3g}"


def claims(promised: Iterable[Claim], figures: Sequence[Figure]) -> Iterator[dict[str, object]]:
    """How each claim stands in this run; those whose contestants did not take part are left out."""
    found = {(row.case, row.contestant, row.unit, row.shape): row for row in figures}
    for claim in promised:
        for shape in claim.shapes:
            ours = found.get((*claim.ours, claim.unit, shape))
            theirs = found.get((*claim.theirs, claim.unit, shape))
            if ours is None or theirs is None:
                continue
            ratio = compare(ours.values, theirs.values, claim.unit)
            assert ratio is not None
            ratio = 1 / ratio if claim.cost else ratio
            yield {
                "claim": claim.text,
                "shape": shape,
                "ratio": ratio,
                "bound": claim.bound,
                "rule": "at most" if claim.cost else "at least",
                "holds": ratio <= claim.bound if claim.cost else ratio >= claim.bound,
            }


def claim_line(claim: dict[str, object]) -> str:
    """One claim as a line."""
    mark = "holds" if claim["holds"] else "SHORT"
    return (
        f"  {claim['claim']:<52} {claim['shape']}  {claim['ratio']:9.2f} "
        f"({claim['rule']} {claim['bound']:g})  {mark}"
    )


def as_json(settings: Settings, figures: Sequence[Figure], promised: Iterable[Claim]) -> str:
    """Everything about a run."""
    return json.dumps(
        {
            "environment": environment(settings.folder),
            "settings": {
                name: value for name, value in asdict(settings).items() if name != "folder"
            },
            "figures": [asdict(figure) | {"median": figure.median} for figure in figures],
            "claims": list(claims(promised, figures)),
        },
        indent=1,
    )

"""Figures as a table for people and as JSON for whoever compares runs."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import msgpack

from .harness import BEST, Case, Claim, Figure, compare
from .peers import PEERS, role
from .settings import Settings

__all__ = ["as_json", "claim_line", "claims", "environment", "number", "table"]


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


def table(figures: Sequence[Figure], absent: Mapping[str, str] | None = None) -> Iterator[str]:
    """Lines of a table: one block a case, one line a contestant and unit."""
    for (workload, case, shape), rows in groupby(
        figures, lambda figure: (figure.workload, figure.case, figure.shape)
    ):
        yield f"\n{workload}: {case} [{shape}]"
        for row in rows:
            spread = f"{number(min(row.values))} - {number(max(row.values))}"
            ratio = "" if row.ratio is None else f"{row.ratio:9.2f} x"
            yield (
                f"  {row.contestant:<36}{number(row.median):>12} {row.unit:<18}"
                f"{spread:>24}{ratio:>12}"
            )
        for name, missing in (absent or {}).items():
            yield f"  {name:<36}not here: {missing}"


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.3g}"


def claims(promised: Iterable[Claim], figures: Sequence[Figure]) -> Iterator[dict[str, object]]:
    """How each claim stands in this run; those whose contestants did not take part are left out."""
    found = {(row.case, row.contestant, row.unit, row.shape): row for row in figures}
    for claim in promised:
        shapes = {row.shape for row in figures if row.case == claim.ours[0]}
        for shape in sorted(shapes & set(claim.shapes) if claim.shapes else shapes):
            ours = found.get((*claim.ours, claim.unit, shape))
            theirs = _theirs(claim, shape, figures)
            if ours is None or (claim.theirs and theirs is None):
                continue
            value = _ratio(claim, ours, theirs) if theirs else ours.median
            at_least = not claim.cost
            limit = found.get((*claim.limit_of, claim.unit, shape)) if claim.limit_of else None
            yield {
                "claim": claim.text,
                "case": claim.ours[0],
                "shape": shape,
                "unit": "x" if theirs else claim.unit,
                "value": value,
                "bound": claim.bound,
                "rule": "at least" if at_least else "at most",
                "holds": value >= claim.bound if at_least else value <= claim.bound,
                "over": theirs.contestant if theirs else None,
                "limit": claim.limit,
                "of_limit": compare(ours.values, limit.values, claim.unit) if limit else None,
            }


def _theirs(claim: Claim, shape: str, figures: Sequence[Figure]) -> Figure | None:
    """Whom a claim compares with, which may be whoever does best."""
    if claim.theirs is None:
        return None
    case, name = claim.theirs
    rows = [
        row
        for row in figures
        if (row.case, row.unit, row.shape) == (case, claim.unit, shape)
        and (row.contestant == name or (name == BEST and role(row.contestant) == "peer"))
    ]
    best = max if claim.unit.endswith("/s") else min
    return best(rows, key=lambda row: row.median, default=None)


def _ratio(claim: Claim, ours: Figure, theirs: Figure) -> float:
    ratio = compare(ours.values, theirs.values, claim.unit)
    assert ratio is not None
    return 1 / ratio if claim.cost else ratio


def claim_line(claim: dict[str, Any]) -> str:
    """One claim as a line."""
    mark = "holds" if claim["holds"] else "SHORT"
    over = f", over {claim['over']}" if claim["over"] else ""
    limit = "" if claim["of_limit"] is None else f", {claim['of_limit']:.0%} of the limit"
    return (
        f"  {claim['claim']:<64} {claim['shape']:<8} {number(claim['value']):>9} {claim['unit']} "
        f"({claim['rule']} {claim['bound']:,g}{over}{limit})  {mark}"
    )


def as_json(
    settings: Settings,
    seconds: float,
    cases: Sequence[Case],
    figures: Sequence[Figure],
    promised: Iterable[Claim],
) -> str:
    """Everything about a run."""
    return json.dumps(
        {
            "seconds": round(seconds),
            "environment": environment(settings.folder),
            "settings": {
                name: value for name, value in asdict(settings).items() if name != "folder"
            },
            "missing": {peer.name: missing for peer in PEERS if (missing := peer.missing())},
            "figures": [
                asdict(figure) | {"median": figure.median, "role": role(figure.contestant)}
                for figure in figures
            ],
            "absent": [
                {
                    "workload": case.workload,
                    "case": case.name,
                    "shape": case.shape,
                    "peers": dict(case.absent),
                }
                for case in cases
                if case.absent
            ],
            "claims": list(claims(promised, figures)),
        },
        indent=1,
    )

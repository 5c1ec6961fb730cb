"""The tables and lists of docs/benchmarks.md, made from the JSON of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any

from .harness import Figure, compare
from .reasons import reason
from .report import claims, number
from .workloads import promised

__all__ = ["Run", "filled", "load", "parts", "unexplained"]

Run = dict[str, Any]

BEGIN, END = "<!-- {}: made by python -m benchmarks.page -->", "<!-- end -->"
TITLES = {
    "append": "Publish",
    "replay": "Replay",
    "wake": "Wake-up",
    "fan": "Fan-out",
    "agents": "Ten thousand agents",
    "channels": "A million channels",
    "open": "Open",
    "growth": "A log that grows",
    "retention": "Retention",
}
# Told where it explains something, and left out of tables that people read.
HIDDEN = frozenset({"cpu ns"})


def load(path: Path) -> Run:
    """One run, as ``--json`` wrote it, held to the targets of today."""
    run: Run = json.loads(path.read_text(encoding="utf-8"))
    names = [field.name for field in fields(Figure)]
    figures = [Figure(**{name: row[name] for name in names}) for row in run["figures"]]
    return run | {"claims": list(claims(promised(), figures))}


def parts(run: Run) -> dict[str, str]:
    """Every generated part of the page by its name."""
    found = {
        "run": _run(run),
        "machine": _machine(run),
        "behind": _behind(run),
        "won": _won(run),
        "targets": _targets(run),
    }
    for workload in dict.fromkeys(row["workload"] for row in run["figures"]):
        found[workload] = "\n\n".join(_cases(run, workload))
    return found


def filled(text: str, parts: dict[str, str]) -> str:
    """The page with every generated part made anew; a part that is not there is an error."""
    for name, made in parts.items():
        begin = BEGIN.format(name)
        before, found, rest = text.partition(begin)
        if not found:
            raise ValueError(f"the page has no place for {name!r}: it wants a line {begin}")
        _, found, after = rest.partition(END)
        if not found:
            raise ValueError(f"the part {name!r} of the page never ends: it wants a line {END}")
        text = f"{before}{begin}\n\n{made}\n\n{END}{after}"
    return text


def unexplained(run: Run) -> list[str]:
    """Targets that were missed and have no reason yet."""
    missed = _missed(run).items()
    return [text for (text, _), short in missed if not reason(text, _shapes(short))]


def _run(run: Run) -> str:
    """What kind of run it was, so that nobody takes a quick one for more."""
    settings = run["settings"]
    if settings["is_quick"]:
        return (
            "**These figures are of a quick run** (`--quick`): it shows that everything runs, and "
            "says little about how fast."
        )
    return (
        f"These figures are of one run of {run['seconds'] / 60:.0f} minutes with up to "
        f"{settings['runs']} rounds of each case, {settings['cold_channels']:,} channels and a log "
        f"that grows to {max(settings['growth_mb']):,} MB."
    )


def _machine(run: Run) -> str:
    rows = ["| | |", "| --- | --- |"]
    rows += [f"| {name} | {value} |" for name, value in run["environment"].items()]
    settings = run["settings"]
    rows.append(f"| rounds | up to {settings['runs']}, of {settings['seconds']:g} s for a rate |")
    rows += [f"| not here | {name}: {missing} |" for name, missing in run["missing"].items()]
    return "\n".join(rows)


def _targets(run: Run) -> str:
    rows = [
        "| target | shape | at | here | | compared with | physical limit | of it |",
        "| --- | --- | --: | --: | --- | --- | --- | --: |",
    ]
    for claim in run["claims"]:
        of_limit = "" if claim["of_limit"] is None else f"{claim['of_limit']:.0%}"
        rows.append(
            f"| {claim['claim']} | {claim['shape']} | {claim['rule'][3:]} {claim['bound']:,g} "
            f"| {_value(claim)} | {'held' if claim['holds'] else '**missed**'} "
            f"| {claim['over'] or ''} | {claim['limit']} | {of_limit} |"
        )
    measured = {claim["claim"] for claim in run["claims"]}
    left = [claim for claim in promised() if claim.text not in measured]
    if left:
        rows += ["", "Not measured in this run, which has not the case:", ""]
        rows += [f"- {claim.text} ({claim.ours[0]})" for claim in left]
    return "\n".join(rows)


def _value(claim: Run) -> str:
    return f"{number(claim['value'])} {claim['unit'].removesuffix('x')}".strip() + (
        " x" if claim["unit"] == "x" else ""
    )


def _missed(run: Run) -> dict[tuple[str, str], list[Run]]:
    """The targets that were missed, by their text and what was wanted, each with its shapes."""
    found: dict[tuple[str, str], list[Run]] = {}
    for claim in run["claims"]:
        if not claim["holds"]:
            wanted = f"{claim['rule']} {claim['bound']:,g}"
            found.setdefault((claim["claim"], wanted), []).append(claim)
    return found


def _behind(run: Run) -> str:
    """What has to be said first: targets that are missed, and why."""
    missed = _missed(run)
    count = sum(map(len, missed.values()))
    lines = [f"{len(run['claims']) - count} of {len(run['claims'])} targets are held."]
    if missed:
        lines += ["", "Missed:", ""]
    told: dict[str, str] = {}
    for (text, wanted), short in missed.items():
        here = "; ".join(f"{claim['shape']} {_value(claim)}{_over(claim)}" for claim in short)
        why = reason(text, _shapes(short)) or "Not explained yet."
        first = told.setdefault(why, text)
        why = why if first == text else f"As for *{first}*."
        lines.append(f"- **{text}** ({wanted} wanted; {here}). {why}")
    return "\n".join(lines)


def _shapes(claims: list[Run]) -> list[str]:
    return [str(claim["shape"]) for claim in claims]


def _over(claim: Run) -> str:
    return f" over {claim['over']}" if claim["over"] else ""


def _won(run: Run) -> str:
    """Rows in which a peer does better than every form of chanlog that takes part."""
    lines = [
        "| row | shape | unit | best peer | its figure | chanlog's | times as good |",
        "| --- | --- | --- | --- | --: | --: | --: |",
    ]
    none = len(lines)
    for (workload, case, shape, unit), rows in _rows(run):
        ours = [row for row in rows if row["role"] == "chanlog"]
        peers = [row for row in rows if row["role"] == "peer"]
        if not ours or not peers:
            continue
        best = max if unit.endswith("/s") else min
        mine, theirs = (best(some, key=lambda row: row["median"]) for some in (ours, peers))
        ratio = compare(theirs["values"], mine["values"], unit)
        if ratio is not None and ratio > 1.05:
            lines.append(
                f"| {TITLES[workload]}: {case} | {shape} | {unit} | {theirs['contestant']} "
                f"| {number(theirs['median'])} | {number(mine['median'])} | {number(ratio)} |"
            )
    return "No peer wins a row." if len(lines) == none else "\n".join(lines)


def _rows(run: Run) -> Iterator[tuple[tuple[str, str, str, str], list[Run]]]:
    names = ("workload", "case", "shape", "unit")

    def key(row: Run) -> tuple[str, str, str, str]:
        workload, case, shape, unit = (str(row[name]) for name in names)
        return workload, case, shape, unit

    figures = [row for row in run["figures"] if row["unit"] not in HIDDEN]
    order = {place: n for n, place in enumerate(dict.fromkeys(map(key, figures)))}
    for place, rows in groupby(sorted(figures, key=lambda row: order[key(row)]), key):
        yield place, list(rows)


def _cases(run: Run, workload: str) -> Iterator[str]:
    """A table for each case: a line a contestant, a column a shape and unit, and how many times as
    good chanlog is in brackets."""
    rows = [
        row for row in run["figures"] if row["workload"] == workload and row["unit"] not in HIDDEN
    ]
    for case in dict.fromkeys(row["case"] for row in rows):
        mine = [row for row in rows if row["case"] == case]
        columns = list(dict.fromkeys((row["shape"], row["unit"]) for row in mine))
        found = {(row["contestant"], row["shape"], row["unit"]): row for row in mine}
        heads = [f"{unit}, {shape}" for shape, unit in columns]
        lines = [
            f"### {TITLES[workload]}: {case}",
            "",
            f"| | {' | '.join(heads)} |",
            f"| --- |{' --: |' * len(columns)}",
        ]
        for name in dict.fromkeys(row["contestant"] for row in mine):
            cells = (_cell(found, name, *column) for column in columns)
            lines.append(f"| {name} | {' | '.join(cells)} |")
        for place in run["absent"]:
            if (place["workload"], place["case"]) == (workload, case):
                for name, missing in place["peers"].items():
                    line = f"| {name} | not here: {missing} |{' |' * (len(columns) - 1)}"
                    if line not in lines:
                        lines.append(line)
        yield "\n".join(lines)


def _cell(found: dict[tuple[str, str, str], Run], name: str, shape: str, unit: str) -> str:
    row = found.get((name, shape, unit))
    if row is None:
        return ""
    value = number(row["median"])
    ours = ours_of(list(found.values()), shape, unit)
    if ours is None or row["role"] == "chanlog":
        return value
    ratio = compare(ours["values"], row["values"], unit)
    return value if ratio is None else f"{value} ({number(ratio)} x)"


def ours_of(rows: list[Run], shape: str, unit: str) -> Run | None:
    """The form of chanlog that others are compared with: the one a target is about, else the first
    that is on a disk."""
    ours = [
        row for row in rows if (row["role"], row["shape"], row["unit"]) == ("chanlog", shape, unit)
    ]
    preferred = ("chanlog disk, compacted", "chanlog disk, sealed", "chanlog disk")
    for name in preferred:
        for row in ours:
            if row["contestant"] == name:
                return row
    return ours[0] if ours else None

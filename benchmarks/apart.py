"""The tables of docs/engines.md and docs/howto/test-double.md, made from the JSON of a run."""

from __future__ import annotations

from typing import Any

from . import double, engines
from .clients import PAIRS
from .report import number

__all__ = ["costs", "double_figures"]

Run = dict[str, Any]

_ROWS = {
    engines.ONE: "publish, one per call",
    **{engines.MANY.format(size): f"`publish_many` of {size:,}" for size in engines.MANY_COUNTS},
    engines.REPLAY: "replay",
    engines.REPLAY_MANY: "replay of what came 1,000 per call",
    engines.WAKE: "wake-up",
}


def costs(run: Run) -> str:
    """What each case takes with chanlog, over what the bare client takes."""
    found = {
        (row["case"], row["shape"]): f"{1 / row['ratio']:.2f}"
        for row in run["figures"]
        if row["workload"] == "engines" and row["contestant"] == "chanlog"
    }
    shapes = list(dict.fromkeys(shape for _, shape in found))
    lines = [
        f"| | | {' | '.join(pair.name for pair in PAIRS)} |",
        f"| --- | --- |{' --: |' * len(PAIRS)}",
    ]
    for case, text in _ROWS.items():
        for shape in shapes:
            cells = [found.get((f"{case}, {pair.name}", shape), "") for pair in PAIRS]
            if any(cells):
                lines.append(f"| {text} | {shape} | {' | '.join(cells)} |")
    return "\n".join(lines)


def double_figures(run: Run) -> str:
    """How long the first message takes, and how many tests there are in a second."""
    rows = [row for row in run["figures"] if row["workload"] == "double"]
    columns = {double.START: "first message, ms", double.TEST: "tests a second"}
    found = {(row["case"], row["contestant"]): number(row["median"]) for row in rows}
    lines = [f"| | {' | '.join(columns.values())} |", "| --- | --: | --: |"]
    for name in dict.fromkeys(row["contestant"] for row in rows):
        cells = (found.get((case, name), "") for case in columns)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)

"""The pictures of docs/benchmarks.md, drawn from the JSON of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .tables import Run

__all__ = ["PICTURES", "draw"]

COLORS = {"chanlog": "#0b6e4f", "peer": "#9aa5b1", "bound": "#d9c27a"}
LABELS = {
    "chanlog": "chanlog",
    "peer": "peers",
    "bound": "bounds: keep no channels, or nothing at all",
}
HELD = {True: COLORS["chanlog"], False: "#c0392b"}
FARTHEST = (0.01, 100.0)
"""What is farther away than this from a target is drawn here."""
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "svg.fonttype": "path",
    # The same figures give the same file, so that a diff of a picture means something.
    "svg.hashsalt": "chanlog",
}


def draw(run: Run, folder: Path, suffix: str = "svg") -> list[Path]:
    """Every picture that the run has figures for."""
    import matplotlib as mpl

    mpl.use("svg" if suffix == "svg" else "agg")
    from matplotlib import pyplot

    made = []
    with mpl.rc_context(STYLE):
        for name, picture in PICTURES.items():
            figure = picture(run)
            if figure is None:
                continue
            path = folder / f"{name}.{suffix}"
            metadata = {"Date": None} if suffix == "svg" else None
            figure.savefig(path, metadata=metadata, bbox_inches="tight", dpi=110)
            pyplot.close(figure)
            made.append(path)
    return made


def rows_of(run: Run, workload: str, case: str, shape: str, unit: str) -> list[Run]:
    """The figures of one case in one unit, the best last, for bars from the bottom up."""
    place = (workload, case, shape, unit)
    found = [
        row
        for row in run["figures"]
        if (row["workload"], row["case"], row["shape"], row["unit"]) == place
    ]
    return sorted(found, key=lambda row: float(row["median"]), reverse=not unit.endswith("/s"))


def targets(run: Run) -> Any:
    """How far each target is held, or by how much it is missed, a letter for each payload."""
    from matplotlib import pyplot

    scores: dict[str, list[tuple[float, str, bool]]] = {}
    for claim in run["claims"]:
        score = claim["value"] / claim["bound"]
        score = score if claim["rule"] == "at least" else 1 / max(score, 1e-9)
        mark = (min(max(score, FARTHEST[0]), FARTHEST[1]), claim["shape"], claim["holds"])
        scores.setdefault(claim["claim"], []).append(mark)
    if not scores:
        return None
    figure, place = pyplot.subplots(figsize=(10.4, 1.2 + 0.19 * len(scores)), layout="constrained")
    for line, marks in enumerate(reversed(scores.values())):
        place.axhline(line, color="#e8ebee", linewidth=0.8, zorder=0)
        for score, shape, holds in marks:
            style = {"boxstyle": "circle,pad=0.18", "linewidth": 0, "facecolor": HELD[holds]}
            letter = shape if len(shape) == 1 else " "
            place.text(
                score, line, letter, bbox=style, color="white", fontsize=6, ha="center", va="center"
            )
    place.axvline(1, color="#333333", linewidth=1, zorder=0)
    place.set_xscale("log")
    place.xaxis.set_major_formatter("{x:g}")
    place.set_xlim(FARTHEST[0] / 1.6, FARTHEST[1] * 1.6)
    place.set_ylim(-0.8, len(scores) - 0.2)
    place.set_yticks(range(len(scores)), reversed(scores), fontsize=8)
    place.tick_params(axis="y", length=0)
    label = "missed to the left of the line, held to the right; 2 is twice as good as was wanted"
    place.set_xlabel(label, fontsize=8)
    title = "How far each target is held"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


Panel = tuple[str, str, str, str, str]
"""A title, and which figures: workload, case, shape, unit."""


def bars(run: Run, title: str, panels: list[Panel], columns: int = 2) -> Any:
    """Panels of bars on a scale of powers of ten, with the figure at the end of each."""
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter

    found = [(panel, rows_of(run, *panel[1:])) for panel in panels]
    found = [(panel, rows) for panel, rows in found if rows]
    if not found:
        return None
    lines = -(-len(found) // columns)
    most = [
        max(len(rows) for _, rows in found[line * columns : (line + 1) * columns])
        for line in range(lines)
    ]
    figure, axes = pyplot.subplots(
        lines,
        columns,
        figsize=(5.2 * columns, sum(0.7 + 0.23 * count for count in most)),
        squeeze=False,
        layout="constrained",
        height_ratios=[0.7 + 0.23 * count for count in most],
    )
    for place in axes.flat[len(found) :]:
        place.set_visible(False)
    for place, ((heading, _, _, _, unit), rows) in zip(axes.flat, found, strict=False):
        values = [row["median"] for row in rows]
        names = [row["contestant"] for row in rows]
        colors = [COLORS[row["role"]] for row in rows]
        place.barh(range(len(rows)), values, color=colors, height=0.72)
        place.set_xscale("log")
        place.set_xlim(min(values) / 3, max(values) * 6)
        # Powers of ten have labels; what lies between has not the room.
        place.xaxis.set_minor_formatter(NullFormatter())
        place.set_yticks(range(len(rows)), names)
        for label, row in zip(place.get_yticklabels(), rows, strict=True):
            label.set_fontweight("bold" if row["role"] == "chanlog" else "normal")
        for line, value in enumerate(values):
            place.text(value * 1.12, line, short(value), va="center", fontsize=8)
        place.set_title(heading)
        better = "more is better" if unit.endswith("/s") else "less is better"
        place.set_xlabel(f"{unit}, {better}", fontsize=8)
        place.tick_params(axis="x", labelsize=8)
        place.margins(y=0.02)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.legend(handles=_legend(), loc="outside lower left", ncols=3, frameon=False, fontsize=8)
    return figure


def _legend() -> list[Any]:
    from matplotlib.patches import Patch

    return [Patch(color=COLORS[role], label=LABELS[role]) for role in COLORS]


def short(value: float) -> str:
    """Two or three digits and a letter for thousands or millions."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _cases(run: Run, workload: str, beginning: str) -> list[str]:
    names = dict.fromkeys(row["case"] for row in run["figures"] if row["workload"] == workload)
    return [name for name in names if name.startswith(beginning)]


def _begun(case: str) -> str:
    """With a capital at the beginning, and units left alone."""
    return case[:1].upper() + case[1:]


def publish(run: Run) -> Any:
    """One a call, beside a busy thread, many a call, durably."""
    rate = "messages/s"
    panels: list[Panel] = [
        ("One message a call (token event)", "append", "one per call", "B", rate),
        (
            "The same, a CPU-bound thread beside",
            "append",
            "one per call, busy thread beside",
            "B",
            rate,
        ),
        ("1,000 messages a call (token event)", "append", "1,000 per call", "B", rate),
        ("One message a call, 1 KiB", "append", "one per call", "C", rate),
        ("One message a call, 64 KiB", "append", "one per call", "D", rate),
        ("Durable, one thread", "append", "durable, one thread", "B", rate),
    ]
    for case in _cases(run, "append", "durable, "):
        if case != "durable, one thread":
            panels.append((_begun(case), "append", case, "B", rate))
    return bars(run, "Publish", panels)


def replay(run: Run) -> Any:
    """One channel at full length, and one among many."""
    rate = "messages/s"
    mixed = "data of one channel among many"
    return bars(
        run,
        "Replay",
        [
            ("One channel, 100 bytes", "replay", "data, later passes", "A", rate),
            ("One channel, token event", "replay", "data, later passes", "B", rate),
            ("One channel, 1 KiB", "replay", "data, later passes", "C", rate),
            ("One channel, 64 KiB", "replay", "data, later passes", "D", rate),
            ("One channel among many, 100 bytes", "replay", mixed, "A", rate),
            ("One channel among many, token event", "replay", mixed, "B", rate),
            ("Token event, a CPU-bound thread beside", "replay", _BESIDE, "B", rate),
            ("Message objects, token event", "replay", "messages", "B", rate),
        ],
    )


_BESIDE = "data, busy thread beside"


def wake(run: Run) -> Any:
    """From p50 to p99, a line a contestant."""
    from matplotlib import pyplot

    panels = [
        ("Thread to thread", "thread to thread"),
        ("Thread to task", "thread to task"),
        ("Task to task", "task to task"),
        ("Thread to thread, a CPU-bound thread beside", "thread to thread, busy thread beside"),
        ("Thread to task, a CPU-bound thread beside", "thread to task, busy thread beside"),
        ("A publisher that never rests", "thread to thread, publisher that never rests"),
    ]
    found = [(title, rows_of(run, "wake", case, "B", "p50 us"), case) for title, case in panels]
    found = [entry for entry in found if entry[1]]
    if not found:
        return None
    lines = -(-len(found) // 2)
    figure, axes = pyplot.subplots(
        lines, 2, figsize=(10.4, 2.3 * lines), squeeze=False, layout="constrained", sharex=True
    )
    for place in axes.flat[len(found) :]:
        place.set_visible(False)
    for place, (heading, rows, case) in zip(axes.flat, found, strict=False):
        worst = {row["contestant"]: row for row in rows_of(run, "wake", case, "B", "p99 us")}
        for line, row in enumerate(rows):
            color, p50 = COLORS[row["role"]], row["median"]
            p99 = worst[row["contestant"]]["median"]
            place.plot([p50, p99], [line, line], color=color, linewidth=3, alpha=0.55)
            place.plot([p50], [line], "o", color=color, markersize=7)
            place.plot([p99], [line], "|", color=color, markersize=11, markeredgewidth=2.5)
            text = f"{short(p50)} / {short(p99)}"
            place.text(max(p50, p99) * 1.5, line, text, va="center", fontsize=8)
        place.set_xscale("log")
        place.set_yticks(range(len(rows)), [row["contestant"] for row in rows])
        for label, row in zip(place.get_yticklabels(), rows, strict=True):
            label.set_fontweight("bold" if row["role"] == "chanlog" else "normal")
        place.set_ylim(-0.6, len(rows) - 0.4)
        place.set_title(heading)
        place.tick_params(axis="x", labelsize=8, labelbottom=True)
    times = [
        row["median"]
        for row in run["figures"]
        if row["workload"] == "wake" and row["unit"] in ("p50 us", "p99 us")
    ]
    axes[0][0].set_xlim(min(times) / 2, max(times) * 20)
    for place in axes[-1]:
        place.set_xlabel("microseconds: p50 is the dot, p99 the bar; less is better", fontsize=8)
    title = "Wake-up: from the publish to the reader"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.legend(handles=_legend(), loc="outside lower left", ncols=3, frameon=False, fontsize=8)
    return figure


def fan(run: Run) -> Any:
    """Fan-out, the memory of laggards, ten thousand agents."""
    panels: list[Panel] = [
        (_begun(case), "fan", case, "B", "deliveries/s") for case in _cases(run, "fan", "fan-out")
    ]
    for case in _cases(run, "fan", "memory"):
        panels.append((_begun(case), "fan", case, "B", "heap B/message"))
    for case in _cases(run, "agents", ""):
        paced = "second" in case
        panels.append((case, "agents", case, "B", "p99 us" if paced else "tokens/s"))
    return bars(run, "Fan-out, and many agents at once", panels)


def growth(run: Run) -> Any:
    """What calls cost by the size of the log: lines that ought to be flat."""
    from matplotlib import pyplot

    sizes = {
        case: int(case.split()[-2].replace(",", ""))
        for case in _cases(run, "growth", "calls on a log of")
    }
    if not sizes:
        return None
    panels = (
        ("Publish", "messages/s"),
        ("Attach at the tail", "attach us"),
        ("Read by offset", "read us"),
    )
    figure, axes = pyplot.subplots(1, 3, figsize=(10.4, 3.1), layout="constrained")
    for place, (title, unit) in zip(axes, panels, strict=True):
        curves: dict[str, list[tuple[int, float, str]]] = {}
        for case, size in sizes.items():
            for row in rows_of(run, "growth", case, "C", unit):
                curves.setdefault(row["contestant"], []).append((size, row["median"], row["role"]))
        # From the lowest up, each label a little above the one before.
        above = 0.0
        for name, points in sorted(curves.items(), key=lambda curve: curve[1][-1][1]):
            across, up, roles = zip(*points, strict=True)
            above = max(up[-1], above * 1.45)
            ours = roles[0] == "chanlog"
            place.plot(
                across,
                up,
                marker="o",
                markersize=4,
                linewidth=2.2 if ours else 1.2,
                color=COLORS["chanlog"] if ours else "#6b7785",
            )
            place.annotate(
                name,
                (across[-1], above),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                fontweight="bold" if ours else "normal",
            )
        place.set_xscale("log")
        place.set_yscale("log")
        place.xaxis.set_major_formatter("{x:g}")
        place.set_title(title)
        better = "more is better" if unit.endswith("/s") else "less is better"
        place.set_ylabel(f"{unit}, {better}", fontsize=8)
        place.set_xlabel("size of the log, MB", fontsize=8)
        place.tick_params(labelsize=8)
        low, high = place.get_xlim()
        place.set_xlim(low, high * 6)
        low, high = place.get_ylim()
        place.set_ylim(low / 3, high * 3)
    figure.suptitle("Calls on a log that grows", x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def store(run: Run) -> Any:
    """Opening, many channels, retention."""
    panels: list[Panel] = [
        (_begun(case), "open", case, "C", "ms") for case in _cases(run, "open", "open 1,024")
    ]
    for case in _cases(run, "channels", "")[-1:]:
        for unit, title in (
            ("messages/s", "created"),
            ("disk B/message", "on the disk, 42 bytes of payload"),
            ("B/channel opened", "in memory when opened"),
            ("open ms", "opened"),
        ):
            count = case.split()[0]
            panels.append((f"{count} channels, {title}", "channels", case, "42 bytes", unit))
    for case in _cases(run, "retention", ""):
        panels.append((f"Room taken, {case}", "retention", case, "C", "disk/kept"))
        panels.append((f"Written, {case}", "retention", case, "C", "written/payload"))
    return bars(run, "Open, many channels, retention", panels)


PICTURES = {
    "targets": targets,
    "publish": publish,
    "replay": replay,
    "wake": wake,
    "fan-out": fan,
    "growth": growth,
    "store": store,
}

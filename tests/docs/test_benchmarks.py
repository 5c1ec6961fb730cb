"""docs/benchmarks.md says what was measured, and nothing that was typed."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import WORKLOADS
from benchmarks.page import BEGIN, END, filled, load, parts
from benchmarks.peers import PEERS
from benchmarks.plots import PICTURES

from .pages import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
RUN = load(ROOT / "docs" / "benchmarks" / "run.json")


def test_the_page_is_what_the_run_gives() -> None:
    """A figure that somebody touched up, or forgot to make anew, would be a claim without a run."""
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text, RUN) == text


def test_no_part_of_the_page_is_left_over() -> None:
    """A part whose workload is gone from the run would keep its old figures for ever."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(END) == len(parts(RUN))


@pytest.mark.parametrize("text", ["", BEGIN.format("machine")])
def test_a_page_without_a_place_for_the_figures_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"part|place"):
        filled(text, RUN)


def test_every_workload_was_run() -> None:
    assert {row["workload"] for row in RUN["figures"]} == set(WORKLOADS)


def test_every_peer_has_a_row_or_is_told_to_be_missing() -> None:
    """A peer that wins must not vanish from the page."""
    rows = {row["contestant"] for row in RUN["figures"]}
    for peer in PEERS:
        if peer.role == "peer":
            assert peer.name in rows or peer.name in RUN["missing"]


def test_every_missed_target_and_every_row_a_peer_wins_is_in_the_text() -> None:
    short = parts(RUN)["short"]
    missed = [claim for claim in RUN["claims"] if not claim["holds"]]
    assert all(claim["claim"] in short for claim in missed)
    # By another way than the page's: wherever the best median of a row is a peer's by far.
    places: dict[tuple[str, ...], dict[str, list[tuple[float, str]]]] = {}
    for row in RUN["figures"]:
        if row["unit"] != "cpu ns":
            place = tuple(row[name] for name in ("workload", "case", "shape", "unit"))
            roles = places.setdefault(place, {"chanlog": [], "peer": [], "bound": []})
            roles[row["role"]].append((row["median"], row["contestant"]))
    for (_, case, shape, unit), roles in places.items():
        if roles["chanlog"] and roles["peer"]:
            best = max if unit.endswith("/s") else min
            ours, (theirs, name) = best(roles["chanlog"])[0], best(roles["peer"])
            if theirs > 2 * ours if unit.endswith("/s") else theirs * 2 < ours:
                assert any(
                    all(word in line for word in (case, f", {shape}:", name))
                    for line in short.splitlines()
                ), (case, shape, unit)


def test_every_picture_is_there_and_shown() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in PICTURES:
        assert f"(benchmarks/{name}.svg)" in text
        assert (PAGE.parent / "benchmarks" / f"{name}.svg").stat().st_size > 1000

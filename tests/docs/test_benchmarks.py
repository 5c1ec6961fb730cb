"""docs/benchmarks.md says what was measured, and nothing that was typed."""

from __future__ import annotations

import pytest

from benchmarks.page import KEPT, KEPT_APART, PAGE, PAGES_APART, PICTURES_FOLDER
from benchmarks.peers import PEERS
from benchmarks.plots import PICTURES
from benchmarks.reasons import LARGE, REASONS, reason
from benchmarks.tables import BEGIN, END, filled, load, parts, unexplained
from benchmarks.workloads import APART, WORKLOADS, promised

RUN = load(KEPT)
RUN_APART = load(KEPT_APART)
PROMISED = {claim.text for claim in promised()}


def test_the_page_is_what_the_run_gives() -> None:
    """A figure that somebody touched up, or forgot to make anew, would be a claim without a run."""
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text, parts(RUN)) == text


@pytest.mark.parametrize("page", PAGES_APART, ids=lambda page: page.stem)
def test_so_is_what_is_told_by_itself(page) -> None:
    text = page.read_text(encoding="utf-8")
    made = PAGES_APART[page]
    assert filled(text, {name: make(RUN_APART) for name, make in made.items()}) == text
    assert text.count(END) == len(made)
    assert {row["workload"] for row in RUN_APART["figures"]} == set(APART)
    assert not RUN_APART["settings"]["is_quick"]


def test_no_part_of_the_page_is_left_over() -> None:
    """A part whose workload is gone from the run would keep its old figures for ever."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(END) == len(parts(RUN))


@pytest.mark.parametrize("text", ["", BEGIN.format("machine")])
def test_a_page_without_a_place_for_the_figures_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"part|place"):
        filled(text, parts(RUN))


def test_every_workload_was_run() -> None:
    assert {row["workload"] for row in RUN["figures"]} == set(WORKLOADS)


def test_every_peer_has_a_row_or_is_told_to_be_missing() -> None:
    """A peer that wins must not vanish from the page."""
    rows = {row["contestant"] for row in RUN["figures"]}
    for peer in PEERS:
        if peer.role == "peer":
            assert peer.name in rows or peer.name in RUN["missing"]


def test_a_quick_run_is_not_passed_off_as_more() -> None:
    """Figures of a hundredth of a second each would be quoted as what chanlog does."""
    run = parts(RUN | {"settings": RUN["settings"] | {"is_quick": True}})["run"]
    assert "quick run" in run
    whole = parts(RUN | {"settings": RUN["settings"] | {"is_quick": False}})["run"]
    assert "quick" not in whole


def test_every_missed_target_is_in_the_text_with_its_reason() -> None:
    """A miss that nobody explains is one that nobody looked into."""
    behind = parts(RUN)["behind"]
    for claim in RUN["claims"]:
        assert claim["holds"] or f"- **{claim['claim']}** (" in behind
    assert RUN["settings"]["is_quick"] or unexplained(RUN) == []


def test_a_missed_target_without_a_reason_is_found() -> None:
    claim = {"claim": "flying", "holds": False, "shape": "A", "value": 1.0, "unit": "x"}
    claim |= {"bound": 2, "rule": "at least", "over": None, "of_limit": None, "limit": ""}
    run = RUN | {"claims": [claim]}
    assert unexplained(run) == ["flying"]
    assert "- **flying** (at least 2 wanted; A 1 x). Not explained yet." in parts(run)["behind"]


def test_every_target_is_told_or_told_to_be_unmeasured() -> None:
    """A target that no case is about any longer would vanish, and count as held."""
    targets = parts(RUN)["targets"]
    assert [text for text in PROMISED if f"| {text} |" not in targets] == [
        text for text in PROMISED if f"\n- {text} (" in targets
    ]


def test_every_reason_is_that_of_a_target() -> None:
    """One for a target that was renamed would never be shown again."""
    assert {*REASONS, *LARGE} - PROMISED == set()


def test_large_payloads_have_a_reason_of_their_own() -> None:
    """What bounds a token would be told as what bounds 64 KiB."""
    text = "publish, over RocksDB"
    small, large = reason(text, ["B"]), reason(text, ["D"])
    assert (small.lower(), large) == (REASONS[text].strip().lower(), LARGE[text])
    assert reason(text, ["A", "D"]) == f"{small} {large}"
    same = "replay, first pass, of the bare decoder"
    assert reason(same, ["A", "D"]) == reason(same, ["A"])


def test_every_row_that_a_peer_wins_is_in_the_text() -> None:
    won = parts(RUN)["won"].splitlines()
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
                row = f": {case} | {shape} | {unit} | {name} |"
                assert any(row in line for line in won), row


def test_every_picture_is_there_and_shown() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in PICTURES:
        assert f"(benchmarks/{name}.svg)" in text
        assert (PICTURES_FOLDER / f"{name}.svg").stat().st_size > 1000

"""The benchmarks run, and notice a contestant that does not do the work."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import append, fan
from benchmarks.__main__ import arguments, main
from benchmarks.harness import Case, Claim, Figure, WrongResult, check, compare, measure, paced
from benchmarks.peers import PEERS, Peer
from benchmarks.peers.queues import ThreadQueue
from benchmarks.report import claims, table
from benchmarks.settings import SHAPES, Settings
from benchmarks.workloads import APART, WORKLOADS, share_seconds

from .presence import want


@pytest.mark.parametrize(
    "workload", [*WORKLOADS.values(), *APART.values()], ids=[*WORKLOADS, *APART]
)
def test_every_case_of_every_workload_runs(workload: ModuleType, tmp_path: Path) -> None:
    settings = Settings(folder=tmp_path, shapes=("A", "B", "D")).tiny()
    figures = [figure for case in workload.cases(settings) for figure in measure(case, 1)]
    assert figures
    assert all(value > 0 for figure in figures for value in figure.values)
    assert len(list(table(figures))) > len(figures)
    assert not list(tmp_path.iterdir()), "a store was left behind"


@pytest.mark.parametrize(
    "kind",
    [peer for peer in PEERS if "fan-out to threads" in peer.can],
    ids=lambda kind: kind.name.replace(" ", "-"),
)
def test_as_many_threads_can_follow_as_a_whole_run_has(kind: type[Peer], tmp_path: Path) -> None:
    """A client of Redis has a hundred connections: with its publisher a hundred followers were
    one too many, and a run ended after eight minutes."""
    want(kind)
    whole = Settings(folder=tmp_path)
    found = fan.to_threads(kind, replace(whole, fan_thread_messages=1))
    assert found["deliveries/s"] > 0


def test_every_peer_takes_part_in_something() -> None:
    assert all(peer.can for peer in PEERS)
    assert len({peer.name for peer in PEERS}) == len(PEERS)


class TestChecks:
    @pytest.mark.parametrize(
        "got",
        [[0, 1, 2, 0], [0, 1, 2, 0, 1, 2], [0, 1, 1, 0, 1], [1, 0, 2, 0, 1], []],
        ids=["lost", "doubled", "changed", "reordered", "nothing"],
    )
    def test_what_was_not_written_so_is_noticed(self, got: list[int]) -> None:
        with pytest.raises(WrongResult):
            check(got, [0, 1, 2], 5)

    def test_what_was_written_passes(self) -> None:
        check(iter([0, 1, 2, 0, 1]), [0, 1, 2], 5)

    def test_a_peer_that_forgets_is_found_out(self, tmp_path: Path) -> None:
        class Forgetful(ThreadQueue):
            name = "forgetful"

            def writer(self, channel: str) -> Callable[[Any], object]:
                put = super().writer(channel)
                return lambda data: data["i"] == 3 or put(data)

        with pytest.raises(WrongResult):
            append.one(Forgetful, Settings(folder=tmp_path).tiny(), SHAPES["B"])


class TestFigures:
    def test_contestants_take_turns(self) -> None:
        turns: list[str] = []

        def contestant(name: str, value: float) -> Callable[[], dict[str, float]]:
            def run() -> dict[str, float]:
                turns.append(name)
                return {"ms": value}

            return run

        case = Case(
            workload="w",
            name="c",
            shape="A",
            yardstick="slow",
            contestants={"slow": contestant("slow", 4), "fast": contestant("fast", 2)},
        )
        slow, fast = measure(case, 3)
        assert turns == ["slow", "fast", "fast", "slow", "slow", "fast"]
        assert (slow.ratio, fast.ratio, fast.median) == (1, 2, 2)

    def test_a_ratio_is_the_speed_over_the_yardstick_whatever_the_unit(self) -> None:
        assert compare([10, 20, 30], [5, 10, 15], "messages/s") == 2
        assert compare([10, 20, 30], [5, 10, 15], "p50 us") == 0.5
        assert compare([10], [], "ms") is None

    @pytest.mark.parametrize(("bound", "holds"), [(2, True), (1.2, False)])
    def test_a_claim_of_cost_is_a_bound_from_above(self, bound: float, holds: bool) -> None:
        figures = [
            Figure(
                workload="w",
                case="c",
                shape="B",
                contestant=name,
                unit="messages/s",
                values=values,
                ratio=None,
            )
            for name, values in (("ours", [2.0]), ("bare", [3.0]))
        ]
        claim = Claim(
            text="cost",
            unit="messages/s",
            ours=("c", "ours"),
            theirs=("c", "bare"),
            bound=bound,
            cost=True,
        )
        (found,) = claims([claim], figures)
        assert (found["value"], found["holds"]) == (1.5, holds)
        faster = replace(claim, cost=False)
        assert next(claims([faster], figures))["value"] == pytest.approx(2 / 3)

    def test_calls_go_round_the_items_until_time_is_up(self) -> None:
        seen: list[int] = []
        pace = paced(seen.append, [0, 1, 2], 0.001)
        assert seen == [number % 3 for number in range(pace.calls)]
        assert 0 < (pace.calls - 1) / pace.rate < 60
        assert pace.cpu_ns > 0


class TestCommandLine:
    def test_figures_and_the_environment_are_written_as_json(self, tmp_path: Path) -> None:
        file = tmp_path / "figures.json"
        words = ["append", "--quick", "--runs", "1", "--shape", "B", "--peers", "bare,file"]
        assert main([*words, "--folder", str(tmp_path), "--json", str(file)]) == 0
        written = json.loads(file.read_text())
        assert {"python", "cpus", "kernel", "disk"} <= set(written["environment"])
        assert {figure["contestant"] for figure in written["figures"]} >= {"bare", "file"}
        assert all(figure["shape"] == "B" for figure in written["figures"])

    @pytest.mark.parametrize(
        "words", [["append", "--shape", "Z"], ["append", "--peers", "Oracle"], ["everything"]]
    )
    def test_an_unknown_name_is_answered_with_the_known_ones(
        self, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            main(words)
        assert "there are" in capsys.readouterr().err

    def test_workloads_share_the_time_and_pass_on_what_they_leave(self) -> None:
        """One slow workload would take the second rounds of all that come after it."""
        names, left = list(WORKLOADS), 1_000.0
        for place in range(len(names)):
            share = share_seconds(left, names[place:])
            assert 0 < share <= left
            left -= share
        assert left == pytest.approx(0)
        assert share_seconds(-5, names) == 0
        assert share_seconds(60, ["wake"]) == 60

    def test_what_is_asked_for_is_all_or_some(self) -> None:
        assert arguments([]).workloads == arguments(["all"]).workloads == list(WORKLOADS)
        assert arguments(["wake", "fan"]).workloads == ["wake", "fan"]

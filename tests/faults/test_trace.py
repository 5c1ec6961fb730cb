"""The same seed and the same calls give the same faults and the same trace, byte for byte."""

from __future__ import annotations

import subprocess
import sys

import pytest

import chanlog
from chanlog.testing.clock import VirtualClock
from chanlog.testing.faults import Faults

from ..support import gather, spawn

MIX = {"lose_ack": 0.1, "disconnect": 0.1, "duplicate": 0.1, "delay": 0.1, "redeliver": 0.2}


def story(faults: Faults, clock: VirtualClock) -> None:
    """An afternoon of work that goes on whatever goes wrong."""
    channel = faults.log.channel("orders")
    cursor = channel.cursor("billing")
    for number in range(40):
        for work in (
            lambda number=number: channel.publish(number),
            lambda: channel.publish_many("ab"),
            lambda: cursor.get(timeout=0),
            lambda: cursor.commit(cursor.position()) if cursor.lag() else None,
        ):
            try:
                work()
            except chanlog.Disconnected:
                continue
        clock.advance(0.1)


def told(seed: int, **mix: float) -> tuple[str, ...]:
    clock = VirtualClock()
    with chanlog.open(host=clock.host, background=False) as log:
        faults = Faults(log, profile="redis", seed=seed)
        faults.mix(**(mix or MIX))
        story(faults, clock)
        return faults.trace


def test_the_same_seed_gives_the_same_trace():
    first = told(7)
    assert first == told(7)
    assert first != told(8)
    kinds = {kind for kind in MIX for line in first if f"[{kind}" in line}
    assert kinds == MIX.keys()


def test_the_same_in_another_process():
    """Nothing of a trace hangs on the hash seed, on addresses or on the time."""
    code = "from tests.faults.test_trace import told; print('\\n'.join(told(7)))"
    traces = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
        ).stdout
        for seed in ("1", "2")
    ]
    assert traces[0] == traces[1] == "\n".join(told(7)) + "\n"


def test_taking_a_kind_out_of_the_mix_leaves_the_others():
    both = told(7, lose_ack=0.2, disconnect=0.2)
    one = told(7, disconnect=0.2)
    hit = [line for line in one if "publish 'orders'" in line and "[disconnect]" in line]
    assert hit
    assert {line.split()[0] for line in hit} <= {
        line.split()[0] for line in both if "[disconnect]" in line
    }


def test_what_happens_to_a_channel_does_not_hang_on_other_threads():
    def faulty(name: str, faults: Faults) -> list[int]:
        channel = faults.log.channel(name)
        failed = []
        for number in range(200):
            try:
                channel.publish(number)
            except chanlog.Disconnected:
                failed.append(number)
        return failed

    def run(together: bool) -> list[list[int]]:
        with chanlog.open() as log:
            faults = Faults(log, profile="redis", seed=3)
            faults.mix(lose_ack=0.1)
            if together:
                return gather(spawn(faulty, name, faults) for name in "abc")
            return [faulty(name, faults) for name in "cba"][::-1]

    alone = run(together=False)
    assert run(together=True) == alone
    assert all(alone)


def test_a_seed_is_chosen_and_told():
    with chanlog.open() as log:
        faults = Faults(log, profile="nats")
        faults.on("publish", nth=2).lose_ack()
        channel = faults.log.channel("a")
        channel.publish("x")
        with pytest.raises(chanlog.Disconnected):
            channel.publish("y")
        with pytest.raises(chanlog.UnknownOffset):
            channel.cursor("c").commit(7)
        assert faults.report() == (
            f"profile='nats', seed={faults.seed}: 3 operations, 1 faults\n"
            "    1 publish 'a' -> 0\n"
            "    2 publish 'a' -> Disconnected [lose_ack]\n"
            "    3 commit 'a' -> UnknownOffset\n"
        )


def test_the_rate_is_about_what_was_asked_for():
    """A mix that never hits, or always, would pass unseen."""
    trace = told(11, disconnect=0.25)
    share = sum("[disconnect]" in line for line in trace) / len(trace)
    assert 0.15 < share < 0.35
    assert not any("[" in line and "-> [" not in line for line in told(11, disconnect=0))

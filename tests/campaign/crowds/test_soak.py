"""The soak at its small size, and that it would find what it looks for."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import chanlog

from ..campaign import Outcome, Progress, passed
from . import CAMPAIGNS
from .gauge import flat
from .payload import Checker, Wrong, letter
from .soak import Soak

SOAK = next(campaign for campaign in CAMPAIGNS if campaign.name == "soak")


def test_the_soak():
    outcome = passed(SOAK)
    if not outcome.skipped:
        assert outcome.facts["steps"] > 100
        assert outcome.facts["followed"] > 100


def soaked(folder: Path, seconds: int, make) -> Outcome:
    """A short soak, with one more actor."""
    outcome = Outcome()
    with Soak(folder, 1, 1.0, [make]) as soak:
        soak.watch(seconds, Progress())
    soak.judge(outcome)
    return outcome


def test_a_leak_of_a_hundred_bytes_is_found(tmp_path):
    """Planted in an actor that publishes, so often as an hour's soak would at its own pace."""
    leaked = []

    def leaky(world, random):
        channel = world.log.channel("stream-count", sender="leaky")
        numbers = iter(range(1 << 60))

        def step():
            for _ in range(2000):
                leaked.append(bytearray(44))
            channel.publish(letter(random, "leaky", next(numbers)))

        return step

    if not Path("/proc/self/status").exists():
        pytest.skip("there is no /proc here")
    outcome = soaked(tmp_path, 6, leaky)
    assert leaked
    assert [failure for failure in outcome.failures if failure.startswith("anon_kib grows")]


def test_a_reader_that_is_misled_is_found(tmp_path):
    """What an actor finds wrong is told, with its name."""

    def misled(world, random):
        def step():
            raise Wrong("planted")

        return step

    if not Path("/proc/self/status").exists():
        pytest.skip("there is no /proc here")
    outcome = soaked(tmp_path, 3, misled)
    assert any("misled 0" in failure and "planted" in failure for failure in outcome.failures)


def hour(seed: int, bytes_per_step: float) -> list[float]:
    """Resident KiB of an hour at 360 samples and a thousand steps a second: warming up, noise,
    peaks now and then, and a leak."""
    random = Random(seed)
    return [
        30_000 * (1 - 0.5 ** (1 + n / 10)) + random.gauss(0, 200)
        + (random.random() < 0.1) * 8000 + n * 10_000 * bytes_per_step / 1024
        for n in range(360)
    ]  # fmt: skip


def test_what_is_flat():
    for seed in range(100):
        assert flat(hour(seed, 0))
        assert not flat(hour(seed, 10))
    with pytest.raises(ValueError, match="too few"):
        flat([1.0] * 8)


def message(offset: int, data) -> chanlog.Message:
    return chanlog.Message(offset, 0, data)


def test_the_checker_of_readers_finds_what_is_wrong():
    sent = [letter(Random(1), "w", n) for n in range(10)]

    def reading(*seen, filtered=False):
        checker = Checker("here", filtered=filtered)
        for offset, data in seen:
            if data is None:
                checker.told(offset)
            else:
                checker.see(message(offset, data))

    reading(*enumerate(sent))
    reading((0, sent[0]), (5, None), (5, sent[7]), (6, sent[8]))
    reading((0, sent[0]), (5, sent[1]), filtered=True)
    changed = [*sent[1][:2], sent[1][2] + b"x", sent[1][3]]
    for wrong in (
        [(0, sent[0]), (2, sent[2])],
        [(0, sent[0]), (0, sent[0])],
        [(0, sent[0]), (1, sent[2])],
        [(0, sent[0]), (1, sent[0])],
        [(0, sent[0]), (1, changed)],
        [(0, sent[0]), (1, None)],
        [(0, sent[0]), (5, None), (6, sent[6])],
    ):
        with pytest.raises(Wrong):
            reading(*wrong)
    with pytest.raises(Wrong):
        reading((0, sent[0]), (5, sent[2]), filtered=True)

"""Real power cuts, and that they really take what was not synced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..campaign import passed
from . import CAMPAIGNS
from .cast import Cast, open_log
from .child import Child
from .house import POLICIES
from .mounts import Disk, why_not

POWER = {c.name: c for c in CAMPAIGNS if c.name.startswith("power-")}


@pytest.fixture(params=["ext4", "xfs"])
def kind(request: pytest.FixtureRequest) -> str:
    """A file system that can be mounted here."""
    reason = why_not(request.param)
    if reason:
        pytest.skip(reason)
    return request.param


def test_power_cuts(kind: str) -> None:
    outcome = passed(POWER[f"power-{kind}"])
    assert int(outcome.facts["cut at once"]) > 0
    assert int(outcome.facts["logs"]) == len(POLICIES)
    assert int(outcome.facts["acknowledged"]) > 0


def _write(path: Path, *, sync: bool) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(descriptor, b"written")
    if sync:
        os.fsync(descriptor)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    os.close(descriptor)


def test_a_cut_takes_what_was_not_synced(kind: str) -> None:
    with Disk(kind) as disk:
        _write(disk.path / "synced", sync=True)
        _write(disk.path / "unsynced", sync=False)
        disk.cut(2)
        disk.unmount()
        disk.mount()
        assert (disk.path / "synced").read_bytes() == b"written"
        assert not (disk.path / "unsynced").exists()


@pytest.mark.parametrize("sync", ["os", "always"])
def test_what_is_durable_is_told_from_what_is_not(kind: str, sync: str) -> None:
    """The check finds a loss: as if a policy that syncs nothing had promised what ``always`` does.

    The first half was synced, so that there is a log at all.
    """
    with Disk(kind) as disk:
        cast = Cast("power")
        tally = cast.tally("weaver")
        Child(lambda say: _weave(disk, sync)).finish()
        disk.cut(2)
        disk.unmount()
        disk.mount()
        tally.begun = tally.done = tally.durable = 100
        child = Child(lambda say: cast.check(disk.path / "log", "own") and None)
        text = child.finish()
        if sync == "always":
            assert text == ""
            assert tally.done == 100
        else:
            assert "weaver: 50 found, 100 promised" in text


def _weave(disk: Disk, sync: str) -> None:
    log = open_log(disk.path / "log", sync)
    for number in range(100):
        log.channel(f"weave-{number % 5}").publish([number, ""])
        if number == 49:
            log.sync()
    # Not closed, for that would sync it: it goes with the process.
    os._exit(0)

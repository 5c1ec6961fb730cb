"""The campaign ``signals-real``: processes that a timer interrupts while they use a log."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from ...support import ROOT
from ..campaign import Campaign, Outcome, Progress

__all__ = ["SIGNALS_REAL"]

SIGNALS_A_PROCESS = 2_000
HANG_SECONDS = 120.0


def run(count: int, seed: int, progress: Progress) -> Outcome:
    """Send ``count`` signals, some thousands to each process."""
    outcome = Outcome()
    processes = 0
    while outcome.tried < count:
        some = min(SIGNALS_A_PROCESS, count - outcome.tried)
        processes += 1
        number = seed * 100_000 + processes
        problem = _one(some, number)
        outcome.tried += some
        if problem:
            outcome.fail(
                f"{problem}; again: python -m tests.campaign.races.interrupted PATH {some} {number}"
            )
        if not progress(outcome.tried):
            break
    outcome.facts = {"processes": processes}
    return outcome


def _one(count: int, seed: int) -> str:
    """Run one process; returns what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.campaign.races.interrupted"]
        path = str(Path(folder) / "log")
        try:
            done = subprocess.run(
                [*command, path, str(count), str(seed)],
                cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"no end after {HANG_SECONDS:.0f} s"
    if done.returncode:
        return (done.stdout + done.stderr).strip()[-3000:] or f"status {done.returncode}"
    return ""


SIGNALS_REAL = Campaign(
    "signals-real",
    "A timer interrupts a process in the middle of anything, for real",
    "signals",
    4_000,
    500_000,
    run,
)

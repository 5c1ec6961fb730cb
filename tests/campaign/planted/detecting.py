"""Running tests and campaigns against a copy of the checkout, in processes of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from .planting import Plant, StalePlant, planted

__all__ = ["BROKEN", "FAILED", "is_campaign", "try_detectors", "try_plant"]

# What a child returns: some test or campaign failed; or the copy cannot even be used.
FAILED = 1
BROKEN = 99

# Whoever hangs has caught nothing: a test must fail, not be waited for.
_TEST_SECONDS_MAX = 60.0
_CAMPAIGN_SECONDS_MAX = 600.0
_CAUGHT = re.compile(r"^(FAILED|ERROR) .*::|, \d+ FAILED", re.MULTILINE)


def is_campaign(detector: str) -> bool:
    """Whether a detector is a campaign with its arguments, and not a test."""
    return "::" not in detector


def try_plant(plant: Plant, detectors: Iterable[str]) -> list[str]:
    """Plant the bug, and run each of ``detectors`` against it. Returns what went wrong: whoever did
    not catch it, and a plant that shows in everyday use, so that whoever catches it has shown
    nothing."""
    wrong = []
    try:
        with planted(plant) as root:
            for detector in detectors:
                code, output = _run(root, [detector])
                if code == BROKEN:
                    wrong.append(f"everyday use shows it: {_last_lines(output)}")
                    break
                if code != FAILED or _CAUGHT.search(output) is None:
                    wrong.append(f"was not caught by {detector}: {_last_lines(output)}")
    except StalePlant as error:
        wrong = [str(error)]
    return [f"{plant.name}: {what}" for what in wrong]


def try_detectors(detectors: Iterable[str]) -> list[str]:
    """Run ``detectors`` on a copy without a bug. Returns those that fail all the same."""
    detectors = list(dict.fromkeys(detectors))
    tests = [detector for detector in detectors if not is_campaign(detector)]
    groups = [tests, *([detector] for detector in detectors if is_campaign(detector))]
    wrong = []
    with planted(None) as root:
        for group in filter(None, groups):
            code, output = _run(root, group)
            if code != 0:
                wrong.append(f"without a plant: {_last_lines(output)}")
    return wrong


def _run(root: Path, detectors: list[str]) -> tuple[int, str]:
    """The code and the output of a process that runs them, which are tests or one campaign."""
    if is_campaign(detectors[0]):
        arguments = detectors[0].split()
        seconds = _CAMPAIGN_SECONDS_MAX
    else:
        arguments = ["pytest", f"--basetemp={root / 'tmp'}", *detectors]
        seconds = _TEST_SECONDS_MAX * len(detectors)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "COVERAGE_", "COV_"))
    }
    environment |= {"PYTHONPATH": str(root), "COLUMNS": "400", "TMPDIR": str(root)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.campaign.planted.child", *arguments],
            cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=seconds, check=False,
            text=True, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return -1, f"did not end within {seconds:.0f} s"
    return done.returncode, done.stdout


def _last_lines(output: str) -> str:
    return " | ".join(line[:200] for line in output.strip().splitlines()[-4:])

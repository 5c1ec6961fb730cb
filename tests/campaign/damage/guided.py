"""The format floor fuzzed by ``atheris``, which is told by coverage what leads anywhere new.

``python -m tests.campaign.damage.guided RUNS SEED CORPUS`` is the process it runs in.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from ...support import ROOT

__all__ = ["available", "explore"]


def available() -> bool:
    """Whether ``atheris`` is there."""
    return importlib.util.find_spec("atheris") is not None


def explore(runs: int, seed: int, corpus: Path) -> tuple[int, str]:
    """Make about so many runs, from what is in the folder ``corpus``, and add to it what leads
    further; returns how many were made, and what was found."""
    command = [sys.executable, "-m", "tests.campaign.damage.guided", str(runs), str(seed), corpus]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    made = max(map(int, re.findall(r"#(\d+)", done.stderr)), default=0)
    if done.returncode:
        return max(1, made), f"seed {seed}: {done.stderr[-2000:]}"
    return max(1, made), ""


def main(runs: int, seed: int, folder: Path) -> None:
    """Fuzz until the runs are made, or something is found."""
    import atheris

    with atheris.instrument_imports(include=["chanlog.format"]):
        import chanlog.format.body
        import chanlog.format.catalog
        import chanlog.format.records  # noqa: F401

        from .parsing import REFUSALS, targets

    parsers = list(targets().values())
    for place, target in enumerate(parsers):
        for number, sample in enumerate(target.samples):
            (folder / f"{place}-{number}").write_bytes(bytes((place,)) + sample)

    def parse(content: bytes) -> None:
        if not content:
            return
        target = parsers[content[0] % len(parsers)]
        mended = bytearray(content[1:])
        target.mend(mended)
        try:
            target.parse(bytes(mended))
        except REFUSALS:
            return

    options = [f"-runs={runs}", f"-seed={seed}", "-rss_limit_mb=1024", "-max_len=8192",
               f"-artifact_prefix={folder}/"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(folder)], parse)
    atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))

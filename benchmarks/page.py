"""``python -m benchmarks.page [FILE ...]``: make the pictures and tables of the docs anew.

Each FILE is what ``python -m benchmarks --json FILE`` wrote. It is kept beside the pages, as
docs/benchmarks.json, or as docs/engines.json if it is of the workloads that are told by themselves,
which is what the pages are made from without one.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from .apart import costs, double_figures
from .plots import draw
from .tables import Run, filled, load, parts, unexplained
from .workloads import APART

__all__ = ["KEPT", "KEPT_APART", "PAGE", "PAGES_APART", "PICTURES_FOLDER", "main"]

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "benchmarks.md"
KEPT = DOCS / "benchmarks.json"
PICTURES_FOLDER = DOCS / "benchmarks"
KEPT_APART = DOCS / "engines.json"
PAGES_APART = {
    DOCS / "engines.md": {"costs": costs},
    DOCS / "howto" / "test-double.md": {"double": double_figures},
}


def main(words: Sequence[str]) -> int:
    """Draw, and fill in the pages; name the missed targets that want a reason."""
    for path in map(Path, words):
        kept = KEPT_APART if _workloads(load(path)) <= APART.keys() else KEPT
        if path.resolve() != kept.resolve():
            shutil.copyfile(path, kept)
    run = load(KEPT)
    PICTURES_FOLDER.mkdir(exist_ok=True)
    for path in draw(run, PICTURES_FOLDER):
        print(path.relative_to(DOCS.parent))
    _fill(PAGE, parts(run))
    apart = load(KEPT_APART)
    for page, made in PAGES_APART.items():
        _fill(page, {name: make(apart) for name, make in made.items()})
    for text in unexplained(run):
        print(f"missed, and benchmarks/reasons.py does not say why: {text}")
    return 0


def _fill(page: Path, made: dict[str, str]) -> None:
    page.write_text(filled(page.read_text(encoding="utf-8"), made), encoding="utf-8")
    print(page.relative_to(DOCS.parent))


def _workloads(run: Run) -> set[str]:
    return {row["workload"] for row in run["figures"]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

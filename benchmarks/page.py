"""``python -m benchmarks.page [FILE]``: make the pictures and tables of docs/benchmarks.md anew.

FILE is what ``python -m benchmarks --json FILE`` wrote. It is kept beside the page, as
docs/benchmarks.json, which is what the page is made from without one.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from .plots import draw
from .tables import filled, load, unexplained

__all__ = ["KEPT", "PAGE", "PICTURES_FOLDER", "main"]

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "benchmarks.md"
KEPT = DOCS / "benchmarks.json"
PICTURES_FOLDER = DOCS / "benchmarks"


def main(words: Sequence[str]) -> int:
    """Draw, and fill in the page; name the missed targets that want a reason."""
    if words and Path(words[0]).resolve() != KEPT.resolve():
        shutil.copyfile(words[0], KEPT)
    run = load(KEPT)
    PICTURES_FOLDER.mkdir(exist_ok=True)
    for path in draw(run, PICTURES_FOLDER):
        print(path.relative_to(DOCS.parent))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), run), encoding="utf-8")
    print(PAGE.relative_to(DOCS.parent))
    for text in unexplained(run):
        print(f"missed, and benchmarks/reasons.py does not say why: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

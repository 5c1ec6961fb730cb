"""The plants, read from the files that describe them.

A file of ``plants/`` begins with what its bugs have in common. Then comes each bug::

    # its-name
    One sentence: what it is, and who has had it.

    @ storage/syncing.py _lead
      a line of that function, whatever its indentation there
    - a line that is taken out
    + a line that is put in

    > tests/storage/test_syncing.py::test_that_must_fail
    > campaign-that-must-fail --count 100

The lines of an edit stand one behind the other in the function, and nowhere else in it. There may
be several edits, and the first of those who catch the bug is the fastest.
"""

from __future__ import annotations

from pathlib import Path

from .planting import Edit, Plant

__all__ = ["PLANTS", "read_plants"]

_FOLDER = Path(__file__).parent / "plants"


def read_plants(text: str) -> list[Plant]:
    """The plants of one file. Raises ``ValueError`` for a line that says nothing."""
    return [_plant(part) for part in text.split("\n# ")[1:]]


def _plant(text: str) -> Plant:
    name, *lines = text.splitlines()
    story: list[str] = []
    edits: list[Edit] = []
    caught_by: list[str] = []
    for line in lines:
        if not line:
            continue
        mark, rest = line[:2], line[2:]
        if mark == "@ ":
            file, function = rest.split()
            edits.append(Edit(file, function, (), ()))
        elif mark == "> ":
            caught_by.append(rest)
        elif edits:
            edits[-1] = _with_line(edits[-1], mark, rest)
        else:
            story.append(line)
    return Plant(name, " ".join(story), tuple(edits), tuple(caught_by))


def _with_line(edit: Edit, mark: str, line: str) -> Edit:
    if mark not in ("  ", "- ", "+ "):
        raise ValueError(f"not a line of an edit: {mark}{line}")
    before = (*edit.before, line) if mark != "+ " else edit.before
    after = (*edit.after, line) if mark != "- " else edit.after
    return Edit(edit.file, edit.function, before, after)


PLANTS: tuple[Plant, ...] = tuple(
    plant
    for path in sorted(_FOLDER.glob("*.txt"))
    for plant in read_plants(path.read_text(encoding="utf-8"))
)

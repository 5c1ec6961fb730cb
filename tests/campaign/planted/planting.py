"""What a plant is, and a copy of this checkout that has it."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ...support import ROOT

__all__ = ["Edit", "Plant", "StalePlant", "edited", "planted", "planted_text"]

_COPIED = ("chanlog", "tests")
# In a copy what must happen anyway has less time for it: a plant that makes a test wait in vain is
# to fail it soon.
_LIMIT = ("LIMIT = 30.0\n", "LIMIT = 3.0\n")


class StalePlant(Exception):
    """The code that a plant changes is not there, or is there more than once: write it anew."""


@dataclass(frozen=True)
class Edit:
    """Whole lines of one function of the package, and what stands there in their place.

    ``file`` is the path below ``chanlog/``, ``function`` its name with those of its classes. The
    lines are found whatever their indentation, and must be there exactly once.
    """

    file: str
    function: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class Plant:
    """A bug, made on purpose, and who must catch it.

    ``story`` says what it is, and who has had it. ``caught_by`` holds the names of tests as pytest
    takes them, and campaigns as ``python -m tests.campaign`` does; the first is the fastest.
    """

    name: str
    story: str
    edits: tuple[Edit, ...]
    caught_by: tuple[str, ...]


@contextmanager
def planted(plant: Plant | None) -> Iterator[Path]:
    """A copy of the package and its tests, with ``plant`` or without; gone at the end."""
    with TemporaryDirectory(prefix="planted-") as name:
        root = Path(name)
        for folder in _COPIED:
            shutil.copytree(ROOT / folder, root / folder)
        shutil.copy2(ROOT / "pyproject.toml", root)
        support = root / "tests" / "support.py"
        _write(support, _replaced(support.read_text(encoding="utf-8"), *_LIMIT))
        for file, text in edited(plant).items() if plant is not None else ():
            _write(root / "chanlog" / file, text)
        yield root


def edited(plant: Plant) -> dict[str, str]:
    """The modules that a plant changes, as they are with it. Raises ``StalePlant``."""
    texts: dict[str, str] = {}
    for edit in plant.edits:
        text = texts.get(edit.file)
        if text is None:
            text = (ROOT / "chanlog" / edit.file).read_text(encoding="utf-8")
        texts[edit.file] = planted_text(text, edit)
    return texts


def _replaced(text: str, before: str, after: str) -> str:
    if text.count(before) != 1:
        raise StalePlant(f"{before!r} is there {text.count(before)} times")
    return text.replace(before, after)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    # Within one second a compiled file of the same length would pass for that of the new text.
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def planted_text(text: str, edit: Edit) -> str:
    """``text``, the source of a module, with ``edit`` in it. Raises ``StalePlant``."""
    lines = text.splitlines()
    start, stop = _span(text, edit.function)
    found = []
    for place in range(start, stop - len(edit.before) + 1):
        indent = lines[place][: len(lines[place]) - len(lines[place].lstrip())]
        if lines[place : place + len(edit.before)] == _indented(edit.before, indent):
            found.append((place, indent))
    if len(found) != 1:
        raise StalePlant(
            f"chanlog/{edit.file}, {edit.function}: this is there {len(found)} times, and must be "
            f"there once: {edit.before}"
        )
    place, indent = found[0]
    lines[place : place + len(edit.before)] = _indented(edit.after, indent)
    return "\n".join(lines) + "\n"


def _indented(lines: tuple[str, ...], indent: str) -> list[str]:
    return [indent + line if line else line for line in lines]


def _span(text: str, function: str) -> tuple[int, int]:
    """The lines of a function, from the first to behind the last, counted from 0."""
    body: list[ast.stmt] = ast.parse(text).body
    node: ast.stmt | None = None
    for name in function.split("."):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        node = next((n for n in body if isinstance(n, kinds) and n.name == name), None)
        if node is None:
            raise StalePlant(f"there is no {function}")
        body = node.body
    assert node is not None
    return node.lineno - 1, node.end_lineno or node.lineno

"""The byte map of docs/format.md is that of the code.

Behind a line that ends in a code span such as `batch.HEADER` stands a table of positions and types;
together they must spell the ``struct`` of that name in ``chanlog.format``.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from struct import Struct, calcsize

import pytest

from chanlog.format import batch, names, segment

from .pages import ROOT, prose

PAGE = ROOT / "docs" / "format.md"
CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i64": "q"}

_MADE = re.compile(r"^([A-Z]\w*) = (?:struct\.)?Struct\(", re.MULTILINE)
_NAMED = re.compile(r"^#+ .*`(\w+\.[A-Z_]+)`$")
_ROW = re.compile(r"^\| (\d+) \| `(u\d+|i\d+|\d+s)` \|")


def byte_maps() -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """The tables of the page: (name of the struct, [(position, type)])."""
    name, rows = "", []
    for line in [*prose(PAGE), "# end"]:
        if line.startswith("#"):
            if rows:
                yield name, rows
            named = _NAMED.match(line)
            name, rows = (named[1] if named else ""), []
        elif row := _ROW.match(line):
            rows.append((int(row[1]), row[2]))


def structs() -> dict[str, Struct]:
    """Every struct of more than one field that a module of the format floor makes."""
    found = {}
    for path in sorted((ROOT / "chanlog" / "format").glob("*.py")):
        for name in _MADE.findall(path.read_text(encoding="utf-8")):
            made = getattr(importlib.import_module(f"chanlog.format.{path.stem}"), name)
            if len(re.findall("[a-zA-Z]", made.format)) > 1:
                found[f"{path.stem}.{name}"] = made
    return found


@pytest.mark.parametrize(("name", "rows"), list(byte_maps()), ids=lambda value: str(value)[:30])
def test_a_table_is_its_struct(name: str, rows: list[tuple[int, str]]) -> None:
    assert name, "a table of bytes stands under a heading that names its struct"
    expected = structs()[name]
    codes = [CODES.get(kind, kind) for _, kind in rows]
    assert "<" + "".join(codes) == expected.format
    assert [at for at, _ in rows] == [
        calcsize("<" + "".join(codes[:place])) for place in range(len(codes))
    ]


def test_every_struct_has_a_table() -> None:
    # Parts of others, or the same in other pieces: a header without its checksum, or with its kind,
    # flags and salt in one; the place of a name in a record.
    parts = {"batch.HEADER_REST", "batch.HEADER_BY_SHAPE", "catalog_layout.NAME"}
    assert structs().keys() - parts == {name for name, _ in byte_maps()}


def test_every_kind_of_batch_is_listed() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", "\n".join(_section("Kinds")), re.MULTILINE)
    assert {int(number): name for number, name in rows} == batch.KINDS


def test_the_version_is_the_one_written() -> None:
    assert f"format {segment.FORMAT_VERSION}" in "\n".join(prose(PAGE)[:6]).lower()


def test_every_file_name_is_recognized() -> None:
    listed = re.findall(r"^\| `([^`]+)` \|", "\n".join(_section("Files")), re.MULTILINE)
    assert len(listed) > 5
    for name in listed:
        assert names.is_ours(name), name


def _section(title: str) -> list[str]:
    lines = prose(PAGE)
    start = lines.index(f"## {title}") + 1
    stop = next((n for n, line in enumerate(lines[start:], start) if line.startswith("## ")), None)
    return lines[start:stop]

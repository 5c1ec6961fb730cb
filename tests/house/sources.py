"""The source files of the package, parsed once for the tests that hold the house's rules."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "chanlog"


@dataclass(frozen=True)
class Source:
    """One module: ``name`` as Python imports it, and what is in its file."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def place(self) -> str:
        """The path below the root, for messages."""
        return self.path.relative_to(ROOT).as_posix()


def source(name: str, text: str, *, is_package: bool = False) -> Source:
    """A module that exists only as ``text``: for proving that a check can fail."""
    inside = name.split(".") + (["__init__.py"] if is_package else [])
    path = ROOT.joinpath(*inside) if is_package else ROOT.joinpath(*inside).with_suffix(".py")
    return Source(name, path, text, ast.parse(text))


@cache
def sources() -> tuple[Source, ...]:
    """Every module of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found.append(Source(name, path, text, ast.parse(text, str(path))))
    return tuple(found)


@cache
def tracked() -> tuple[Path, ...]:
    """The files that git tracks; outside a checkout, every file that could be one."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
        return tuple(path for name in names if (path := ROOT / name).is_file())
    return tuple(
        path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    )

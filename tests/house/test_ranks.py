"""Imports point down only, and only the host floor touches the machine.

The floors, from the bottom: words, format, host, storage, channels, log, then the package itself
(the names a user imports), then the faces. A module imports its own floor and lower ones.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

import pytest

from .sources import Source, source, sources

FLOORS = ("words", "format", "host", "storage", "channels", "log", "package", "faces")
WORDS = frozenset({"capabilities", "errors", "group", "interface", "message", "options"})
FACES = frozenset({"cli", "testing", "web", "remote", "engines", "__main__"})

# What the format floor may import from the standard library: modules that compute and nothing
# else (``sys`` tells the byte order).
PURE = frozenset(
    """
    __future__ abc array binascii bisect collections contextlib copy dataclasses datetime enum
    functools heapq itertools json math operator re string struct sys types typing unicodedata zlib
    """.split()  # noqa: SIM905
)
CARRIED = frozenset({"msgpack", "sortedcontainers"})

# Files and maps, clocks, chance, the network, other processes: the host floor alone has them.
MACHINE = frozenset(
    """
    ctypes fcntl io mmap multiprocessing os random resource secrets select selectors shutil signal
    socket stat subprocess tempfile time uuid
    """.split()  # noqa: SIM905
)
# Waiting is what storage, channels and log are for; the words and the format never wait.
WAITING = frozenset({"asyncio", "concurrent", "queue", "sched", "threading", "weakref"})


def floor(module: str) -> str:
    """The floor on which ``module`` (a full name inside the package) lives."""
    parts = module.split(".")
    if len(parts) == 1:
        return "package"
    room = parts[1]
    if room in WORDS:
        return "words"
    if room == "connecting":
        return "log"
    if room in FACES:
        return "faces"
    if room in FLOORS:
        return room
    raise AssertionError(
        f"{module} is on no floor: say in tests/house/test_ranks.py where it lives"
    )


def imported(module: Source) -> Iterator[tuple[int, str]]:
    """The modules that ``module`` imports: (line, full name). Blocks for type checkers count."""
    package = module.name if module.is_package else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                above = parts[: len(parts) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            if base == "chanlog" or (base.startswith("chanlog.") and base.count(".") == 1):
                # `from . import batch` names modules; `from ..format import batch` does too, or a
                # name of the package's own, which lives on the same floor.
                for alias in node.names:
                    inside = base == "chanlog" and _is_room(alias.name)
                    yield node.lineno, f"{base}.{alias.name}" if inside else base
            else:
                yield node.lineno, base


def _is_room(name: str) -> bool:
    return name in WORDS or name in FACES or name in FLOORS


def misplaced(module: Source) -> list[str]:
    """What in ``module`` breaks the rules of its floor."""
    own = floor(module.name)
    rank = FLOORS.index(own)
    found = []
    for line, name in imported(module):
        top = name.partition(".")[0]
        why = None
        if top == "chanlog":
            other = floor(name)
            if FLOORS.index(other) > rank:
                why = f"imports {name} of the floor {other!r} above"
            elif own == "format" and other not in {"words", "format"}:
                why = f"imports {name}"
        elif own == "faces":
            continue
        elif top in MACHINE and own != "host":
            why = f"imports {name}, which is for the host floor alone"
        elif top in WAITING and own in {"words", "format"}:
            why = f"imports {name}, and nothing waits on this floor"
        elif own == "format" and top not in PURE | CARRIED:
            why = f"imports {name}, which is not known to be pure"
        elif top not in sys.stdlib_module_names | CARRIED:
            why = f"imports {name}; the core depends on msgpack and sortedcontainers alone"
        if why:
            found.append(f"{module.place}:{line}: the floor {own!r} {why}")
    if own not in {"host", "faces"}:
        found += [f"{module.place}:{line}: {why}" for line, why in _reaches_out(module.tree)]
    return found


# Methods of `Path` that touch the disk, and of `datetime` that ask a clock.
_TOUCHING = frozenset({"iterdir", "mkdir", "read_bytes", "read_text", "rename", "touch", "unlink"})
_TOUCHING |= {"write_bytes", "write_text"}
_ASKING = frozenset({"now", "today", "utcnow"})


def _reaches_out(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Calls that touch a file or a clock without importing a module for it."""
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="open")) if "open" not in defined:
                yield node.lineno, "opens a file; that is for the host floor alone"
            case ast.Call(
                func=ast.Attribute(attr=attr, value=ast.Call(func=ast.Name(id="Path")))
            ) if attr in _TOUCHING:
                yield node.lineno, "touches a file; that is for the host floor alone"
            case ast.Call(
                func=ast.Attribute(attr=attr, value=ast.Name(id="date" | "datetime"))
            ) if attr in _ASKING:
                yield node.lineno, "asks for the time; that is for the host floor alone"


@pytest.mark.parametrize("module", sources(), ids=lambda module: module.name)
def test_imports_point_down(module: Source) -> None:
    assert misplaced(module) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("chanlog.format.batch", "import os"),
        ("chanlog.format.batch", "def f():\n    import threading"),
        ("chanlog.format.batch", "import pathlib"),
        ("chanlog.format.batch", "from ..host import files"),
        ("chanlog.format.batch", "from .. import Retention"),
        ("chanlog.format.batch", "import chanlog"),
        ("chanlog.errors", "from .format import batch"),
        ("chanlog.options", "import weakref"),
        ("chanlog.options", "open('file')"),
        ("chanlog.host.files", "from ..storage import segments"),
        ("chanlog.storage.segments", "import os.path"),
        ("chanlog.storage.segments", "from time import time_ns"),
        ("chanlog.storage.segments", "from ..channels.waking import Waiter"),
        ("chanlog.storage.segments", "from .. import log"),
        ("chanlog.storage.segments", "from datetime import datetime\ndatetime.now()"),
        ("chanlog.storage.segments", "from pathlib import Path\nPath('x').unlink()"),
        ("chanlog.channels.state", "from chanlog.log import open"),
        ("chanlog.channels.state", "import random"),
        ("chanlog.log", "from .cli import main"),
        ("chanlog.log", "import rich"),
        ("chanlog.log", "if TYPE_CHECKING:\n    from . import Message"),
    ],
)
def test_a_misplaced_import_is_found(name: str, text: str) -> None:
    assert misplaced(source(name, text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("chanlog.format.batch", "import struct, zlib, msgpack\nfrom ..errors import FormatError"),
        ("chanlog.host.files", "import os, mmap, fcntl, time, secrets\nopen('file')"),
        ("chanlog.storage.segments", "import threading\nfrom ..host import files\nfrom . import x"),
        ("chanlog.channels.state", "import asyncio, weakref\nfrom ..storage.segments import x"),
        ("chanlog.log", "from .channels import state\nfrom . import errors"),
        ("chanlog.cli.demo", "import os, rich, chanlog\nfrom .. import open\nopen()"),
    ],
)
def test_a_well_placed_import_passes(name: str, text: str) -> None:
    assert misplaced(source(name, text)) == []


def test_a_new_room_must_say_where_it_is() -> None:
    with pytest.raises(AssertionError, match="on no floor"):
        floor("chanlog.attic.boxes")

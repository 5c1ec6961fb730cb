"""A process that has imported all but chanlog, and forks a child for each mutant.

It reads lines of JSON, ``{"file", "place", "tests", "seconds"}``, and answers each with a line:
``killed``, ``timeout`` or ``survived``. Without a ``place`` nothing is changed.
"""

from __future__ import annotations

import ast
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import hypothesis.configuration
import hypothesis.extra.pytestplugin
import msgpack  # noqa: F401
import pytest
import sortedcontainers  # noqa: F401

from .mutating import ROOT, mutated

MEMORY_BYTES_MAX = 4 << 30


class Mutation(MetaPathFinder, Loader):
    """Gives out another code for one module."""

    def __init__(self, file: str, tree: ast.Module) -> None:
        self.name = file.removesuffix(".py").replace("/", ".")
        self.file = str(ROOT / file)
        self.tree = tree

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return ModuleSpec(name, self, origin=self.file)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self.file
        exec(compile(self.tree, self.file, "exec"), module.__dict__)


def main() -> None:
    """Answer until there are no more lines."""
    assert not any(name.split(".")[0] == "chanlog" for name in sys.modules)
    for line in sys.stdin:
        print(_try(**json.loads(line)), flush=True)


def _try(file: str, place: int | None, tests: list[str], seconds: float) -> str:
    folder = tempfile.mkdtemp(prefix="chanlog-mutant-")
    child = os.fork()
    if child == 0:
        os.setsid()
        status = 1
        try:
            status = _child(file, place, tests, folder)
        finally:
            os._exit(status)
    try:
        status = _wait(child, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if status is None:
        return "timeout"
    return "survived" if status == 0 else "killed"


def _wait(child: int, seconds: float) -> int | None:
    """Its exit status, or ``None`` if it had to be stopped. What it has started ends with it."""
    descriptor = os.pidfd_open(child)
    try:
        ready = select.select([descriptor], [], [], seconds)[0]
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        return status if ready else None
    finally:
        os.close(descriptor)


def _child(file: str, place: int | None, tests: list[str], folder: str) -> int:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Each child begins with the same examples, and leaves none behind.
    hypothesis.configuration.set_hypothesis_home_dir(folder)
    if place is not None:
        sys.meta_path.insert(0, Mutation(file, mutated(file, place)))
    return int(
        pytest.main(
            ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=1",
             "-W", "ignore::pytest.PytestAssertRewriteWarning",
             f"--basetemp={folder}/tests", *tests]
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()

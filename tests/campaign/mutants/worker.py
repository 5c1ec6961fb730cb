"""A process that has collected the tests of a unit, and forks a child for each of its mutants.

Its arguments are the file of the unit and, for a mutant of what runs when the module is imported,
the place of that one; it is then there before the tests are. It reads lines of JSON, ``{"place",
"tests", "tracing"}``, and answers each with one, ``{"verdict", "covered"}``: ``killed``,
``timeout`` or ``survived``, and of each test the lines of the file it ran and how long it took.
``tests`` is ``None`` for all, or says of each that is wanted how long it takes without a change.
"""

from __future__ import annotations

import ast
import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from math import ceil
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, TextIO

import hypothesis.configuration
import hypothesis.extra.pytestplugin
import pytest

from .mutating import ROOT, mutated
from .units import UNITS

MEMORY_BYTES_MAX = 4 << 30
# How long a child may wait for what never comes, and how long a test may compute, and what more of
# its time without a change. The first is by the clock, which others may use too.
WAITING_SECONDS_MAX = 300.0
TEST_SECONDS_MORE = 2


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


class Covered:
    """A plugin of pytest: which lines of a file each test runs, and how long it takes."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._lines: set[int] = set()
        # What the fixtures of a module do is done for all its tests, and once.
        self._shared: dict[Path, set[int]] = {}
        self._tests: list[tuple[pytest.Item, set[int], float]] = []

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._lines = set()
        self._tests.append((item, self._lines, 0.0))
        begun = time.process_time()
        threading.settrace(self._on_call)
        sys.settrace(self._on_call)
        try:
            yield
        finally:
            sys.settrace(None)
            threading.settrace(None)
        self._tests[-1] = (*self._tests[-1][:2], time.process_time() - begun)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        lines = self._lines
        item = self._tests[-1][0]
        if fixturedef.scope != "function":
            self._lines = self._shared.setdefault(item.path, set())
        yield
        self._lines = lines

    def _on_call(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._on_line if frame.f_code.co_filename == self._file else None

    def _on_line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._lines.add(frame.f_lineno)
        return self._on_line

    def result(self) -> dict[str, tuple[list[int], float]]:
        """(lines, seconds of the processor) of each test, by its id."""
        return {
            item.nodeid: (sorted(lines | self._shared.get(item.path, set())), seconds)
            for item, lines, seconds in self._tests
        }


class Forking:
    """A plugin of pytest: for each request a child runs the tests, which are collected once."""

    def __init__(self, file: str, folder: str, requests: TextIO, answers: TextIO) -> None:
        self._file = file
        self._folder = Path(folder)
        self._requests, self._answers = requests, answers
        self._tracing: Covered | None = None
        self._seconds: dict[str, float] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        for line in self._requests:
            request = json.loads(line)
            child = os.fork()
            if child == 0:
                self._become(session, **request)
                # The child goes on with the loop of pytest, and ends behind it.
                return None
            verdict = _wait(child)
            found = self._folder / "covered"
            covered = json.loads(found.read_text()) if found.exists() else {}
            shutil.rmtree(self._folder)
            self._folder.mkdir()
            print(json.dumps({"verdict": verdict, "covered": covered}), file=self._answers)
            self._answers.flush()
        session.items = []
        return True

    def _become(
        self, session: pytest.Session, place: int | None, tests: dict[str, float] | None,
        tracing: bool,
    ) -> None:  # fmt: skip
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if place is not None:
            _exchange(str(ROOT / self._file), mutated(self._file, place))
        if tests is not None:
            items = {item.nodeid: item for item in session.items}
            session.items = [items[test] for test in tests]
            self._seconds = tests
        if tracing:
            self._tracing = Covered(str(ROOT / self._file))
            session.config.pluginmanager.register(self._tracing)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        if item.nodeid in self._seconds:
            seconds = time.process_time() + TEST_SECONDS_MORE + 5 * self._seconds[item.nodeid]
            resource.setrlimit(resource.RLIMIT_CPU, (ceil(seconds), resource.RLIM_INFINITY))

    def pytest_sessionfinish(self) -> None:
        if self._tracing is not None:
            (self._folder / "covered").write_text(json.dumps(self._tracing.result()))


def _exchange(file: str, tree: ast.Module) -> None:
    """Give every function of a module that is imported already its code in ``tree``."""
    codes = {
        (code.co_qualname, code.co_firstlineno): code
        for code in _codes(compile(tree, file, "exec"))
    }
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__code__.co_filename == file:
            code = function.__code__
            function.__code__ = codes[code.co_qualname, code.co_firstlineno]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _wait(child: int) -> str:
    """What became of a child. What it has started ends with it."""
    descriptor = os.pidfd_open(child)
    try:
        ready = select.select([descriptor], [], [], WAITING_SECONDS_MAX)[0]
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    finally:
        os.close(descriptor)
    if not ready or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return "timeout"
    return "survived" if status == 0 else "killed"


def main(file: str, place: str | None = None) -> int:
    """Answer until there are no more lines; the status is that of pytest."""
    assert not any(name.split(".")[0] == "chanlog" for name in sys.modules)
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    if place is not None:
        sys.meta_path.insert(0, Mutation(file, mutated(file, int(place))))
    with tempfile.TemporaryDirectory(prefix="chanlog-mutant-") as folder:
        # Each child begins with the same examples, and leaves none behind.
        own = Path(folder, "child")
        own.mkdir()
        hypothesis.configuration.set_hypothesis_home_dir(own)
        parent = os.getpid()
        status = 1
        try:
            status = pytest.main(
                ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=1",
                 "-W", "ignore::pytest.PytestAssertRewriteWarning",
                 f"--basetemp={own}/tests", *UNITS[file]],
                plugins=[Forking(file, str(own), requests, answers)],
            )  # fmt: skip
        finally:
            if os.getpid() != parent:
                os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

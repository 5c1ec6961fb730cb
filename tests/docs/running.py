"""Runs the blocks of a page as a reader would: from top to bottom, in one empty directory.

The Python blocks of a page share one namespace and one event loop, so a task that one block starts
goes on in the next, and a block may ``await`` at its top level. What a block prints is compared
with the ``output`` block behind it (``...`` stands for anything); a block that prints and shows no
output fails, so that no page leaves out what the reader would see. Behind an expression, a comment
such as ``# -> [1, 2]`` is what its value equals, up to a semicolon. In a ``console`` block every
line that begins with ``$`` is a command, and what follows is its output.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import functools
import inspect
import io
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from .pages import ROOT, Block

SECONDS_MAX = 60

_ARROW = re.compile(r"# -> ([^;]+)")


class WrongOutput(AssertionError):
    """A block printed something else than its page says."""


def run_page(page_blocks: list[Block], directory: Path) -> int:
    """Run what can be run of ``page_blocks`` in ``directory``; return how many blocks that was."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    environment = _environment(directory.parent / f"{directory.name}-bin")
    count = 0
    with (
        contextlib.chdir(directory),
        _set_environment(environment),
        asyncio.Runner() as runner,
    ):
        for place, block in enumerate(page_blocks):
            if block.language == "python":
                follows = page_blocks[place + 1] if place + 1 < len(page_blocks) else None
                expected = follows.text if follows and follows.language == "output" else ""
                with _deadline(block):
                    printed = _run_python(block, namespace, runner)
                _compare(expected, printed, block)
                count += 1
            elif block.language == "console":
                count += _run_console(block)
    return count


def _run_python(block: Block, namespace: dict[str, Any], runner: asyncio.Runner) -> str:
    # Empty lines in front make the line numbers of a traceback those of the page.
    source = "\n" * (block.line - 1) + block.text
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(source, str(block.page), "exec", flags=flags | ast.PyCF_ONLY_AST)
    namespace["_equals"] = functools.partial(_equals, block.page)
    code = compile(_check_arrows(tree, source), str(block.page), "exec", flags=flags)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if code.co_flags & inspect.CO_COROUTINE:
            runner.run(_await(code, namespace))
        else:
            exec(code, namespace)
    return printed.getvalue()


def _check_arrows(tree: ast.Module, source: str) -> ast.Module:
    """Turn ``f()  # -> 1`` into a comparison."""
    lines = source.splitlines()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for place, inner in enumerate(body if isinstance(body, list) else []):
            arrow = _ARROW.search(lines[inner.end_lineno - 1])
            if arrow is None or not isinstance(inner, ast.Expr):
                continue
            claim = ast.parse(arrow[1].strip(), mode="eval").body
            call = ast.Call(
                ast.Name("_equals", ast.Load()),
                [ast.Constant(inner.lineno), inner.value, claim],
                [],
            )
            body[place] = ast.copy_location(ast.Expr(call), inner)
    return ast.fix_missing_locations(tree)


def _equals(page: Path, line: int, value: Any, claim: Any) -> None:
    if isinstance(claim, list):
        value = list(value)
    if value != claim:
        raise WrongOutput(f"{page}:{line}: the page says {claim!r}, and it is {value!r}")


async def _await(code: Any, namespace: dict[str, Any]) -> None:
    await eval(code, namespace)


def _run_console(block: Block) -> int:
    """Run the commands of ``block``; returns how many there are."""
    count = 0
    for line, command, expected in commands(block):
        done = subprocess.run(
            command,
            shell=True,
            executable="/bin/bash",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        _compare(expected, done.stdout, Block(block.page, line, block.language, command))
        count += 1
    return count


def commands(block: Block) -> Iterator[tuple[int, str, str]]:
    """The commands of a console block: (line, command, expected output)."""
    found: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            found.append((number, line[2:], []))
        elif found and found[-1][1].endswith("\\") and not found[-1][2]:
            found[-1] = (found[-1][0], found[-1][1][:-1] + line.strip(), [])
        elif found:
            found[-1][2].append(line)
        else:
            raise ValueError(f"{block.page}:{number}: a console block begins with a `$ command`")
    for number, command, lines in found:
        yield number, command, "".join(line + "\n" for line in lines)


def _compare(expected: str, printed: str, block: Block) -> None:
    # Trailing blanks do not show on a page.
    printed = "".join(line.rstrip() + "\n" for line in printed.splitlines())
    if not doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS):
        raise WrongOutput(
            f"{block.page}:{block.line}\n{block.text}\n--- the page says\n{expected}"
            f"--- it printed\n{printed}---"
        )


def _environment(scripts: Path) -> dict[str, str]:
    """An environment in which ``chanlog`` is this checkout, installed or not."""
    scripts.mkdir(exist_ok=True)
    for name, arguments in (("chanlog", "-m chanlog "), ("python", ""), ("python3", "")):
        script = scripts / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments}"$@"\n')
        script.chmod(0o755)
    return {
        "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }


@contextlib.contextmanager
def _set_environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _deadline(block: Block) -> Iterator[None]:
    """Fail a block that hangs, instead of the whole run."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"{block.page}:{block.line} ran for more than {SECONDS_MAX} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS_MAX)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

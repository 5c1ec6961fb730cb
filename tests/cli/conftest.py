"""Real runs of the command in processes of their own, on real directories."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import chanlog

from .processes import SECONDS_MAX, WRITER, Process, environment


@pytest.fixture
def spawn() -> Iterator[Callable[..., Process]]:
    """Start ``chanlog ARGUMENTS`` and talk to it; ``script=`` runs Python instead."""
    running: list[Process] = []

    def start(*arguments: object, script: str | None = None, **options: object) -> Process:
        first = ["-m", "chanlog"] if script is None else ["-c", script]
        running.append(Process([*first, *map(str, arguments)], **options))
        return running[-1]

    yield start
    for process in running:
        process.close()


@pytest.fixture
def writer(spawn: Callable[..., Process]) -> Callable[[Path], Process]:
    """Start a process that owns a directory and publishes ``[channel, type, data]`` lines."""

    def start(directory: Path) -> Process:
        process = spawn(directory, script=WRITER)
        assert process.stdout.readline() == "open\n"
        return process

    return start


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``chanlog ARGUMENTS`` to its end. ``stdin`` is text or bytes."""

    def once(
        *arguments: object, stdin: str | bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "chanlog", *map(str, arguments)],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env=env or environment(),
            timeout=SECONDS_MAX,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return once


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A closed log with two channels: three messages and a cursor, and one ended."""
    path = tmp_path / "log"
    with chanlog.open(path) as log:
        talk = log.channel("talk/1", sender="agent")
        talk.publish("hello", type="token")
        talk.publish({"n": 1}, type="status", key="k", headers={"life": 2})
        talk.publish(b"\xff\x00", type="token")
        talk.cursor("billing").commit(0)
        over = log.channel("over")
        over.publish("bye")
        over.end()
    return path


@pytest.fixture
def terminal() -> Callable[..., str]:
    """Run ``chanlog ARGUMENTS`` on a terminal of its own; what it wrote there.

    ``answer`` is typed at once; ``size`` is (rows, columns). The exit status must be ``status``.
    """

    def once(
        *arguments: object,
        env: dict[str, str],
        answer: str = "",
        size: tuple[int, int] = (24, 80),
        status: int = 0,
    ) -> str:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, size)
        process = subprocess.Popen(
            [sys.executable, "-m", "chanlog", *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env,
            start_new_session=True,
        )
        os.close(theirs)
        watchdog = threading.Timer(SECONDS_MAX, process.kill)
        watchdog.start()
        os.write(ours, answer.encode())
        shown = b""
        try:
            while chunk := os.read(ours, 1 << 16):
                shown += chunk
        except OSError:  # EIO: nobody has the terminal open any more
            pass
        watchdog.cancel()
        os.close(ours)
        assert process.wait() == status, shown.decode()
        return shown.decode()

    return once

"""The agent's process as the demo sees it: started, spoken to, killed, started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import chanlog

__all__ = ["AgentProcess"]


class AgentProcess:
    """One child at a time. ``tell`` gets what it says, ``("agent", facts)``, from a thread."""

    def __init__(self, setup: dict[str, Any], tell: Callable[[str, Any], None]) -> None:
        self.setup = setup
        self.tell = tell
        self.kills = 0
        self._said = 0
        self._child: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()

    @property
    def pid(self) -> int:
        """The child's process id."""
        assert self._child is not None
        return self._child.pid

    def start(self) -> None:
        """Start a life of the agent."""
        # The child imports the very chanlog that runs here, wherever it was found. A session of
        # its own keeps the terminal's Ctrl-C from it: the demo itself decides how it ends.
        source = str(Path(chanlog.__file__).absolute().parent.parent)
        paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "chanlog.cli.demo.host", json.dumps(self.setup)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="ascii",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._child,), daemon=True)
        self._reader.start()

    def _read(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            try:
                self.tell("agent", json.loads(line))
            except ValueError:
                continue  # cut by the kill

    def say(self, kind: str, data: dict[str, Any]) -> None:
        """What the person types: a line to the front end, which publishes it."""
        assert self._child is not None and self._child.stdin is not None
        line = json.dumps({"n": self._said, "type": kind, "data": data})
        self._said += 1
        with suppress(BrokenPipeError):  # it died; who waits for the answer asks dead()
            self._child.stdin.write(line + "\n")
            self._child.stdin.flush()

    def dead(self) -> bool:
        """Whether the child is gone."""
        return self._child is None or self._child.poll() is not None

    def kill(self) -> None:
        """kill -9, and wait until the operating system says it is over."""
        assert self._child is not None
        self._child.send_signal(signal.SIGKILL)
        self.kills += 1
        self._reap()

    def wait(self, seconds: float) -> int:
        """Wait for the child to end by itself; its exit status."""
        assert self._child is not None
        status = self._child.wait(seconds)
        self._reap()
        return status

    def stop(self) -> None:
        """Make sure that nothing is left of it."""
        if self._child is not None:
            self._child.kill()
            self._reap()
        self._errors.close()

    def errors(self) -> str:
        """The end of what it wrote to stderr."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _reap(self) -> None:
        child, self._child = self._child, None
        assert child is not None
        child.wait()
        if self._reader is not None:
            self._reader.join()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # a line it never read
                    pipe.close()

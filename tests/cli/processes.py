"""Commands in processes of their own, and the environment they run in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

import chanlog

SECONDS_MAX = 60

WRITER = """
import json, sys
import chanlog
with chanlog.open(sys.argv[1]) as log:
    print("open", flush=True)
    for line in sys.stdin:
        channel, kind, data = json.loads(line)
        if kind == "end":
            print(log.channel(channel).end(), flush=True)
        else:
            print(log.channel(channel, sender="writer").publish(data, type=kind), flush=True)
"""


def environment(**changes: str) -> dict[str, str]:
    """The environment in which the chanlog under test is found, and nothing colours it."""
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    source = str(Path(chanlog.__file__).absolute().parent.parent)
    return {**plain, "PYTHONPATH": source, "PYTHONIOENCODING": "utf-8", **changes}


class Process:
    """A running command. Reading a line waits for it; a watchdog ends what hangs."""

    def __init__(self, arguments: list[str], **options: object) -> None:
        env = options.pop("env", None) or environment()
        self.popen: subprocess.Popen[str] = subprocess.Popen(  # type: ignore[call-overload]
            [sys.executable, *arguments],
            stdin=options.pop("stdin", subprocess.PIPE),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=env,
            **options,
        )
        self._watchdog = threading.Timer(SECONDS_MAX, self.popen.kill)
        self._watchdog.start()

    @property
    def stdin(self) -> IO[str]:
        assert self.popen.stdin is not None
        return self.popen.stdin

    @property
    def stdout(self) -> IO[str]:
        assert self.popen.stdout is not None
        return self.popen.stdout

    @property
    def stderr(self) -> IO[str]:
        assert self.popen.stderr is not None
        return self.popen.stderr

    def tell(self, line: str) -> str:
        """Write a line to its stdin and return the line it answers."""
        self.stdin.write(line + "\n")
        self.stdin.flush()
        return self.stdout.readline()

    def line_with(self, text: str) -> str:
        """The next line of stdout that contains ``text``."""
        for line in self.stdout:
            if text in line:
                return line
        raise AssertionError(f"it ended before it said {text!r}: {self.stderr.read()}")

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def finish(self) -> tuple[int, str, str]:
        """Wait for its end: status, the rest of stdout, stderr."""
        out, err = self.popen.communicate(timeout=SECONDS_MAX)
        return self.popen.returncode, out, err

    def close(self) -> None:
        self._watchdog.cancel()
        self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

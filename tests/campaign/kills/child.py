"""A child process, forked from a parent that has everything loaded."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Child", "Say", "asked"]

Say = Callable[[str], None]
"""Tells the parent something; it hears it when the child is dead."""

_TEXT_BYTES_MAX = 8000
_CHECK_SECONDS_MAX = 120.0


class Child:
    """Runs ``work(say)`` in a forked child, which then ends at once: nothing is closed, flushed or
    collected. An exception is said, and makes the status 1.

    A fork takes a few milliseconds where a new interpreter takes a few hundred.
    """

    def __init__(self, work: Callable[[Say], None]) -> None:
        self._reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Threads that other tests have left do not matter to a child that never returns.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            os.close(self._reading)
            _run(work, writing)
        os.close(writing)
        self._ended = os.pidfd_open(self.pid)
        self.status: int | None = None

    def wait(self, seconds: float) -> bool:
        """Give it so long; returns whether it has ended by itself."""
        poll = select.poll()
        poll.register(self._ended, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def ask(self) -> None:
        """Ask it to close the log."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> str:
        """Kill it, unless it has ended, and return what it had to say. ``status`` is as in
        ``Popen``: negative for a signal."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            parts = []
            while part := os.read(self._reading, 65536):
                parts.append(part)
            os.close(self._reading)
            os.close(self._ended)
            self._text = b"".join(parts).decode(errors="replace")
        return self._text

    def finish(self) -> str:
        """Let it come to its end, and return what it had to say."""
        ended = self.wait(_CHECK_SECONDS_MAX)
        text = self.kill()
        return text if ended else f"{text}\nit did not end in {_CHECK_SECONDS_MAX:.0f} s"


def asked() -> None:
    """In the child: wait until it is asked to close the log."""
    signal.sigwait({signal.SIGTERM})


def _run(work: Callable[[Say], None], writing: int) -> None:
    status = 1

    def say(text: str) -> None:
        # A pipe that is full must not keep the child from ending.
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            os.write(writing, (text + "\n").encode()[-_TEXT_BYTES_MAX:])

    try:
        faulthandler.enable(writing)
        # A thread inherits this, so that the signal waits for whoever asks for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        work(say)
        status = 0
    except BaseException:
        say(traceback.format_exc())
    finally:
        os._exit(status)

"""What several test files need: a clock that is moved by hand, threads that report, bounded waits.

Nothing here sleeps. ``LIMIT`` bounds what must happen anyway; a test never passes because time
went by, it only fails then.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import chanlog

LIMIT = 30.0
ROOT = Path(__file__).resolve().parent.parent


class ManualClock:
    """Nanoseconds since 1970 that pass only when told to."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1_000_000_000)


def host_with(clock: Callable[[], int]) -> Any:
    """The host of this machine, but with ``clock``: the one place that knows how it is made."""
    from chanlog.host import Host

    return Host(clock=clock)


def run(coroutine: Awaitable[Any]) -> Any:
    """Run a coroutine in a loop of its own; hanging is an error."""

    async def bounded() -> Any:
        return await asyncio.wait_for(coroutine, LIMIT)

    return asyncio.run(bounded())


def spawn(work: Callable[..., Any], *args: Any, **options: Any) -> Future[Any]:
    """Run ``work`` in a daemon thread; the future has what it returned or raised."""
    future: Future[Any] = Future()

    def body() -> None:
        try:
            future.set_result(work(*args, **options))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=body, daemon=True).start()
    return future


def gather(futures: Iterable[Future[Any]]) -> list[Any]:
    return [future.result(LIMIT) for future in list(futures)]


def until(condition: Callable[[], Any]) -> None:
    """Let other threads run until ``condition`` holds; fails at ``LIMIT``."""
    deadline = time.monotonic() + LIMIT
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        pause.wait(0.0005)


async def auntil(condition: Callable[[], Any]) -> None:
    """Let other tasks and threads run until ``condition`` holds; fails at ``LIMIT``."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0)


def until_waiting(log: chanlog.Log, count: int = 1) -> None:
    """Until ``count`` consumers really wait inside the log."""
    until(lambda: log.statistics().waiters >= count)


async def auntil_waiting(log: chanlog.Log, count: int = 1) -> None:
    await auntil(lambda: log.statistics().waiters >= count)


def take(reader: Any, count: int) -> list[chanlog.Message]:
    """The next ``count`` messages, which must come."""
    messages = []
    for place in range(count):
        message = reader.get(timeout=LIMIT)
        assert message is not None, f"message {place} of {count} did not come"
        messages.append(message)
    return messages


def drain(reader: Any) -> list[chanlog.Message]:
    """What can be read without waiting."""
    messages = []
    while (message := reader.get(timeout=0)) is not None:
        messages.append(message)
    return messages


def datas(messages: Iterable[chanlog.Message]) -> list[Any]:
    return [message.data for message in messages]


def offsets(messages: Iterable[chanlog.Message]) -> list[int]:
    return [message.offset for message in messages]


def replayed(channel: chanlog.Channel, start: int | None = None, stop: int | None = None) -> list:
    """The history of a channel as payloads."""
    return datas(channel.replay(start, stop))


def python(source: str, *args: object, **options: Any) -> subprocess.Popen[str]:
    """Another Python process that imports this chanlog; line buffered text both ways."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1")
    options.setdefault("env", environment)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", source, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process: subprocess.Popen[str], text: str | None = None) -> str:
    """Wait for a process that must succeed, and return what it printed."""
    try:
        out, err = process.communicate(text, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, err
    return out


def stop(process: subprocess.Popen[str]) -> None:
    """End a process whatever its state, and give its pipes back."""
    if process.poll() is None:
        process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
    process.wait()


def numbers() -> Iterable[int]:
    return itertools.count()


def tree(path: Path) -> dict[str, bytes]:
    """Every file below ``path`` with its bytes."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }

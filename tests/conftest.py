"""Fixtures: where a log lives (disk, memory) and from where it is used (thread, task)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import chanlog

from .support import ManualClock, host_with, run

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A run in the background inherits this, and so would every process that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Store:
    """A place for one log. Opens it as often as asked and closes whatever a test left open."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._opened: list[chanlog.Log] = []

    def open(self, **options: Any) -> chanlog.Log:
        """Without background work unless asked, so that only ``compact()`` compacts."""
        options.setdefault("background", False)
        log = chanlog.open(self.path, **options)
        self._opened.append(log)
        return log

    def abandon(self) -> None:
        """Close nothing: a log that hangs would hang the tests."""
        self._opened.clear()

    def close(self) -> None:
        for log in self._opened:
            log.close()


class Face:
    """Calls methods from a thread or, through their coroutine twins, from an event loop.

    ``face(channel).publish(1)`` is ``channel.publish(1)`` or ``run(channel.apublish(1))``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, target: Any) -> Any:
        return target if self.kind == "thread" else _Twins(target)

    def walk(self, reader: Any) -> list[Any]:
        """All that ``for`` or ``async for`` yields."""
        if self.kind == "thread":
            return list(reader)

        async def walk() -> list[Any]:
            return [item async for item in reader]

        return run(walk())


class _Twins:
    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Callable[..., Any]:
        twin = getattr(self._target, "async_" if name == "sync" else "a" + name)

        def call(*args: Any, **options: Any) -> Any:
            async def body() -> Any:
                return await twin(*args, **options)

            return run(body())

        return call


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "log" if request.param == "disk" else None)
    yield store
    store.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "log")
    yield store
    store.close()


@pytest.fixture(params=["thread", "task"])
def face(request: pytest.FixtureRequest) -> Face:
    return Face(request.param)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def log(store: Store) -> chanlog.Log:
    return store.open()


@pytest.fixture
def timed(store: Store, clock: ManualClock) -> chanlog.Log:
    """A log whose time passes only through the ``clock`` fixture."""
    return store.open(host=host_with(clock))


@pytest.fixture
def channel(log: chanlog.Log) -> chanlog.Channel:
    return log.channel("workflow-42")

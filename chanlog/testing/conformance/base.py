"""What every scenario stands on: the fixtures, and bounded ways to wait.

Nothing here sleeps to make sure. ``LIMIT_SECONDS`` bounds what must happen anyway; a scenario never
passes because time went by, it only fails then.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest

from ...group import Delivery
from ...interface import Channel, Cursor, Log, Replay, Subscription
from ...message import Message
from ..harness import Harness

__all__ = [
    "LIMIT_SECONDS",
    "Face",
    "Scenarios",
    "datas",
    "drain",
    "gather",
    "needs",
    "run",
    "spawn",
    "take",
    "until",
]

# A backend that is slow for a reason may have more.
LIMIT_SECONDS = float(os.environ.get("CHANLOG_CONFORMANCE_SECONDS", "20"))

T = TypeVar("T")
Reader = Subscription | Cursor


def needs(*capabilities: str) -> Callable[[T], T]:
    """Mark a scenario as one that only a backend with all of ``capabilities`` can hold: fields of
    ``log.capabilities``, limits such as ``retention.count``, or what a harness can do."""

    def mark(scenario: T) -> T:
        scenario.needs = (*getattr(scenario, "needs", ()), *capabilities)  # type: ignore[attr-defined]
        return scenario

    return mark


class Face:
    """Calls methods from a thread or, through their coroutine twins, from an event loop.

    ``face(channel).publish(1)`` is ``channel.publish(1)`` or the same of ``await
    channel.apublish(1)``, in a loop of its own: a backend may be used from any.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, target: Any) -> Any:
        return target if self.kind == "thread" else _Twins(target)

    def walk(self, reader: Any, seen: list[Any] | None = None) -> list[Any]:
        """All that ``for`` or ``async for`` yields, appended to ``seen`` as it comes."""
        found: list[Any] = [] if seen is None else seen
        if self.kind == "thread":
            found.extend(reader)
            return found

        async def walk() -> list[Any]:
            async for item in reader:
                found.append(item)
            return found

        return run(walk())


class _Twins:
    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Callable[..., Any]:
        twin = getattr(self._target, f"a{name}")

        def call(*args: Any, **options: Any) -> Any:
            async def body() -> Any:
                return await twin(*args, **options)

            return run(body())

        return call


class Scenarios:
    """The fixtures of all scenarios. A class that inherits some overrides ``harness``."""

    @pytest.fixture
    def harness(self) -> Harness:
        """The backend to be held to the contract."""
        raise NotImplementedError(
            "override the fixture harness: it gives a chanlog.testing.harness.Harness, "
            "and closes it afterwards"
        )

    @pytest.fixture(autouse=True)
    def _held(self, harness: Harness, request: pytest.FixtureRequest) -> Iterator[None]:
        scenario = request.function.__name__
        for need in getattr(request.function, "needs", ()):
            reason = harness.lacks(need)
            if reason is not None:
                pytest.skip(reason)
        if scenario in harness.divergences:
            reason = f"{harness.profile}: {harness.divergences[scenario]}"
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        yield
        harness.close_handles()

    @pytest.fixture
    def log(self, harness: Harness, _held: None) -> Log:
        """A handle on the backend, closed behind the scenario."""
        return harness.open()

    @pytest.fixture
    def channel(self, log: Log, harness: Harness) -> Channel:
        """A channel that nobody has used."""
        return log.channel(harness.new_name())

    @pytest.fixture(params=["thread", "task"])
    def face(self, request: pytest.FixtureRequest) -> Face:
        """From where the backend is called."""
        return Face(request.param)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own; hanging is an error."""

    async def bounded() -> T:
        return await asyncio.wait_for(coroutine, 3 * LIMIT_SECONDS)

    return asyncio.run(bounded())


def spawn(work: Callable[..., T], *args: Any, **options: Any) -> Future[T]:
    """Run ``work`` in a daemon thread; the future has what it returned or raised."""
    future: Future[T] = Future()

    def body() -> None:
        try:
            future.set_result(work(*args, **options))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=body, daemon=True).start()
    return future


def gather(futures: Iterable[Future[T]]) -> list[T]:
    """What all of ``futures`` gave; the first that failed raises."""
    return [future.result(3 * LIMIT_SECONDS) for future in list(futures)]


def until(condition: Callable[[], Any], what: str) -> None:
    """Let other threads and the engine run until ``condition`` holds; fails at the limit."""
    deadline = time.monotonic() + LIMIT_SECONDS
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"within {LIMIT_SECONDS:g} seconds it did not come true that {what}")
        pause.wait(0.002)


def take(reader: Reader, count: int) -> list[Message]:
    """The next ``count`` messages, which must come."""
    messages: list[Message] = []
    while len(messages) < count:
        message = reader.get(timeout=LIMIT_SECONDS)
        if message is None:
            pytest.fail(f"{len(messages)} of {count} messages came: {datas(messages)!r:.300}")
        messages.append(message)
    return messages


def drain(reader: Reader) -> list[Message]:
    """What can be read without waiting."""
    messages = []
    while (message := reader.get(timeout=0)) is not None:
        messages.append(message)
    return messages


def datas(items: Iterable[Message | Delivery] | Replay) -> list[Any]:
    """The payloads of messages or deliveries."""
    # By what it has, not by its class: a backend may wrap the deliveries of another.
    found: list[Any] = list(items)
    return [getattr(item, "message", item).data for item in found]

"""A real server of each kind, started once, and a log on it that counts what it asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import chanlog
from chanlog.testing.harness import Harness
from chanlog.testing.presence import present
from chanlog.testing.remote import NatsHarness, RedisHarness


@pytest.fixture(scope="module", params=[RedisHarness, NatsHarness], ids=["redis", "nats"])
def harness(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("server")
    harness = present(lambda: request.param(folder, chanlog.connect))
    yield harness
    harness.close()


def only(engine: str) -> pytest.MarkDecorator:
    """For a test of what one engine does."""
    ids = {"redis": RedisHarness, "nats": NatsHarness}
    return pytest.mark.parametrize("harness", [ids[engine]], ids=[engine], indirect=True)


@pytest.fixture
def log(harness: Harness) -> Iterator[Any]:
    with harness.connect() as log:
        yield log


@pytest.fixture
def asked(log: Any, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the engine of ``log`` was asked for what."""
    counts: Counter[str] = Counter()
    engine = log._engine

    def counted(name: str) -> Callable[..., Any]:
        method = getattr(engine, name)

        def counting(*arguments: Any) -> Any:
            counts[name] += 1
            return method(*arguments)

        return counting

    for name in ("apply", "page", "wait", "state"):
        monkeypatch.setattr(engine, name, counted(name))
    return counts

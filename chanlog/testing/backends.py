"""The backends that the pytest plugin knows by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ..interface import Log
from ..log import EmbeddedLog
from .embedded import DiskHarness, MemoryHarness
from .faults import PROFILES, Faults
from .harness import Harness
from .presence import present

__all__ = ["start", "with_faults"]


def start(name: str, folder: Callable[[], Path]) -> Harness:
    """The backend ``name``, running; ``folder`` gives an empty one where it is needed.

    Skips the test that asks where a server or a client is missing, or fails it if ``CI=true``.
    """
    if name == "embedded":
        return MemoryHarness()
    if name == "disk":
        return DiskHarness(folder())
    return present(lambda: _remote(name, folder))


def with_faults(harness: Harness, log: Log, profile: Any, seed: int | None) -> Faults:
    """Faults around ``log``: those of the engine that it is, or of ``profile`` if it is none.

    A crash of an engine is one of its server; an embedded log can crash by itself.
    """

    def restart() -> Log:
        harness.crash()
        return harness.open()

    own: Any = harness.profile if harness.profile in PROFILES else profile
    embedded = isinstance(log, EmbeddedLog)
    return Faults(log, profile=own, seed=seed, restart=None if embedded else restart)


def _remote(name: str, folder: Callable[[], Path]) -> Harness:
    from .remote import NatsHarness, RedisHarness

    kinds: dict[str, type[RedisHarness | NatsHarness]] = {
        "redis": RedisHarness,
        "nats": NatsHarness,
    }
    harness = kinds[name](folder(), _connect)
    try:
        # A client that is not installed shows here, not in the middle of a test.
        harness.connect().close()
    except BaseException:
        harness.close()
        raise
    return harness


def _connect(url: str, **options: Any) -> Log:
    log: Log = import_module("chanlog.engines").connect(url, **options)
    return log

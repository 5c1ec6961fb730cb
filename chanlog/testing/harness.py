"""What stands between the contract and a backend: how it is opened, restarted, killed, cut off."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from typing import Any

from ..capabilities import Capabilities
from ..errors import ChanlogError, Unsupported
from ..interface import Log
from .clock import VirtualClock

__all__ = ["ABILITIES", "Harness", "MissingServer"]

ABILITIES: Mapping[str, str] = {
    "reopen": "what is stored outlives the handle",
    "remote": "the engine is another process, which many handles share and which they outlive",
    "restart": "the engine can be stopped and started again",
    "crash": "the engine can be killed and started again",
    "cut_network": "there is a network that can be cut",
    "clock": "its time can be moved by hand",
}
"""What a harness may be able to do, beside the capabilities of its log."""

_PATIENCE_SECONDS = 60.0


class MissingServer(Exception):
    """The server that a harness runs is not installed, or its client is not."""


class Harness(ABC):
    """One backend, as the scenarios handle it. Derive from it to hold your own to the contract.

    ``profile`` names the backend in reasons and reports. ``can`` is what of :data:`ABILITIES` it
    provides; a scenario that needs more is skipped, and the reason names what is missing.
    ``divergences`` maps the names of scenarios that the backend is known not to hold to why: these
    run all the same, and must fail, so that the list stays true. Where ``can`` has ``"clock"``,
    logs that are opened while there is a ``clock`` take their time from it, and do their upkeep
    by it.

    A harness may serve many scenarios one after another: each takes names of its own from
    :meth:`new_name`, and what it opened is closed behind it.
    """

    profile: str
    can: frozenset[str] = frozenset()
    divergences: Mapping[str, str] = {}
    clock: VirtualClock | None = None

    def __init__(self) -> None:
        self._opened: list[Log] = []
        self._numbers = itertools.count()
        self._token = secrets.token_hex(3)

    @abstractmethod
    def connect(self, **options: Any) -> Log:
        """A new handle on the data that is there, which the caller closes."""

    def open(self, **options: Any) -> Log:
        """A new handle on the data that is there. It is closed behind the scenario, if not before.

        Where one process owns the data (no ``"remote"`` in ``can``) the scenario closes one handle
        before it opens the next.
        """
        log = self.connect(**options)
        self._opened.append(log)
        return log

    @property
    def handles(self) -> tuple[Log, ...]:
        """What :meth:`open` has given out and nobody has taken back, the newest last. Some of it
        may be closed."""
        return tuple(self._opened)

    def restart(self) -> None:
        """Stop the engine in an orderly way and start it again. Blocks until it answers.

        An embedded log is closed, and has to be opened again; the handles of a remote engine find
        it again by themselves. Raises ``Unsupported`` where there is none to stop.
        """
        raise self._unable("restart")

    def crash(self) -> None:
        """Kill the engine (``kill -9``) and start it again. Blocks until it answers. Handles fare
        as in :meth:`restart`. Raises ``Unsupported``."""
        raise self._unable("crash")

    def cut_network(self) -> AbstractContextManager[None]:
        """While the context is open, connections are broken and new ones refused. Raises
        ``Unsupported`` where there is no network."""
        raise self._unable("cut_network")

    def publish_until_crash(self, name: str, count: int) -> list[int]:
        """Publish 0, 1, 2, ... to the channel ``name``, and crash the engine in the middle of it,
        once ``count`` are acknowledged. Returns the numbers that were acknowledged.

        By default a thread publishes while :meth:`crash` does its work; a backend that dies with
        its publisher has its own way.
        """
        acknowledged: list[int] = []
        enough, crashed = threading.Event(), threading.Event()

        def publish() -> None:
            with suppress(ChanlogError), self.connect() as log:
                channel = log.channel(name)
                for number in itertools.count():
                    if crashed.is_set():
                        break
                    with suppress(ChanlogError):
                        channel.publish(number)
                        acknowledged.append(number)
                    if len(acknowledged) >= count:
                        enough.set()
            enough.set()

        writer = threading.Thread(target=publish, daemon=True)
        writer.start()
        try:
            if not enough.wait(_PATIENCE_SECONDS):
                raise TimeoutError(
                    f"{len(acknowledged)} of {count} messages were acknowledged within "
                    f"{_PATIENCE_SECONDS:g} seconds"
                )
            self.crash()
        finally:
            crashed.set()
            writer.join()
        return acknowledged

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass for leases and ages. Sleeps, unless there is a clock to move."""
        if self.clock is None:
            time.sleep(seconds)
        else:
            self.clock.advance(seconds)

    def retain(self, log: Log) -> None:
        """Have retention applied now, where that can be asked for."""
        if log.capabilities.compaction:
            log.compact()

    def new_name(self, hint: str = "channel") -> str:
        """A name that nobody has used, beginning with ``hint``."""
        return f"{hint}-{self._token}-{next(self._numbers)}"

    def reset(self) -> None:
        """Forget all channels, so that the next test begins with an empty log."""
        self.close_handles()
        with self.connect() as log:
            for name in list(log.channels()):
                log.channel(name).delete()

    def close_handles(self) -> None:
        """Close all that :meth:`open` has given out."""
        while self._opened:
            # The engine may be gone, or the handle dead with its owner.
            with suppress(ChanlogError):
                self._opened.pop().close()

    def close(self) -> None:
        """Close the handles and give the engine back."""
        self.close_handles()

    @cached_property
    def capabilities(self) -> Capabilities:
        """What the log of this backend can do."""
        if self._opened:
            return self._opened[-1].capabilities
        with self.connect() as log:
            return log.capabilities

    def lacks(self, need: str) -> str | None:
        """Why a scenario that needs ``need`` cannot be held to, or ``None`` if it can.

        ``need`` is one of :data:`ABILITIES`, a field of ``Capabilities``, or ``retention.`` and one
        of its limits.
        """
        if need in ABILITIES:
            if need in self.can:
                return None
            return f'{self.profile} has no "{need}" in harness.can ({ABILITIES[need]})'
        field, _, limit = need.partition(".")
        have = getattr(self.capabilities, field)
        if limit in have if limit else have:
            return None
        if limit:
            return f'{self.profile} has no "{limit}" in log.capabilities.{field}'
        return f"{self.profile} has log.capabilities.{field} == {have!r}"

    def _unable(self, what: str) -> Unsupported:
        return Unsupported(
            f"the harness of {self.profile} cannot {what.replace('_', ' ')}; "
            'scenarios that need it ask with needs("' + what + '")',
            engine=self.profile,
            feature=what,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.profile}>"

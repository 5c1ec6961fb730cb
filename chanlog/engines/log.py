"""A log on an engine, and connecting to it."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from weakref import WeakSet

from ..capabilities import Capabilities
from ..host.process import before_exit
from ..interface import Frame, Log, Statistics
from ..options import check_name, names_asked
from .channel import EngineChannel
from .engine import Engine
from .frame import EngineFrame
from .running import Runner, Work

__all__ = ["EngineLog"]

_NAMES_AT_ONCE = 1000


class EngineLog(Log):
    """A log on an engine across a network. Everything may be called from any thread and loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._runner = Runner(engine)
        _logs.add(self)
        try:
            self._runner.run(engine.prepare)
        except BaseException:
            self.close()
            raise

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    def channel(self, name: str, *, sender: str | None = None) -> EngineChannel:
        self._runner.check()
        check_name(name)
        if sender is not None:
            check_name(sender, "sender")
        return EngineChannel(self, self._runner, self._engine, name, sender)

    def channels(self, *, prefix: str = "", pattern: str | None = None) -> Iterator[str]:
        asked = names_asked(prefix, pattern)
        return iter(()) if asked is None else self._names(*asked)

    def _names(self, prefix: str, matches: Callable[[str], object] | None) -> Iterator[str]:
        after, count = "", _NAMES_AT_ONCE
        while count == _NAMES_AT_ONCE:
            names = self._runner.run(self._behind(prefix, after))
            yield from names if matches is None else filter(matches, names)
            after, count = names[-1] if names else "", len(names)

    async def achannels(
        self, *, prefix: str = "", pattern: str | None = None
    ) -> AsyncIterator[str]:
        asked = names_asked(prefix, pattern)
        after, count = "", 0 if asked is None else _NAMES_AT_ONCE
        while asked is not None and count == _NAMES_AT_ONCE:
            names = await self._runner.arun(self._behind(asked[0], after))
            for name in names if asked[1] is None else filter(asked[1], names):
                yield name
            after, count = names[-1] if names else "", len(names)

    def _behind(self, prefix: str, after: str) -> Work[list[str]]:
        return lambda s: self._engine.names(s, prefix, after, _NAMES_AT_ONCE)

    def atomic(self, *, durable: bool = False) -> Frame:
        self._runner.check()
        self._engine.capabilities.need("frames")
        if durable:
            self._engine.capabilities.need("durable")
        return EngineFrame(self.channel, self._runner, self._engine)

    # What a durable engine has answered is durable.

    def sync(self) -> None:
        self._runner.check()
        self._engine.capabilities.need("durable")

    async def async_(self) -> None:
        self.sync()

    def compact(self) -> None:
        self._runner.run(self._engine.retain)

    async def acompact(self) -> None:
        await self._runner.arun(self._engine.retain)

    def statistics(self) -> Statistics:
        self._engine.capabilities.need("statistics")
        raise AssertionError("no engine has the statistics of an embedded log")

    def close(self) -> None:
        self._runner.close()
        _logs.discard(self)

    async def aclose(self) -> None:
        await self._runner.aclose()
        _logs.discard(self)

    def __del__(self) -> None:
        runner = getattr(self, "_runner", None)
        if runner is not None and not runner.closed and not runner.forked:
            warnings.warn(f"unclosed log {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __repr__(self) -> str:
        state = "closed " if self._runner.closed else ""
        return f"<{state}Log on {self._engine.capabilities.engine}>"


_logs: WeakSet[EngineLog] = WeakSet()


def _exiting() -> None:
    """Nobody may keep the interpreter from exiting by waiting for what nobody will publish."""
    for log in list(_logs):
        log.close()


before_exit(_exiting)

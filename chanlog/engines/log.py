"""A log on an engine, and connecting to it."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator
from fnmatch import translate
from re import compile as compile_pattern
from weakref import WeakSet

from ..capabilities import Capabilities
from ..errors import InvalidOption
from ..host.process import before_exit
from ..interface import Frame, Log, Statistics
from ..options import check_name
from .channel import EngineChannel
from .engine import Engine
from .frame import EngineFrame
from .running import Result, Runner, Work

__all__ = ["EngineLog"]

_NAMES_AT_ONCE = 1000


class EngineLog(Log):
    """A log on an engine across a network. Everything may be called from any thread and loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._runner = Runner(engine)
        _logs.add(self)

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    def run(self, work: Work[Result]) -> Result:
        """Run a coroutine of the engine, blocking this thread."""
        return self._runner.run(work)

    def channel(self, name: str, *, sender: str | None = None) -> EngineChannel:
        self._runner.check()
        check_name(name)
        if sender is not None:
            check_name(sender, "sender")
        return EngineChannel(self, self._runner, self._engine, name, sender)

    def channels(self, *, prefix: str = "", pattern: str | None = None) -> Iterator[str]:
        if not isinstance(prefix, str):
            raise InvalidOption(f"prefix is a str, not {prefix!r}", option="prefix")
        matches = compile_pattern(translate(pattern)).match if pattern is not None else None
        after = ""
        while names := self._runner.run(
            lambda s, after=after: self._engine.names(s, prefix, after, _NAMES_AT_ONCE)  # type: ignore[misc]
        ):
            after = names[-1]
            yield from names if matches is None else filter(matches, names)

    async def achannels(
        self, *, prefix: str = "", pattern: str | None = None
    ) -> AsyncIterator[str]:
        matches = compile_pattern(translate(pattern)).match if pattern is not None else None
        after = ""
        while names := await self._runner.arun(
            lambda s, after=after: self._engine.names(s, prefix, after, _NAMES_AT_ONCE)  # type: ignore[misc]
        ):
            after = names[-1]
            for name in names:
                if matches is None or matches(name):
                    yield name

    def atomic(self, *, durable: bool = False) -> Frame:
        self._runner.check()
        self._engine.capabilities.need("frames")
        if durable:
            self._engine.capabilities.need("durable")
        return EngineFrame(self.channel, self._runner, self._engine)

    def sync(self) -> None:
        self._runner.check()

    async def async_(self) -> None:
        self._runner.check()

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
        if runner is not None and not runner.closed:
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

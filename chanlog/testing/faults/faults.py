"""The double: a log that fails on purpose, only in ways in which the imitated engine can fail."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal
from weakref import WeakSet

from ...capabilities import Capabilities
from ...errors import ChanlogError, Disconnected, DiskFull, InvalidOption, LogClosed
from ...host import Timer
from ...interface import Log
from ...log import EmbeddedLog
from .choosing import Chance, Fault, Rule, Script
from .crashing import crash
from .holding import Holds, RealTimer
from .kinds import PUBLISHES, WRITES
from .log import FaultyLog
from .profiles import Profile, profile_of
from .reading import Source
from .steps import Steps, ask

__all__ = ["Call", "Faults"]

_CAPABLE = (
    "compaction", "dense_offsets", "durable", "forks", "frames", "group_order", "groups",
    "producers",
)  # fmt: skip


class Call:
    """One operation that a caller asked for: its number, what it is, and the fault it meets."""

    __slots__ = ("channel", "fault", "number", "operation", "traits")

    def __init__(
        self,
        number: int,
        operation: str,
        channel: str,
        traits: frozenset[str],
        fault: Fault | None,
    ) -> None:
        self.number = number
        self.operation = operation
        self.channel = channel
        self.traits = traits
        self.fault = fault

    @property
    def kind(self) -> str | None:
        """The kind of the fault, if there is one."""
        return None if self.fault is None else self.fault.kind


class Faults:
    """Wraps ``log`` and makes it fail, as a script says or by chance with a seed.

    ``faults.log`` provides the whole interface, with the capabilities of the imitated engine;
    nothing else differs from the wrapped log until a fault happens. ``profile`` names the engine:
    asking for a fault that it does not know raises ``InvalidOption``. The same ``seed`` and the
    same calls give the same faults and, byte for byte, the same ``trace``; without a seed one is
    chosen, and ``report()`` tells it.

    Time is the clock's with which an embedded log was opened, or the machine's. ``restart`` is
    called for a crash of a log that is not embedded, and returns the log that comes after it.
    Everything may be called from any thread, and inside an event loop.

    >>> import chanlog
    >>> from chanlog.testing.faults import Faults
    >>> with chanlog.open() as log:
    ...     faults = Faults(log, profile="redis", seed=7)
    ...     faults.on("publish", channel="orders", nth=2).lose_ack()
    ...     orders = faults.log.channel("orders")
    ...     orders.publish("first")
    ...     try:
    ...         orders.publish("second")
    ...     except chanlog.Disconnected as error:
    ...         print(error.happened)
    ...     list(orders.replay().data())
    0
    None
    ['first', 'second']
    """

    def __init__(
        self,
        log: Log,
        *,
        profile: Literal["redis", "nats", "kafka"],
        seed: int | None = None,
        restart: Callable[[], Log] | None = None,
    ) -> None:
        if isinstance(log, FaultyLog):
            raise InvalidOption("this log is a double already", option="log")
        if seed is not None and type(seed) is not int:
            raise InvalidOption(f"seed is an int, not {seed!r}", option="seed")
        self.seed: int = secrets.randbelow(1 << 32) if seed is None else seed
        self._profile = profile_of(profile)
        self._script = Script(self._profile, self._check_crash)
        self._chance = Chance(self._profile, self.seed)
        self._restart = restart
        # ``_lock`` guards counting and the trace; ``crashing`` is held while there is no log.
        self._lock = threading.Lock()
        self.crashing = threading.RLock()
        self._calls = 0
        self._injected = 0
        self._trace: list[str] = []
        self._inner = log
        self._sources: WeakSet[Source] = WeakSet()
        self.generation = 0
        self.timer: Timer = _timer_of(log)
        self.holds = Holds(self.timer)
        self.capabilities = _capabilities(self._profile, log.capabilities)
        self.log: Log = FaultyLog(self)

    @property
    def profile(self) -> Profile:
        """What can go wrong, and why."""
        return self._profile

    def __repr__(self) -> str:
        return f"<Faults profile={self._profile.name!r} seed={self.seed}>"

    # What is to happen.

    def on(
        self,
        operation: str,
        *,
        channel: str = "*",
        nth: int | None = None,
        every: int | None = None,
        times: int | None = None,
    ) -> Rule:
        """Let a fault happen to an operation on a channel, given by name or shell pattern.

        ``nth`` is which of the calls that match, from 1; ``every`` each so many; without either it
        is every call. At most ``times``. Only calls to which the fault can happen are counted.
        What happens is said by a method: ``faults.on("publish", nth=3).lose_ack()``. Where a
        script and a mix both have something for a call, the script holds.

        Operations: ``publish``, ``publish_many``, ``atomic``, ``get``, ``commit``, ``seek``,
        ``ack``, ``nak``, ``extend``, ``end``, ``trim``, ``delete``, ``fork``, ``configure``,
        ``producer``, ``info``, ``lag``, ``sync``. A loop is one ``get`` after the other.
        """
        return self._script.on(operation, channel, nth, every, times)

    def mix(self, **rates: float) -> None:
        """Let faults happen by chance: ``mix(lose_ack=0.05, duplicate=0.02)``. Replaces the mix
        before; without arguments nothing happens by chance any more."""
        if rates.get("crash") or rates.get("tear"):
            self._check_crash()
        self._chance.mix(rates)

    def clear(self) -> None:
        """Forget the script and the mix, and let readers see what was held back. What has
        happened stays, and so do the trace and the counts."""
        self._script.rules.clear()
        self._chance.mix({})
        self.holds.end()

    def crash(self, *, lose: int = 0, torn: bool = False) -> None:
        """Let the engine die now, and come back.

        The handles stay good, as those of a client that connects again; calls under way hear
        ``Disconnected``. The last ``lose`` appends are lost, if the engine may lose what it has
        acknowledged; never what is durable. ``torn`` leaves a torn tail. For an
        embedded log, or with ``restart``. Blocks for the disk.
        """
        self._script.check_loss(lose)
        self._check_crash()
        with self._lock:
            self._trace.append(f"      crash lose={lose} torn={torn}")
        self.die(lose, torn)

    async def acrash(self, *, lose: int = 0, torn: bool = False) -> None:
        """``crash`` without blocking the event loop."""
        await asyncio.to_thread(self.crash, lose=lose, torn=torn)

    def _check_crash(self) -> None:
        if self._restart is None and not isinstance(self._inner, EmbeddedLog):
            raise InvalidOption(
                "only an embedded log can crash by itself; give Faults(restart=...)",
                option="restart",
            )

    # What has happened.

    @property
    def trace(self) -> tuple[str, ...]:
        """One line for each operation that is over, and the fault that it met."""
        with self._lock:
            return tuple(self._trace)

    def report(self) -> str:
        """What a reader of a failed test needs: the seed, and what has happened."""
        with self._lock:
            head = (
                f"profile={self._profile.name!r}, seed={self.seed}: "
                f"{self._calls} operations, {self._injected} faults"
            )
            return "\n".join([head, *self._trace]) + "\n"

    # What the wrappers ask.

    @property
    def inner(self) -> Log:
        """The log that is there now; waits while one comes back from a crash."""
        with self.crashing:
            return self._inner

    def watch(self, source: Source) -> None:
        """A reader that is to be opened again after a crash."""
        with self.crashing:
            self._sources.add(source)

    def call(
        self,
        operation: str,
        channel: str | tuple[str, ...],
        act: Callable[[Call], Steps[Any]],
        traits: frozenset[str] = frozenset(),
    ) -> Steps[Any]:
        """Do ``act`` for a caller, with whatever fault it meets."""
        names = (channel,) if isinstance(channel, str) else channel
        with self._lock:
            self._calls += 1
            by_chance = self._chance.choose(operation, names, traits)
            fault = self._script.choose(operation, names, traits) or by_chance
            self._injected += fault is not None
            call = Call(self._calls, operation, " ".join(names), traits, fault)
        try:
            answer = yield from self._meet(call, act)
        except BaseException as error:
            self._note(call, type(error).__name__)
            raise
        self._note(call, _told(answer))
        return answer

    def _meet(self, call: Call, act: Callable[[Call], Steps[Any]]) -> Steps[Any]:
        fault, kind = call.fault, call.kind
        generation = self.generation
        if kind == "disconnect":
            raise self.disconnected(call, False)
        if kind == "full":
            raise DiskFull(
                f"{self._profile.name} has no room for the next message; nothing was written",
                path=None,
            )
        if kind == "tear":
            yield from ask(self, "die", 0, True)
            raise self.disconnected(call, None)
        # A reader that does not hear back has not read: there is no after.
        early = fault is not None and not (fault.facts.get("after") and call.operation in WRITES)
        if kind == "crash" and fault is not None and early:
            yield from ask(self, "die", fault.facts["lose"], False)
            raise self.disconnected(call, False)
        if kind == "lose_commit":
            if self._profile.silent_commit:
                return None
            raise self.disconnected(call, None)
        try:
            answer = yield from act(call)
        except LogClosed:
            if self.generation == generation:
                raise
            # It died with the call under way.
            raise self.disconnected(call, None) from None
        if self.generation != generation and call.operation in WRITES:
            # Another thread let it die; what of it was left may have been looked at before.
            raise self.disconnected(call, None)
        if kind == "duplicate":
            yield from act(call)
        elif kind == "lose_ack":
            raise self.disconnected(call, None)
        elif kind == "crash" and fault is not None:
            yield from ask(self, "die", fault.facts["lose"], False)
            raise self.disconnected(call, None)
        if call.operation in PUBLISHES:
            self._published(call, answer)
        return answer

    def _published(self, call: Call, answer: Any) -> None:
        self.holds.published(call.channel)
        if call.kind in ("delay", "reorder") and call.fault is not None:
            offset = answer if isinstance(answer, int) else min(answer, default=None)
            if offset is not None:
                self.holds.add(call.channel, offset, **call.fault.facts)

    def die(self, lose: int, torn: bool) -> None:
        """Crash, and come back."""
        self._check_crash()
        with self.crashing:
            self.generation += 1
            if self._restart is not None:
                self._inner = self._restart()
            elif isinstance(self._inner, EmbeddedLog):
                self._inner = crash(self._inner, lose=lose, torn=torn)
            # Before anything else is stored: a reader that stood behind what is lost goes on with
            # whatever comes in its place.
            for source in list(self._sources):
                source.renew()

    async def adie(self, lose: int, torn: bool) -> None:
        """``die`` without blocking the event loop."""
        await asyncio.to_thread(self.die, lose, torn)

    def disconnected(self, call: Call, happened: bool | None) -> ChanlogError:
        """What the caller hears; ``happened`` is what it can know."""
        what = "nothing was done" if happened is False else "it may have been done"
        return Disconnected(
            f"{self._profile.name} cannot be reached: {call.operation} of {call.channel!r}; {what}",
            engine=self._profile.name,
            happened=happened,
        )

    def _note(self, call: Call, outcome: str) -> None:
        fault = f" [{call.fault}]" if call.fault is not None else ""
        with self._lock:
            self._trace.append(
                f"{call.number:>5} {call.operation} {call.channel!r} -> {outcome}{fault}"
            )


def _told(answer: Any) -> str:
    """What an operation gave, as far as it is the same each time."""
    if answer is None or isinstance(answer, int | str):
        return repr(answer)
    if isinstance(answer, range | list):
        return f"{list(answer)}"
    message = getattr(answer, "message", answer)
    offset = getattr(message, "offset", None)
    return "done" if offset is None else f"offset {offset}"


def _timer_of(log: Log) -> Timer:
    store = getattr(log, "_store", None)
    return getattr(store, "timer", None) or RealTimer()


def _capabilities(profile: Profile, inner: Capabilities) -> Capabilities:
    """Those of the imitated engine, as far as what is behind the double has them."""
    lacking: dict[str, Any] = {name: False for name in _CAPABLE if not getattr(inner, name)}
    return replace(
        profile.capabilities,
        retention=profile.capabilities.retention & inner.retention,
        **lacking,
    )

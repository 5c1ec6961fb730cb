"""Which fault happens to which call: by script, or by chance with a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from ...errors import InvalidOption
from .kinds import FAULTS, OPERATIONS
from .profiles import Profile, check_permitted

__all__ = ["Chance", "Fault", "Rule", "Script"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that is to happen: its kind, and what it takes."""

    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        facts = ", ".join(f"{name}={value!r}" for name, value in sorted(self.facts.items()))
        return f"{self.kind}({facts})" if facts else self.kind


class Rule:
    """When a scripted fault happens; what happens is said by one of its methods.

    Only calls to which the fault can happen are counted: ``on("publish", nth=2).fence()`` is the
    second publish of a producer, whatever else is published.
    """

    def __init__(
        self,
        script: Script,
        operation: str,
        channel: str,
        nth: int | None,
        every: int | None,
        times: int | None,
    ) -> None:
        self._script = script
        self._operation = operation
        self._channel = channel
        self._nth = nth
        self._every = every
        self._left = times
        self._count = 0
        self._fault: Fault | None = None

    def _set(self, kind: str, **facts: Any) -> None:
        check_permitted(self._script.profile, kind)
        if kind in ("crash", "tear"):
            self._script.check_crash()
        if self._operation not in FAULTS[kind].operations:
            raise InvalidOption(
                f"{kind} cannot happen to {self._operation}; it can to "
                f"{', '.join(sorted(FAULTS[kind].operations))}",
                option="operation",
            )
        self._fault = Fault(kind, facts)
        self._script.rules.append(self)

    def disconnect(self) -> None:
        """Nothing is done, and the caller hears ``Disconnected(happened=False)``."""
        self._set("disconnect")

    def lose_ack(self) -> None:
        """It is done, and the caller hears ``Disconnected(happened=None)``."""
        self._set("lose_ack")

    def lose_write(self) -> None:
        """It is acknowledged, and is not there."""
        self._set("lose_write")

    def lose_commit(self) -> None:
        """What was done with is forgotten. Whether the caller hears of it, the profile says."""
        self._set("lose_commit")

    def duplicate(self) -> None:
        """It is stored twice."""
        self._set("duplicate")

    def redeliver(self) -> None:
        """What was delivered and is not done with is delivered again."""
        self._set("redeliver")

    def delay(self, seconds: float = 1.0) -> None:
        """Readers see it ``seconds`` later."""
        self._set("delay", seconds=_seconds(seconds))

    def reorder(self, behind: int = 1) -> None:
        """Readers see it only after ``behind`` publishes to other channels."""
        if type(behind) is not int or behind < 1:
            raise InvalidOption(f"behind is an int of 1 or more, not {behind!r}", option="behind")
        self._set("reorder", behind=behind)

    def slow(self, seconds: float = 1.0) -> None:
        """The consumer gets it ``seconds`` late, and leases run meanwhile."""
        self._set("slow", seconds=_seconds(seconds))

    def expire_lease(self) -> None:
        """The lease is over: another consumer gets the message."""
        self._set("expire_lease")

    def fence(self) -> None:
        """A newer epoch of the producer has opened."""
        self._set("fence")

    def full(self) -> None:
        """There is no room; the caller hears ``DiskFull``."""
        self._set("full")

    def crash(self, *, after: bool = False, lose: int = 0) -> None:
        """The engine dies before the operation, or ``after`` a write and before its answer, and
        comes back. The last ``lose`` appends that are not durable are lost."""
        self._script.check_loss(lose)
        self._set("crash", after=after, lose=lose)

    def tear(self) -> None:
        """The engine dies in the middle of the write, and comes back with a torn tail."""
        self._set("tear")

    def match(self, operation: str, channels: tuple[str, ...], traits: frozenset[str]) -> bool:
        """Count this call if it is one of those meant; whether the fault happens to it."""
        assert self._fault is not None
        if (
            operation != self._operation
            or self._left == 0
            or not any(fnmatchcase(name, self._channel) for name in channels)
            or not FAULTS[self._fault.kind].fits(operation, traits)
        ):
            return False
        self._count += 1
        if self._nth is not None and self._count != self._nth:
            return False
        if self._every is not None and self._count % self._every:
            return False
        if self._left is not None:
            self._left -= 1
        return True


class Script:
    """The rules, in the order in which they were given; the first that matches holds."""

    def __init__(self, profile: Profile, check_crash: Callable[[], None]) -> None:
        self.profile = profile
        self.check_crash = check_crash
        self.rules: list[Rule] = []

    def on(
        self, operation: str, channel: str, nth: int | None, every: int | None, times: int | None
    ) -> Rule:
        """A rule without a fault yet."""
        if operation not in OPERATIONS:
            raise InvalidOption(
                f"operation is one of {', '.join(sorted(OPERATIONS))}, not {operation!r}",
                option="operation",
            )
        for option, value in (("nth", nth), ("every", every), ("times", times)):
            if value is not None and (type(value) is not int or value < 1):
                raise InvalidOption(
                    f"{option} is an int of 1 or more, not {value!r}", option=option
                )
        return Rule(self, operation, channel, nth, every, times)

    def choose(
        self, operation: str, channels: tuple[str, ...], traits: frozenset[str]
    ) -> Fault | None:
        """The fault for this call. Every rule counts it, whether or not another held."""
        matching = [rule for rule in self.rules if rule.match(operation, channels, traits)]
        return matching[0]._fault if matching else None

    def check_loss(self, lose: int) -> None:
        """Whether a crash of this engine may lose what was acknowledged."""
        if type(lose) is not int or lose < 0:
            raise InvalidOption(f"lose is an int of 0 or more, not {lose!r}", option="lose")
        if lose and not self.profile.loses_acknowledged:
            raise InvalidOption(
                f"{self.profile.name} loses nothing that it has acknowledged", option="lose"
            )


class Chance:
    """Faults by chance. What happens to a call depends on the seed, on the channel and on how many
    such calls the channel has seen: not on what other threads do meanwhile."""

    def __init__(self, profile: Profile, seed: int) -> None:
        self._profile = profile
        self._seed = seed
        self._rates: dict[str, float] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def mix(self, rates: Mapping[str, float]) -> None:
        """How often each kind happens to the calls to which it can."""
        for kind, rate in rates.items():
            check_permitted(self._profile, kind)
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
                raise InvalidOption(f"{kind} is a share from 0 to 1, not {rate!r}", option=kind)
        self._rates = {kind: float(rate) for kind, rate in sorted(rates.items()) if rate}

    def choose(
        self, operation: str, channels: tuple[str, ...], traits: frozenset[str]
    ) -> Fault | None:
        """The fault for this call."""
        place = (operation, " ".join(channels))
        count = self._counts[place] = self._counts.get(place, 0) + 1
        if not self._rates:
            return None
        random = Random(f"{self._seed} {operation} {place[1]} {count}")
        for kind, rate in self._rates.items():
            # Asked for each kind, so that taking one out of the mix leaves the others as they are.
            happens = random.random() < rate
            facts = self._facts(kind, random)
            if happens and FAULTS[kind].fits(operation, traits):
                return Fault(kind, facts)
        return None

    def _facts(self, kind: str, random: Random) -> dict[str, Any]:
        number = random.random()
        if kind in ("delay", "slow"):
            return {"seconds": round(0.01 + 0.99 * number, 3)}
        if kind == "reorder":
            return {"behind": 1 + int(3 * number)}
        if kind == "crash":
            return {"after": number < 0.5, "lose": 0}
        return {}


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InvalidOption(
            f"seconds is a number of seconds, 0 or more, not {value!r}", option="seconds"
        )
    return float(value)

"""The options of a log and of a channel, checked where they enter."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from math import isnan
from typing import Any, Literal

from .errors import InvalidName, InvalidOption

__all__ = [
    "NAME_BYTES_MAX",
    "NO_RETENTION",
    "Options",
    "Retention",
    "SyncPolicy",
    "check_name",
    "names_asked",
    "nanoseconds",
]

SyncPolicy = Literal["always", "interval", "os"]
SYNC_POLICIES = ("always", "interval", "os")

NAME_BYTES_MAX = 512
_SEGMENT_BYTES_MIN = 64 * 1024
_SEGMENT_BYTES_MAX = 1 << 30
_CONTROL_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}


def check_name(name: object, what: str = "channel") -> str:
    """Return ``name`` if it can name a channel (or cursor, or producer); else raise."""
    if not isinstance(name, str):
        raise InvalidName(f"a {what} name is a str, not {type(name).__name__}", name=name)
    if not name:
        raise InvalidName(f"a {what} name cannot be empty", name=name)
    if not name.isprintable():
        for place, character in enumerate(name):
            if unicodedata.category(character) in _CONTROL_CATEGORIES:
                raise InvalidName(
                    f"the {what} name {name!r} has a control character at {place}; "
                    "use printable text",
                    name=name,
                )
    if len(name.encode()) > NAME_BYTES_MAX:
        raise InvalidName(
            f"the {what} name {name[:40]!r}... is {len(name.encode())} bytes long; "
            f"at most {NAME_BYTES_MAX} are allowed",
            name=name,
        )
    return name


def names_asked(
    prefix: object, pattern: str | None
) -> tuple[str, Callable[[str], object] | None] | None:
    """What all names begin with that ``Log.channels`` is asked for, and what they have to match
    beside that; ``None`` if no name can. Raises ``InvalidOption``."""
    if not isinstance(prefix, str):
        raise InvalidOption(f"prefix is a str, not {prefix!r}", option="prefix")
    if pattern is None:
        return prefix, None
    # What a pattern begins with before its first special character narrows the search.
    literal = pattern[: min((pattern.index(c) for c in "*?[" if c in pattern), default=None)]
    if not literal.startswith(prefix):
        if not prefix.startswith(literal):
            return None
        literal = prefix
    return literal, re.compile(translate(pattern)).match


def nanoseconds(value: object, option: str) -> int:
    """A duration given as ``timedelta`` or as seconds, in nanoseconds."""
    if isinstance(value, timedelta):
        ns = (value.days * 86_400 + value.seconds) * 1_000_000_000 + value.microseconds * 1000
    elif isinstance(value, int | float) and not isinstance(value, bool) and not isnan(value):
        try:
            ns = int(value * 1_000_000_000)
        except OverflowError:
            ns = -1
    else:
        raise InvalidOption(
            f"{option} is a timedelta or a number of seconds, not {value!r}", option=option
        )
    if not 0 < ns < 1 << 63:
        raise InvalidOption(f"{option} must be more than nothing, not {value!r}", option=option)
    return ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What a channel keeps. Every limit is optional; the strictest one wins.

    ``age`` and ``ttl`` are a ``timedelta`` or seconds. ``age`` forgets messages older than that,
    ``count`` and ``bytes`` keep the newest so many (messages, bytes of payload as stored). ``ttl``
    deletes a channel in which nothing was published, no cursor committed and no group served for
    that long and on which nobody waits; ``expires_at``, an aware ``datetime``, deletes it then.

    Retention is applied by a background pass (and by ``log.compact()``), so slightly more than
    this may be readable for a moment; never less.
    """

    age: timedelta | float | None = None
    count: int | None = None
    bytes: int | None = None
    ttl: timedelta | float | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        for option in ("age", "ttl"):
            if getattr(self, option) is not None:
                ns = nanoseconds(getattr(self, option), option)
                object.__setattr__(self, option, timedelta(microseconds=ns / 1000))
        for option in ("count", "bytes"):
            value = getattr(self, option)
            if value is not None and (type(value) is not int or value < 1):
                raise InvalidOption(
                    f"{option} is an int of at least 1, not {value!r}", option=option
                )
        if self.expires_at is not None and (
            not isinstance(self.expires_at, datetime) or self.expires_at.tzinfo is None
        ):
            raise InvalidOption(
                f"expires_at is a datetime with a timezone, not {self.expires_at!r}",
                option="expires_at",
            )

    def as_record(self) -> dict[str, int]:
        """As it is stored: nanoseconds and counts, absent limits left out."""
        record: dict[str, int] = {}
        if self.age is not None:
            record["age_ns"] = nanoseconds(self.age, "age")
        if self.count is not None:
            record["count"] = self.count
        if self.bytes is not None:
            record["bytes"] = self.bytes
        if self.ttl is not None:
            record["ttl_ns"] = nanoseconds(self.ttl, "ttl")
        if self.expires_at is not None:
            since = self.expires_at - datetime(1970, 1, 1, tzinfo=UTC)
            record["expires_ns"] = (
                (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
            ) * 1000
        return record

    @classmethod
    def from_record(cls, record: dict[str, int]) -> Retention:
        """The inverse of :meth:`as_record`."""
        fields: dict[str, Any] = {}
        for option in ("age", "ttl"):
            if option + "_ns" in record:
                fields[option] = timedelta(microseconds=record[option + "_ns"] / 1000)
        for option in ("count", "bytes"):
            if option in record:
                fields[option] = record[option]
        if "expires_ns" in record:
            fields["expires_at"] = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
                microseconds=record["expires_ns"] // 1000
            )
        return cls(**fields)


NO_RETENTION = Retention()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a log behaves; see :func:`chanlog.open` for the meaning of each."""

    sync: SyncPolicy = "interval"
    sync_interval: float = 0.1
    segment_bytes: int = 32 * 1024 * 1024
    message_bytes_max: int = 16 * 1024 * 1024
    log_bytes_max: int | None = None
    retention: Retention = NO_RETENTION
    on_corruption: Literal["raise", "gap"] = "raise"
    background: bool = True

    def __post_init__(self) -> None:
        if self.sync not in SYNC_POLICIES:
            raise InvalidOption(
                f'sync is "always", "interval" or "os", not {self.sync!r}', option="sync"
            )
        nanoseconds(self.sync_interval, "sync_interval")
        if self.on_corruption not in ("raise", "gap"):
            raise InvalidOption(
                f'on_corruption is "raise" or "gap", not {self.on_corruption!r}',
                option="on_corruption",
            )
        self._check_int("segment_bytes", _SEGMENT_BYTES_MIN, _SEGMENT_BYTES_MAX)
        self._check_int("message_bytes_max", 1, _SEGMENT_BYTES_MAX // 2)
        if self.log_bytes_max is not None:
            self._check_int("log_bytes_max", _SEGMENT_BYTES_MIN, 1 << 62)
        if not isinstance(self.retention, Retention):
            raise InvalidOption(
                f"retention is a chanlog.Retention, not {self.retention!r}", option="retention"
            )

    def _check_int(self, option: str, least: int, most: int) -> None:
        value = getattr(self, option)
        if type(value) is not int or not least <= value <= most:
            raise InvalidOption(
                f"{option} is an int from {least:,} to {most:,}, not {value!r}", option=option
            )

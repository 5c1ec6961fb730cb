"""What a reader gets: messages, and explicit gaps where damage took some."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

__all__ = ["Gap", "Message"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Fields(NamedTuple):
    offset: int
    time_ns: int
    data: Any
    type: str | None = None
    key: str | None = None
    headers: Mapping[str, Any] | None = None
    sender: str | None = None


class Message(_Fields):
    """One unit of data in a channel. An immutable tuple, made by the C code of ``tuple``.

    ``offset`` is its number within the channel, from 0; ``time_ns`` when it was published, in
    nanoseconds since 1970 (never decreasing within a log); ``data`` the payload as msgpack
    carries it, always the reader's own copy; ``type``, ``key``, ``headers`` and ``sender`` are
    ``None`` where the publisher gave none.
    """

    __slots__ = ()

    @property
    def time(self) -> datetime:
        """When it was published, as an aware ``datetime`` in UTC (microseconds)."""
        return _EPOCH + timedelta(microseconds=self.time_ns // 1000)


class Gap(Message):
    """Offsets whose messages were lost to damage, met only where ``on_corruption="gap"`` let the
    log go on. ``offset`` is the first lost offset; ``data`` is the number of lost messages."""

    __slots__ = ()

    @property
    def missing(self) -> int:
        """How many messages are missing, from ``offset`` on."""
        missing: int = self.data
        return missing

"""Every exception chanlog raises, with the facts as attributes.

All derive from :class:`ChanlogError`. Mistakes in an argument derive from ``ValueError`` or
``TypeError`` as well, so that code which knows nothing of chanlog still catches them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = [
    "ChannelDeleted",
    "ChannelEnded",
    "ChannelExists",
    "ChannelNotFound",
    "ChanlogError",
    "CommitBehind",
    "CorruptionError",
    "Disconnected",
    "DiskFull",
    "EndOfChannel",
    "FormatError",
    "FormatTooNew",
    "ForkedProcess",
    "HandleClosed",
    "InvalidName",
    "InvalidOption",
    "LeaseLost",
    "LogClosed",
    "LogFailed",
    "LogLocked",
    "LogNotFound",
    "LogPermission",
    "MessageTooLarge",
    "NotALog",
    "OffsetTrimmed",
    "PayloadError",
    "ProducerFenced",
    "ReadOnly",
    "SequenceExpired",
    "SequenceGap",
    "UnexpectedOffset",
    "UnknownOffset",
    "Unsupported",
]


class ChanlogError(Exception):
    """The base of everything chanlog raises. Keyword facts become attributes."""

    def __init__(self, text: str, **facts: Any) -> None:
        super().__init__(text)
        self.__dict__.update(facts)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, dict(self.__dict__)))


def _rebuild(kind: type[ChanlogError], args: tuple[Any, ...], facts: dict[str, Any]) -> Any:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


# What a caller got wrong.


class InvalidOption(ChanlogError, ValueError):
    """An argument has a value it cannot have. ``option`` names it."""

    option: str


class InvalidName(ChanlogError, ValueError):
    """A channel, cursor, producer or group name is empty, too long, or holds control characters."""

    name: object


class PayloadError(ChanlogError, TypeError):
    """Something in a message cannot be carried by msgpack.

    ``where`` is the path inside the payload, such as ``data["steps"][2]``; ``kind`` the type.
    """

    where: str
    kind: type


class MessageTooLarge(ChanlogError, ValueError):
    """A message (or an atomic frame) exceeds a limit. ``size_bytes`` and ``bytes_max`` say by how
    much."""

    size_bytes: int
    bytes_max: int


# The state of a channel.


class ChannelNotFound(ChanlogError, LookupError):
    """The operation needs a channel that exists, and ``channel`` does not."""

    channel: str


class ChannelExists(ChanlogError):
    """``channel`` is to be created by a fork, and is there already."""

    channel: str


class ChannelEnded(ChanlogError):
    """A publish to a channel that has ended at ``end_offset``."""

    channel: str
    end_offset: int


class ChannelDeleted(ChanlogError):
    """The channel that this handle stood for has been deleted."""

    channel: str


class EndOfChannel(ChanlogError):
    """Everything of an ended channel has been read. Raised by ``get``; loops simply stop."""

    channel: str
    end_offset: int


# Offsets, cursors and producers.


class OffsetTrimmed(ChanlogError, LookupError):
    """``offset`` is below the channel's ``start_offset``: it was trimmed or retired."""

    channel: str
    offset: int
    start_offset: int


class UnknownOffset(ChanlogError, LookupError):
    """``offset`` lies in the future of a channel whose end offset is ``end_offset``."""

    channel: str
    offset: int
    end_offset: int


class UnexpectedOffset(ChanlogError):
    """``expect=`` did not hold: the channel's end offset is ``end_offset``."""

    channel: str
    expected: int
    end_offset: int


class CommitBehind(ChanlogError):
    """A cursor was to be committed below where it stands. Use ``seek`` to go back on purpose."""

    channel: str
    cursor: str
    offset: int
    position: int


class ProducerFenced(ChanlogError):
    """A newer epoch of this producer has opened; this one may no longer write."""

    channel: str
    producer: str
    epoch: int
    current_epoch: int


class SequenceGap(ChanlogError):
    """A sequence was skipped: ``expected`` is the next one, ``sequence`` was given."""

    channel: str
    producer: str
    sequence: int
    expected: int


class SequenceExpired(ChanlogError):
    """``sequence`` was published, so nothing was written again, but so long ago that its offset
    is no longer remembered. ``oldest`` is the first sequence that still is."""

    channel: str
    producer: str
    sequence: int
    oldest: int


class LeaseLost(ChanlogError):
    """The lease of a delivery is over: the message was, or will be, delivered to another consumer
    of ``group``, or is done with. What this consumer did may be done twice."""

    channel: str
    group: str
    offset: int


# What an engine across a network adds.


class Unsupported(ChanlogError, NotImplementedError):
    """The engine cannot do this. ``engine`` and ``feature`` name both; ``log.capabilities`` has
    what it can."""

    engine: str
    feature: str


class Disconnected(ChanlogError, ConnectionError):
    """The engine cannot be reached, and trying again until the time-out did not help.

    ``happened`` is ``False`` if it is certain that nothing was done, and ``None`` if it may have
    been: then a retry may double, unless a producer's sequence or ``expect=`` guards it.
    """

    engine: str
    happened: bool | None


# The state of a handle, a log, a directory.


class HandleClosed(ChanlogError):
    """A subscription or cursor was used after its ``close()``."""


class LogClosed(ChanlogError):
    """The log was closed, by ``close()`` or because the interpreter is exiting."""


class LogFailed(ChanlogError):
    """A write or sync failed, so nothing more is accepted on this log; what is durable can still
    be read. Open the log again: opening verifies what is on the disk. ``reason`` is the cause."""

    reason: BaseException


class DiskFull(ChanlogError, OSError):
    """There is no room for the next bytes. Nothing was written; try again when there is."""

    path: Path


class ReadOnly(ChanlogError):
    """The log was opened with ``read_only=True`` and cannot be changed through this handle."""


class ForkedProcess(ChanlogError):
    """The log was opened before ``os.fork()`` and is used in the child. Open it after the fork."""


class LogNotFound(ChanlogError, FileNotFoundError):
    """There is no log at ``path`` and it may not be created."""

    path: Path


class LogPermission(ChanlogError, PermissionError):
    """The operating system does not let this process use ``path``."""

    path: Path


class LogLocked(ChanlogError):
    """Another owner has the directory open: process ``pid`` (``None`` if it did not say)."""

    path: Path
    pid: int | None


class NotALog(ChanlogError):
    """``path`` holds files that are not a chanlog log."""

    path: Path


class FormatTooNew(ChanlogError):
    """``path`` was written by a newer version: format ``found``, and this code reads
    ``supported``."""

    path: Path
    found: int
    supported: int


class FormatError(ChanlogError):
    """Bytes that are not what the format says. ``position`` is where, if it is known."""

    position: int | None = None


class CorruptionError(ChanlogError):
    """Bytes that were durable are damaged. Nothing has been changed on the disk.

    ``path``, ``start`` and ``stop`` give the range of bytes; ``channel``, ``first_offset`` and
    ``stop_offset`` the messages in it, where that is known (else ``None``).
    """

    path: Path
    start: int
    stop: int
    channel: str | None
    first_offset: int | None
    stop_offset: int | None

"""The commands that write: pub, trim, rm, compact. Each opens the directory as its owner."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

import chanlog
from chanlog import ChanlogError, Channel, MessageTooLarge, PayloadError

from .output import Output
from .parser import usage_error
from .reading import existing
from .render import bytes_text, count_text, from_json

__all__ = ["compact", "pub", "rm", "trim"]

_READ_BYTES = 1 << 16
_LINE_BYTES_MAX = 16 * 1024 * 1024


class _Refused(ChanlogError):
    """An input line that is not what was announced."""


def pub(arguments: argparse.Namespace) -> int:
    """Publish arguments, or the lines of stdin."""
    output = Output(arguments)
    parse = _json_data if arguments.json else _bytes_data if arguments.bytes else _text_data
    options = {
        "type": arguments.type,
        "key": arguments.key,
        "headers": dict(arguments.header) if arguments.header else None,
        "durable": arguments.durable,
    }
    with chanlog.open(arguments.dir) as log:
        channel = log.channel(arguments.channel, sender=arguments.sender)
        publisher = _Publisher(channel, parse, options, output)
        try:
            if arguments.data:
                publisher.publish([os.fsencode(text) for text in arguments.data], "argument")
            else:
                if _stdin().isatty():
                    print("chanlog: a line is a message; Ctrl-D ends", file=sys.stderr)
                for lines in _lines():
                    publisher.publish(lines, "line")
        finally:
            publisher.tell()
    return 0


class _Publisher:
    """Publishes raw pieces, counting them, so that a bad one can be named by its number."""

    def __init__(
        self,
        channel: Channel,
        parse: Callable[[bytes], Any],
        options: dict[str, Any],
        output: Output,
    ) -> None:
        self.channel = channel
        self.parse = parse
        self.options = options
        self.output = output
        self.count = 0
        self.first: int | None = None
        self.last: int | None = None

    def publish(self, pieces: Sequence[bytes], what: str) -> None:
        """Publish ``pieces``; those before a bad one are published, and the error names it."""
        items: list[Any] = []
        refused: ValueError | None = None
        for piece in pieces:
            try:
                items.append(self.parse(piece))
            except ValueError as error:
                refused = error
                break
        try:
            self._publish(items)
        except (MessageTooLarge, PayloadError):
            # All or nothing was written: nothing. One by one shows which of them it is.
            for item in items:
                self._publish_one(item, what)
        if refused is not None:
            raise _Refused(f"{what} {self.count + 1}: {refused}") from refused

    def _publish_one(self, item: Any, what: str) -> None:
        try:
            self._publish([item])
        except (MessageTooLarge, PayloadError) as error:
            raise _Refused(f"{what} {self.count + 1}: {error}") from error

    def _publish(self, items: list[Any]) -> None:
        if not items:
            return
        offsets = self.channel.publish_many(items, **self.options)
        self.count += len(items)
        self.first = offsets[0] if self.first is None else self.first
        self.last = offsets[-1]
        if self.output.json:
            for offset in offsets:
                self.output.object({"channel": self.channel.name, "offset": offset})
        sys.stdout.flush()

    def tell(self) -> None:
        """Say what was published, also when something went wrong behind it."""
        if self.output.json:
            return
        name = self.channel.name
        if not self.count:
            self.output.text(f"published nothing to {name}")
        elif self.count == 1:
            self.output.text(f"published 1 message to {name}, offset {self.first}")
        else:
            self.output.text(
                f"published {self.count:,} messages to {name}, offsets {self.first} to {self.last}"
            )


def _stdin() -> TextIO:
    if sys.stdin is None:  # closed by whoever started us; descriptor 0 may be anything now
        raise usage_error("stdin is closed")
    return sys.stdin


def _lines() -> Iterator[list[bytes]]:
    """The lines of stdin as they come: those that one read brought, without their ends."""
    rest: list[bytes] = []
    rest_bytes = 0
    source = _stdin().fileno()
    while chunk := os.read(source, _READ_BYTES):
        *whole, last = chunk.split(b"\n")
        if whole:
            whole[0] = b"".join((*rest, whole[0]))
            rest, rest_bytes = [], 0
            yield whole
        rest.append(last)
        rest_bytes += len(last)
        if rest_bytes > _LINE_BYTES_MAX:
            raise _Refused(
                f"a line of stdin is longer than {_LINE_BYTES_MAX:,} bytes, the most a message "
                "can have"
            )
    if rest_bytes:
        yield [b"".join(rest)]


def _text_data(piece: bytes) -> str:
    try:
        return piece.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 at byte {error.start}; use --bytes") from None


def _bytes_data(piece: bytes) -> bytes:
    return piece


def _json_data(piece: bytes) -> Any:
    try:
        return from_json(piece.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def trim(arguments: argparse.Namespace) -> int:
    """Forget the oldest messages."""
    output = Output(arguments)
    with chanlog.open(arguments.dir, create=False) as log:
        before = existing(log, arguments.dir, arguments.channel)
        start = log.channel(arguments.channel).trim(arguments.before)
        count = max(0, start - before.start_offset)
        if output.json:
            output.object({"channel": before.name, "start_offset": start, "trimmed": count})
        else:
            output.text(
                f"trimmed {count_text(count, 'message')}; {before.name} now starts at {start}"
            )
    return 0


def rm(arguments: argparse.Namespace) -> int:
    """Delete channels."""
    output = Output(arguments)
    names: list[str] = list(dict.fromkeys(arguments.channel))
    with chanlog.open(arguments.dir, create=False) as log:
        count = sum(existing(log, arguments.dir, name).count for name in names)
        what = names[0] if len(names) == 1 else f"{len(names)} channels"
        question = f"delete {what} with {count_text(count, 'message')}?"
        if not arguments.yes and not _agreed(question):
            print("chanlog: nothing was deleted", file=sys.stderr)
            return 1
        for name in names:
            log.channel(name).delete()
            output.object({"deleted": name}) if output.json else output.text(f"deleted {name}")
    return 0


def _agreed(question: str) -> bool:
    if not _stdin().isatty():
        raise usage_error("rm asks before it deletes, and stdin is no terminal; use --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return _stdin().readline().strip().lower() in ("y", "yes")


def compact(arguments: argparse.Namespace) -> int:
    """Apply retention and rewrite sealed segments."""
    output = Output(arguments)
    with chanlog.open(arguments.dir, create=False) as log:
        before = log.statistics().disk_bytes
        log.compact()
        after = log.statistics().disk_bytes
    if output.json:
        output.object({"disk_bytes_before": before, "disk_bytes": after})
    else:
        output.text(f"{bytes_text(before)} on disk before, {bytes_text(after)} now")
    return 0

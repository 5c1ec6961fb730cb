"""The commands that only read: ls, info, tail, cursors, groups, verify. They work on a directory
that another process is writing."""

from __future__ import annotations

import argparse
import select
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import chanlog
from chanlog import ChannelInfo, ChannelNotFound, EndOfChannel, Log

from .output import Output
from .parser import usage_error
from .render import (
    bytes_text,
    count_text,
    group_json,
    group_text,
    info_json,
    retention_text,
    time_text,
)

__all__ = ["cursors", "groups", "info", "ls", "tail", "verify"]

_PEEK_SECONDS = 1.0


def existing(log: Log, directory: str, name: str) -> ChannelInfo:
    """The state of a channel that must be there."""
    found = log.channel(name).info()
    if not found.exists:
        raise ChannelNotFound(
            f"there is no channel {name!r} in {directory}; 'chanlog ls {directory}' lists them",
            channel=name,
        )
    return found


def _damage(arguments: argparse.Namespace) -> Literal["gap", "raise"]:
    return "gap" if arguments.gaps else "raise"


def ls(arguments: argparse.Namespace) -> int:
    """List channels."""
    output = Output(arguments)
    with chanlog.open(arguments.dir, read_only=True, on_corruption=_damage(arguments)) as log:
        names = log.channels(prefix=arguments.prefix, pattern=arguments.pattern)
        if not arguments.long:
            for name in names:
                output.object({"channel": name}) if output.json else print(name)
            return 0
        infos = (log.channel(name).info() for name in names)
        if output.json:
            for one in infos:
                output.object(info_json(one))
            return 0
        output.table(
            [("start", -10), ("end", -10), ("count", -10), ("last", 24), ("", 5), ("channel", 0)],
            (
                (
                    str(one.start_offset),
                    str(one.end_offset),
                    str(one.count),
                    time_text(one.last),
                    "ended" if one.ended else "",
                    one.name,
                )
                for one in infos
            ),
        )
    return 0


def info(arguments: argparse.Namespace) -> int:
    """Show a log or a channel."""
    output = Output(arguments)
    with chanlog.open(arguments.dir, read_only=True, on_corruption=_damage(arguments)) as log:
        if arguments.channel is not None:
            one = existing(log, arguments.dir, arguments.channel)
            output.object(info_json(one)) if output.json else output.facts(_channel_facts(one))
            return 0
        statistics = log.statistics()
        recovery: Any = log.recovery
        if output.json:
            output.object(
                {
                    "path": arguments.dir,
                    "channels": statistics.channels,
                    "segments": statistics.segments,
                    "segments_clustered": statistics.segments_clustered,
                    "disk_bytes": statistics.disk_bytes,
                    "clean": recovery.clean,
                    "torn": [_range(one) for one in recovery.torn],
                    "damage": [
                        {
                            **_range(one),
                            "channel": one.channel,
                            "first_offset": one.first_offset,
                            "stop_offset": one.stop_offset,
                        }
                        for one in recovery.damage
                    ],
                }
            )
            return 0
        clustered = statistics.segments_clustered
        output.facts(
            [
                ("path", arguments.dir),
                ("channels", f"{statistics.channels:,}"),
                ("segments", f"{statistics.segments:,} ({clustered:,} clustered)"),
                ("on disk", bytes_text(statistics.disk_bytes)),
                ("found", _recovery_text(recovery)),
            ]
        )
    return 0


def _range(one: Any) -> dict[str, Any]:
    return {"path": str(one.path), "start": one.start, "stop": one.stop}


def _recovery_text(recovery: Any) -> str:
    if recovery.clean:
        return "clean"
    found = [f"an unfinished write at the end of {one.path}" for one in recovery.torn]
    found += [f"damage in {one.path}, bytes {one.start} to {one.stop}" for one in recovery.damage]
    return "; ".join(found) or "not closed by its owner (or still open)"


def _channel_facts(one: ChannelInfo) -> Iterator[tuple[str, str]]:
    yield "channel", one.name
    yield "state", "ended" if one.ended else "open"
    yield "messages", f"{one.count:,}, offsets {one.start_offset} up to {one.end_offset}"
    yield "durable", f"below {one.durable_offset}"
    yield "created", time_text(one.created)
    yield "last", time_text(one.last)
    yield "keeps", retention_text(one.retention)
    if one.parent is not None:
        name, offset = one.parent
        yield "fork of", f"{name if name is not None else 'a deleted channel'} at {offset}"
    for name, position in sorted(one.cursors.items()):
        yield "cursor", f"{name} at {position}, lag {one.end_offset - position}"
    for name, group in sorted(one.groups.items()):
        yield "group", f"{name} at {group.position}, {group_text(group)}"
    for name, (epoch, sequence) in sorted(one.producers.items()):
        yield "producer", f"{name}, epoch {epoch}, next sequence {sequence}"


def cursors(arguments: argparse.Namespace) -> int:
    """List cursors."""
    output = Output(arguments)
    with chanlog.open(arguments.dir, read_only=True, on_corruption=_damage(arguments)) as log:
        if arguments.channel is not None:
            infos = iter([existing(log, arguments.dir, arguments.channel)])
        else:
            infos = (log.channel(name).info() for name in log.channels())
        found = (
            (one.name, name, position, one.end_offset - position)
            for one in infos
            for name, position in sorted(one.cursors.items())
        )
        if output.json:
            for channel, name, position, lag in found:
                output.object(
                    {"channel": channel, "cursor": name, "position": position, "lag": lag}
                )
            return 0
        output.table(
            [("position", -10), ("lag", -10), ("cursor", 20), ("channel", 0)],
            ((str(position), str(lag), name, channel) for channel, name, position, lag in found),
        )
    return 0


def groups(arguments: argparse.Namespace) -> int:
    """List consumer groups."""
    output = Output(arguments)
    with chanlog.open(arguments.dir, read_only=True, on_corruption=_damage(arguments)) as log:
        if arguments.channel is not None:
            infos = iter([existing(log, arguments.dir, arguments.channel)])
        else:
            infos = (log.channel(name).info() for name in log.channels())
        found = ((one.name, group) for one in infos for group in one.groups.values())
        if output.json:
            for channel, group in found:
                output.object({"channel": channel, "group": group.name, **group_json(group)})
            return 0
        output.table(
            [
                ("position", -10),
                ("pending", -10),
                ("waiting", -10),
                ("lag", -10),
                ("dead", -10),
                ("group", 20),
                ("channel", 0),
            ],
            (
                (*map(str, group_json(group).values()), group.name, channel)
                for channel, group in found
            ),
        )
    return 0


def tail(arguments: argparse.Namespace) -> int:
    """Print a channel, and follow it."""
    output = Output(arguments)
    types = None
    if arguments.types is not None:
        types = [kind.strip() for kind in arguments.types.split(",") if kind.strip()]
        if not types:
            raise usage_error("--types wants names, such as --types token,status")
    with chanlog.open(arguments.dir, read_only=True, on_corruption=_damage(arguments)) as log:
        channel = log.channel(arguments.channel)
        if arguments.follow:
            if not channel.info().exists:
                print(f"chanlog: waiting for channel {arguments.channel!r}", file=sys.stderr)
            stop = None
        else:
            # A writer may be faster than the reader; without -f the end is the end as of now.
            stop = existing(log, arguments.dir, arguments.channel).end_offset
        with channel.subscribe(
            after=arguments.after,
            last=arguments.last,
            since=None if arguments.since is None else _time(arguments.since),
            types=types,
        ) as subscription:
            _print_all(output, subscription, stop)
    return 0


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise usage_error(
            f"--since {text!r} is not a time such as 2026-01-31T12:00:00+01:00"
        ) from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _print_all(output: Output, subscription: chanlog.Subscription, stop: int | None) -> None:
    """Print up to ``stop``, or for ever; what is printed is flushed before it waits."""
    while stop is None or subscription.offset < stop:
        try:
            message = subscription.get(timeout=0)
            if message is None:
                sys.stdout.flush()
                if stop is not None:
                    return
                if _reader_gone():
                    raise BrokenPipeError
                message = subscription.get(timeout=_PEEK_SECONDS)
        except EndOfChannel:
            return
        if message is not None and (stop is None or message.offset < stop):
            output.message(message)


def _reader_gone() -> bool:
    """Whether nobody reads our pipe any more, which a program that waits is not told."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (AttributeError, OSError, ValueError):
        return False
    return any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))


def verify(arguments: argparse.Namespace) -> int:
    """Check every batch."""
    output = Output(arguments)
    with output.progress("verifying") as progress:
        report = chanlog.verify(arguments.dir, progress=progress)
    for problem in report.problems:
        if output.json:
            output.object({"problem": problem.text, **_range(problem)})
        else:
            where = f"{problem.path}, bytes {problem.start} to {problem.stop}"
            output.text(f"{where}: {problem.text}", style="bold red")
    for tail_ in report.torn:
        if output.json:
            output.object({"torn": tail_.text, **_range(tail_)})
        else:
            # No damage: what a crash leaves, or what its owner is writing right now.
            output.text(f"unfinished: {tail_.path}, bytes {tail_.start} to {tail_.stop}")
    if output.json:
        output.object(
            {
                "segments": report.segments,
                "batches": report.batches,
                "messages": report.messages,
                "bytes": report.bytes,
                "torn": len(report.torn),
                "problems": len(report.problems),
            }
        )
    else:
        count = len(report.problems)
        verdict = count_text(count, "problem") if count else "all is well"
        output.text(
            f"{verdict}: {count_text(report.segments, 'segment')}, "
            f"{count_text(report.batches, 'batch', 'batches')}, "
            f"{count_text(report.messages, 'message')}, {bytes_text(report.bytes)}",
            style="bold red" if count else "green",
        )
    return 1 if report.problems else 0

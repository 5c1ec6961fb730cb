"""Messages and facts as text: for people in lines, for programs as JSON. Pure functions."""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from chanlog import ChannelInfo, Gap, GroupInfo, Message, Retention

__all__ = [
    "bytes_text",
    "count_text",
    "data_text",
    "duration_text",
    "from_json",
    "group_json",
    "group_text",
    "info_json",
    "line",
    "message_json",
    "retention_text",
    "time_text",
    "to_json",
]


def time_text(time: datetime | None) -> str:
    """UTC with milliseconds, always 24 characters; a dash where there is none."""
    if time is None:
        return "-"
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


def duration_text(seconds: float) -> str:
    """In the unit that suits: ``0.087 ms``, ``4.21 ms``, ``42.1 ms``, ``138 ms``, ``1.3 s``."""
    if seconds < 1:
        milliseconds = seconds * 1e3
        bounds = ((0.1, 3), (10, 2), (100, 1))
        digits = next((digits for bound, digits in bounds if milliseconds < bound), 0)
        return f"{milliseconds:.{digits}f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"


def bytes_text(count: int) -> str:
    """A size people can read: ``512 B``, ``1.4 MiB``."""
    size, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


def count_text(count: int, what: str, many: str | None = None) -> str:
    """``1 message``, ``2,000 messages``."""
    return f"1 {what}" if count == 1 else f"{count:,} {many or what + 's'}"


def _jsonable(value: Any) -> Any:
    """What JSON cannot say is said with a ``$`` key, so that nothing looks like something else."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else to_json(key): _jsonable(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple) and not hasattr(value, "code"):
        return [_jsonable(item) for item in value]
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    if hasattr(value, "code") and hasattr(value, "data"):  # an extension type of msgpack
        return {"$ext": value.code, "data": base64.b64encode(value.data).decode()}
    return {"$repr": repr(value)}


def to_json(value: Any, *, ascii_only: bool = False) -> str:
    """One line of JSON, all of it printable, for whatever a message can carry."""
    try:
        return _to_json(value, ascii_only)
    except RecursionError:
        # Deeper than Python's guess of what is sane; a message may be.
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + 10_000)
        try:
            return _to_json(value, ascii_only)
        finally:
            sys.setrecursionlimit(limit)


def _to_json(value: Any, ascii_only: bool) -> str:
    shown = json.dumps(_jsonable(value), ensure_ascii=ascii_only, allow_nan=False)
    if shown.isprintable():
        return shown
    # json leaves DEL, the upper controls and line separators as they are; terminals obey some.
    shown = json.dumps(_jsonable(value), ensure_ascii=True, allow_nan=False)
    return shown.replace("\x7f", "\\u007f")


def from_json(text: str | bytes) -> Any:
    """The payload that a line of JSON stands for; ``ValueError`` if it is not JSON."""

    def special(pairs: list[tuple[str, Any]]) -> Any:
        if len(pairs) == 1 and pairs[0][0] == "$bytes" and isinstance(pairs[0][1], str):
            return base64.b64decode(pairs[0][1], validate=True)
        return dict(pairs)

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, object_pairs_hook=special, parse_constant=refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def data_text(data: Any) -> str:
    """A payload for people, on one line: text as it is, all else as JSON.

    Text with control characters is shown as JSON too: what was published must not be able to
    move somebody's cursor or recolour their terminal.
    """
    if isinstance(data, bytes):
        try:
            data = data.decode()
        except UnicodeDecodeError:
            return f"base64:{base64.b64encode(data).decode()}"
    if isinstance(data, str) and data.isprintable():
        return data
    return to_json(data)


def line(message: Message) -> tuple[str, str, str, str]:
    """A message for people: offset, time, who and what kind, the rest."""
    offset, time = f"{message.offset:>7}", time_text(message.time)
    if isinstance(message, Gap):
        time = f"{'-':<{len(time)}}"  # when they were published is lost too
        stop = message.offset + message.missing
        return (
            offset,
            time,
            "GAP",
            f"{count_text(message.missing, 'message')} lost to damage, next is {stop}",
        )
    who = f"{data_text(message.sender or '-')} {data_text(message.type or '-')}"
    extra = "" if message.key is None else f"[{data_text(message.key)}] "
    for key, value in (message.headers or {}).items():
        extra += f"{data_text(key)}={data_text(value)} "
    return offset, time, who, extra + data_text(message.data)


def message_json(message: Message) -> dict[str, Any]:
    """A message for programs; ``type``, ``key``, ``headers``, ``sender`` only where given."""
    made: dict[str, Any] = {"offset": message.offset, "time_ns": message.time_ns}
    if isinstance(message, Gap):
        return {**made, "gap": message.missing}
    for name in ("type", "key", "headers", "sender"):
        if (value := getattr(message, name)) is not None:
            made[name] = value
    made["data"] = message.data
    return made


def retention_text(retention: Retention) -> str:
    """``count 100, age 1 day``, or ``everything``."""
    limits = [f"{name} {value}" for name, value in _limits(retention).items()]
    return ", ".join(limits) or "everything"


def _limits(retention: Retention) -> dict[str, Any]:
    names = ("age", "count", "bytes", "ttl", "expires_at")
    limits = {name: getattr(retention, name) for name in names}
    return {name: value for name, value in limits.items() if value is not None}


def group_text(group: GroupInfo) -> str:
    """``2 pending, 1 waiting, lag 40, 0 dead``."""
    return f"{group.pending} pending, {group.waiting} waiting, lag {group.lag}, {group.dead} dead"


def group_json(group: GroupInfo) -> dict[str, int]:
    """What a consumer group is at, for programs."""
    return {
        "position": group.position,
        "pending": group.pending,
        "waiting": group.waiting,
        "lag": group.lag,
        "dead": group.dead,
    }


def info_json(info: ChannelInfo) -> dict[str, Any]:
    """A channel's state for programs. Times are ISO 8601 in UTC, durations text."""
    return {
        "channel": info.name,
        "ended": info.ended,
        "start_offset": info.start_offset,
        "end_offset": info.end_offset,
        "durable_offset": info.durable_offset,
        "count": info.count,
        "created": time_text(info.created) if info.created else None,
        "last": time_text(info.last) if info.last else None,
        "retention": {name: str(value) for name, value in _limits(info.retention).items()},
        "cursors": dict(info.cursors),
        "producers": {
            name: {"epoch": epoch, "sequence": sequence}
            for name, (epoch, sequence) in info.producers.items()
        },
        "groups": {name: group_json(group) for name, group in info.groups.items()},
        "parent": None
        if info.parent is None
        else {"channel": info.parent[0], "offset": info.parent[1]},
    }

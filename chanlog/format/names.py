"""Every file name of a log directory, made and read here and nowhere else.

CHANLOG                             the marker: this is a log, of this format version
lock                                held by the owner, with its pid inside
catalog                             the last snapshot of all channels
0000000007.log                      raw segment 7, as it was written
0000000003-0000000006.seg           segments 3 to 6, clustered by channel
0000000007.log.torn-4711            a torn tail, from position 4711, kept aside
0000000007.log.torn-4711.1          another one, from the same position
*.tmp                               unfinished; removed by the next opening
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = [
    "CATALOG",
    "LOCK",
    "MARKER",
    "clustered_name",
    "is_ours",
    "parse_clustered",
    "parse_raw",
    "raw_name",
    "segment_files",
    "temporary",
    "torn_name",
]

MARKER = "CHANLOG"
LOCK = "lock"
CATALOG = "catalog"
TEMPORARY = ".tmp"

_RAW = re.compile(r"(\d{10})\.log")
_CLUSTERED = re.compile(r"(\d{10})-(\d{10})\.seg")
_TORN = re.compile(r"\d{10}\.log\.torn-\d+(\.\d+)?")


def raw_name(number: int) -> str:
    """The file of raw segment ``number``."""
    return f"{number:010d}.log"


def clustered_name(first: int, last: int) -> str:
    """The file that holds segments ``first`` to ``last``, clustered."""
    return f"{first:010d}-{last:010d}.seg"


def torn_name(name: str, position: int, place: int = 0) -> str:
    """Where the tail of ``name`` that was cut at ``position`` is kept; ``place`` counts those that
    were cut at the same position."""
    return f"{name}.torn-{position}" + (f".{place}" if place else "")


def temporary(name: str) -> str:
    """What ``name`` is called until it is complete."""
    return name + TEMPORARY


def parse_raw(name: str) -> int | None:
    """The number of a raw segment file, or ``None`` for another name."""
    match = _RAW.fullmatch(name)
    return int(match[1]) if match else None


def parse_clustered(name: str) -> tuple[int, int] | None:
    """The first and last segment in a clustered file, or ``None`` for another name."""
    match = _CLUSTERED.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def segment_files(
    names: Iterable[str],
) -> tuple[list[tuple[tuple[int, int], str]], list[str]]:
    """The segments among ``names`` as (first and last number, name), in order; and the leftovers.

    A file whose numbers another, clustered file covers is what that was made from, and left over.
    """
    clustered = {span: name for name in names if (span := parse_clustered(name)) is not None}
    spans = list(clustered.items())
    spans += [((number, number), name) for name in names if (number := parse_raw(name)) is not None]
    found, leftovers = [], []
    for span, name in sorted(spans):
        if any(
            first <= span[0] and span[1] <= last and other != name
            for (first, last), other in clustered.items()
        ):
            leftovers.append(name)
        else:
            found.append((span, name))
    return found, leftovers


def is_ours(name: str) -> bool:
    """Whether ``name`` belongs to a log directory."""
    return (
        name in (MARKER, LOCK, CATALOG)
        or name.endswith(TEMPORARY)
        or any(pattern.fullmatch(name) for pattern in (_RAW, _CLUSTERED, _TORN))
    )

"""The scenarios: each does one kind of thing, so that every call it makes can go wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

from .running import Scenario, open_log
from .steps import (
    Close,
    Commit,
    Compact,
    Delete,
    End,
    Fork,
    Frame,
    Look,
    Open,
    OpenProducer,
    Produce,
    Publish,
    PublishMany,
    Read,
    Step,
    Sync,
    SyncQuietly,
    Trim,
    Upkeep,
)

__all__ = ["SCENARIOS", "make"]

_OPEN, _CLOSE, _SYNC, _LOOK = Open(), Close(), Sync(), Look()
_ROLL = Compact()


def _large(number: int) -> bytes:
    """Four of these fill a segment."""
    return b"%d" % number * 15_000


_HISTORY: tuple[Step, ...] = (
    Publish("a", "first"),
    PublishMany("a", tuple(range(5))),
    Publish("b", {"other": "channel"}),
    Commit("a", 2),
)
# Three segments and a bit, with two channels in each.
_SEGMENTS: tuple[Step, ...] = tuple(
    step
    for number in range(13)
    for step in (Publish("a", _large(number)), Publish("b", f"between {number}"))
)


def _tear(path: Path) -> None:
    """A batch that was being stored behind the tail."""
    raw = max(path.glob("*.log"))
    content = bytearray(raw.read_bytes())
    tail = len(content.rstrip(b"\0"))
    content[tail + 3 : tail + 60] = b"\xc1" * 57
    raw.write_bytes(content)


def _leave_behind(path: Path) -> None:
    """What a compaction, a catalog and a roll have not finished."""
    (path / "catalog.tmp").write_bytes(b"half a catalog")
    (path / "0000000001-0000000001.log.tmp").write_bytes(b"half a segment")


def _lose_catalog(path: Path) -> None:
    (path / "catalog").unlink()


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "make",
        (),
        (_OPEN, Publish("a", "first"), Publish("a", "second", durable=True), _CLOSE),
    ),
    Scenario(
        "append",
        _HISTORY,
        (
            _OPEN, Publish("a", "more"), PublishMany("a", ("x", "y")), Publish("new", 1),
            Frame((Publish("a", "framed"), Publish("b", "framed"), Commit("a", 4))), _LOOK, _CLOSE,
        ),
    ),
    Scenario(
        "durable",
        _HISTORY,
        (
            _OPEN, Publish("a", "one", durable=True), Publish("a", "two"), _SYNC,
            Publish("new", "three", durable=True), Publish("a", "four"), SyncQuietly(),
            Frame((Publish("a", 5), Publish("new", 6)), durable=True), _CLOSE,
        ),
    ),
    Scenario(
        "always",
        _HISTORY,
        (
            _OPEN, Publish("a", "one"), Publish("new", "two"), Commit("a", 3), Trim("a", 2),
            End("b"), Publish("a", "last"), _LOOK, _CLOSE,
        ),
        {"sync": "always"},
    ),
    Scenario(
        "large",
        _HISTORY,
        (
            _OPEN, Publish("a", b"x" * 100_000, durable=True), Publish("a", "small"),
            Publish("new", b"y" * 70_000, durable=True), _LOOK, _CLOSE,
        ),
        {"segment_bytes": 1 << 20},
    ),
    Scenario(
        "roll",
        _HISTORY,
        (
            _OPEN, *(Publish("a", _large(number)) for number in range(6)), _SYNC,
            *(Publish("b", _large(number)) for number in range(4)),
            Publish("a", "last", durable=True), _LOOK, _CLOSE,
        ),
    ),
    Scenario(
        "grow",
        _HISTORY,
        (_OPEN, *(Publish("a", _large(number)) for number in range(9)), _LOOK, _CLOSE),
        {"segment_bytes": 1 << 20},
    ),
    Scenario(
        "cluster",
        _SEGMENTS,
        (_OPEN, Compact(), _LOOK, Publish("a", "behind"), Compact(), _LOOK, _CLOSE),
    ),
    Scenario(
        "upkeep",
        _HISTORY,
        (
            _OPEN, *_SEGMENTS[:14], Upkeep(), Publish("a", "behind", durable=True),
            *_SEGMENTS[:10], Upkeep(), _LOOK, _CLOSE,
        ),
    ),
    Scenario(
        "trim",
        _SEGMENTS,
        (_OPEN, Compact(), Trim("a", 9), Compact(), _LOOK, Trim("a", 13), Trim("b", 13),
         Upkeep(), Publish("b", "behind"), Compact(), _LOOK, _CLOSE),
    ),
    Scenario(
        "delete",
        (*_SEGMENTS[:8], _ROLL, Publish("a", "later")),
        (
            _OPEN, Delete("a"), Compact(), Publish("b", 1), Compact(), _LOOK, Delete("b"),
            Compact(), Publish("b", "anew"), Compact(), Compact(), _LOOK, _CLOSE, _OPEN, _LOOK,
            _CLOSE,
        ),
    ),
    Scenario(
        "drop",
        (PublishMany("a", (1, 2, 3)), Publish("keep", 1)),
        (
            _OPEN, Publish("b", "to be deleted"), Compact(), Publish("c", "to be deleted"),
            Compact(), Delete("b"), Delete("a"), Compact(), Delete("c"), Compact(), Compact(),
            Upkeep(), _LOOK, _CLOSE, _OPEN, _LOOK, _CLOSE,
        ),
    ),
    Scenario(
        "fork",
        _SEGMENTS[:9],
        (
            _OPEN, Fork("a", "fork", 3), Publish("fork", "own"), Publish("a", "not in the fork"),
            Compact(), Delete("a"), Compact(), Fork("fork", "again", 4), _LOOK, _CLOSE,
        ),
    ),
    Scenario(
        "end",
        _HISTORY,
        (
            _OPEN, End("a"), End("of nothing"), Publish("b", "on"), Compact(), End("b"), _SYNC,
            _LOOK, _CLOSE,
        ),
    ),
    Scenario("close", _HISTORY, (_OPEN, Publish("a", "more"), _CLOSE)),
    Scenario(
        "reopen",
        _SEGMENTS,
        (_OPEN, _LOOK, _CLOSE, _OPEN, Publish("a", "more"), _CLOSE, _OPEN, _LOOK, _CLOSE),
    ),
    Scenario(
        "recover",
        (*_HISTORY, _SYNC, Publish("a", "not synced"), Publish("new", 1)),
        (_OPEN, _LOOK, Publish("a", "on", durable=True), _CLOSE),
        crashed=True,
        spoil=_tear,
    ),
    Scenario(
        "recover segments",
        (*_SEGMENTS[:6], _ROLL, *_SEGMENTS[:12]),
        (_OPEN, Publish("a", "on", durable=True), Compact(), _LOOK, _CLOSE),
        crashed=True,
        spoil=_leave_behind,
    ),
    Scenario(
        "catalog",
        (*_SEGMENTS[:8], _ROLL, *_HISTORY, End("b")),
        (_OPEN, _LOOK, Publish("a", "on"), _CLOSE),
        spoil=_lose_catalog,
    ),
    Scenario(
        "cursor",
        _HISTORY,
        (
            _OPEN, Commit("a", 3), Commit("a", 4, durable=True), Commit("b", 0),
            Frame((Publish("b", "done"), Commit("a", 5))), Compact(), _LOOK, _CLOSE,
        ),
    ),
    Scenario(
        "producer",
        (OpenProducer("a"), Produce("a", 0, "zero"), Produce("a", 1, "one")),
        (
            _OPEN, Produce("a", 1, "one"), Produce("a", 2, "two"), Compact(),
            Produce("a", 2, "two"), OpenProducer("new"), Produce("new", 0, "zero"),
            Produce("new", 0, "zero"), _LOOK, _CLOSE,
        ),
        {"sync": "always"},
    ),
    Scenario(
        "read",
        (*_SEGMENTS, _ROLL, *_HISTORY),
        (_OPEN, Read("a"), Read("b"), _LOOK, Publish("a", "more"), Read("a"), _CLOSE),
    ),
)  # fmt: skip


def make(scenario: Scenario, path: Path) -> None:
    """The directory as it is before the steps."""
    if not scenario.before:
        return
    alive = path if not scenario.crashed else path.with_name(path.name + "-alive")
    log = open_log(alive, scenario)
    for step in scenario.before:
        step.do(log)
    if scenario.crashed:
        shutil.copytree(alive, path)
    log.close()
    if scenario.crashed:
        shutil.rmtree(alive)
    if scenario.spoil is not None:
        scenario.spoil(path)

"""Listing the channels of a log: sorted, lazy, by prefix and by pattern."""

from __future__ import annotations

import fnmatch
import itertools

import pytest

from ..support import run

NAMES = [
    "a",
    "a/b",
    "a/b/c",
    "ab",
    "b",
    "workflow-1",
    "workflow-10",
    "workflow-2",
    "Workflow-1",
    "[x]",
    "star*",
    "w\u00f6rk",
    "\u65e5\u672c",
    "\U0001f600",
    "z" * 500,
    " space ",
]


@pytest.fixture
def full(log):
    for name in reversed(NAMES):
        log.channel(name).publish(1)
    return log


def listed(log, face, **options):
    if face.kind == "thread":
        return list(log.channels(**options))

    async def main():
        return [name async for name in log.achannels(**options)]

    return run(main())


def test_all_sorted(full, face):
    assert listed(full, face) == sorted(NAMES)


@pytest.mark.parametrize("prefix", ["", "a", "a/", "workflow-", "workflow-1", "w", "zz", "\u65e5"])
def test_by_prefix(full, face, prefix):
    expected = sorted(name for name in NAMES if name.startswith(prefix))
    assert listed(full, face, prefix=prefix) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "a*",
        "?",
        "workflow-?",
        "*-1*",
        "[ab]",
        "[!ab]",
        "[[]x]",
        "star[*]",
        "nothing",
        "w*k",
        "a",
    ],
)
def test_by_pattern(full, face, pattern):
    expected = sorted(name for name in NAMES if fnmatch.fnmatchcase(name, pattern))
    assert listed(full, face, pattern=pattern) == expected


def test_by_both(full, face):
    assert listed(full, face, prefix="workflow", pattern="*1") == ["workflow-1"]
    assert listed(full, face, prefix="a", pattern="w*") == []


def test_only_channels_that_exist(log, face):
    log.channel("opened")
    log.channel("opened").subscribe().close()
    log.channel("published").publish(1)
    log.channel("deleted").publish(1)
    log.channel("deleted").delete()
    log.channel("ended").end()
    log.channel("forked-from").publish(1)
    log.channel("forked-from").fork("forked")
    log.channel("produced").producer("p")
    assert listed(log, face) == ["ended", "forked", "forked-from", "produced", "published"]


def test_lazily(log):
    for n in range(2000):
        log.channel(f"c{n:04d}").publish(n)
    names = log.channels()
    assert iter(names) is names
    assert list(itertools.islice(names, 3)) == ["c0000", "c0001", "c0002"]
    assert next(names) == "c0003"
    assert len(list(names)) == 1996


def test_channels_that_come_and_go_meanwhile(log):
    """Those that were there all the time show exactly once, in order."""
    for n in range(1000):
        log.channel(f"c{n:04d}").publish(n)
    seen = []
    for place, name in enumerate(log.channels()):
        seen.append(name)
        if place % 10 == 0:
            log.channel(f"new-{place}").publish(1)
            log.channel(f"a{place}").publish(1)
        if place == 500:
            log.channel("c0999").delete()
            log.channel("c0000").delete()
    stayed = [f"c{n:04d}" for n in range(999)]
    assert seen == sorted(seen)
    assert [name for name in seen if name.startswith("c") and name != "c0999"] == stayed


def test_after_reopening_and_compaction(disk, face):
    with disk.open() as log:
        for name in NAMES:
            log.channel(name).publish(1)
        for n in range(3000):
            log.channel(f"many-{n}").publish(n)
        log.channel("a").delete()
        log.compact()
    expected = sorted([*NAMES[1:], *(f"many-{n}" for n in range(3000))])
    for _ in range(2):
        with disk.open() as log:
            assert listed(log, face) == expected
            assert listed(log, face, prefix="many-29") == sorted(
                name for name in expected if name.startswith("many-29")
            )
            log.channel("new").publish(1)
            assert "new" in listed(log, face)
            log.channel("new").delete()

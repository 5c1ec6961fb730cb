"""A change of a channel that nothing else touched since the log was opened.

What is warm is written into every snapshot anyway, so these begin with a log that was closed.
"""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest

import chanlog

CHANGES = {
    "commit": lambda log: log.channel("a").cursor("c").commit(1),
    "seek": lambda log: log.channel("a").cursor("c").seek(2),
    "end": lambda log: log.channel("a").end(),
    "trim": lambda log: log.channel("a").trim(2),
    "trim all": lambda log: log.channel("a").trim(3),
    "delete": lambda log: log.channel("a").delete(),
    "configure": lambda log: log.channel("a").configure(
        chanlog.Retention(age=timedelta(days=9), count=7)
    ),
    "producer": lambda log: log.channel("a").producer("p", epoch=4),
    "fork": lambda log: log.channel("a").fork("fork", at=2),
    "publish": lambda log: log.channel("a").publish("more"),
}


def told(log):
    """All that a log says of its channels, but what is durable."""
    found = {}
    for name in log.channels():
        info = log.channel(name).info()
        fields = {k: getattr(info, k) for k in info.__slots__ if k != "durable_offset"}
        found[name] = (fields, [(m.offset, m.data) for m in log.channel(name).replay()])
    return found


@pytest.mark.parametrize("ending", ["close", "crash", "compact"])
@pytest.mark.parametrize("change", CHANGES)
def test_it_survives(disk, tmp_path, change, ending):
    with disk.open() as log:
        log.channel("a").publish_many(range(3))
    log = disk.open()
    before = told(log)
    CHANGES[change](log)
    expected = told(log)
    assert expected != before
    if ending == "compact":
        log.compact()
        assert told(log) == expected
    if ending == "crash":
        shutil.copytree(tmp_path / "log", tmp_path / "dead")
        disk.path = tmp_path / "dead"
    else:
        log.close()
    for _ in range(2):
        with disk.open() as log:
            assert told(log) == expected


@pytest.mark.parametrize("catalog", ["kept", "lost"])
def test_two_of_a_kind(disk, tmp_path, catalog):
    """Cursors and producers are told apart by their names wherever they are written down."""
    with disk.open() as log:
        log.channel("a").publish_many(range(9))
        for number, name in enumerate(["c", "d", "e"]):
            log.channel("a").cursor(name).commit(2 * number)
            log.channel("a").producer(name, epoch=number)
        expected = told(log)
        assert len(expected["a"][0]["cursors"]) == len(expected["a"][0]["producers"]) == 3
        log.compact()
    if catalog == "lost":
        (tmp_path / "log" / "catalog").unlink()
    with disk.open() as log:
        assert told(log) == expected

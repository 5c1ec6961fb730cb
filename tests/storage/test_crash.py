"""The process dies between two calls to the system, wherever that is: each moment is kept as a
copy of the directory, and each copy is opened."""

from __future__ import annotations

import os
from typing import Any

import pytest

import chanlog

from .worlds import Recorder, contents, open_log, tell


@pytest.fixture
def recorder(tmp_path) -> Recorder:
    return Recorder(tmp_path / "log", tmp_path / "images")


def assert_same(image: Any, call: str, expected: dict) -> None:
    with open_log(image) as log:
        assert contents(log) == expected, call
        assert log.recovery.torn == []
        end = expected["agent"][0].end_offset
        assert log.channel("agent").publish("next") == end, call
    with open_log(image) as log:
        assert log.recovery.clean
        assert log.channel("agent").info().end_offset == end + 1
    assert not [name for name in os.listdir(image) if name.endswith(".tmp")]


def test_compacting(recorder):
    """Catalog, clustering, and the removal of what was clustered."""
    with open_log(recorder.path, host=recorder.host()) as log:
        tell(log)
        expected = contents(log)
        recorder.recording = True
        log.compact()
        calls = list(recorder)
        recorder.recording = False
    assert len(calls) > 15
    for call, image in calls:
        assert_same(image, call, expected)


def test_joining_and_dropping(recorder):
    """Clustered segments that are rewritten for their dead space, and joined."""
    with open_log(recorder.path, host=recorder.host(), segment_bytes=1 << 20) as log:
        tell(log)
        for number in range(5):
            log.channel("bulk").publish_many([b"x" * 900] * 10)
            log._store.roll()
            log.channel(f"later-{number}").publish(number)
        log.compact()
        log.channel("bulk").trim(45)
        expected = contents(log)
        recorder.recording = True
        log.compact()
        calls = list(recorder)
        recorder.recording = False
    assert any(call.startswith("rename 0000000001-00000000") for call, _ in calls)
    for call, image in calls:
        assert_same(image, call, expected)


def test_closing(recorder):
    with open_log(recorder.path, host=recorder.host()) as log:
        tell(log)
        expected = contents(log)
        recorder.recording = True
    for call, image in recorder:
        assert_same(image, call, expected)


def test_opening_after_a_crash(recorder):
    """Dying while recovering from having died."""
    with open_log(recorder.path, host=recorder.host()) as log:
        tell(log)
        log.compact()
        log.channel("agent").publish("after the catalog")
        log.channel("agent").publish("torn")
        expected = contents(log)
        tail = log._store.active.tail
        recorder.recording = True
        ((_, image),) = recorder
        recorder.recording = False
    info, messages = expected["agent"]
    (raw,) = image.glob("*.log")
    with open(raw, "r+b") as file:
        file.seek(tail - 3)
        file.write(b"\xc1\xc1\xc1")
    second = Recorder(image, recorder.images.parent / "second")
    second.recording = True
    with open_log(image, host=second.host()):
        calls = list(second)
        second.recording = False
    assert len(calls) > 5
    for call, copy in calls:
        with open_log(copy) as log:
            found = contents(log)
            assert found["agent"][1] == messages[:-1], call
            assert found["agent"][0].end_offset == info.end_offset - 1
            assert {**found, "agent": 0} == {**expected, "agent": 0}
        assert list(copy.glob("*.torn-*")), call


def test_making_a_log(recorder):
    """A new log is a log, or nothing, at every moment."""
    recorder.path.mkdir()
    recorder.recording = True
    with open_log(recorder.path, host=recorder.host()) as log:
        log.channel("agent").publish("first")
        calls = list(recorder)
        recorder.recording = False
    assert len(calls) > 5
    for _, image in calls:
        with open_log(image) as log:
            assert log.channel("agent").info().end_offset in (0, 1)
            assert log.channel("agent").publish("next") in (0, 1)


def test_rolling(recorder):
    """Segments end and begin while it is written: what was acknowledged is there."""
    acknowledged = []
    with open_log(recorder.path, host=recorder.host()) as log:
        channel = log.channel("agent")
        recorder.recording = True
        for number in range(40):
            channel.publish(b"%d" % number * 2000)
            acknowledged.append(len(recorder.calls))
        calls = list(recorder)
        recorder.recording = False
        assert log.statistics().segments > 2
    for place, (call, image) in enumerate(calls):
        done = sum(count <= place for count in acknowledged)
        with open_log(image) as log:
            found = [m.data for m in log.channel("agent").replay()]
            assert len(found) in (done, done + 1), call
            assert found == [b"%d" % number * 2000 for number in range(len(found))]
            assert log.recovery.torn == []


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("how", ["missing", "empty", "damaged", "of another log", "older"])
def test_a_catalog_that_cannot_be_used(tmp_path, compacted, how):
    """It is made anew from the log, and says the same of every channel."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.channel("before").publish(0)
    older = (path / "catalog").read_bytes()
    with open_log(path) as log:
        tell(log)
        if compacted:
            log.compact()
            log.channel("agent").publish("behind what was compacted")
        expected = contents(log)
    catalog = path / "catalog"
    content = bytearray(catalog.read_bytes())
    if how == "missing":
        catalog.unlink()
    elif how == "empty":
        catalog.write_bytes(b"")
    elif how == "older":
        catalog.write_bytes(older)
    elif how == "damaged":
        content[len(content) // 2] ^= 1
        catalog.write_bytes(bytes(content))
    else:
        with open_log(tmp_path / "other") as other:
            other.channel("x").publish(1)
        catalog.write_bytes((tmp_path / "other" / "catalog").read_bytes())
    with open_log(path) as log:
        assert log.recovery.catalog_rebuilt == (how != "older")
        assert contents(log) == expected
        producer = log.channel("produced").producer("p", epoch=3)
        assert [producer.publish(f"p{n}", sequence=n) for n in range(4)] == [0, 1, 3, 4]
        with pytest.raises(chanlog.ProducerFenced):
            log.channel("produced").producer("p", epoch=2)
    with open_log(path) as log:
        assert contents(log) == expected
        assert not log.recovery.catalog_rebuilt

"""``verify`` walks every byte: whatever is planted in a file it names, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import chanlog
from chanlog.format.batch import CREATED, DELETED, HEADER, MESSAGES, encode
from chanlog.format.names import MARKER
from chanlog.format.payload import pack
from chanlog.format.records import encode_record
from chanlog.format.segment import Entry, encode_footer, encode_segment_header, read_marker
from chanlog.host import DiskFolder
from chanlog.storage.verifying import verify_folder

from .worlds import open_log, tell

RAW = "0000000001.log"
SEALED = "0000000001-0000000001.seg"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture(params=[RAW, SEALED])
def told(request: Any, path: Path) -> tuple[Path, str]:
    """A closed log that holds everything, and the file that has it."""
    with open_log(path) as log:
        tell(log)
        if request.param == SEALED:
            log.compact()
    return path, request.param


def flip(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(bytes(content))


def test_a_whole_log_has_no_problems(told):
    path, _ = told
    heard: list[tuple[int, int]] = []
    found = chanlog.verify(path, progress=lambda done, total: heard.append((done, total)))
    assert (found.problems, found.torn) == ([], [])
    assert found.messages > 60
    assert found.batches > 30
    assert heard[-1][0] == found.bytes
    assert heard == sorted(heard)
    assert all(done <= total for done, total in heard)


def test_every_byte_of_a_segment(told):
    """Each flipped bit below the end is a problem that names the file and holds the place."""
    path, name = told
    content = (path / name).read_bytes()
    length = len(content.rstrip(b"\0"))
    for position in range(0, length, 11):
        (path / name).write_bytes(content)
        flip(path / name, position)
        found = chanlog.verify(path)
        problems = found.problems + found.torn
        assert problems, position
        assert {problem.path for problem in problems} == {path / name}
        assert any(problem.start <= position < problem.stop for problem in problems), position
    (path / name).write_bytes(content)
    assert chanlog.verify(path).problems == []


def test_what_clustering_has_left_over_is_not_there_twice(path):
    """A power cut brought back the raw segment that had been clustered, and verify told of damage
    that was none."""
    with open_log(path) as log:
        tell(log)
        log._store.roll()
        left = (path / RAW).read_bytes()
        log.compact()
    assert not (path / RAW).exists()
    (path / RAW).write_bytes(left)
    assert chanlog.verify(path).problems == []
    with open_log(path):
        assert not (path / RAW).exists()


def test_what_power_took_is_torn_and_no_damage(path):
    """Whole segments that were never synced: one lost its header, its tail, or all of it, and what
    follows is not missing but torn, as opening sees it."""
    with open_log(path) as log:
        channel = log.channel("agent")
        channel.publish("durable", durable=True)
        for number in range(3):
            log._store.roll()
            channel.publish_many([f"{number}-{place}" for place in range(3)])
        files = {file.name: file.read_bytes() for file in path.iterdir()}
        second = "0000000002.log"
        for start, stop, torn in ((0, 64, [second]), (70, 90, [second]), (0, 4096, [])):
            content = bytearray(files[second])
            content[start:stop] = bytes(stop - start)
            (path / second).write_bytes(bytes(content))
            found = chanlog.verify(path)
            assert found.problems == []
            assert [problem.path.name for problem in found.torn] == torn
        (path / second).write_bytes(files[second])
        found = chanlog.verify(path)
        assert (found.problems, found.torn) == ([], [])


def test_a_header_below_the_durable_mark_is_no_torn_tail(path):
    """The batches behind it say that it was durable. Without them, a power cut may have left it."""
    with open_log(path) as log:
        log.channel("agent").publish("first")
        log._store.roll()
        for number in range(2):
            log.channel("agent").publish(f"durable-{number}", durable=True)
        files = {file.name: file.read_bytes() for file in path.iterdir()}
    second = "0000000002.log"
    last = files[second].index(b"durable-1") - 49
    os.remove(path / "catalog")
    for kept, problems in ((last, []), (len(files[second]), [second])):
        content = bytearray(files[second])
        content[:64] = bytes(64)
        content[kept:] = bytes(len(content) - kept)
        (path / second).write_bytes(content)
        found = chanlog.verify(path)
        assert [problem.path.name for problem in found.problems] == problems
        assert [problem.path.name for problem in found.torn] == [second][len(problems) :]


def test_a_segment_that_ends_below_what_was_durable(path):
    """Zeros are how the last segment ends, but not where it was durable."""
    with open_log(path) as log:
        channel = log.channel("agent")
        channel.publish("first")
        tail = log._store.active.tail
        channel.publish("second")
    content = (path / RAW).read_bytes()
    (path / RAW).write_bytes(content[:tail] + bytes(len(content) - tail))
    (problem,) = chanlog.verify(path).problems
    assert (problem.path, problem.start) == (path / RAW, tail)
    with open_log(path, read_only=True) as log, pytest.raises(chanlog.CorruptionError):
        list(log.channel("agent").replay())
    (path / RAW).write_bytes(bytes(len(content)))
    (problem,) = chanlog.verify(path).problems
    assert problem.start == 64


def test_messages_that_are_damaged_are_named(path):
    with open_log(path) as log:
        for number in range(5):
            log.channel("agent").publish(f"message-{number}")
            log.channel("other").publish(f"other-{number}")
        log.sync()
        log.channel("agent").publish("the mark")
    for name in (RAW, SEALED):
        content = (path / name).read_bytes()
        flip(path / name, content.index(b"message-3"))
        (problem,) = chanlog.verify(path).problems
        assert "messages 3 to 4 of 'agent'" in problem.text or name == SEALED
        assert "of 'agent'" in problem.text
        assert problem.start < content.index(b"message-3") < problem.stop
        (path / name).write_bytes(content)
        with open_log(path) as log:
            log.compact()


def test_damage_behind_the_durable_mark_is_a_torn_tail(path):
    """It cannot be told from what a crash leaves, and is no problem of the disk."""
    log = open_log(path)
    log.channel("a").publish("synced", durable=True)
    log.channel("a").publish("not synced")
    files = {name: (path / name).read_bytes() for name in os.listdir(path)}
    log.close()
    for name, content in files.items():
        (path / name).write_bytes(content)
    os.remove(path / "catalog")
    flip(path / RAW, files[RAW].index(b"not synced"))
    found = chanlog.verify(path)
    assert found.problems == []
    (torn,) = found.torn
    assert "messages 1 to 2 of 'a'" in torn.text


def test_a_damaged_header_in_the_middle(path):
    """What follows is found again, and the header's batch cannot be named."""
    with open_log(path) as log:
        for number in range(3):
            log.channel("a").publish(f"message-{number}")
    content = (path / RAW).read_bytes()
    start = content.index(b"message-1") - 1 - 48
    flip(path / RAW, start + 20)
    found = chanlog.verify(path)
    (problem,) = found.problems
    assert (problem.start, problem.text) == (start, "this should be a batch, and is not")
    assert found.messages == 2


def test_a_damaged_catalog(path):
    """It can be rebuilt, and opening does; but whoever asks is told."""
    with open_log(path) as log:
        log.channel("a").publish("x")
    content = (path / "catalog").read_bytes()
    for damaged in (content[:-3], b"x" + content[1:]):
        (path / "catalog").write_bytes(damaged)
        found = chanlog.verify(path)
        (problem,) = found.problems
        assert problem.path == path / "catalog"
        assert "rebuilds" in problem.text


def test_a_segment_without_a_header(path):
    with open_log(path) as log:
        log.channel("a").publish("x")
        log._store.roll()
        log.channel("a").publish("y")
    flip(path / RAW, 3)
    (problem,) = chanlog.verify(path).problems
    assert (problem.path, problem.start) == (path / RAW, 0)
    # Nothing but zeros is no better where something was durable.
    content = (path / RAW).read_bytes()
    (path / RAW).write_bytes(bytes(4096))
    (problem,) = chanlog.verify(path).problems
    assert problem.path == path / RAW
    (path / RAW).write_bytes(content)
    flip(path / RAW, 3)
    # One of nothing but zeros was being created when its owner died.
    (path / "0000000003.log").write_bytes(bytes(4096))
    found = chanlog.verify(path)
    assert (found.problems, found.torn) == ([], [])


def test_a_file_that_goes_while_it_looks(path):
    """The owner has clustered or removed it: that is no damage."""

    class Vanishing(DiskFolder):
        def names(self) -> list[str]:
            return [*super().names(), "0000000009.log"]

    with open_log(path) as log:
        log.channel("a").publish("x")
        found = verify_folder(Vanishing(path), None)
        assert found.problems == []
        assert found.messages == 1


def test_what_is_no_log(path, tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(chanlog.NotALog):
        chanlog.verify(file)
    path.mkdir()
    with pytest.raises(chanlog.LogNotFound):
        chanlog.verify(path)
    (path / MARKER).write_bytes(b"nonsense")
    with pytest.raises(chanlog.NotALog):
        chanlog.verify(path)


# Files with right checksums that say wrong things: damage by a bug, not by a disk.


def batch(kind: int, body: bytes, channel: int, base: int = 0, count: int = 0) -> bytes:
    return encode(kind, body, salt=9, channel=channel, time_ns=1, mark=0, base=base, count=count)


def message(base: int, channel: int = 1) -> bytes:
    return batch(MESSAGES, pack("x"), channel, base, 1)


def created(channel: int = 1) -> bytes:
    return batch(CREATED, encode_record(f"channel-{channel}", None, 0, 0), channel)


@pytest.fixture
def crafted(path: Path) -> Any:
    """Writes a segment of its own in place of the log's."""
    with open_log(path) as log:
        log.channel("a").publish("x")
    os.remove(path / "catalog")
    os.remove(path / RAW)
    log_id = read_marker((path / MARKER).read_bytes())[0]

    def write(name: str, content: bytes) -> chanlog.Verification:
        header = encode_segment_header(salt=9, first=1, last=1, created_ns=1, log_id=log_id)
        (path / name).write_bytes(header + content)
        return chanlog.verify(path)

    return write


def test_offsets_that_are_missing(crafted):
    found = crafted(RAW, created() + message(0) + message(2) + message(3))
    (problem,) = found.problems
    assert problem.text == "offsets 1 to 2 of 'channel-1' are missing"
    # Of a channel that was deleted nothing is missed.
    content = created() + message(0) + message(2) + batch(DELETED, b"", 1)
    assert crafted(RAW, content).problems == []


def test_offsets_that_are_there_twice(crafted):
    (problem,) = crafted(RAW, created() + message(0) + message(1) + message(1)).problems
    assert problem.text == "offset 1 of channel 1 is there twice"


def clustered(control: bytes, parts: list[tuple[int, list[bytes]]], **wrong: Any) -> bytes:
    """A clustered segment of these control records, and these batches of each channel."""
    content = control
    entries = []
    for channel, batches in parts:
        start = 64 + len(content)
        content += b"".join(batches)
        first = HEADER.unpack_from(batches[0])
        last = HEADER.unpack_from(batches[-1])
        fields = {
            "channel": channel, "batches": len(batches), "position": start,
            "stop": 64 + len(content), "base": first[8], "end": last[8] + last[7],
            "time_first_ns": 1, "time_last_ns": 1,
        }  # fmt: skip
        entries.append(Entry(**(fields | wrong)))
    return content + encode_footer(
        entries,
        index_position=64 + len(content),
        control_stop=64 + len(control),
        messages=sum(entry.end - entry.base for entry in entries),
    )


def test_a_clustered_segment_that_is_right(crafted):
    parts = [(1, [message(0), message(1)]), (2, [message(5, 2)])]
    found = crafted(SEALED, clustered(created(1) + created(2), parts))
    assert (found.problems, found.messages) == ([], 3)


def test_an_index_that_is_wrong_about_offsets(crafted):
    found = crafted(SEALED, clustered(created(), [(1, [message(0), message(1)])], end=3))
    (problem,) = found.problems
    assert "offsets 0 to 3" in problem.text


def test_an_index_that_leaves_something_out(crafted):
    second = 64 + len(created()) + len(message(0))
    content = clustered(created(), [(1, [message(0), message(1)])], position=second)
    found = crafted(SEALED, content)
    assert any("leaves out" in problem.text for problem in found.problems)


def test_an_index_that_leads_out_of_the_file(crafted):
    content = clustered(created(), [(1, [message(0)])], stop=1 << 40)
    (problem,) = crafted(SEALED, content).problems
    assert "leads out of its file" in problem.text


def test_a_record_of_nonsense(crafted):
    content = batch(CREATED, encode_record("a", "retention", None, -1), 1)
    (problem,) = crafted(SEALED, clustered(content, [(1, [message(0)])])).problems
    assert "created channel" in problem.text

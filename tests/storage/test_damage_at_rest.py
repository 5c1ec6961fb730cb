"""Damage that comes after a clean close, when opening has nothing to scan."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import pytest

import chanlog

from ..support import LIMIT, spawn
from .worlds import files_of, fixed_host, folder_of, open_image, open_log, tell

CHANNELS = ("a", "b")
COUNT = 24


def fill(log: Any) -> None:
    for number in range(COUNT):
        log.channel(CHANNELS[number % 2]).publish(f"message-{number}", type="t")
    log.channel("many").publish_many([f"many-{number}" for number in range(20)])


@pytest.fixture(scope="module", params=["raw", "sealed", "clustered"])
def closed(request, tmp_path_factory) -> tuple[dict[str, bytes], str]:
    """The files of a closed log, and which of them has the messages."""
    path = tmp_path_factory.mktemp(request.param) / "log"
    with open_log(path, host=fixed_host()) as log:
        fill(log)
        if request.param == "sealed":
            log._store.roll()
            log.channel("b").publish("in the next segment")
        if request.param == "clustered":
            log.compact()
    name = "0000000001.log" if request.param != "clustered" else "0000000001-0000000001.seg"
    return files_of(path), name


@pytest.fixture(scope="module")
def whole(closed) -> dict[str, list[chanlog.Message]]:
    with open_image(folder_of(closed[0])) as log:
        return {name: list(log.channel(name).replay()) for name in log.channels()}


def length_of(content: bytes) -> int:
    return len(content.rstrip(b"\0"))


def damaged(files: dict[str, bytes], name: str, position: int) -> dict[str, bytes]:
    content = bytearray(files[name])
    content[position] ^= 1 << position % 8
    return {**files, name: bytes(content)}


def test_every_byte_raises_and_is_never_read(closed, whole):
    """Each message is right, or reading it raises with channel and offsets."""
    files, name = closed
    raised = 0
    for position in range(length_of(files[name])):
        try:
            log = open_image(folder_of(damaged(files, name, position)))
        except chanlog.CorruptionError:
            raised += 1
            continue
        with log:
            for channel, messages in whole.items():
                found = []
                try:
                    for message in log.channel(channel).replay():
                        found.append(message)
                except chanlog.CorruptionError as error:
                    assert error.channel == channel
                    assert error.start is not None and error.stop is not None
                    raised += 1
                else:
                    assert len(found) == len(messages), position
                assert found == messages[: len(found)], position
    assert raised > length_of(files[name]) * 2 // 3


def test_every_byte_becomes_a_gap(closed, whole):
    """With ``on_corruption="gap"`` what is lost shows, and what can be read is right."""
    files, name = closed
    for position in range(0, length_of(files[name]), 3):
        folder = folder_of(damaged(files, name, position))
        with open_image(folder, on_corruption="gap") as log:
            for channel, messages in whole.items():
                offset = 0
                for message in log.channel(channel).replay():
                    assert message.offset == offset, (position, channel)
                    if isinstance(message, chanlog.Gap):
                        offset += message.missing
                    else:
                        assert message == messages[offset], position
                        offset += 1
                assert offset == len(messages), (position, channel)
            assert log.channel("a").publish("next") == len(whole["a"])


def test_every_byte_through_compaction(closed, whole):
    """Rewriting a damaged segment neither blesses the damage nor loses what is right."""
    files, name = closed
    for position in range(64, length_of(files[name]), 7):
        try:
            log = open_image(folder_of(damaged(files, name, position)))
        except chanlog.CorruptionError:
            continue
        with log:
            if name.endswith(".seg"):
                log.channel("many").trim(20)
            with contextlib.suppress(chanlog.CorruptionError):
                log.compact()
            for channel in CHANNELS:
                found = []
                try:
                    for message in log.channel(channel).replay():
                        found.append(message)
                except chanlog.CorruptionError:
                    continue
                finally:
                    assert found == whole[channel][: len(found)], position
                assert len(found) == len(whole[channel]), position


@pytest.mark.parametrize("closed", ["raw", "sealed"], indirect=True)
@pytest.mark.parametrize("length", [64, 100, 700, 1000])
@pytest.mark.parametrize("on_corruption", ["raise", "gap"])
def test_a_raw_segment_cut_short_after_the_close(closed, whole, length, on_corruption):
    """A sealed segment that was shorter than the catalog said ended in ``struct.error`` when it
    was read, and the active one was grown again before anybody had looked."""
    files, name = closed
    folder = folder_of({**files, name: files[name][:length]})
    if on_corruption == "raise":
        with pytest.raises(chanlog.CorruptionError):
            open_image(folder)
        assert folder.open(name, writable=False).size() == length
        return
    with open_image(folder, on_corruption="gap") as log:
        assert log.recovery.damage
        for channel, messages in whole.items():
            offset = 0
            for message in log.channel(channel).replay():
                assert message.offset == offset
                offset += message.missing if isinstance(message, chanlog.Gap) else 1
            assert offset == len(messages)
        assert log.channel("a").publish("next") == len(whole["a"])


def test_a_damaged_segment_does_not_stop_the_others(tmp_path):
    """The index of a clustered segment was damaged, and every later pass of upkeep raised before
    it came to the other segments."""
    path = tmp_path / "log"
    with open_log(path) as log:
        tell(log)
        log.compact()
    (segment,) = path.glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[-70] ^= 1
    segment.write_bytes(bytes(content))
    with open_log(path) as log:
        log.channel("later").publish("x")
        log.channel("trimmed").trim(25)
        with pytest.raises(chanlog.CorruptionError):
            log.compact()
        from chanlog.storage.maintenance import maintain

        maintain(log._store)
        assert len([name for name in os.listdir(path) if name.endswith(".seg")]) == 2


@pytest.mark.parametrize("on_corruption", ["raise", "gap"])
def test_a_length_that_leads_astray(tmp_path, on_corruption):
    """Looking for control records, compaction went from batch to batch by lengths that nobody had
    verified since the close: a length of zero held it for ever."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.channel("a").publish("first")
        log.channel("a").publish("second")
        log.channel("b").publish_many([1, 2, 3])
        log.channel("b").trim(2)
    raw = path / "0000000001.log"
    content = bytearray(raw.read_bytes())
    # The batch of one message in front of the payload: its length is at 8.
    start = content.index(b"second") - 1 - 48
    content[start + 8 : start + 12] = bytes(4)
    raw.write_bytes(bytes(content))
    with open_log(path, on_corruption=on_corruption) as log:
        compacting = spawn(log.compact)
        if on_corruption == "raise":
            with pytest.raises(chanlog.CorruptionError):
                compacting.result(LIMIT)
        else:
            compacting.result(LIMIT)
            assert len(list(log.channel("a").replay())) == 2
        assert log.channel("b").info().start_offset == 2
        assert [message.data for message in log.channel("b").replay()] == [3]

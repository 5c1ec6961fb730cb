"""An active segment that ends anywhere: every length it can be cut to."""

from __future__ import annotations

import shutil

import pytest

import chanlog
from chanlog.storage.snapshot import write_catalog

from .worlds import Telling, contents, files_of, folder_of, open_image, open_log, told

SEGMENT = "0000000001.log"


@pytest.fixture(scope="module")
def unsynced(tmp_path_factory) -> Telling:
    return told(tmp_path_factory.mktemp("unsynced") / "log")


@pytest.fixture(scope="module")
def synced(tmp_path_factory) -> Telling:
    return told(tmp_path_factory.mktemp("synced") / "log", sync_at=(3, 11, 20))


def bytes_of(folder, name):
    file = folder.open(name, writable=False)
    return file.read(0, file.size())


def test_every_length_of_a_segment(unsynced):
    """What is whole is there, what is not is kept aside and reported, and writing goes on."""
    for length in range(len(unsynced.content) + 1):
        folder = folder_of(unsynced.with_content(unsynced.content[:length]))
        place = max(0, unsynced.place(length))
        with open_image(folder) as log:
            if length % 8 == 0 or length in unsynced.tails:
                assert contents(log) == unsynced.contents[place], length
            tail = unsynced.tails[place]
            if length <= tail:
                assert log.recovery.torn == [], length
            else:
                (torn,) = log.recovery.torn
                cut = unsynced.content[tail:length].rstrip(b"\0")
                assert (torn.start, torn.stop) == (tail, tail + len(cut)), length
                assert bytes_of(folder, f"{SEGMENT}.torn-{tail}") == cut
            assert log.channel("agent").publish("next") == length_of(unsynced.contents[place])
        if length % 10 == 0:
            with open_image(folder) as log:
                assert list(log.channel("agent").replay())[-1].data == "next"


def length_of(moment) -> int:
    return moment["agent"][0].end_offset if "agent" in moment else 0


def test_every_length_of_a_segment_that_is_followed(unsynced):
    """A reader from outside sees the same, and changes nothing."""
    for length in range(64, len(unsynced.content) + 1, 7):
        folder = folder_of(unsynced.with_content(unsynced.content[:length]))
        with open_image(folder, read_only=True) as log:
            assert contents(log) == unsynced.contents[unsynced.place(length)], length
        assert bytes_of(folder, SEGMENT) == unsynced.content[:length]


def test_nothing_below_a_mark_is_cut(synced):
    """With zeros in place of a batch, all behind it is cut only if no batch behind it says that
    it was durable."""
    last = len(synced.tails) - 1
    for place in range(last):
        content = bytearray(synced.content)
        start, stop = synced.tails[place : place + 2]
        content[start:stop] = bytes(stop - start)
        folder = folder_of(synced.with_content(bytes(content)))
        if start < synced.mark(last):
            with pytest.raises(chanlog.CorruptionError) as raised:
                open_image(folder)
            assert raised.value.start == start
            assert raised.value.stop == stop
            assert bytes_of(folder, SEGMENT) == bytes(content)
        else:
            with open_image(folder) as log:
                assert contents(log) == synced.contents[place]
                if place < last - 1:
                    (torn,) = log.recovery.torn
                    assert (torn.start, torn.stop) == (start, len(synced.content.rstrip(b"\0")))


def test_a_torn_tail_on_a_disk(tmp_path, unsynced):
    path = tmp_path / "log"
    path.mkdir()
    length = unsynced.tails[5] + 20
    for name, content in unsynced.with_content(unsynced.content[:length]).items():
        (path / name).write_bytes(content)
    with open_log(path) as log:
        assert not log.recovery.clean
        (torn,) = log.recovery.torn
        assert torn.path == path / SEGMENT
        assert torn.kept_as == path / f"{SEGMENT}.torn-{unsynced.tails[5]}"
        cut = unsynced.content[unsynced.tails[5] : length].rstrip(b"\0")
        assert torn.kept_as.read_bytes() == cut
    with open_log(path) as log:
        assert log.recovery.clean
        assert log.recovery.torn == []


def test_what_an_interrupted_opening_has_kept_stays(unsynced):
    """Power went while an opening cut a tail it had kept aside. Some pages of it were zeros by
    then; the next opening kept what was left, in place of the whole."""
    tail = unsynced.tails[5]
    kept = f"{SEGMENT}.torn-{tail}"
    whole = unsynced.content[tail + 1 :]
    for left, others in ((whole, []), (whole[:500], [f"{kept}.1"]), (b"", [])):
        files = unsynced.with_content(unsynced.content[:tail] + b"\0" + left)
        files[kept] = (b"\0" + whole).rstrip(b"\0")
        folder = folder_of(files)
        for _ in range(2):
            with open_image(folder) as log:
                assert contents(log) == unsynced.contents[5]
            aside = [name for name in folder.names() if name.startswith(kept)]
            assert aside == [kept, *others]
            assert bytes_of(folder, kept) == files[kept]
            for name in others:
                assert bytes_of(folder, name) == (b"\0" + left).rstrip(b"\0")


def test_later_segments_are_kept_aside_with_a_torn_tail(tmp_path):
    """The end of a segment was not durable, and neither was what followed in the next."""
    path = tmp_path / "log"
    with open_log(path) as log:
        for number in range(3):
            log.channel("a").publish(f"{number}" * 100)
            log._store.roll()
        files = files_of(path)
    content = bytearray(files["0000000002.log"])
    content[150] ^= 1
    folder = folder_of({**files, "0000000002.log": bytes(content)})
    with open_image(folder) as log:
        assert [message.data[0] for message in log.channel("a").replay()] == ["0"]
        assert next((torn.start, torn.stop) for torn in log.recovery.torn)[0] == 64
        assert len(log.recovery.torn) == 2
        assert log.channel("a").publish("next") == 1
    with open_image(folder) as log:
        assert [message.data for message in log.channel("a").replay()][1:] == ["next"]


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("then", ["close", "compact"])
def test_a_segment_that_power_left_sealed_and_alone(tmp_path, then, sync):
    """A power cut kept the record that seals a segment, and nothing of the next one. The log was
    opened and its catalog written, at the end of the sealed segment. Then it went on in the next
    one and the process died. Opening began to read behind the seal, found no batch there, and took
    all that followed for a torn tail; or for damage, when some of it was durable.
    """
    path = tmp_path / "log"
    with open_log(path) as log:
        log.channel("w").publish_many([1, 2])
        log._store.roll()
        left = _left_by_a_crash(log, tmp_path / "cut")
    (left / "0000000002.log").write_bytes(b"")
    with open_log(left) as log:
        if then == "compact":
            # The sealed segment itself must stay, or there is nothing to begin at.
            write_catalog(log._store)
            left = _left_by_a_crash(log, tmp_path / "compacted")
    with open_log(left) as log:
        log.channel("w").publish(3)
        if sync:
            log.sync()
        log.channel("w").publish(4)
        left = _left_by_a_crash(log, tmp_path / "killed")
    with open_log(left, read_only=True) as log:
        assert [message.data for message in log.channel("w").replay()] == [1, 2, 3, 4]
    with open_log(left) as log:
        assert log.recovery.torn == []
        assert [message.data for message in log.channel("w").replay()] == [1, 2, 3, 4]
        assert log.channel("w").publish(5) == 4


def _left_by_a_crash(log, path):
    """What is there if the process dies now, as another directory."""
    shutil.copytree(log.path, path)
    return path

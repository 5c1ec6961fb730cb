"""The fast way to gather messages and the general one: whatever is written, they agree."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chanlog.errors import LogClosed
from chanlog.format.batch import HEADER, MESSAGES, META
from chanlog.format.body import encode_meta
from chanlog.format.payload import pack
from chanlog.storage import clustering
from chanlog.storage.clustered import ClusteredSegment
from chanlog.storage.gathering import BATCH_BYTES_MAX, gather
from chanlog.storage.maintenance import maintain
from chanlog.storage.reading import RUN_COUNT_MAX
from chanlog.storage.segment import RawSegment

from .forged import SALT, Forged
from .worlds import contents, fixed_host, folder_of, open_image, open_log

LARGE = bytes(6000)


def tokens(log: Any) -> None:
    channels = [log.channel(name, sender=name) for name in "abc"]
    for number in range(600):
        for channel in channels:
            channel.publish({"i": number}, type="token")


def bare(log: Any) -> None:
    for number in range(600):
        log.channel("a").publish(number)
        log.channel("b").publish(b"x" * number)


def of_all_kinds(log: Any) -> None:
    """What may stand between plain ones: many at once, other metas, a producer's, large ones."""
    channel = log.channel("a")
    producer = channel.producer("p")
    for number in range(200):
        channel.publish(number)
        if number % 7 == 0:
            channel.publish_many(range(number % 5 + 1), key="k")
        if number % 11 == 0:
            channel.publish(number, key=str(number), headers={"n": number})
            channel.publish(number, type="", headers={"n": 1})
        if number % 13 == 0:
            producer.publish(number)
        if number % 17 == 0:
            channel.publish(LARGE)
    channel.trim(9)
    fork = channel.fork("fork", at=50)
    fork.publish("on")
    channel.trim(123)


def compacted(path: Path, write: Callable[[Any], None]) -> tuple[Any, dict[str, bytes], list[Any]]:
    """What is read after a compaction, the clustered files, and the (size, count) of batches."""
    with open_log(path, host=fixed_host(), segment_bytes=1 << 20) as log:
        write(log)
        log.compact()
        batches = []
        for segment in log._store.segments:
            if isinstance(segment, ClusteredSegment):
                for entry in segment.index:
                    found = [HEADER.unpack_from(segment.map, p) for p, _ in segment.walk(entry)]
                    batches += [(fields[4], fields[7]) for fields in found]
        read = contents(log)
    return read, {file.name: file.read_bytes() for file in path.glob("*.seg")}, batches


def generally(*_: Any) -> None:
    """Leave all to the general way."""


@pytest.mark.parametrize("write", [tokens, bare])
def test_plain_messages_come_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Any], None]
) -> None:
    """The fast way forgets a time, a type, or where a batch has to end."""
    read, files, batches = compacted(tmp_path / "fast", write)
    assert max(count for _, count in batches) > RUN_COUNT_MAX // 2
    monkeypatch.setattr(clustering, "gather", generally)
    assert (read, files, batches) == compacted(tmp_path / "slow", write)


def test_what_is_not_plain_is_left_to_the_general_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fast way loses what stands between two plain messages, or keeps what was trimmed."""
    read, _, batches = compacted(tmp_path / "fast", of_all_kinds)
    largest = BATCH_BYTES_MAX + 1024
    assert all(size < largest and count <= RUN_COUNT_MAX for size, count in batches)
    monkeypatch.setattr(clustering, "gather", generally)
    assert read == compacted(tmp_path / "slow", of_all_kinds)[0]


@pytest.mark.parametrize("bit", [1, 0x80])
def test_every_byte_changed_in_memory(monkeypatch: pytest.MonkeyPatch, bit: int) -> None:
    """Damage that comes after opening is given a right checksum by the fast way."""

    def outcome(position: int) -> Any:
        folder = folder_of({})
        with open_image(folder, on_corruption="gap") as log:
            channels = [log.channel(name, sender=name) for name in "ab"]
            for number in range(4):
                for channel in channels:
                    channel.publish(number, type="token")
            active = log._store.active
            if position < active.tail:
                active.map[position : position + 1] = bytes(
                    [active.map[position : position + 1][0] ^ bit]
                )
            log.compact()
            return contents(log), position < active.tail

    def outcomes() -> list[Any]:
        return [outcome(position) for position in range(64, 1400, 3)]

    fast = outcomes()
    assert len({str(found) for found, _ in fast}) > 1
    assert not fast[-1][1]
    monkeypatch.setattr(clustering, "gather", generally)
    assert fast == outcomes()


def raw(segment: Forged) -> RawSegment:
    return RawSegment(
        1,
        None,
        bytes(segment.content),
        SALT,
        segment.end,
        segment.end,  # type: ignore[arg-type]
    )


def test_what_one_loop_does_not_gather() -> None:
    """One message alone is copied as it is; and what is wrong, or not as chanlog writes it, is left
    to who tells of it."""
    segment = Forged()
    places = [segment.message(base, "m") for base in range(3)]
    some = array("I", places)
    assert gather(raw(segment), 1, some, 0, 3) is not None
    assert gather(raw(segment), 1, some[:1], 0, 3) is None
    segment.flip(places[1] + HEADER.size)
    assert gather(raw(segment), 1, some, 0, 3) is None
    beyond = array("I", [places[0], segment.end - 10])
    assert gather(raw(segment), 1, beyond, 0, 3) is None
    segment.flip(places[1] + HEADER.size)
    for position in places:
        segment.flip(position + HEADER.size)
    assert gather(raw(segment), 1, some, 0, 3) is None
    metas = encode_meta(None, ["a", "b"]), encode_meta([1], "t"), encode_meta(None, 7), b""
    for meta in metas:
        segment = Forged()
        places = [
            segment.batch(MESSAGES, pack("m") + meta, base=base, count=1, flags=META)
            for base in range(3)
        ]
        assert gather(raw(segment), 1, array("I", places), 0, 3) is None


def test_a_log_that_closes_while_it_is_compacted(tmp_path: Path) -> None:
    """It stops between two channels, and what was begun is no file of the log."""
    with open_log(tmp_path / "log", host=fixed_host()) as log:
        tokens(log)
        store = log._store
        store.roll()
        store.stopping = True
        with pytest.raises(LogClosed):
            maintain(store)
        store.stopping = False
        assert [s for s in store.segments if isinstance(s, ClusteredSegment)] == []
        log.compact()
        assert [s for s in store.segments if isinstance(s, ClusteredSegment)] != []


def test_a_large_index_goes_with_its_map(tmp_path: Path) -> None:
    """A small one is kept, for every look in a log of a thousand segments would read it anew."""
    with open_log(tmp_path / "log", segment_bytes=1 << 20) as log:
        for count, kept in ((3, True), (1500, False)):
            for number in range(count):
                log.channel(f"{count}-{number}").publish(number)
            log._store.roll()
            maintain(log._store)
            segment = next(
                s for s in reversed(log._store.segments) if isinstance(s, ClusteredSegment)
            )
            assert (segment.index.size_bytes <= 1 << 16) is kept
            segment.unmap()
            assert (segment._index is not None) is kept
            found = [next(iter(log.channel(f"{count}-{n}").replay())).data for n in range(count)]
            assert found == list(range(count))

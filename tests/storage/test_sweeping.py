"""The fast way through a segment and the general one: whatever the bytes, they come to the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

import chanlog
from chanlog.format.batch import ENDED, MESSAGES, META, SEQUENCED
from chanlog.format.body import encode_meta
from chanlog.format.payload import pack
from chanlog.storage import recovery
from chanlog.storage.segment import RawSegment

from .forged import Forged, forged_log
from .test_recovering import written
from .worlds import START_NS, Telling, contents, folder_of, open_image, told


def slowly(store: Any, segment: RawSegment, position: int) -> tuple[int, int]:
    """Leave all to the general way."""
    return position, 0


def outcome(files: dict[str, bytes], **options: Any) -> Any:
    """All that opening comes to: what is read, what is reported, and what is kept in memory."""
    try:
        log = open_image(folder_of(files), **options)
    except chanlog.CorruptionError as error:
        return str(error)
    with log:
        store = log._store
        raws = [s for s in store.segments if isinstance(s, RawSegment)]
        states = [store.table.find(name) for name in log.channels()]
        return (
            contents(log),
            log.recovery,
            (store.durable, store.time_ns),
            [(s.tail, {id: list(found) for id, found in s.index.items()}) for s in raws],
            [(s.next_offset, s.end_offset, s.time_ns, s.touched, s.sealed) for s in states],
        )


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Telling:
    """A log with everything in it, of which half was durable before the rest was written."""
    return told(tmp_path_factory.mktemp("sweeping") / "log", sync_at=(20,))


def same(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    for on_corruption in ("raise", "gap"):
        fast = outcome(files, on_corruption=on_corruption)
        with monkeypatch.context() as patch:
            patch.setattr(recovery, "sweep", slowly)
            assert fast == outcome(files, on_corruption=on_corruption)


def test_every_beginning(telling: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    for tail in telling.tails:
        for stop in (tail, tail + 30):
            content = telling.content[:stop].ljust(1 << 16, b"\0")
            same(telling.with_content(content), monkeypatch)


@pytest.mark.parametrize("bit", [1, 0x80])
def test_every_few_bytes_changed(
    telling: Telling, monkeypatch: pytest.MonkeyPatch, bit: int
) -> None:
    for position in range(64 + bit % 11, len(telling.content), 11):
        content = bytearray(telling.content.ljust(1 << 16, b"\0"))
        content[position] ^= bit
        same(telling.with_content(bytes(content)), monkeypatch)


def test_every_batch_doubled_and_missing(telling: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = telling.content
    for start, stop in pairwise(telling.tails):
        for content in (whole[:stop] + whole[start:], whole[:start] + whole[stop:]):
            same(telling.with_content(content.ljust(1 << 16, b"\0")), monkeypatch)


def test_what_looks_plain_and_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thing wrong with each, under right checksums."""
    wrongs: list[Callable[[Forged], object]] = [
        lambda segment: segment.message(5, "ahead of its channel"),
        lambda segment: segment.message(0, "behind it"),
        lambda segment: segment.message(1, "of nobody", channel=7),
        lambda segment: segment.message(1, "marked", mark=1 << 40),
        lambda segment: segment.message(1, "no meta", flags=META),
        lambda segment: segment.message(1, "no producer", flags=META | SEQUENCED),
        lambda segment: segment.batch(MESSAGES, pack("too many"), base=1, count=1 << 31),
        lambda segment: segment.batch(MESSAGES, pack("none"), base=1, count=0),
        lambda segment: segment.batch(MESSAGES, pack("last"), base=(1 << 62) - 1, count=1),
        lambda segment: segment.message(1, "x" * 6000),
        lambda segment: segment.message(1, "early", time_ns=START_NS - 1),
        lambda segment: (segment.batch(ENDED, b"", base=1), segment.message(1, "after its end")),
    ]
    for wrong in wrongs:
        segment = written("0")
        wrong(segment)
        segment.message(2, "2")
        files = forged_log(segment, room=1 << 14)
        same({name: files.open(name, writable=False).read(0, 1 << 14) for name in files.names()},
             monkeypatch)  # fmt: skip


def test_most_of_a_segment_is_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else opening after a crash would take three times as long, and nothing else would fail."""
    apply, slow = recovery.Recoverer._apply, []

    def noting(self: Any, segment: RawSegment, position: int, header: Any) -> None:
        slow.append(position)
        apply(self, segment, position, header)

    monkeypatch.setattr(recovery.Recoverer, "_apply", noting)
    segment = written(*map(str, range(100)))
    body = pack("typed") + encode_meta(None, "token")
    for offset in range(100, 200):
        segment.batch(MESSAGES, body, flags=META, base=offset, count=1)
    with open_image(forged_log(segment, room=1 << 15)) as log:
        assert log.channel("a").info().end_offset == 200
    # Only the record that made the channel.
    assert slow == [64]

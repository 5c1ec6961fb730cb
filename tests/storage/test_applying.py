"""What batches do to the table of channels: once, twice, and where some before them are lost."""

from __future__ import annotations

from typing import Any

import pytest

from chanlog.errors import FormatError
from chanlog.format.batch import (
    CONFIGURED,
    CREATED,
    CURSOR,
    DELETED,
    ENDED,
    HEADER,
    MESSAGES,
    META,
    PRODUCER,
    ROLLED,
    SEQUENCED,
    TRIMMED,
    Header,
    encode,
)
from chanlog.format.body import encode_meta
from chanlog.format.payload import pack
from chanlog.format.records import encode_record
from chanlog.host import MemoryFolder
from chanlog.storage.applying import Reveal, apply, inside
from chanlog.storage.segment import RawSegment
from chanlog.storage.snapshot import CatalogMeta
from chanlog.storage.state import ChannelState
from chanlog.storage.table import ChannelTable

from .worlds import contents, open_image, telling

SALT = 7


class Log:
    """Batches one behind the other, and the table that they have made."""

    def __init__(self) -> None:
        self.table = ChannelTable()
        self.content = bytearray(64)
        self.segment = RawSegment(1, None, self.content, SALT, 0, 64)  # type: ignore[arg-type]

    def add(self, kind: int, body: bytes, channel: int, **fields: Any) -> Reveal | None:
        position = len(self.content)
        self.content += encode(
            kind, body, salt=SALT, channel=channel, time_ns=1000 + position, mark=0, **fields
        )
        return self.apply(position)

    def apply(self, position: int, *, indexed: bool = True) -> Reveal | None:
        header = Header._make(HEADER.unpack_from(self.content, position))
        segment = self.segment if indexed else None
        return apply(self.table, segment, position, header, bytes(self.content))

    def create(self, id: int, name: str, parent: int = 0, at: int = 0) -> None:
        self.add(CREATED, encode_record(name, None, parent, at), id)

    def publish(self, id: int, base: int, *, sequence: int | None = None) -> Reveal | None:
        if sequence is None:
            return self.add(MESSAGES, pack("x"), id, base=base, count=1)
        body = pack("x") + encode_meta(None, None, None, None, None, 1, 0, sequence)
        return self.add(MESSAGES, body, id, base=base, count=1, flags=META | SEQUENCED)

    def delete(self, id: int) -> Reveal | None:
        return self.add(DELETED, b"", id)

    def state(self, id: int) -> ChannelState:
        state = self.table.find_id(id)
        assert state is not None
        return state

    def positions(self) -> list[int]:
        found, position = [], 64
        while position < len(self.content):
            found.append(position)
            position += HEADER.unpack_from(self.content, position)[4]
        return found


@pytest.fixture
def log() -> Log:
    return Log()


def facts(state: ChannelState) -> dict[str, Any]:
    """All that is known of a channel, but for what says how it is kept in memory."""
    known = {slot: getattr(state, slot) for slot in ChannelState.__slots__ if slot != "__weakref__"}
    for slot in ("listeners", "touched", "segment"):
        known.pop(slot)
    known["producers"] = {
        name: (producer.id, producer.epoch, producer.sequence, producer.runs)
        for name, producer in state.producers.items()
    }
    return known


def test_twice_does_no_harm(log):
    """A catalog may hold more than its mark says, and what follows the mark is applied again."""
    log.create(1, "a")
    log.publish(1, 0)
    log.publish(1, 1)
    log.add(PRODUCER, encode_record("p", 1, 2, []), 1)
    log.publish(1, 2, sequence=0)
    log.publish(1, 3, sequence=1)
    log.add(PRODUCER, encode_record("p", 1, 3, []), 1, base=1)
    log.add(CURSOR, encode_record("c"), 1, base=2)
    log.add(CURSOR, encode_record("gone"), 1, base=1)
    log.add(CURSOR, encode_record("gone", True), 1)
    log.add(TRIMMED, encode_record(1000), 1, base=1)
    log.add(CONFIGURED, pack({"count": 5}), 1)
    log.create(2, "fork", parent=1, at=2)
    log.create(3, "fork of the deleted", parent=1, at=1)
    log.add(ENDED, b"", 2, base=2)
    log.create(4, "deleted")
    log.delete(4)
    log.delete(1)
    log.create(5, "a")
    before = {id: facts(log.state(id)) for id in (1, 2, 3, 5)}
    assert before[1]["children"] == [2, 3]
    assert before[1]["producers"] == {"p": (1, 3, 2, [[0, 2]])}
    count = log.table.count
    for position in log.positions():
        log.apply(position)
    assert {id: facts(log.state(id)) for id in (1, 2, 3, 5)} == before
    assert log.table.find_id(4) is None
    assert log.table.count == count == 3
    assert sorted(log.table.live) == ["a", "fork", "fork of the deleted"]


def test_messages_are_indexed_in_raw_segments_only(log):
    """A clustered segment has an index of its own."""
    log.create(1, "a")
    position = len(log.content)
    log.publish(1, 0)
    again = Log()
    again.create(1, "a")
    again.content = log.content
    assert again.apply(position, indexed=False) is None
    assert again.state(1).next_offset == 0
    assert not again.segment.index


def test_a_record_of_no_channel_changes_none(log):
    """The end of a segment says nothing of a channel, whatever number stands in it."""
    log.create(1, "a")
    before = facts(log.state(1))
    assert log.add(ROLLED, b"", 1, base=2) is None
    assert facts(log.state(1)) == before


def test_what_tells_of_a_channel_that_is_gone(log):
    log.create(1, "a")
    log.delete(1)
    assert log.publish(1, 0) is None
    assert log.add(CURSOR, encode_record("c"), 1, base=1) is None
    assert log.delete(1) is None
    assert log.table.count == 0


def test_a_name_that_was_taken_again_though_the_delete_is_lost(log):
    """The record of the delete was damaged: what comes later under the name is another channel,
    and the older one is gone."""
    log.create(1, "a")
    log.publish(1, 0)
    log.create(2, "a")
    assert log.table.find_id(1) is None
    assert log.table.find("a") is log.state(2)
    assert log.state(2).next_offset == 0
    assert log.table.count == 1


def test_an_older_record_of_a_producer_does_not_take_it_back(log):
    log.create(1, "a")
    log.add(PRODUCER, encode_record("p", 1, 0, []), 1)
    log.publish(1, 0, sequence=0)
    log.publish(1, 1, sequence=1)
    log.add(PRODUCER, encode_record("p", 1, 4, []), 1)
    producer = log.state(1).producers["p"]
    assert (producer.epoch, producer.sequence, producer.runs) == (4, 2, [[0, 0]])


def test_a_fork_whose_parent_was_never_heard_of(log):
    """The parent's record was damaged. The fork is there, and can be deleted."""
    log.create(2, "fork", parent=1, at=3)
    assert log.state(2).parent == (1, 3)
    log.delete(2)
    assert log.table.find_id(2) is None


def test_a_parent_that_was_named_after_its_fork(log):
    """Its record was damaged, and its messages came later: it does not know of the fork."""
    log.create(2, "fork", parent=1, at=0)
    log.create(1, "parent")
    log.delete(2)
    assert log.table.find_id(2) is None
    assert log.state(1).children == []


def cold(log: Any, folder: MemoryFolder) -> Any:
    """The log closed and opened again: every channel is known from the catalog alone."""
    log.close()
    return open_image(folder)


@pytest.fixture
def folder() -> MemoryFolder:
    folder = MemoryFolder()
    folder.durable = True
    return folder


def test_a_deleted_parent_that_loses_a_fork_stays_deleted(folder):
    """It lives on for its forks, known from the catalog alone, and is changed by losing one."""
    log = open_image(folder)
    parent = log.channel("parent")
    parent.publish_many(range(4))
    parent.fork("one", at=2)
    parent.fork("two", at=3)
    parent.delete()
    log = cold(log, folder)
    log.channel("one").delete()
    assert list(log.channels()) == ["two"]
    log = cold(log, folder)
    assert list(log.channels()) == ["two"]
    assert [message.data for message in log.channel("two").replay()] == [0, 1, 2]
    log.channel("two").delete()
    assert log._store.table.find_id(1) is None
    log.close()


def test_passes_over_all_channels_leave_out_the_deleted(folder):
    log = open_image(folder)
    for name in "abc":
        log.channel(name).publish("x")
    log = cold(log, folder)
    log.channel("b").delete()
    log.channel("d").publish("x")
    assert [state.name for state in log._store.table.states()] == ["a", "c", "d"]
    log.close()


def test_a_cold_channel_whose_delete_is_lost(folder):
    """It is in the catalog and in no one's hand when its successor of the same name comes."""
    log = open_image(folder)
    log.channel("a").publish("old")
    log.close()
    log = open_image(folder)
    table = log._store.table
    body = encode_record("a", None, 0, 0)
    content = encode(CREATED, body, salt=SALT, channel=9, time_ns=1, mark=0)
    apply(table, None, 0, Header._make(HEADER.unpack_from(content)), content)
    assert table.find_id(1) is None
    assert list(log.channels()) == ["a"]
    assert table.find("a").id == 9
    assert table.count == 1
    log.close()


def test_everything_again_from_the_start(folder):
    """Each batch of a log that holds everything, applied to what they have made."""
    with open_image(folder) as log:
        for _ in telling(log):
            pass
        store = log._store
        before = contents(log)
        position = 64
        while position < store.active.tail:
            header = store.active.header(position)
            for place, inner in inside(store.active.map, position, header):
                apply(store.table, store.active, place, inner, store.active.map)
            position += header.length
        assert contents(log) == before


def test_a_channel_that_comes_back_under_a_name_that_is_taken(log):
    """Its segment had been removed and a crash brought it back: the newer one keeps the name."""
    log.create(5, "a")
    log.create(3, "a")
    assert log.table.find_id(3) is None
    assert log.table.find("a") is log.state(5)
    assert log.publish(3, 0) is None
    assert log.table.count == 1


@pytest.mark.parametrize("content", [None, 7, [], [b"id", [1], 0, True, False], [1, 2, 3]])
def test_a_catalog_that_says_something_else(content):
    """It is refused in the one way in which damage is, so that opening rebuilds it."""
    with pytest.raises(FormatError):
        CatalogMeta.decode(pack(content))

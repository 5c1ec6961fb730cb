"""Appending: the short way of one message and the general one are the same to every reader."""

from __future__ import annotations

from typing import Any

import pytest

import chanlog
from chanlog.format.batch import MESSAGES, META
from chanlog.format.body import encode_meta
from chanlog.format.payload import array_header, pack, pack_list
from chanlog.storage.store import Draft

from .worlds import files_of, fixed_host, open_log

BODIES = [
    (0, 1, pack("plain")),
    (META, 1, pack({"n": 1}) + encode_meta(None, "type", None, None, "me")),
    (0, 3, array_header(3) + pack_list([1, 2, 3])),
    (META, 2, array_header(2) + pack_list(["a", "b"]) + encode_meta(None, None, "k", {"h": 1})),
    (0, 1, pack(b"x" * 30_000)),
    (0, 1, pack(b"y" * 40_000)),
]


class Plain:
    """A clock that stands still, for the two ways may look at it a different number of times."""

    def __call__(self) -> int:
        return 1_700_000_000_000_000_000


def files(path, write: Any, **options: Any) -> dict[str, bytes]:
    host = fixed_host()
    with open_log(path, host=type(host)(clock=Plain(), random_bytes=host.random_bytes)) as log:
        log.channel("a").publish("first")
        state = log.channel("a").state
        for flags, count, body in BODIES * 3:
            write(log._store, state, flags, count, body)
        return files_of(path)


def short(store, state, flags, count, body):
    from zlib import crc32

    store.append(state, body, crc32(body), flags, count, None, None, None)


def general(store, state, flags, count, body):
    store.write([Draft(state, MESSAGES, body, flags, count)])


def through_the_file(store, state, flags, count, body):
    store.write([Draft(state, MESSAGES, body, flags, count)], durable=True)


@pytest.mark.parametrize("other", [general, through_the_file])
def test_the_same_bytes(tmp_path, other):
    one = files(tmp_path / "one", short)
    two = files(tmp_path / "two", other)
    assert one.keys() == two.keys()
    assert sum(name.endswith(".log") for name in one) > 2
    assert one == two


def test_time_never_goes_back(tmp_path):
    now = [5_000]
    host = chanlog.host.Host(clock=lambda: now[0])
    with open_log(tmp_path / "log", host=host) as log:
        channel = log.channel("a")
        for time in (5_000, 7_000, 6_000, 1, 8_000):
            now[0] = time
            channel.publish(time)
        with log.atomic() as frame:
            now[0] = 3
            frame.publish("a", "framed")
            frame.publish("b", "framed")
        times = [message.time_ns for message in channel.replay()]
        assert times == [5_000, 7_000, 7_000, 7_000, 8_000, 8_000]
    now[0] = 2
    with open_log(tmp_path / "log", host=host) as log:
        log.channel("a").publish("later")
        assert list(log.channel("a").replay())[-1].time_ns >= 8_000


def test_a_producer_captured_while_it_publishes(tmp_path):
    """The catalog took a channel's end offset and its producers one after the other, without the
    lock. What was published in between counted for one and not the other, so that after opening
    again a retry was written twice."""
    from chanlog.storage.state import ProducerState

    path = tmp_path / "log"
    with open_log(path) as log:
        producer = log.channel("a").producer("p", epoch=1)
        producer.publish("0")
        store = log._store
        state = log.channel("a").state
        held = []
        note = ProducerState.note

        def slow(self, *arguments):
            held.append(store.lock.locked())
            note(self, *arguments)

        ProducerState.note = slow
        try:
            producer.publish("1")
        finally:
            ProducerState.note = note
        assert held == [True]
        captured = []
        to_entry = type(state).to_entry
        type(state).to_entry = lambda self: captured.append(store.lock.locked()) or to_entry(self)
        try:
            log.compact()
        finally:
            type(state).to_entry = to_entry
        assert captured
        assert all(captured)

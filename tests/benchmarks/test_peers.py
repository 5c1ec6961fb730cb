"""Every peer gives back what it was given: a speed without that would compare nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.peers import PEERS, Peer
from benchmarks.peers.base import Ability
from benchmarks.settings import SHAPES

from .presence import want

SHAPE = SHAPES["B"]
ITEMS = list(map(SHAPE.make, range(5)))


def able(ability: Ability) -> list[type[Peer]]:
    return [peer for peer in PEERS if ability in peer.can]


@pytest.fixture
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    kind: type[Peer] = request.param
    want(kind)
    with kind(tmp_path, SHAPE) as opened:
        yield opened


def each(ability: Ability) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "peer", able(ability), indirect=True, ids=lambda kind: kind.name.replace(" ", "-")
    )


@each("append")
def test_what_is_written_one_by_one_is_read(peer: Peer) -> None:
    write = peer.writer("workflow-42")
    for item in ITEMS:
        write(item)
    assert list(peer.reader("workflow-42")) == ITEMS


@each("many")
def test_what_is_written_together_is_read(peer: Peer) -> None:
    write = peer.many_writer("workflow-42")
    write(ITEMS)
    write(ITEMS)
    assert list(peer.reader("workflow-42")) == ITEMS * 2


@each("durable")
def test_what_is_written_durably_is_read(peer: Peer) -> None:
    write = peer.durable_writer("workflow-42")
    for item in ITEMS:
        write(item)
    assert list(peer.reader("workflow-42")) == ITEMS


@each("interleaved")
def test_channels_are_kept_apart(peer: Peer) -> None:
    peer.interleave(["one", "two"], ITEMS)
    assert list(peer.reader("one")) == list(peer.reader("two")) == ITEMS


@each("open")
def test_what_was_closed_is_there_when_opened(peer: Peer) -> None:
    peer.many_writer("workflow-42")(ITEMS)
    peer.close()
    peer.open()
    assert peer.end("workflow-42") == len(ITEMS)
    assert list(peer.reader("workflow-42")) == ITEMS


@each("growth")
def test_one_message_is_found_by_its_offset(peer: Peer) -> None:
    for name in ("one", "two"):
        peer.many_writer(name)(ITEMS)
    assert [peer.at("one", offset) for offset in range(5)] == ITEMS
    assert peer.last("two") == ITEMS[-1]


@each("cold channels")
def test_names_are_found_by_their_beginning_in_order(peer: Peer) -> None:
    for name in ("b-1", "a-2", "a-1", "c-1"):
        peer.many_writer(name)(ITEMS)
    assert list(peer.names("a-")) == ["a-1", "a-2"]


@each("retention")
def test_the_newest_are_kept(peer: Peer) -> None:
    write = peer.bounded_writer("workflow-42", 5)
    for _ in range(3):
        write(ITEMS)
    peer.settle()
    assert list(peer.reader("workflow-42"))[-5:] == ITEMS


@each("thread to thread")
def test_who_waits_gets_what_is_sent(peer: Peer) -> None:
    wait = peer.waiter("workflow-42")
    signal = peer.signaller("workflow-42")
    for item in ITEMS:
        signal(item)
    assert [wait() for _ in ITEMS] == ITEMS

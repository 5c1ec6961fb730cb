"""What a channel is behind its last stored message, and what a change makes of it.

JetStream can refuse a message unless the one before it on its subject is the expected one. So a
channel is a chain: each stored message holds all that is to be known of the channel behind it, and
whoever adds one has read the last. What is decided here from that state is therefore still true
when the message is stored, or it is not stored, and is decided again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgpack

from ...errors import FormatError
from ..engine import Operation
from ..refusals import refuse

__all__ = ["NOTHING", "Chain", "Link", "Producing", "decide", "pack_link", "read_link"]

_RECENT_MAX = 8
_FIELDS = 8


@dataclass(frozen=True, slots=True)
class Producing:
    """A producer: its epoch, the next sequence, and where its last messages are, as
    (sequence, offset, count)."""

    epoch: int = 0
    next: int = 0
    recent: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """A channel, as its last stored message tells. ``seq`` is that message's place in the stream,
    0 if there is none. ``life`` is "" while there is no channel."""

    seq: int = 0
    life: str = ""
    start: int = 0
    end: int = 0
    ended: bool = False
    created_us: int = 0
    time_us: int = 0
    retention: bytes = b""
    producers: tuple[tuple[str, Producing], ...] = ()

    def producer(self, name: str) -> Producing:
        """What is known of a producer."""
        return dict(self.producers).get(name, Producing())


NOTHING = Chain()


@dataclass(frozen=True, slots=True)
class Link:
    """One stored message: the channel's state behind it, and the messages in it, from ``first``."""

    chain: Chain
    first: int
    bodies: list[bytes]


def pack_link(link: Link) -> bytes:
    """As it is stored."""
    chain = link.chain
    producers = [[name, p.epoch, p.next, p.recent] for name, p in chain.producers]
    state = (
        chain.life, chain.start, link.first, chain.ended, chain.created_us, chain.time_us,
        chain.retention, producers,
    )  # fmt: skip
    packed: bytes = msgpack.packb((state, link.bodies))
    return packed


def read_link(seq: int, data: bytes) -> Link:
    """The inverse. Raises ``FormatError``."""
    try:
        state, bodies = msgpack.unpackb(data)
        life, start, first, ended, created, time, retention, producers = state
        chain = Chain(
            seq, life, start, first + len(bodies), ended, created, time, retention,
            tuple(
                (name, Producing(epoch, sequence, tuple(map(tuple, recent))))
                for name, epoch, sequence, recent in producers
            ),
        )  # fmt: skip
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise FormatError(f"what JetStream has at {seq} is not a message of chanlog") from error
    return Link(chain, first, bodies)


def decide(chain: Chain, operation: Operation, now_us: int) -> tuple[Link | None, Any]:
    """The message that makes the change, or ``None`` if there is nothing to be changed, and what
    the caller is told. Raises what the engine's ``apply`` does."""
    if operation.life and operation.life != chain.life:
        if operation.kind == "delete":
            # It was deleted, which is what is wanted. What has its name by now is another one.
            return None, operation.life
        refuse("deleted", [operation.channel])
    decided: tuple[Link | None, Any] = _DECISIONS[operation.kind](chain, operation, now_us)
    return decided


def _begun(chain: Chain, operation: Operation, now_us: int) -> Chain:
    if chain.life:
        return chain
    return Chain(seq=chain.seq, life=operation.new_life, created_us=now_us)


def _timed(body: bytes, time_us: int) -> bytes:
    return b"".join((body[:1], msgpack.packb(time_us), body[1:]))


def _append(
    chain: Chain, operation: Operation, bodies: list[bytes], now_us: int
) -> tuple[Link, int]:
    name = operation.channel
    if chain.ended:
        refuse("ended", [name, chain.end])
    if operation.expect is not None and operation.expect != chain.end:
        refuse("expected", [name, operation.expect, chain.end])
    chain = _begun(chain, operation, now_us)
    time_us = max(chain.time_us, now_us)
    first = chain.end
    behind = replace(chain, end=first + len(bodies), time_us=time_us)
    return Link(behind, first, [_timed(body, time_us) for body in bodies]), first


def _publish(chain: Chain, operation: Operation, now_us: int) -> tuple[Link | None, Any]:
    if operation.producer is None:
        return _append(chain, operation, operation.bodies, now_us)
    name, producer, bodies = operation.channel, operation.producer, operation.bodies
    known = chain.producer(producer)
    sequence = operation.sequence or 0
    if operation.epoch < known.epoch:
        refuse("fenced", [name, producer, operation.epoch, known.epoch])
    if sequence > known.next:
        refuse("gap", [name, producer, sequence, known.next])
    count = min(known.next - sequence, len(bodies))
    offsets = [_offset_of(known, name, producer, sequence + place) for place in range(count)]
    if count == len(bodies):
        return None, offsets
    link, first = _append(chain, operation, bodies[count:], now_us)
    run = (known.next, first, len(bodies) - count)
    grown = Producing(known.epoch, known.next + run[2], _noted(known.recent, run))
    behind = _with_producer(link.chain, producer, grown)
    offsets += range(first, first + run[2])
    return Link(behind, first, link.bodies), offsets


def _offset_of(known: Producing, name: str, producer: str, sequence: int) -> int:
    for first, offset, count in known.recent:
        if first <= sequence < first + count:
            return offset + sequence - first
    oldest = known.recent[0][0] if known.recent else known.next
    return refuse("expired", [name, producer, sequence, oldest])


def _noted(
    recent: tuple[tuple[int, int, int], ...], run: tuple[int, int, int]
) -> tuple[tuple[int, int, int], ...]:
    if recent:
        sequence, offset, count = recent[-1]
        if (sequence + count, offset + count) == run[:2]:
            return (*recent[:-1], (sequence, offset, count + run[2]))
    return (*recent, run)[-_RECENT_MAX:]


def _with_producer(chain: Chain, name: str, producing: Producing) -> Chain:
    producers = {**dict(chain.producers), name: producing}
    return replace(chain, producers=tuple(sorted(producers.items(), key=lambda item: item[0])))


def _end(chain: Chain, operation: Operation, now_us: int) -> tuple[Link | None, Any]:
    if chain.ended:
        return None, chain.end
    chain = replace(_begun(chain, operation, now_us), ended=True)
    return Link(chain, chain.end, []), chain.end


def _trim(chain: Chain, operation: Operation, now_us: int) -> tuple[Link | None, Any]:
    if operation.before > chain.end:
        refuse("unknown", [operation.channel, operation.before, chain.end])
    if operation.before <= chain.start:
        return None, chain.start
    chain = replace(chain, start=operation.before)
    return Link(chain, chain.end, []), chain.start


def _delete(chain: Chain, operation: Operation, now_us: int) -> tuple[Link | None, Any]:
    if not chain.life:
        return None, ""
    return Link(NOTHING, 0, []), chain.life


def _configure(chain: Chain, operation: Operation, now_us: int) -> tuple[Link | None, Any]:
    chain = replace(_begun(chain, operation, now_us), retention=operation.value)
    return Link(chain, chain.end, []), None


def _produce(chain: Chain, operation: Operation, now_us: int) -> tuple[Link | None, Any]:
    name = operation.producer or ""
    known = chain.producer(name)
    if operation.epoch < known.epoch:
        refuse("fenced", [operation.channel, name, operation.epoch, known.epoch])
    if chain.life and name in dict(chain.producers) and operation.epoch == known.epoch:
        return None, known.next
    chain = _with_producer(
        _begun(chain, operation, now_us), name, replace(known, epoch=operation.epoch)
    )
    return Link(chain, chain.end, []), known.next


_DECISIONS: dict[str, Any] = {
    "publish": _publish,
    "end": _end,
    "trim": _trim,
    "delete": _delete,
    "configure": _configure,
    "produce": _produce,
}

"""Producers: named writers whose retries never double, and whose predecessors are fenced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ChanlogError, InvalidOption, ProducerFenced, SequenceExpired, SequenceGap
from ..format.batch import MESSAGES, META, PRODUCER, SEQUENCED
from ..format.records import encode_record
from ..interface import Producer
from ..storage.state import ChannelState, ProducerState
from ..storage.store import Draft
from .encoding import BATCH_COUNT_MAX, check_meta, encode_batches

if TYPE_CHECKING:
    from .channel import EmbeddedChannel
    from .committing import Committer

__all__ = ["EmbeddedProducer", "Outrun", "open_producer"]


class Outrun(Exception):
    """Another thread has published as this producer, or opened one, in between: look again."""


def open_producer(state: ChannelState, name: str, epoch: int) -> list[Draft]:
    """The record that opens ``epoch`` of a producer; nothing if it is open already."""
    if isinstance(epoch, bool) or not isinstance(epoch, int) or not 0 <= epoch < 1 << 63:
        raise InvalidOption(f"epoch is an int of 0 or more, not {epoch!r}", option="epoch")
    known = state.producers.get(name)
    if known is not None and known.epoch == epoch:
        return []
    id = (
        known.id
        if known is not None
        else 1 + max((producer.id for producer in list(state.producers.values())), default=0)
    )
    runs = known.runs if known is not None else []
    sequence = known.sequence if known is not None else 0

    def check() -> None:
        now = state.producers.get(name)
        if now is not None and now.epoch > epoch:
            raise fenced(state, name, epoch, now.epoch)
        if any(other.id == id and other.name != name for other in state.producers.values()):
            # Batches refer to their producer by its id, so no two may have the same.
            raise Outrun

    body = encode_record(name, id, epoch, runs)
    return [Draft(state, PRODUCER, body, base=sequence, check=check)]


def fenced(state: ChannelState, name: str, epoch: int, current: int) -> ProducerFenced:
    """The error for a producer whose epoch is over."""
    return ProducerFenced(
        f"epoch {epoch} of the producer {name!r} of {state.name!r} is over: epoch {current} has "
        "been opened, most likely by this writer's successor; stop writing",
        channel=state.name,
        producer=name,
        epoch=epoch,
        current_epoch=current,
    )


class EmbeddedProducer(Producer):
    """A producer of an embedded log. May be shared by threads; their messages get sequences in the
    order in which they come."""

    __slots__ = ("_channel", "_committer", "epoch", "name")

    def __init__(
        self, channel: EmbeddedChannel, committer: Committer, name: str, epoch: int
    ) -> None:
        self._channel = channel
        self._committer = committer
        self.name = name
        self.epoch = epoch

    def __repr__(self) -> str:
        return f"<Producer {self.name!r} of {self._channel.name!r}, epoch {self.epoch}>"

    def _known(self, state: ChannelState) -> ProducerState:
        producer = state.producers[self.name]
        if producer.epoch != self.epoch:
            raise fenced(state, self.name, self.epoch, producer.epoch)
        return producer

    def sequence(self) -> int:
        state = self._channel.state
        with self._channel._store.lock:
            sequence = state.producers[self.name].sequence
        self._committer.confirm(messages=True)
        return sequence

    def publish(
        self,
        data: Any,
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        sequence: int | None = None,
        durable: bool = False,
    ) -> int:
        return self.publish_many(
            [data], type=type, key=key, headers=headers, sequence=sequence, durable=durable
        )[0]

    async def apublish(
        self,
        data: Any,
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        sequence: int | None = None,
        durable: bool = False,
    ) -> int:
        offsets = await self.apublish_many(
            [data], type=type, key=key, headers=headers, sequence=sequence, durable=durable
        )
        return offsets[0]

    def publish_many(
        self,
        items: Iterable[Any],
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        sequence: int | None = None,
        durable: bool = False,
    ) -> Sequence[int]:
        many = list(items)
        while True:
            try:
                known, drafts, rest = self._plan(many, type, key, headers, sequence)
                if drafts:
                    start = self._committer.submit(drafts, durable)[0]
                    known.extend(range(start, start + rest))
                elif known and (durable or self._committer.awaits_sync):
                    # The first try may not have been durable, and this one is to be.
                    self._committer.sync()
            except Outrun:
                continue
            except ChanlogError:
                self._committer.confirm(messages=True)
                raise
            return known

    async def apublish_many(
        self,
        items: Iterable[Any],
        *,
        type: str | None = None,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        sequence: int | None = None,
        durable: bool = False,
    ) -> Sequence[int]:
        many = list(items)
        while True:
            try:
                known, drafts, rest = self._plan(many, type, key, headers, sequence)
                if drafts:
                    start = (await self._committer.asubmit(drafts, durable))[0]
                    known.extend(range(start, start + rest))
                elif known and (durable or self._committer.awaits_sync):
                    await self._committer.async_()
            except Outrun:
                continue
            except ChanlogError:
                await self._committer.aconfirm(messages=True)
                raise
            return known

    def _plan(
        self,
        items: list[Any],
        type: str | None,
        key: str | None,
        headers: Mapping[str, Any] | None,
        sequence: int | None,
    ) -> tuple[list[int], list[Draft], int]:
        """(offsets of the items that are known, drafts of those that are not, their number)."""
        headers = check_meta(type, key, headers)
        state = self._channel.state
        producer = self._known(state)
        with self._channel._store.lock:
            # Whoever has just published holds it until the message shows, and not before then may
            # anybody be told of it.
            expected = producer.sequence
        if sequence is None:
            sequence = expected
        elif isinstance(sequence, bool) or not isinstance(sequence, int) or sequence < 0:
            raise InvalidOption(
                f"sequence is an int of 0 or more, not {sequence!r}", option="sequence"
            )
        if sequence > expected:
            raise SequenceGap(
                f"sequence {sequence} of the producer {self.name!r} skips some: {expected} is next",
                channel=state.name,
                producer=self.name,
                sequence=sequence,
                expected=expected,
            )
        known = min(expected - sequence, len(items))
        offsets = [self._offset_of(producer, s) for s in range(sequence, sequence + known)]
        fresh = items[known:]
        drafts: list[Draft] = []
        next_sequence = sequence + known

        def check() -> None:
            now = self._known(state)
            if now.sequence != expected:
                raise Outrun

        for start, count, body in _batches(
            fresh, (type, key, headers, self._channel.sender),
            (producer.id, self.epoch), next_sequence, self._channel._message_bytes_max,
        ):  # fmt: skip
            first = check if start == next_sequence else None
            drafts.append(Draft(state, MESSAGES, body, META | SEQUENCED, count, check=first))
        return offsets, drafts, len(fresh)

    def _offset_of(self, producer: ProducerState, sequence: int) -> int:
        offset = producer.offset_of(sequence)
        if offset is None:
            oldest = producer.runs[0][0]
            raise SequenceExpired(
                f"sequence {sequence} of the producer {self.name!r} was published, so nothing was "
                f"written again; but its offset is known only from sequence {oldest} on",
                channel=self._channel.name,
                producer=self.name,
                sequence=sequence,
                oldest=oldest,
            )
        return offset


def _batches(
    items: list[Any],
    fields: tuple[Any, ...],
    producer: tuple[int, int],
    sequence: int,
    bytes_max: int,
) -> Iterable[tuple[int, int, bytes]]:
    """(sequence, count, body) of each batch; the sequence is part of each meta."""
    while items:
        some = items[:BATCH_COUNT_MAX]
        batches = encode_batches(some, (None, *fields, *producer, sequence), bytes_max)
        # Too large for one batch, the rest is encoded again with its own sequence.
        count, _, body = batches[0]
        yield sequence, count, body
        items = items[count:]
        sequence += count

"""A run of batches of one channel, or a gap: what a reader has found, and how it is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from ..errors import CorruptionError
from ..format.batch import HEADER
from ..format.body import (
    batch_payloads,
    messages,
    read_meta,
    single_messages,
    single_payloads,
)
from ..host import Buffer
from ..message import Gap, Message

__all__ = ["Run"]

_read_header = HEADER.unpack_from


class Run:
    """Batches of one channel that lie in one segment, ready to be decoded; or a gap.

    It holds on to the memory, so it stays readable whatever becomes of the segment. ``single``
    says that each batch is one message.
    """

    __slots__ = ("buffer", "channel", "positions", "raw", "single", "start", "stop")

    def __init__(
        self,
        buffer: Buffer | None,
        positions: Sequence[int],
        start: int,
        stop: int,
        *,
        raw: bool = False,
        single: bool = False,
        channel: str | None = None,
    ) -> None:
        self.buffer = buffer
        self.channel = channel
        self.positions = positions
        self.start = start
        self.stop = stop
        self.raw = raw
        self.single = single

    def messages(self) -> list[Message]:
        """Its messages from ``start`` to ``stop``."""
        buffer = self.buffer
        if buffer is None:
            return [Gap(self.start, 0, self.stop - self.start)]
        if self.single:
            return single_messages(buffer, self.positions, self.start)
        found: list[Message] = []
        for position in self.positions:
            (_, _, flags, _, length, _, _, count, base, time_ns, _) = _read_header(buffer, position)
            # Making messages costs more than decoding them: of a large batch only those wanted.
            low, high = max(0, self.start - base), min(count, self.stop - base)
            found += messages(buffer, position, length, flags, count, base, time_ns, low, high)
        return found

    def data(self) -> Iterable[list[Any]]:
        """Their payloads, in lists that are decoded as they are asked for. Raises
        ``CorruptionError`` for a gap."""
        buffer = self.buffer
        if buffer is None:
            raise CorruptionError(
                f"messages {self.start} to {self.stop} of {self.channel!r} are lost, and data() "
                "has no way to show it; iterate over the messages, where it is a Gap",
                path=None,
                start=0,
                stop=0,
                channel=self.channel,
                first_offset=self.start,
                stop_offset=self.stop,
            )
        if self.single:
            return (single_payloads(buffer, self.positions),)
        found = batch_payloads(buffer, self.positions)
        (*_, count, base, _, _) = _read_header(buffer, self.positions[-1])
        if self.start == _read_header(buffer, self.positions[0])[8] and self.stop == base + count:
            return found
        return (self._cut(list(chain.from_iterable(found))),)

    def matching(self, types: frozenset[str] | None, sender: str | None) -> list[Message]:
        """The messages of these types and not of this sender; gaps always pass.

        In a raw segment the meta alone decides, so payloads nobody wants are not decoded.
        """
        if self.buffer is None:
            return self.messages()
        if self.raw and not any(self._wanted(p, types, sender) for p in self.positions):
            return []
        return [
            message
            for message in self.messages()
            if (types is None or message.type in types)
            and (sender is None or message.sender != sender)
        ]

    def _wanted(self, position: int, types: frozenset[str] | None, sender: str | None) -> bool:
        assert self.buffer is not None
        fields = _read_header(self.buffer, position)
        meta = read_meta(self.buffer, position, fields[4], fields[2])
        if types is not None and meta[1] not in types:
            return False
        return sender is None or meta[4] != sender

    def _cut(self, found: list[Any]) -> list[Any]:
        assert self.buffer is not None
        skipped = self.start - _read_header(self.buffer, self.positions[0])[8]
        return found[skipped : skipped + self.stop - self.start]

"""Segments made batch by batch, with whatever marks, so that one thing at a time is wrong."""

from __future__ import annotations

from typing import Any

from chanlog.format.batch import CREATED, FRAME, MESSAGES, ROLLED, encode
from chanlog.format.names import MARKER, clustered_name, raw_name
from chanlog.format.payload import pack
from chanlog.format.records import encode_record
from chanlog.format.segment import Entry, encode_footer, encode_marker, encode_segment_header
from chanlog.host import MemoryFolder

from .worlds import START_NS, folder_of

LOG_ID = b"the id of a log!"
SALT = 0x5A5A
ROOM = 4096


class Forged:
    """A raw segment. Each call adds a batch, of channel 1 unless told, and returns its position."""

    def __init__(self, number: int = 1) -> None:
        self.number = number
        self.name = raw_name(number)
        self.content = bytearray(
            encode_segment_header(
                salt=SALT, first=number, last=number, created_ns=START_NS, log_id=LOG_ID
            )
        )

    @property
    def end(self) -> int:
        """The position behind the last batch."""
        return len(self.content)

    @property
    def mark(self) -> int:
        """The log position behind the last batch."""
        return self.number << 32 | self.end

    def batch(
        self, kind: int, body: bytes, *, channel: int = 1, mark: int = 0, **fields: Any
    ) -> int:
        position = self.end
        fields.setdefault("time_ns", START_NS)
        self.content += encode(kind, body, salt=SALT, channel=channel, mark=mark, **fields)
        return position

    def created(self, name: str, **fields: Any) -> int:
        return self.batch(CREATED, encode_record(name, None, 0, 0), **fields)

    def message(self, base: int, payload: Any, **fields: Any) -> int:
        return self.batch(MESSAGES, pack(payload), base=base, count=1, **fields)

    def rolled(self, **fields: Any) -> int:
        """As in the first files, unless ``base`` says where it belongs."""
        fields.setdefault("base", self.number + 1)
        return self.batch(ROLLED, b"", channel=0, **fields)

    def frame(self, inner: Forged, **fields: Any) -> int:
        """The batches of another one, as a frame."""
        return self.batch(FRAME, bytes(inner.content[64:]), channel=0, **fields)

    def flip(self, position: int) -> None:
        self.content[position] ^= 1

    def zero(self, start: int, stop: int) -> None:
        self.content[start:stop] = bytes(stop - start)


class ForgedClustered(Forged):
    """A clustered segment made of one raw segment. First its control records; then, for each
    channel, ``channel`` and its messages; ``finish`` at last."""

    def __init__(self, number: int = 1) -> None:
        super().__init__(number)
        self.name = clustered_name(number, number)
        self.entries: list[Entry] = []
        self.control_stop = 0

    def channel(self, id: int, base: int, *payloads: Any, time_ns: int = START_NS) -> int:
        """One batch for each payload; returns where they begin."""
        start = self.end
        self.control_stop = self.control_stop or start
        for offset, payload in enumerate(payloads, base):
            self.message(offset, payload, channel=id, time_ns=time_ns)
        self.entries.append(
            Entry(id, len(payloads), start, self.end, base, base + len(payloads), time_ns, time_ns)
        )
        return start

    def finish(self) -> ForgedClustered:
        self.content += encode_footer(
            self.entries,
            index_position=self.end,
            control_stop=self.control_stop or self.end,
            messages=sum(entry.end - entry.base for entry in self.entries),
        )
        return self


def forged_log(*segments: Forged, room: int = ROOM) -> MemoryFolder:
    """A log of these segments without a catalog, the raw ones with zeros up to ``room``
    behind them."""
    files = {}
    for segment in segments:
        sealed = isinstance(segment, ForgedClustered)
        files[segment.name] = bytes(segment.content).ljust(0 if sealed else room, b"\0")
    return folder_of({MARKER: encode_marker(LOG_ID, START_NS), **files})

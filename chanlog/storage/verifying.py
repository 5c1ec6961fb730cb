"""Verifying a log directory: every batch of every file, without changing or locking anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import FormatError
from ..format.batch import (
    CREATED,
    DELETED,
    HEADER_BYTES,
    MESSAGES,
    ROLLED,
    TRIMMED,
    Header,
    read_header,
)
from ..format.catalog import Catalog
from ..format.names import CATALOG, parse_raw, raw_name, segment_files
from ..format.records import decode_created
from ..format.segment import (
    SEGMENT_HEADER_BYTES,
    Entry,
    read_index,
    read_segment_header,
)
from ..host import Folder
from .applying import inside
from .opening import read_log_id
from .scanning import batch_at, batches_of_any_salt, inside_damaged_frame, last_nonzero, next_batch
from .segment import ends
from .snapshot import CatalogMeta

__all__ = ["Problem", "Verification", "verify_folder"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Bytes ``start`` to ``stop`` of ``path`` are not what they should be; ``text`` says why."""

    path: Path
    start: int
    stop: int
    text: str


@dataclass(slots=True)
class Verification:
    """What was walked, and what is wrong with it. ``torn`` are unfinished tails: what a crash
    leaves, or an owner that is writing right now; the next opening cuts them."""

    segments: int = 0
    batches: int = 0
    messages: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    torn: list[Problem] = field(default_factory=list)


def verify_folder(folder: Folder, progress: Callable[[int, int], None] | None) -> Verification:
    """Walk every file of a log. Raises ``NotALog``, ``LogNotFound``, ``FormatTooNew``."""
    return Verifier(folder, progress).run()


class Verifier:
    """One walk over one directory."""

    def __init__(self, folder: Folder, progress: Callable[[int, int], None] | None) -> None:
        self._folder = folder
        self._progress = progress
        self._found = Verification()
        self._total = 0
        self._ends: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._starts: dict[int, int] = {}
        self._missing: list[tuple[int, int, int, Problem]] = []
        # The log position at which the segment that is walked begins, and where its batches end.
        self._start = 0
        self._tail: int | None = None
        # Whether something in this segment is damaged, and is said already.
        self._holes = False
        # Damage in a raw segment counts as such if something behind it says it was durable.
        self._open_ends: list[tuple[int, Problem]] = []
        # The same where a segment ends, and nothing is there that could be damaged.
        self._ends_early: list[tuple[int, Problem]] = []
        self._durable = 0

    def run(self) -> Verification:
        """Walk all of it."""
        read_log_id(self._folder)
        contents = []
        # A power cut may have brought back what was clustered; the next opening removes it.
        for span, name in segment_files(self._folder.names())[0]:
            try:
                file = self._folder.open(name, writable=False)
            except FileNotFoundError:
                # Its owner has just clustered or removed it.
                continue
            contents.append((span, name, file))
            self._total += file.size()
        self._catalog()
        last = 0
        for span, name, file in contents:
            if span[0] > last + 1:
                self._gone(last + 1)
            last = max(last, span[1])
            content = file.read(0, file.size())
            file.close()
            self._start = span[0] << 32
            self._segment(span, name, content)
            self._unended(name, span == contents[-1][0])
        if self._durable > (last + 1) << 32 | SEGMENT_HEADER_BYTES:
            self._gone(last + 1)
        ends = [position for position, _ in self._open_ends + self._ends_early]
        # The next opening cuts the log here, with all that follows.
        stop = min((end for end in ends if end >= self._durable), default=1 << 128)
        for channel, base, position, problem in self._missing:
            # What compaction has dropped below the start offset is not missing.
            if base > self._starts.get(channel, 0) and position < stop:
                self._found.problems.append(problem)
        for position, problem in self._open_ends:
            durable = position < self._durable
            (self._found.problems if durable else self._found.torn).append(problem)
        for position, problem in self._ends_early:
            if position < self._durable:
                self._found.problems.append(problem)
        return self._found

    def _problem(self, name: str, start: int, stop: int, text: str) -> Problem:
        path = self._folder.path
        assert path is not None
        return Problem(path / name, start, stop, text)

    def _wrong(self, name: str, start: int, stop: int, text: str) -> None:
        self._found.problems.append(self._problem(name, start, stop, text))

    def _advance(self, count: int) -> None:
        self._found.bytes += count
        if self._progress is not None:
            self._progress(self._found.bytes, max(self._total, self._found.bytes))

    def _catalog(self) -> None:
        try:
            file = self._folder.open(CATALOG, writable=False)
        except FileNotFoundError:
            return
        content = file.read(0, file.size())
        file.close()
        try:
            catalog = Catalog(content)
            catalog.check()
            self._durable = CatalogMeta.decode(catalog.meta).durable
        except FormatError as error:
            self._wrong(
                CATALOG, error.position or 0, len(content),
                f"the catalog is damaged ({error}); opening rebuilds it from the segments",
            )  # fmt: skip

    def _gone(self, number: int) -> None:
        """No file has this number, or those that follow."""
        text = "this segment, or the clustered one made from it, is not there"
        problem = self._problem(raw_name(number), 0, 0, text)
        self._open_ends.append(((number << 32) | SEGMENT_HEADER_BYTES, problem))

    def _what(self, header: Header | None) -> str:
        """What is damaged, as far as a header that is right can tell."""
        if header is None or header.kind != MESSAGES:
            return "this should be a batch, and is not"
        name = self._names.get(header.channel, f"number {header.channel}")
        return f"messages {header.base} to {header.base + header.count} of {name!r} are damaged"

    def _segment(self, span: tuple[int, int], name: str, content: bytes) -> None:
        self._found.segments += 1
        self._holes = False
        self._tail = None
        try:
            header = read_segment_header(content)
        except FormatError as error:
            self._beheaded(span[0], name, content, str(error))
            return
        if parse_raw(name) is None:
            # It took its place when all before it was durable.
            self._durable = max(self._durable, (span[1] + 1) << 32)
            self._clustered(name, content, header.salt)
        else:
            self._raw(span[0], name, content, header.salt)

    # Raw segments.

    def _beheaded(self, number: int, name: str, content: bytes, text: str) -> None:
        """The header is not right: a power cut may leave that of a raw segment which was just
        created, with anything behind it, or nothing."""
        if parse_raw(name) is None:
            self._wrong(name, 0, SEGMENT_HEADER_BYTES, text)
            return
        for _, header in batches_of_any_salt(content, SEGMENT_HEADER_BYTES, len(content)):
            if header.mark >> 32 == number:
                self._durable = max(self._durable, header.mark)
        if content.strip(b"\0"):
            problem = self._problem(name, 0, SEGMENT_HEADER_BYTES, text)
            self._open_ends.append((self._start | SEGMENT_HEADER_BYTES, problem))
        else:
            self._tail = SEGMENT_HEADER_BYTES

    def _unended(self, name: str, last: bool) -> None:
        """Behind the batches of a segment are zeros, which is how the last one ends."""
        if self._tail is not None and not (last and self._start | self._tail >= self._durable):
            text = "the segment ends here, and the log went on"
            problem = self._problem(name, self._tail, self._tail, text)
            self._ends_early.append((self._start | self._tail, problem))

    def _raw(self, number: int, name: str, content: bytes, salt: int) -> None:
        position = SEGMENT_HEADER_BYTES
        while True:
            header = batch_at(content, position, len(content), salt)
            if header is not None:
                self._take(name, content, position, header)
                position += header.length
                if header.kind == ROLLED:
                    if ends(number, position - header.length, header):
                        return
                    text = "the segment is said to end here, and goes on"
                    problem = self._problem(name, position - header.length, position, text)
                    self._holes = True
                    self._open_ends.append(((number << 32) | position, problem))
                continue
            stop = last_nonzero(content, position, len(content))
            if stop == position:
                self._tail = position
                return
            if inside_damaged_frame(content, position, len(content), salt):
                # What is damaged is inside of it, and is met there.
                position += HEADER_BYTES
                continue
            resumed = next_batch(content, position + 1, len(content), salt)
            text = self._what(read_header(content, position, len(content), salt))
            problem = self._problem(name, position, resumed or stop, text)
            self._holes = True
            self._open_ends.append(((number << 32) | position, problem))
            if resumed is None:
                return
            position = resumed

    def _take(self, name: str, content: bytes, position: int, header: Header) -> None:
        self._durable = max(self._durable, header.mark)
        for inner_position, inner in inside(content, position, header):
            self._count(name, content, inner_position, inner)
        self._advance(header.length)

    def _count(self, name: str, content: bytes, position: int, header: Header) -> None:
        self._found.batches += 1
        if header.kind == CREATED:
            body = content[position + HEADER_BYTES : position + header.length]
            try:
                self._names[header.channel] = decode_created(body)[0]
            except FormatError as error:
                self._wrong(name, position, position + header.length, str(error))
        elif header.kind == TRIMMED:
            start = self._starts.get(header.channel, 0)
            self._starts[header.channel] = max(start, header.base)
        elif header.kind == DELETED:
            self._starts[header.channel] = 1 << 63
        if header.kind != MESSAGES:
            return
        self._found.messages += header.count
        expected = self._ends.get(header.channel, header.base)
        if header.base > expected and not self._holes:
            channel = self._names.get(header.channel, f"number {header.channel}")
            text = f"offsets {expected} to {header.base} of {channel!r} are missing"
            problem = self._problem(name, position, position + header.length, text)
            self._missing.append((header.channel, header.base, self._start | position, problem))
        elif header.base < expected:
            self._wrong(
                name, position, position + header.length,
                f"offset {header.base} of channel {header.channel} is there twice",
            )  # fmt: skip
        self._ends[header.channel] = header.base + header.count

    # Clustered segments.

    def _clustered(self, name: str, content: bytes, salt: int) -> None:
        try:
            index = read_index(memoryview(content))
            entries = list(index)
        except FormatError as error:
            self._wrong(name, error.position or 0, len(content), str(error))
            return
        self._batches(name, content, SEGMENT_HEADER_BYTES, index.control_stop, salt)
        position = index.control_stop
        for entry in entries:
            if entry.position != position:
                self._wrong(name, position, entry.position, "the index leaves out some bytes")
            before = self._found.batches
            first, end = self._batches(name, content, entry.position, entry.stop, salt)
            whole = self._found.batches - before == entry.batches
            if whole and (first, end) != (entry.base, entry.end):
                self._mismatch(name, entry)
            position = entry.stop

    def _mismatch(self, name: str, entry: Entry) -> None:
        self._wrong(
            name, entry.position, entry.stop,
            f"the index says that channel {entry.channel} has offsets {entry.base} to "
            f"{entry.end} here, and the batches say otherwise",
        )  # fmt: skip

    def _batches(
        self, name: str, content: bytes, position: int, stop: int, salt: int
    ) -> tuple[int, int]:
        """Walk batches that lie one behind the other; returns the offsets they span."""
        first = end = -1
        while position < stop:
            header = batch_at(content, position, stop, salt)
            if header is None:
                resumed = next_batch(content, position + 1, stop, salt) or stop
                header = read_header(content, position, stop, salt)
                self._wrong(name, position, resumed, self._what(header))
                self._holes = True
                self._advance(resumed - position)
                position = resumed
                continue
            self._count(name, content, position, header)
            if header.kind == MESSAGES:
                first = header.base if first < 0 else first
                end = header.base + header.count
            self._advance(header.length)
            position += header.length
        return first, end

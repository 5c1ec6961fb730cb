"""Logs to be damaged: one that holds everything, what can be said of it, and copies of it."""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import chanlog
from chanlog.format.batch import HEADER
from chanlog.format.segment import SEGMENT_HEADER_BYTES
from chanlog.host import DiskFolder, Host, MemoryFolder
from chanlog.host.disk import DiskFile

START_NS = 1_700_000_000_000_000_000
SEGMENT_BYTES = 64 * 1024


class Ticks:
    """A clock that moves on by a microsecond whenever somebody looks."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        self.now_ns += 1000
        return self.now_ns


class Bytes:
    """Bytes that look random and are the same each time."""

    def __init__(self) -> None:
        self._state = 1

    def __call__(self, count: int) -> bytes:
        found = bytearray()
        for _ in range(count):
            self._state = self._state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
            found.append(self._state >> 56)
        return bytes(found)


def fixed_host(**parts: Any) -> Host:
    """A host on the disk whose clock and randomness are the same each time."""
    return Host(clock=Ticks(), random_bytes=Bytes(), **parts)


def open_log(path: Path, **options: Any) -> Any:
    """The log in ``path``, with small segments and no thread of its own."""
    options.setdefault("background", False)
    options.setdefault("sync", "os")
    options.setdefault("segment_bytes", SEGMENT_BYTES)
    return chanlog.open(path, **options)


def telling(log: chanlog.Log) -> Iterator[None]:
    """Publish something of every kind, in about 4 KB; yields after each batch."""
    agent = log.channel("agent", sender="agent")
    for number in range(4):
        headers = {"n": number} if number == 2 else None
        agent.publish({"token": number}, type="token", headers=headers)
        yield
    agent.publish_many([f"many-{number}" for number in range(9)], key="k")
    yield
    log.channel("agent", sender="person").publish("stop", type="steer")
    yield
    log.channel("ended").publish_many([b"last", b"words"])
    yield
    log.channel("ended").end()
    yield
    trimmed = log.channel("trimmed")
    trimmed.publish_many(list(range(30)))
    yield
    trimmed.trim(21)
    yield
    log.channel("forgotten").publish_many(["a", "b", "c"])
    yield
    log.channel("forgotten").trim(3)
    yield
    log.channel("deleted").publish("never mind")
    yield
    log.channel("deleted").delete()
    yield
    log.channel("deleted").publish("another of that name")
    yield
    parent = log.channel("parent")
    parent.publish_many([f"parent-{number}" for number in range(6)])
    yield
    fork = parent.fork("fork", at=4)
    yield
    fork.publish("fork-4")
    yield
    parent.publish("parent-6")
    yield
    parent.delete()
    yield
    grandchild = fork.fork("fork of the fork", at=2)
    yield
    grandchild.publish("grandchild-2")
    yield
    producer = log.channel("produced").producer("p", epoch=1)
    yield
    producer.publish_many(["p0", "p1"])
    yield
    log.channel("produced").publish("by somebody else")
    yield
    producer.publish("p2")
    yield
    producer = log.channel("produced").producer("p", epoch=3)
    yield
    producer.publish("p3")
    yield
    log.channel("produced").producer("idle", epoch=2)
    yield
    cursor = log.channel("agent").cursor("billing")
    cursor.commit(7)
    yield
    log.channel("agent").cursor("gone").commit(3)
    yield
    log.channel("agent").cursor("gone").delete()
    yield
    with log.atomic() as frame:
        frame.publish("framed", "one")
        frame.publish("agent", "from a frame", type="token")
        frame.commit(cursor, 9)
        frame.publish("framed", "two")
    yield
    log.channel("kept").configure(chanlog.Retention(count=3))
    yield
    log.channel("kept").publish_many(["x", "y", "z"])
    yield
    log.channel("empty").configure(chanlog.Retention(bytes=1 << 20))
    yield


def tell(log: chanlog.Log) -> None:
    """All of it at once."""
    for _ in telling(log):
        pass


def contents(log: chanlog.Log) -> dict[str, tuple[Any, list[Any]]]:
    """All that can be read: the info of each channel, and its messages."""
    return {
        name: (
            replace(log.channel(name).info(), durable_offset=0),
            list(log.channel(name).replay()),
        )
        for name in log.channels()
    }


def files_of(path: Path) -> dict[str, bytes]:
    """The files of a directory: what is there if the process dies now."""
    return {file.name: file.read_bytes() for file in path.iterdir()}


def folder_of(files: dict[str, bytes]) -> MemoryFolder:
    """A folder in memory with these files: thousands of them are opened in a second."""
    folder = MemoryFolder()
    for name, content in files.items():
        folder.create(name).write(0, content)
    return folder


def open_image(folder: MemoryFolder, **options: Any) -> Any:
    """The log in a folder of memory."""
    return open_log(Path("image"), host=fixed_host(disk=lambda path: folder), **options)


class Telling(NamedTuple):
    """A log at each moment of its writing: the position behind each batch of its one segment, and
    what could be read then; and its files at last."""

    files: dict[str, bytes]
    tails: list[int]
    contents: list[dict[str, Any]]
    segment: str

    @property
    def content(self) -> bytes:
        """The bytes of the segment."""
        return self.files[self.segment][: self.tails[-1]]

    def with_content(self, content: bytes) -> dict[str, bytes]:
        """The files with another content of the segment."""
        return {**self.files, self.segment: content}

    def place(self, position: int) -> int:
        """How many batches end at or before ``position``."""
        return bisect_right(self.tails, position) - 1

    def mark(self, count: int) -> int:
        """The durable mark that the first ``count`` batches tell of."""
        marks = [_mark_at(self.content, tail) for tail in self.tails[:count]]
        return max(marks, default=0) & 0xFFFFFFFF


def _mark_at(content: bytes, position: int) -> int:
    mark: int = HEADER.unpack_from(content, position)[10]
    return mark


def told(path: Path, *, sync_at: tuple[int, ...] = ()) -> Telling:
    """Tell it to a new log in ``path`` and sync it after some batches."""
    log = open_log(path, host=fixed_host())
    tails, moments = [log._store.active.tail], [contents(log)]
    tails[0] = SEGMENT_HEADER_BYTES
    for count, _ in enumerate(telling(log), 1):
        tails.append(log._store.active.tail)
        moments.append(contents(log))
        if count in sync_at:
            log.sync()
    files = files_of(path)
    log.close()
    return Telling(files, tails, moments, "0000000001.log")


class Recorder:
    """Copies the directory before every call that changes it, while ``recording``."""

    def __init__(self, path: Path, images: Path) -> None:
        self.path = path
        self.images = images
        self.calls: list[tuple[str, Path]] = []
        self.recording = False

    def host(self) -> Host:
        return fixed_host(disk=lambda path: RecordingFolder(path, self))

    def note(self, call: str) -> None:
        if self.recording:
            image = self.images / str(len(self.calls))
            shutil.copytree(self.path, image)
            self.calls.append((call, image))

    def __iter__(self) -> Iterator[tuple[str, Path]]:
        """The calls with what was there before each; the last is what is there now."""
        self.note("nothing")
        return iter(self.calls)


class RecordingFolder(DiskFolder):
    """A folder that tells its recorder before it changes anything."""

    def __init__(self, path: Path, recorder: Recorder) -> None:
        super().__init__(path)
        self.recorder = recorder

    def create(self, name: str) -> DiskFile:
        self.recorder.note(f"create {name}")
        file = super().create(name)
        return RecordingFile(file, self.recorder)

    def open(self, name: str, *, writable: bool) -> DiskFile:
        file = super().open(name, writable=writable)
        return RecordingFile(file, self.recorder) if writable else file

    def rename(self, name: str, to: str) -> None:
        self.recorder.note(f"rename {name} {to}")
        super().rename(name, to)

    def remove(self, name: str) -> None:
        self.recorder.note(f"remove {name}")
        super().remove(name)

    def sync(self) -> None:
        self.recorder.note("sync folder")
        super().sync()


class RecordingFile(DiskFile):
    """The same for a file; it takes over the descriptor of another."""

    def __init__(self, file: DiskFile, recorder: Recorder) -> None:
        self.name = file.name
        self._path = file._path
        self._descriptor, file._descriptor = file._descriptor, -1
        self.recorder = recorder

    def allocate(self, start: int, stop: int) -> None:
        self.recorder.note(f"allocate {self.name}")
        super().allocate(start, stop)

    def write(self, position: int, content: bytes | memoryview) -> None:
        self.recorder.note(f"write {self.name}")
        super().write(position, content)

    def truncate(self, size: int) -> None:
        self.recorder.note(f"truncate {self.name}")
        super().truncate(size)

    def sync(self) -> None:
        self.recorder.note(f"sync {self.name}")
        super().sync()

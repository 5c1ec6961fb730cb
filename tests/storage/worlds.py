"""Logs to be damaged: one that holds everything, what can be said of it, and copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import chanlog
from chanlog.host import DiskFolder, Host
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


def tell(log: chanlog.Log) -> None:
    """Publish something of every kind, in about 4 KB."""
    agent = log.channel("agent", sender="agent")
    for number in range(12):
        agent.publish(
            {"token": number}, type="token", headers={"n": number} if number == 5 else None
        )
    agent.publish_many([f"many-{number}" for number in range(9)], key="k")
    log.channel("agent", sender="person").publish("stop", type="steer")
    log.channel("ended").publish_many([b"last", b"words"])
    log.channel("ended").end()
    trimmed = log.channel("trimmed")
    trimmed.publish_many(list(range(30)))
    trimmed.trim(21)
    log.channel("forgotten").publish_many(["a", "b", "c"])
    log.channel("forgotten").trim(3)
    log.channel("deleted").publish("never mind")
    log.channel("deleted").delete()
    log.channel("deleted").publish("another of that name")
    parent = log.channel("parent")
    parent.publish_many([f"parent-{number}" for number in range(6)])
    fork = parent.fork("fork", at=4)
    fork.publish("fork-4")
    parent.publish("parent-6")
    parent.delete()
    fork.fork("fork of the fork", at=2).publish("grandchild-2")
    producer = log.channel("produced").producer("p", epoch=1)
    producer.publish_many(["p0", "p1"])
    log.channel("produced").publish("by somebody else")
    producer.publish("p2")
    log.channel("produced").producer("p", epoch=3).publish("p3")
    log.channel("produced").producer("idle", epoch=2)
    cursor = log.channel("agent").cursor("billing")
    cursor.commit(7)
    log.channel("agent").cursor("gone").commit(3)
    log.channel("agent").cursor("gone").delete()
    with log.atomic() as frame:
        frame.publish("framed", "one")
        frame.publish("agent", "from a frame", type="token")
        frame.commit(cursor, 9)
        frame.publish("framed", "two")
    log.channel("kept").configure(chanlog.Retention(count=3, age=None))
    log.channel("kept").publish_many(["x", "y", "z"])
    log.channel("empty").configure(chanlog.Retention(bytes=1 << 20))


def contents(log: chanlog.Log) -> dict[str, tuple[Any, list[Any]]]:
    """All that can be read: the info of each channel, and its messages."""
    return {
        name: (
            replace(log.channel(name).info(), durable_offset=0),
            list(log.channel(name).replay()),
        )
        for name in log.channels()
    }


def crashed(log: Any, path: Path, target: Path) -> Path:
    """What is there if the process dies now: a copy of the directory, without the lock."""
    shutil.copytree(path, target)
    return target


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

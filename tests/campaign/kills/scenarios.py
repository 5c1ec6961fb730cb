"""Scenarios: what runs out, or goes away, in a way of its own."""

from __future__ import annotations

import errno
import gc
import resource
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import chanlog

from .cast import open_log
from .child import Child, Say
from .ledger import Violation
from .mounts import Disk

__all__ = ["SCENARIOS", "Scenario"]

_MIB = 1 << 20


class Scenario(NamedTuple):
    """One story, told in a child of its own in a directory of its own. ``needs`` is the kind of
    disk that it wants to have mounted."""

    name: str
    tell: Callable[[Path], None]
    needs: str = ""

    def run(self) -> str:
        """Returns what is wrong."""
        home = Path(tempfile.mkdtemp(prefix="chanlog-scenario-"))

        def work(say: Say) -> None:
            self.tell(home)

        try:
            child = Child(work)
            text = child.finish()
            return f"status {child.status}, {text}" if child.status else ""
        finally:
            shutil.rmtree(home, ignore_errors=True)


def _hold(log: chanlog.Log, expected: list[object]) -> None:
    found = list(log.channel("w").replay().data())
    if found != expected:
        raise Violation(f"{len(found)} messages, and not {len(expected)}; the last {found[-1:]!r}")


def _refused(call: Callable[[], object], *codes: int) -> None:
    """The call must raise one of these errors of the system."""
    try:
        call()
    except OSError as error:
        if error.errno not in codes:
            raise
    else:
        raise Violation("it should have been refused")


def _readers_that_never_read(home: Path) -> None:
    """They may cost nothing: the memory there is would not hold what is published."""
    with open_log(home / "log") as log:
        channel = log.channel("w")
        readers = [channel.subscribe() for _ in range(500)]
        channel.publish_many([b"warm"] * 10)
        log.compact()
        # What is mapped of files is no memory of its own, and not counted.
        used = int(Path("/proc/self/status").read_text("ascii").split("VmData:")[1].split()[0])
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (used * 1024 + 24 * _MIB, hard))
        for number in range(48):
            channel.publish_many([bytes([number]) * 1024] * 1024)
            log.compact()
        for number in range(-10, 48 * 1024):
            expected = b"warm" if number < 0 else bytes([number // 1024]) * 1024
            message = readers[0].get(timeout=0)
            if message is None or message.data != expected:
                raise Violation(f"{expected[:4]!r} was not read, but {message!r:.80}")
        if readers[1].offset != 0 or not readers[1].ready:
            raise Violation("a reader that never read has moved")


def _mounted_read_only(home: Path) -> None:
    """A log that was closed cannot be opened to be written, can be read, and is whole after."""
    with Disk("tmpfs", "size=4m") as disk:
        with open_log(disk.path / "log") as log:
            log.channel("w").publish_many(range(100))
        del log
        # Its maps are let go of with it.
        gc.collect()
        disk.remount("ro")
        _refused(lambda: open_log(disk.path / "log"), errno.EROFS)
        _refused(lambda: open_log(disk.path / "new"), errno.EROFS)
        with open_log(disk.path / "log", read_only=True) as log:
            _hold(log, list(range(100)))
        disk.remount("rw")
        with open_log(disk.path / "log") as log:
            log.channel("w").publish(100)
            _hold(log, list(range(101)))


def _remounted_by_an_error(home: Path) -> None:
    """ext4 found itself damaged and turned read-only under an open log: the log fails, and what
    it had called durable is there when the disk is."""
    with Disk("ext4", "errors=remount-ro", image_bytes=24 * _MIB) as disk:
        trigger = Path("/sys/fs/ext4") / disk.device / "trigger_fs_error"
        acknowledged = _until_it_fails(open_log(disk.path / "log", "always"), trigger)
        gc.collect()
        disk.unmount()
        disk.mount()
        with open_log(disk.path / "log") as log:
            found = list(log.channel("w").replay().data())
            if found[: len(acknowledged)] != acknowledged:
                raise Violation(f"{len(acknowledged)} acknowledged, {len(found)} there")
            log.channel("w").publish("on")


def _until_it_fails(log: chanlog.Log, trigger: Path) -> list[int]:
    """Publish numbers until the disk has become read-only; returns those acknowledged."""
    acknowledged = [log.channel("w").publish(number) for number in range(50)]
    trigger.write_text("1", "ascii")
    with suppress(chanlog.LogFailed, OSError):
        for number in range(50, 5000):
            acknowledged.append(log.channel("w").publish(number))
        raise Violation("a log on a disk that cannot be written went on")
    found = list(log.channel("w").replay().data())
    if found[: len(acknowledged)] != acknowledged:
        raise Violation("what is durable cannot be read any more")
    with suppress(chanlog.ChanlogError, OSError):
        log.close()
    return acknowledged


def _a_directory_that_disappears(home: Path) -> None:
    """Nobody can save a log from that; it must say so, and neither crash nor hang."""
    log = open_log(home / "log")
    channel = log.channel("w")
    channel.publish_many(range(10))
    shutil.rmtree(home / "log")
    _hold(log, list(range(10)))
    count = 10
    while count < 1000:
        try:
            channel.publish("x" * 1000)
        except FileNotFoundError:
            break
        count += 1
    else:
        raise Violation("it went on without a directory")
    if channel.info().end_offset != count:
        raise Violation("a publish that raised has happened")
    _refused(log.compact, errno.ENOENT)
    with suppress(OSError):
        log.close()
    with open_log(home / "log") as log:
        _hold(log, [])


def _a_directory_that_is_moved(home: Path) -> None:
    """The log stays in it, whatever is made where it was."""
    with open_log(home / "log") as log:
        log.channel("w").publish_many(range(10))
        (home / "log").rename(home / "moved")
        with open_log(home / "log") as other:
            other.channel("w").publish("other")
            for number in range(10, 400):
                log.channel("w").publish(number)
                log.channel("filler").publish("x" * 1000)
            log.compact()
            other.compact()
            _hold(other, ["other"])
    with open_log(home / "moved") as log:
        _hold(log, list(range(400)))
    with open_log(home / "log") as other:
        _hold(other, ["other"])


def _no_room_to_keep_a_torn_tail(home: Path) -> None:
    """Opening wants to put it aside and cannot: then nothing may be cut."""
    with Disk("tmpfs", "size=1m") as disk:
        path = disk.path / "log"
        log = open_log(path)
        log.channel("w").publish_many(range(100))
        (position, segment) = (log._store.active.tail, log._store.active.name)
        files = {file.name: file.read_bytes() for file in path.iterdir()}
        log.close()
        for name, content in files.items():
            (path / name).write_bytes(content)
        (path / "catalog").unlink()
        with (path / segment).open("r+b") as file:
            file.seek(position)
            file.write(b"torn" * 2000)
        ballast = disk.path / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        before = (path / segment).read_bytes()
        _refused(lambda: open_log(path), errno.ENOSPC)
        if (path / segment).read_bytes() != before:
            raise Violation("it was cut, and not kept")
        ballast.unlink()
        with open_log(path) as log:
            _hold(log, list(range(100)))
            (torn,) = log.recovery.torn
            if torn.kept_as.read_bytes() != b"torn" * 2000:
                raise Violation("what was kept is something else")


SCENARIOS = (
    Scenario("readers that never read", _readers_that_never_read),
    Scenario("mounted read-only", _mounted_read_only, "tmpfs"),
    Scenario("remounted by an error", _remounted_by_an_error, "ext4"),
    Scenario("a directory that disappears", _a_directory_that_disappears),
    Scenario("a directory that is moved", _a_directory_that_is_moved),
    Scenario("no room to keep a torn tail", _no_room_to_keep_a_torn_tail, "tmpfs"),
)

"""Stands between the host floor and the system: counts its calls, and fails or stops at one."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from chanlog.format.names import MARKER
from chanlog.host import disk

__all__ = ["Call", "Calls", "Fault"]


class Call(NamedTuple):
    """One call: its name (``create`` for an ``open`` that creates), and that of its file."""

    name: str
    target: str


class Fault(NamedTuple):
    """What goes wrong.

    ``how`` is ``before`` (fails and does nothing), ``after`` (does it and fails all the same),
    ``half`` (writes half and fails), ``short`` (takes a part of the bytes), ``nothing`` (takes
    none). ``reach`` is ``once``, ``call`` (so does every later call of that name) or ``all`` (so
    does every later call that ``listed`` names).
    """

    how: str
    number: int = 0
    reach: str = "once"
    listed: frozenset[str] = frozenset()

    def __str__(self) -> str:
        name = errno.errorcode.get(self.number, "")
        return ",".join(part for part in (self.how, name, self.reach) if part)


# A call that moves bytes may be short; one that closes gives the descriptor back whatever it says.
MOVING = ("pwrite", "pread")
NAMES = (
    "open", "fstat", "posix_fallocate", "pwrite", "pread", "fdatasync", "fsync", "ftruncate",
    "close", "mkdir", "listdir", "rename", "unlink", "stat",
)  # fmt: skip


class Calls:
    """Counts the calls of the host floor while ``installed``, numbered from 0.

    From call ``at`` on ``fault`` strikes. ``stop(moment)``, if given, is called at call ``at``
    with ``before``, ``half`` (of a write) and ``after``, and may not come back.
    """

    def __init__(
        self,
        at: int = -1,
        fault: Fault | None = None,
        stop: Callable[[str], None] | None = None,
    ) -> None:
        self.at = at
        self.fault = fault
        self.stop = stop
        self.made: list[Call] = []
        # The one that was struck; it exists once the fault has happened.
        self.struck: Call | None = None
        self.lifted = False
        self.complaints: list[str] = []
        # Names without which the log is not found, and that no sync of their folder has covered.
        self.unsynced: set[str] = set()
        self._created: set[str] = set()
        self._paths: dict[int, str] = {}
        # A sync that failed on a file must not be asked for again while the log is open.
        self._failed_syncs: set[str] = set()

    def opened_anew(self) -> None:
        """The log was closed and is opened: opening verifies, and may sync what it finds."""
        self._failed_syncs.clear()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace what the host floor knows as ``os``, ``fcntl`` and ``mmap``."""
        fake_os, fake_fcntl = ModuleType("os"), ModuleType("fcntl")
        vars(fake_os).update(vars(os))
        vars(fake_fcntl).update(vars(fcntl))
        for name in NAMES:
            setattr(fake_os, name, self._wrapper(name, getattr(os, name)))
        vars(fake_fcntl)["flock"] = self._wrapper("flock", fcntl.flock)
        before = disk.os, disk.fcntl, disk.mmap
        wrapped: Any = (fake_os, fake_fcntl, self._wrapper("mmap", mmap.mmap))
        disk.os, disk.fcntl, disk.mmap = wrapped
        try:
            yield
        finally:
            disk.os, disk.fcntl, disk.mmap = before

    def _wrapper(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            target = self._target(name, args, options)
            kind = "create" if name == "open" and args[1] & os.O_CREAT else name
            number = len(self.made)
            self.made.append(Call(kind, Path(target).name))
            if name in ("fsync", "fdatasync") and target in self._failed_syncs:
                self.complaints.append(f"{target} was synced again after a sync of it had failed")
            if self.stop is not None and number == self.at:
                return self._stopped(name, real, args, options)
            fault = self._strikes(kind, number)
            if fault is not None:
                if self.struck is None:
                    self.struck = self.made[-1]
                if name in ("fsync", "fdatasync"):
                    self._failed_syncs.add(target)
                return self._fail(fault, name, real, args, options)
            return self._done(name, target, real(*args, **options), args)

        return call

    def _target(self, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> str:
        """The path of the file that a call is about."""
        if isinstance(args[0], int):
            return self._paths.get(args[0], "?")
        path = os.fspath(args[1] if name == "rename" else args[0])
        folder = options.get("dst_dir_fd" if name == "rename" else "dir_fd")
        if folder is not None:
            path = os.path.join(self._paths[folder], path)
        return os.path.normpath(path)

    def _done(self, name: str, target: str, result: Any, args: tuple[Any, ...]) -> Any:
        if name == "open":
            self._paths[result] = target
            if args[1] & os.O_EXCL:
                self._failed_syncs.discard(target)
                self._created.add(target)
        elif name == "mmap" and target in self._created and target.endswith(".log"):
            # A segment that could not be mapped is not used, though its file may be there.
            self._created.discard(target)
            self.unsynced.add(target)
        elif name == "mkdir" or (name == "rename" and target.endswith(MARKER)):
            self.unsynced.add(target)
        elif name == "unlink":
            self.unsynced.discard(target)
        elif name == "fsync":
            self.unsynced = {path for path in self.unsynced if os.path.dirname(path) != target}
        elif name == "close":
            self._paths.pop(args[0], None)
        return result

    def _strikes(self, name: str, number: int) -> Fault | None:
        fault = self.fault
        if fault is None or self.lifted or number < self.at:
            return None
        if number == self.at:
            return fault
        if fault.reach == "call" and name == self.made[self.at].name:
            return fault
        if fault.reach == "all" and name in fault.listed:
            return fault
        return None

    def _fail(
        self, fault: Fault, name: str, real: Callable[..., Any], args: Any, options: Any
    ) -> Any:
        if fault.how == "nothing":
            return 0
        if fault.how == "short":
            return _in_part(name, real, args)
        if fault.how == "half":
            _in_part(name, real, args)
        elif fault.how == "after" or name == "close":
            self._done(name, self._target(name, args, options), real(*args, **options), args)
        raise OSError(fault.number, os.strerror(fault.number), *_path_of(name, args))

    def _stopped(self, name: str, real: Callable[..., Any], args: Any, options: Any) -> Any:
        assert self.stop is not None
        self.stop("before")
        if name == "pwrite":
            _in_part(name, real, args)
            self.stop("half")
        try:
            return real(*args, **options)
        finally:
            # Also if the system has refused it, as when there is nothing to remove.
            self.stop("after")


def _in_part(name: str, real: Callable[..., Any], args: Any) -> Any:
    if name == "pwrite":
        descriptor, content, position = args
        return real(descriptor, memoryview(content)[: (len(content) + 1) // 2], position)
    descriptor, count, position = args
    return real(descriptor, (count + 1) // 2, position)


def _path_of(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """What the system's error tells: the path or name, if it was called by one."""
    if name == "rename":
        return (os.fspath(args[0]), None, os.fspath(args[1]))
    return () if isinstance(args[0], int) else (os.fspath(args[0]),)

"""Opening a log, and the log itself: the floors put together."""

from __future__ import annotations

import asyncio
import atexit
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from weakref import WeakSet

from .capabilities import EMBEDDED, Capabilities
from .channels.channel import EmbeddedChannel
from .channels.committing import Committer
from .channels.following import Follower
from .channels.frame import EmbeddedFrame
from .channels.upkeep import Upkeep
from .errors import InvalidOption, LogPermission
from .host import Host, PathLike
from .host.process import after_fork_in_child, before_exit
from .interface import Frame, Log, Statistics
from .options import NO_RETENTION, Options, Retention, SyncPolicy, check_name, names_asked
from .storage.applying import wake
from .storage.clustered import ClusteredSegment
from .storage.companions import BEHIND_COMPANIONS
from .storage.following import follow, relist
from .storage.maintenance import close_files, compact
from .storage.opening import open_store
from .storage.recovery import Recovery
from .storage.segment import RawSegment, log_position
from .storage.store import Store
from .storage.verifying import Verification, verify_folder

__all__ = ["EmbeddedLog", "aopen", "averify", "open", "verify"]

_NAMES_AT_ONCE = 256


def open(
    path: str | PathLike[str] | None = None,
    *,
    read_only: bool = False,
    create: bool = True,
    sync: SyncPolicy = "interval",
    sync_interval: float = 0.1,
    segment_bytes: int = 32 * 1024 * 1024,
    message_bytes_max: int = 16 * 1024 * 1024,
    log_bytes_max: int | None = None,
    retention: Retention = NO_RETENTION,
    on_corruption: Literal["raise", "gap"] = "raise",
    background: bool = True,
    host: Host | None = None,
) -> EmbeddedLog:
    """Open the log in the directory ``path``, or one in memory if there is no path.

    ``read_only`` looks at the log of another process, live or dead, and follows what it appends.
    ``create=False`` raises ``LogNotFound`` where there is no log.

    ``sync`` is when appends reach stable storage: ``"always"`` before a publish returns and
    before any reader sees it; ``"interval"``, within ``sync_interval`` seconds, by a background
    thread; ``"os"`` when the operating system likes. Under each, what a publish has returned for
    survives the death of this process. ``durable=True`` on a call asks for more.

    ``segment_bytes`` is the size of a segment (64 KiB to 1 GiB); ``message_bytes_max`` that of
    the largest message. ``retention`` holds for every channel that has none of its own;
    ``log_bytes_max`` forgets the oldest segments of a log that grows beyond it.

    ``on_corruption="gap"`` opens and reads a log with damage and shows the lost offsets as
    ``Gap``; by default damage raises ``CorruptionError``, and nothing is touched.
    ``background=False`` starts no thread for upkeep; then ``compact()`` does it when called.
    ``host`` provides folder, clock and randomness, for tests.

    Raises ``LogLocked`` if somebody has it open (it names the process), ``NotALog``,
    ``FormatTooNew``, ``LogPermission``, ``CorruptionError``, ``InvalidOption``. Blocks for the
    disk.

    >>> with open() as log:
    ...     channel = log.channel("workflow-42")
    ...     channel.publish({"text": "Hel"}, type="token")
    ...     channel.end()
    ...     [message.data for message in channel.subscribe()]
    0
    1
    [{'text': 'Hel'}]
    """
    options = Options(
        sync=sync,
        sync_interval=sync_interval,
        segment_bytes=segment_bytes,
        message_bytes_max=message_bytes_max,
        log_bytes_max=log_bytes_max,
        retention=retention,
        on_corruption=on_corruption,
        background=background,
    )
    host = host if host is not None else Host()
    if path is None and read_only:
        raise InvalidOption("a log in memory cannot be read_only", option="read_only")
    folder = host.memory() if path is None else host.disk(Path(path))
    try:
        store, recovery = open_store(folder, options, host, read_only=read_only, create=create)
    except PermissionError as error:
        raise _no_permission(folder.path, error) from None
    return EmbeddedLog(store, recovery)


def verify(
    path: str | PathLike[str], *, progress: Callable[[int, int], None] | None = None
) -> Verification:
    """Walk every batch of the log in ``path``, live or dead, without a lock and without a change.

    ``progress`` is called now and then with the bytes done and in all. Returns what was found;
    ``problems`` is empty if all is right. Reads one segment at a time into memory. Raises
    ``NotALog``, ``LogNotFound``, ``FormatTooNew``, ``LogPermission``.
    """
    folder = Host().disk(Path(path))
    try:
        return verify_folder(folder, progress)
    except PermissionError as error:
        raise _no_permission(folder.path, error) from None


async def averify(
    path: str | PathLike[str], *, progress: Callable[[int, int], None] | None = None
) -> Verification:
    """``verify`` without blocking the event loop; ``progress`` is called from another thread."""
    return await asyncio.to_thread(verify, path, progress=progress)


async def aopen(path: str | PathLike[str] | None = None, **options: Any) -> EmbeddedLog:
    """``open`` without blocking the event loop. Takes the same arguments."""
    return await asyncio.to_thread(open, path, **options)


def _no_permission(path: Path | None, error: OSError) -> LogPermission:
    refused = LogPermission(
        f"this process may not use {path}: {error}; change the owner or mode of the directory",
        path=path,
    )
    refused.errno = error.errno
    return refused


class EmbeddedLog(Log):
    """A log in this process. Everything may be called from any thread.

    ``recovery`` says what opening has found: whether the log had been closed, torn tails and where
    they are kept, damage.
    """

    def __init__(self, store: Store, recovery: Recovery) -> None:
        self._store = store
        self.recovery = recovery
        self._committer = Committer(store)
        self._upkeep = Upkeep(store)
        self._follower = Follower(store)
        self._closing = threading.Lock()
        self._closed = False
        if store.read_only:
            store.halted = True
            store.follow = lambda: follow(store)
            store.relist = lambda: relist(store)
        _open_logs.add(self)

    @property
    def capabilities(self) -> Capabilities:
        return EMBEDDED

    @property
    def path(self) -> Path | None:
        """The directory, or ``None`` in memory."""
        return self._store.folder.path

    def __repr__(self) -> str:
        state = "closed " if self._closed else ""
        return f"<{state}Log {self.path or 'in memory'}>"

    def channel(self, name: str, *, sender: str | None = None) -> EmbeddedChannel:
        self._store.check_open()
        check_name(name)
        if sender is not None:
            check_name(sender, "sender")
        return EmbeddedChannel(self, self._store, self._committer, name, sender)

    def channels(self, *, prefix: str = "", pattern: str | None = None) -> Iterator[str]:
        asked = names_asked(prefix, pattern)
        return iter(()) if asked is None else self._names(*asked)

    def _names(self, prefix: str, matches: Callable[[str], Any] | None) -> Iterator[str]:
        # The companions of consumer groups come first, and are nobody's business.
        after = BEHIND_COMPANIONS
        while names := self._page(prefix, after):
            self._committer.confirm()
            after = names[-1]
            yield from names if matches is None else filter(matches, names)
        self._committer.confirm()

    def _page(self, prefix: str, after: str) -> list[str]:
        store = self._store
        store.check_open()
        store.look()
        with store.lock:
            names = store.table.names(prefix, after, _NAMES_AT_ONCE)
        # Not from inside of the ``with``: its last steps are not covered there.
        return names  # noqa: RET504

    async def achannels(
        self, *, prefix: str = "", pattern: str | None = None
    ) -> AsyncIterator[str]:
        await self._committer.aconfirm()
        for place, name in enumerate(self.channels(prefix=prefix, pattern=pattern)):
            if place % _NAMES_AT_ONCE == 0:
                await asyncio.sleep(0)
            yield name

    def atomic(self, *, durable: bool = False) -> Frame:
        self._store.check_open()
        return EmbeddedFrame(self.channel, self._committer, durable)

    def sync(self) -> None:
        self._committer.sync()

    async def async_(self) -> None:
        await self._committer.async_()

    def compact(self) -> None:
        compact(self._store)

    async def acompact(self) -> None:
        await asyncio.to_thread(self.compact)

    def statistics(self) -> Statistics:
        store = self._store
        store.check_open()
        with store.lock:
            segments = store.segments
            active = store.active
            tail = log_position(active.first, active.tail)
            waiters = sum(
                state.listeners.count()
                for state in list(store.listening)
                if state.listeners is not None
            )
            return Statistics(
                channels=store.table.visible(),
                channels_in_memory=len(store.table.changed),
                segments=len(segments),
                segments_clustered=sum(isinstance(s, ClusteredSegment) for s in segments),
                disk_bytes=store.folder.disk_bytes(),
                unsynced_bytes=_distance(segments, store.durable, tail),
                appends=store.appends,
                syncs=store.syncs,
                waiters=waiters,
                compactions=store.compactions,
                failed=store.failed is not None,
            )

    def close(self) -> None:
        try:
            with self._closing:
                if not self._closed and not self._store.forked:
                    self._close()
        finally:
            # Last of all: a child that is forked before has to find it, and let go of its locks.
            if self._closed:
                _open_logs.discard(self)

    def _close(self) -> None:
        self._upkeep.stop()
        self._committer.stop()
        try:
            close_files(self._store)
            self._closed = True
        except Exception:
            # What could be given back was; a signal leaves the rest for another call.
            self._closed = True
            raise
        finally:
            with self._store.lock:
                waiters = self._store.everybody()
            wake(waiters)
            self._follower.stop()

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and not self._store.forked:
            warnings.warn(f"unclosed log {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()


def _distance(segments: tuple[Any, ...], durable: int, tail: int) -> int:
    """How many bytes of batches lie between two log positions."""
    total = 0
    for segment in segments:
        if isinstance(segment, RawSegment):
            start = log_position(segment.first, 0)
            total += max(0, segment.tail - max(0, durable - start))
    return total if durable < tail else 0


_open_logs: WeakSet[EmbeddedLog] = WeakSet()


def _forked() -> None:
    """In the child of a fork every log is the parent's, and its locks may be held by threads that
    do not exist here."""
    for log in list(_open_logs):
        store = log._store
        store.lock = threading.Lock()
        store.leading = threading.Lock()
        store.maintaining = threading.Lock()
        store.row_lock = threading.Lock()
        log._closing = threading.Lock()
        store.forked = store.halted = True
        store.active.limit = -1
        store.folder.forget_lock()


def _exiting() -> None:
    """Nobody may keep the interpreter from exiting by waiting for what nobody will publish."""
    for log in list(_open_logs):
        with log._store.lock:
            log._store.exiting = True
            waiters = log._store.everybody()
        wake(waiters)


def _close_all() -> None:
    for log in list(_open_logs):
        log.close()


after_fork_in_child(_forked)
before_exit(_exiting)
atexit.register(_close_all)

"""A simulated disk: files in memory that remember what was synced, and what was not.

``SimulatedDisk`` stands behind the host floor::

    disk = SimulatedDisk()
    log = chanlog.open("simulated", host=fixed_host(disk=disk.folder))
    log.channel("a").publish(1)
    disk.observe()                       # what the program did since the last call is a step, too
    step = disk.step                     # what happened up to now
    for moment in disk.moments():        # power is cut after each step, in order
        for cut in moment.systematic():  # or moment.random(Random(seed))
            files = moment.files(cut)    # what is on the disk then: names and contents
            again = SimulatedDisk(files) # a disk that has just that, all of it synced

Each call of a log into its folder or files, and each store into a map, is a step. A store bypasses
the file, so the memory of every map is compared with what was last known of it, page by page, at
every step; whatever way a page was changed, it is noticed.

The model is A1 to A4 of docs/guarantees.md and nothing kinder: a completed sync of a file makes its
content and length durable but not its name, one of the folder makes the names durable but not a
byte of content, a rename is atomic, and of all else any subset may be on the disk, see ``power``.

With ``recording=False`` it is only a folder in memory, as cheap as can be. For one thread at a
time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from mmap import mmap
from pathlib import Path
from typing import Any, NamedTuple

from chanlog.errors import LogLocked
from chanlog.host import Buffer, File, Folder

from .power import PAGE_BYTES, Content, Moment, Unsynced, apply_names

__all__ = ["SimulatedDisk", "SimulatedFile", "SimulatedFolder", "Step"]

_CAPACITY_BYTES_MIN = 64 * 1024


class Step(NamedTuple):
    """Something that happened: what was called, and what changed.

    A change is ``("page", inode, number, bytes)``, ``("size", inode, bytes)``, ``("sync", inode)``,
    ``("failed sync", inode)``, ``("create", name, inode)``, ``("rename", name, to, inode)``,
    ``("remove", name, inode)`` or ``("sync folder",)``.
    """

    what: str
    changes: tuple[tuple[Any, ...], ...]


class Inode:
    """A file, whatever its names are: ``content`` as it was found, or a ``buffer`` once somebody
    may write to it. ``known`` is what was last recorded of the buffer."""

    __slots__ = ("buffer", "content", "id", "known", "size")

    def __init__(self, id: int, content: Content) -> None:
        self.id = id
        self.content = content
        self.size = content.size
        self.buffer: mmap | None = None
        self.known = b""


class StoredMap(mmap):
    """Memory that tells the disk of each store into it."""

    told: Callable[[], None] | None = None

    def __setitem__(self, place: Any, value: Any) -> None:
        super().__setitem__(place, value)
        if self.told is not None:
            self.told()


class SimulatedDisk:
    """One folder on a disk that can lose power. See the module.

    ``before(what)`` is called before every call that changes something or syncs, with a text such
    as ``"sync 0000000001.log"``; what it raises is raised to the log. If that was a sync, the pages
    that were to be synced count as given up by the kernel: no later sync brings them to the disk,
    as it was seen to happen. ``after()`` is called after every step.
    """

    def __init__(self, files: Mapping[str, Content] | None = None, *, recording: bool = True):
        self.recording = recording
        self.steps: list[Step] = []
        self.before: Callable[[str], None] = _nothing
        self.after: Callable[[], None] = _nothing
        self.names: dict[str, Inode] = {}
        self._inodes: dict[int, Inode] = {}
        self._written: list[Inode] = []
        self._locked = False
        for name, content in (files or {}).items():
            self.names[name] = self._inode(content)
        self._base = {name: inode.id for name, inode in self.names.items()}

    @property
    def step(self) -> int:
        """How many steps there have been."""
        return len(self.steps)

    def folder(self, path: Path | None = None) -> SimulatedFolder:
        """The folder of a log; ``Host(disk=disk.folder)``. To open the log again, after a close or
        as if its process had died, ask for another."""
        self._locked = False
        return SimulatedFolder(self, path or Path("simulated"))

    def files(self) -> dict[str, Content]:
        """What a program would find now, with the power on."""
        return {name: self.content_of(inode) for name, inode in self.names.items()}

    def read(self, name: str) -> bytes:
        """The content of one file now."""
        inode = self.names[name]
        return inode.content.whole if inode.buffer is None else inode.buffer[: inode.size]

    def content_of(self, inode: Inode) -> Content:
        """The content of a file now."""
        if inode.buffer is None:
            return inode.content
        return Content(_pages_of(inode.buffer), inode.size)

    def observe(self, what: str = "stores") -> None:
        """Take what was stored into maps since the last step as a step."""
        changes = self._stored() if self.recording else []
        if changes:
            self.steps.append(Step(what, tuple(changes)))
            self.after()

    def moments(self) -> Iterator[Moment]:
        """The moments at which power can be cut, from before the first step to after the last."""
        folding = _Folding(self._base, {id: inode.content for id, inode in self._inodes.items()})
        yield folding.moment(0, "nothing")
        for number, step in enumerate(self.steps, 1):
            for change in step.changes:
                folding.take(change)
            yield folding.moment(number, step.what)

    def moment(self, step: int) -> Moment:
        """The moment after so many steps."""
        return next(moment for moment in self.moments() if moment.step == step)

    # For the files.

    def begin(self, what: str, inode: Inode | None = None) -> None:
        """Something is about to be called. ``inode`` is the file that is to be synced."""
        if not self.recording:
            return
        self.observe()
        try:
            self.before(what)
        except BaseException:
            if inode is not None:
                self.steps.append(Step(f"failed {what}", (("failed sync", inode.id),)))
            raise

    def done(self, what: str, *changes: tuple[Any, ...]) -> None:
        """It was done."""
        if self.recording:
            self.steps.append(Step(what, (*changes, *self._stored())))
            self.after()

    def _inode(self, content: Content) -> Inode:
        inode = Inode(len(self._inodes), content)
        self._inodes[inode.id] = inode
        return inode

    def create(self, name: str) -> Inode:
        """A new file."""
        self.begin(f"create {name}")
        if name in self.names:
            raise FileExistsError(name)
        inode = self.names[name] = self._inode(Content((), 0))
        self.done(f"create {name}", ("create", name, inode.id))
        return inode

    def rename(self, name: str, to: str) -> None:
        """Give it another name."""
        self.begin(f"rename {name} {to}")
        inode = self.names.pop(name)
        self.names[to] = inode
        self.done(f"rename {name} {to}", ("rename", name, to, inode.id))

    def remove(self, name: str) -> None:
        """Remove a name, if it is there."""
        if name in self.names:
            self.begin(f"remove {name}")
            inode = self.names.pop(name)
            self.done(f"remove {name}", ("remove", name, inode.id))

    def sync(self) -> None:
        """Make the names durable."""
        self.begin("sync folder")
        self.done("sync folder", ("sync folder",))

    def lock(self) -> None:
        """Become the owner."""
        if self._locked:
            raise LogLocked("the simulated disk is in use", path=None, pid=None)
        self._locked = True

    def unlock(self) -> None:
        """Stop being it."""
        self._locked = False

    def buffer_of(self, inode: Inode, stop: int) -> mmap:
        """The memory of a file that is written to, with room for ``stop`` bytes at least."""
        buffer = inode.buffer
        if buffer is None or stop > len(buffer):
            capacity = max(stop + -stop % PAGE_BYTES, _CAPACITY_BYTES_MIN)
            bigger = StoredMap(-1, capacity) if self.recording else mmap(-1, capacity)
            if buffer is None:
                inode.content.fill(bigger)
                if self.recording:
                    inode.known = bigger[:]
                    self._written.append(inode)
            else:
                bigger[: len(buffer)] = buffer[:]
                inode.known += bytes(capacity - len(inode.known))
            inode.buffer = buffer = bigger
            if isinstance(bigger, StoredMap):
                bigger.told = self.observe
        return buffer

    def _stored(self) -> list[tuple[Any, ...]]:
        changes: list[tuple[Any, ...]] = []
        for inode in self._written:
            assert inode.buffer is not None
            known, now = inode.known, inode.buffer[:]
            if now == known:
                continue
            inode.known = now
            for number, start in enumerate(range(0, len(now), PAGE_BYTES)):
                page = now[start : start + PAGE_BYTES]
                if page != known[start : start + PAGE_BYTES]:
                    changes.append(("page", inode.id, number, page))
        return changes


class SimulatedFile(File):
    """An open file of a simulated disk."""

    __slots__ = ("_disk", "_inode", "name")

    def __init__(self, disk: SimulatedDisk, inode: Inode, name: str) -> None:
        self._disk = disk
        self._inode = inode
        self.name = name

    def size(self) -> int:
        return self._inode.size

    def _resize(self, what: str, size: int) -> None:
        disk, inode = self._disk, self._inode
        disk.begin(what)
        buffer = disk.buffer_of(inode, size)
        if size < inode.size:
            mmap.__setitem__(buffer, slice(size, inode.size), bytes(inode.size - size))
        inode.size = size
        disk.done(what, ("size", inode.id, size))

    def allocate(self, start: int, stop: int) -> None:
        self._resize(f"allocate {self.name}", max(self._inode.size, stop))

    def write(self, position: int, content: bytes | memoryview) -> None:
        disk, inode = self._disk, self._inode
        disk.begin(f"write {self.name}")
        stop = position + len(content)
        buffer = disk.buffer_of(inode, stop)
        mmap.__setitem__(buffer, slice(position, stop), bytes(content))
        inode.size = max(inode.size, stop)
        disk.done(f"write {self.name}", ("size", inode.id, inode.size))

    def read(self, position: int, count: int) -> bytes:
        inode = self._inode
        stop = min(position + count, inode.size)
        if inode.buffer is None:
            return inode.content.read(position, stop)
        return inode.buffer[position:stop]

    def sync(self) -> None:
        self._disk.begin(f"sync {self.name}", self._inode)
        self._disk.done(f"sync {self.name}", ("sync", self._inode.id))

    def truncate(self, size: int) -> None:
        self._resize(f"truncate {self.name}", size)

    def map(self, size: int, *, writable: bool) -> Buffer:
        inode = self._inode
        if size > inode.size:
            raise ValueError("the map would be longer than the file")
        if writable or inode.buffer is not None:
            return self._disk.buffer_of(inode, size)
        whole: Any = inode.content.whole
        return whole

    def close(self) -> None:
        """The memory goes when the last map does."""


class SimulatedFolder(Folder):
    """The folder of a simulated disk, for one log."""

    __slots__ = ("_disk", "durable", "path")

    def __init__(self, disk: SimulatedDisk, path: Path) -> None:
        self._disk = disk
        self.path = path
        self.durable = True

    def make(self) -> None:
        """It is there."""

    def names(self) -> list[str]:
        return list(self._disk.names)

    def create(self, name: str) -> SimulatedFile:
        return SimulatedFile(self._disk, self._disk.create(name), name)

    def open(self, name: str, *, writable: bool) -> SimulatedFile:
        try:
            return SimulatedFile(self._disk, self._disk.names[name], name)
        except KeyError:
            raise FileNotFoundError(name) from None

    def rename(self, name: str, to: str) -> None:
        self._disk.rename(name, to)

    def remove(self, name: str) -> None:
        self._disk.remove(name)

    def sync(self) -> None:
        self._disk.sync()

    def lock(self, name: str) -> None:
        self._disk.lock()
        if name not in self._disk.names:
            self._disk.create(name)

    def unlock(self) -> None:
        self._disk.unlock()

    def forget_lock(self) -> None:
        """Nobody forks here."""

    def disk_bytes(self) -> int:
        return sum(inode.size for inode in self._disk.names.values())


class _Folding:
    """Goes through the steps and knows at each what is durable and what is not."""

    def __init__(self, names: dict[str, int], contents: dict[int, Content]) -> None:
        self._names = dict(names)
        self._changes: list[tuple[Any, ...]] = []
        self._files = {id: Unsynced(content) for id, content in contents.items()}

    def take(self, change: tuple[Any, ...]) -> None:
        """One change of a step."""
        kind = change[0]
        if kind == "page":
            self._files[change[1]].stored(change[2], change[3])
        elif kind == "size":
            self._files[change[1]].resized(change[2])
        elif kind == "sync":
            self._files[change[1]].synced()
        elif kind == "failed sync":
            self._files[change[1]].given_up()
        elif kind == "sync folder":
            self._names = apply_names(self._names, self._changes)
            self._changes = []
        else:
            self._changes.append(change)

    def moment(self, step: int, what: str) -> Moment:
        files = {id: file.pending() for id, file in self._files.items()}
        return Moment(step, what, dict(self._names), tuple(self._changes), files)


def _pages_of(buffer: mmap) -> tuple[bytes, ...]:
    whole = buffer[:]
    return tuple(whole[start : start + PAGE_BYTES] for start in range(0, len(whole), PAGE_BYTES))


def _nothing(*_: object) -> None:
    """What happens where nobody is interested."""

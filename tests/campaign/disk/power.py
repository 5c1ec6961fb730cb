"""What a power cut may leave: every way in which unsynced pages, lengths and names may be lost.

A page is 4 KiB. One that was written since its file was last synced may be on the disk as it was
then, as it is now, or as any step in between had left it, and it may be torn between two of these,
at a sector of 512 bytes or at any byte. A length may be any that the file had since, or lie between
them. Of the changes to the folder since it was last synced any may be missing. Each independently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from mmap import mmap
from random import Random
from typing import Any, NamedTuple

__all__ = [
    "PAGE_BYTES",
    "SECTOR_BYTES",
    "ZERO_PAGE",
    "Content",
    "Cut",
    "Moment",
    "Pending",
    "Unsynced",
    "apply_names",
    "torn",
]

PAGE_BYTES = 4096
SECTOR_BYTES = 512
ZERO_PAGE = bytes(PAGE_BYTES)

Change = tuple[Any, ...]


class Content:
    """The content of a file: pages, zeros behind them, and a length. Never changes."""

    def __init__(self, pages: tuple[bytes, ...], size: int) -> None:
        self.pages = pages
        self.size = size

    @classmethod
    def of(cls, whole: bytes) -> Content:
        """The content ``whole``."""
        padded = whole + bytes(-len(whole) % PAGE_BYTES)
        starts = range(0, len(padded), PAGE_BYTES)
        return cls(tuple(padded[start : start + PAGE_BYTES] for start in starts), len(whole))

    @cached_property
    def whole(self) -> bytes:
        """All of it."""
        joined = b"".join(self.pages)[: self.size]
        return joined + bytes(self.size - len(joined))

    def read(self, start: int, stop: int) -> bytes:
        """A part of it."""
        if self.pages and stop <= min(PAGE_BYTES, self.size):
            return self.pages[0][start:stop]
        return self.whole[start:stop]

    def page(self, number: int) -> bytes:
        """One page, which may lie behind the end."""
        return self.pages[number] if number < len(self.pages) else ZERO_PAGE

    def fill(self, buffer: mmap) -> None:
        """Copy it into memory that is zero."""
        for number, page in enumerate(self.pages):
            start = number * PAGE_BYTES
            count = min(PAGE_BYTES, self.size - start)
            if count <= 0:
                return
            if page is not ZERO_PAGE and page != ZERO_PAGE:
                mmap.__setitem__(buffer, slice(start, start + count), page[:count])


class Pending(NamedTuple):
    """A file as it was last synced, and what it was since: for each changed page its versions, the
    oldest first, and the lengths it had, that of the sync first."""

    content: Content
    pages: Mapping[int, tuple[bytes, ...]]
    sizes: tuple[int, ...]

    @property
    def newest_size(self) -> int:
        """How long the file is with the power on."""
        return self.sizes[-1]


class Unsynced:
    """Follows one file from step to step."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._pages: dict[int, list[bytes]] = {}
        self._sizes = [content.size]
        # Pages that a failed sync has left behind: the kernel takes them for clean.
        self._given_up: set[int] = set()
        self._pending: Pending | None = None

    def stored(self, number: int, page: bytes) -> None:
        """A page has a new content."""
        self._pages.setdefault(number, []).append(page)
        self._given_up.discard(number)
        self._pending = None

    def resized(self, size: int) -> None:
        """It has a new length."""
        if size != self._sizes[-1]:
            self._sizes.append(size)
            self._pending = None

    def synced(self) -> None:
        """Its content and length are durable."""
        left = {number: self._pages[number] for number in self._given_up}
        count = max([len(self._content.pages), *(number + 1 for number in self._pages)])
        size = self._sizes[-1]
        pages = [self._content.page(number) for number in range(count)]
        for number, versions in self._pages.items():
            if number not in left:
                pages[number] = versions[-1]
        self._content = Content(tuple(pages), size)
        self._pages = left
        self._sizes = [size]
        self._pending = None

    def given_up(self) -> None:
        """A sync of it has failed."""
        self._given_up.update(self._pages)

    def pending(self) -> Pending:
        """What it is now."""
        if self._pending is None:
            pages = {number: tuple(versions) for number, versions in self._pages.items()}
            self._pending = Pending(self._content, pages, tuple(self._sizes))
        return self._pending


class Cut(NamedTuple):
    """One of the states that a cut at a moment may leave: which changes of the folder are on the
    disk, the content of each unsynced page, and the length of each unsynced file."""

    what: str
    names: tuple[bool, ...]
    pages: Mapping[tuple[int, int], bytes]
    sizes: Mapping[int, int]

    @property
    def key(self) -> int:
        """The same for the same state."""
        return hash((self.names, tuple(self.pages.items()), tuple(self.sizes.items())))


Pages = dict[tuple[int, int], bytes]


class Group(NamedTuple):
    """States of one sort, made when asked for."""

    count: int
    make: Callable[[int], Cut]


class Moment:
    """What is durable and what is not after ``step`` steps, the last of which was ``what``."""

    def __init__(
        self,
        step: int,
        what: str,
        names: Mapping[str, int],
        changes: tuple[Change, ...],
        files: Mapping[int, Pending],
    ) -> None:
        self.step = step
        self.what = what
        self.names = names
        self.changes = changes
        self.unsynced = files
        reachable = {*names.values(), *(change[-1] for change in changes)}
        self._pending = {id: files[id] for id in sorted(reachable)}
        self._versions = {
            (id, number): versions
            for id, file in self._pending.items()
            for number, versions in file.pages.items()
        }
        self._lengths = {
            id: file.sizes for id, file in self._pending.items() if len(set(file.sizes)) > 1
        }

    def base(self, place: tuple[int, int]) -> bytes:
        """A page as it was last synced."""
        return self._pending[place[0]].content.page(place[1])

    def systematic(self) -> Iterator[Cut]:
        """All kept, all lost; and each name, file, length, page, version and torn sector by itself.

        There may be thousands of them; ``any_systematic`` makes one."""
        for group in self._groups:
            for place in range(group.count):
                yield group.make(place)

    def any_systematic(self, random: Random) -> Cut:
        """One of them. Each sort is as likely as the others."""
        group = random.choice([group for group in self._groups if group.count])
        return group.make(random.randrange(group.count))

    @cached_property
    def _groups(self) -> list[Group]:
        files = [(id, file) for id, file in self._pending.items() if file.pages]
        lengths = [(id, place) for id, all in self._lengths.items() for place in range(len(all))]
        places = list(self._versions)
        versions = [
            (place, number) for place in places for number in range(len(self._versions[place]) - 1)
        ]
        sectors = 2 * (PAGE_BYTES // SECTOR_BYTES - 1)
        return [
            Group(2, lambda at: self._cut(("all lost", "all kept")[at], at > 0)),
            Group(2 if self.changes else 0, self._names_against_the_rest),
            Group(3 * len(self.changes), lambda at: self._one_name(*divmod(at, 3))),
            Group(3 * len(files), lambda at: self._one_file(*files[at // 3], at % 3)),
            Group(len(lengths), lambda at: self._one_length(*lengths[at])),
            Group(2 * len(places), lambda at: self._one_page(places[at // 2], at % 2)),
            Group(len(versions), lambda at: self._one_version(*versions[at])),
            Group(
                sectors * len(places),
                lambda at: self._one_sector(places[at // sectors], at % sectors),
            ),
        ]

    def _cut(self, what: str, kept: bool, **parts: Any) -> Cut:
        """Everything unsynced kept, or everything lost, but for some."""
        pages: Pages = {
            place: versions[-1] if kept else self.base(place)
            for place, versions in self._versions.items()
        }
        sizes = {id: lengths[-1 if kept else 0] for id, lengths in self._lengths.items()}
        names = [kept] * len(self.changes)
        pages.update(parts.get("pages", {}))
        sizes.update(parts.get("sizes", {}))
        for place in parts.get("names", ()):
            names[place] = not kept
        return Cut(what, tuple(names), pages, sizes)

    def _names_against_the_rest(self, kept: int) -> Cut:
        what = ("all but the names", "only the names")[kept]
        return self._cut(what, not kept, names=range(len(self.changes)))

    def _one_name(self, place: int, how: int) -> Cut:
        said = " ".join(map(str, self.changes[place][:-1]))
        if how == 2:
            rest = range(place, len(self.changes))
            return self._cut(f"names lost from: {said}", True, names=rest)
        return self._cut(f"{('lost', 'kept')[how]}: {said}", not how, names=(place,))

    def _one_file(self, id: int, file: Pending, how: int) -> Cut:
        if how == 0:
            new = {(id, number): versions[-1] for number, versions in file.pages.items()}
            return self._cut(
                f"only file {id}", False, pages=new, sizes=self._size(id, -1),
                names=range(len(self.changes)),
            )  # fmt: skip
        old = {(id, number): self.base((id, number)) for number in file.pages}
        sizes = self._size(id, 0) if how == 1 else {}
        what = f"lost: {'the content of ' if how == 2 else ''}file {id}"
        return self._cut(what, True, pages=old, sizes=sizes)

    def _size(self, id: int, place: int) -> dict[int, int]:
        return {id: self._lengths[id][place]} if id in self._lengths else {}

    def _one_length(self, id: int, place: int) -> Cut:
        size = self._lengths[id][place]
        return self._cut(f"length {size} of file {id}", True, sizes={id: size})

    def _one_page(self, place: tuple[int, int], kept: int) -> Cut:
        said = f"page {place[1]} of file {place[0]}"
        if not kept:
            return self._cut(f"lost: {said}", True, pages={place: self.base(place)})
        return self._cut(
            f"only {said}", False, pages={place: self._versions[place][-1]},
            sizes={id: lengths[-1] for id, lengths in self._lengths.items()},
            names=range(len(self.changes)),
        )  # fmt: skip

    def _one_version(self, place: tuple[int, int], number: int) -> Cut:
        said = f"version {number} of page {place[1]} of file {place[0]}"
        return self._cut(said, True, pages={place: self._versions[place][number]})

    def _one_sector(self, place: tuple[int, int], at: int) -> Cut:
        old, new = self.base(place), self._versions[place][-1]
        backward, number = divmod(at, PAGE_BYTES // SECTOR_BYTES - 1)
        split = (number + 1) * SECTOR_BYTES
        page = torn(old, new, split) if backward else torn(new, old, split)
        how = "backward" if backward else "forward"
        said = f"page {place[1]} of file {place[0]} torn {how} at {split}"
        return self._cut(said, True, pages={place: page})

    def random(self, random: Random) -> Cut:
        """Any of them."""
        loss = random.choice((0.02, 0.1, 0.5, 0.9))
        tearing = random.choice((0.0, 0.1, 0.6))
        pages = {
            place: self._any_page(place, versions, random, loss, tearing)
            for place, versions in self._versions.items()
        }
        sizes = {id: _any_size(lengths, random, loss) for id, lengths in self._lengths.items()}
        names_loss = random.choice((0.0, loss, 1.0))
        names = tuple(random.random() >= names_loss for _ in self.changes)
        return Cut(f"random, loss {loss}, tearing {tearing}", names, pages, sizes)

    def _any_page(
        self,
        place: tuple[int, int],
        versions: tuple[bytes, ...],
        random: Random,
        loss: float,
        tearing: float,
    ) -> bytes:
        page = versions[-1]
        if random.random() < loss:
            page = random.choice((self.base(place), random.choice((self.base(place), *versions))))
        if random.random() < tearing:
            others = [other for other in (self.base(place), *versions) if other != page]
            if others:
                page = random.choice(_TEARS)(page, random.choice(others), random)
        return page

    def files(self, cut: Cut) -> dict[str, Content]:
        """The disk after the cut, by the names of its files."""
        found = {}
        kept = [c for c, there in zip(self.changes, cut.names, strict=True) if there]
        for name, id in apply_names(self.names, kept).items():
            file = self._pending[id]
            if not file.pages and id not in cut.sizes:
                found[name] = file.content
                continue
            pages = list(file.content.pages)
            if file.pages:
                pages += [ZERO_PAGE] * (max(file.pages) + 1 - len(pages))
            for number in file.pages:
                pages[number] = cut.pages[id, number]
            found[name] = Content(tuple(pages), cut.sizes.get(id, file.newest_size))
        return found


def apply_names(names: Mapping[str, int], changes: list[Change]) -> dict[str, int]:
    """The entries of a folder after changes to them, of which some may have been left out."""
    after = dict(names)
    for kind, name, *rest in changes:
        if kind == "create":
            after[name] = rest[0]
        elif kind == "remove":
            if after.get(name) == rest[0]:
                del after[name]
        else:
            to, inode = rest
            if after.get(name) == inode:
                del after[name]
            after[to] = inode
    return after


def torn(first: bytes, second: bytes, at: int) -> bytes:
    """A page that is one version up to ``at``, and another from there on."""
    return first[:at] + second[at:]


def _torn_at_a_byte(page: bytes, other: bytes, random: Random) -> bytes:
    # Where the two are the same is no place to tear.
    places = [at for at in range(0, PAGE_BYTES, 64) if page[at : at + 64] != other[at : at + 64]]
    if not places:
        return page
    at = random.choice(places) + random.randrange(65)
    return torn(page, other, at) if random.random() < 0.5 else torn(other, page, at)


def _torn_at_sectors(page: bytes, other: bytes, random: Random) -> bytes:
    return b"".join(
        random.choice((page, other))[start : start + SECTOR_BYTES]
        for start in range(0, PAGE_BYTES, SECTOR_BYTES)
    )


_TEARS: tuple[Callable[[bytes, bytes, Random], bytes], ...] = (_torn_at_a_byte, _torn_at_sectors)


def _any_size(lengths: tuple[int, ...], random: Random, loss: float) -> int:
    if random.random() >= loss:
        return lengths[-1]
    if random.random() < 0.7:
        return random.choice(lengths)
    return random.randint(min(lengths), max(lengths))

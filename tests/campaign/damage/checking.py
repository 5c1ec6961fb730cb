"""What must hold of a damaged log, however it is looked at.

Nothing here asks the log what is damaged: the layout knows where every batch was, and the damage
which of its bytes have changed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chanlog
from chanlog.format.batch import MESSAGES
from chanlog.format.names import CATALOG, LOCK, MARKER, parse_raw
from chanlog.storage.verifying import verify_folder

from .damages import Damage
from .images import Files, Image
from .layouts import Layout, Place, is_segment

__all__ = ["WAYS", "Wrong", "check"]


class Wrong(AssertionError):
    """A promise was broken."""


def demand(holds: object, what: str) -> None:
    """Raise ``Wrong`` unless ``holds``."""
    if not holds:
        raise Wrong(what)


@dataclass
class Case:
    """One damaged log, and which of its messages may be lost for it."""

    layout: Layout
    damage: Damage
    files: Files
    touched: list[Place] = field(default_factory=list)
    changed: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, layout: Layout, damage: Damage) -> Case:
        """The case of one damage."""
        changed = damage.changed(layout)
        touched = layout.touched(damage.name, changed)
        return cls(layout, damage, damage.files(layout), touched, changed)

    @property
    def told(self) -> int:
        """The log position below which what is left says that it was durable."""
        marks = [
            place.header.mark
            for place in self.layout.places
            if parse_raw(place.name) is not None and place not in self.touched
        ]
        known = 0 if self.damage.name == CATALOG else self.layout.durable
        return max(marks, default=0) if known == 0 else max(known, *marks, 0)

    @property
    def torn_at(self) -> int:
        """The log position from which on all may be cut, as a torn tail."""
        told = self.told
        places = [place.position for place in self.touched if parse_raw(place.name) is not None]
        return min((at for at in places if at >= told), default=1 << 63)

    def may_lose(self) -> set[tuple[int, int]]:
        """(channel id, offset) of each message that may be lost."""
        torn_at = self.torn_at
        lost = [
            place
            for place in self.layout.places
            if place in self.touched
            or (parse_raw(place.name) is not None and place.position >= torn_at)
        ]
        return {
            (place.header.channel, offset)
            for place in lost
            if place.header.kind == MESSAGES
            for offset in place.offsets
        }

    def unsure(self) -> set[int]:
        """The channels of which a control record may be lost, and those forked from them."""
        torn_at = self.torn_at
        ids = {
            place.header.channel
            for place in self.layout.places
            if place.header.kind != MESSAGES
            and (
                place in self.touched
                or (parse_raw(place.name) is not None and place.position >= torn_at)
            )
        }
        for id, (parent, _) in sorted(self.layout.parents.items()):
            if parent in ids:
                ids.add(id)
        return ids


@dataclass
class Seen:
    """What was read of one channel: messages, offsets told to be missing, and the end."""

    start: int
    end: int
    messages: dict[int, chanlog.Message] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    refused: bool = False


def read(log: Any, name: str) -> Seen:
    """All of a channel, going on behind each damage if the error says where that is."""
    channel = log.channel(name)
    info = channel.info()
    seen = Seen(info.start_offset, info.end_offset)
    at = info.start_offset
    while at < info.end_offset:
        try:
            for message in channel.replay(at):
                demand(message.offset == at, f"{name!r}: offset {message.offset} instead of {at}")
                if isinstance(message, chanlog.Gap):
                    demand(message.missing > 0, f"{name!r}: an empty gap at {at}")
                    seen.missing.update(range(at, at + message.missing))
                    at += message.missing
                else:
                    seen.messages[at] = message
                    at += 1
            demand(at == info.end_offset, f"{name!r}: nothing at {at} of {info.end_offset}")
        except chanlog.CorruptionError as error:
            demand(error.channel == name, f"an error of {name!r} names {error.channel!r}")
            demand(error.path is not None, "an error without a path")
            demand(error.start < error.stop, f"an error of bytes {error.start} to {error.stop}")
            seen.refused = True
            stop = error.stop_offset
            if stop is None or stop <= at:
                seen.missing.update(range(at, info.end_offset))
                break
            first = error.first_offset
            demand(first is not None and first <= at, f"{name!r}: error at {at} says {first}")
            seen.missing.update(range(at, min(stop, info.end_offset)))
            at = stop
    return seen


def read_all(log: Any) -> dict[str, Seen]:
    """All of all channels."""
    return {name: read(log, name) for name in log.channels()}


def hold(case: Case, log: Any, *, gap: bool) -> dict[str, Seen]:
    """Read everything and hold it to the promises."""
    layout = case.layout
    may_lose, unsure = case.may_lose(), case.unsure()
    found = read_all(log)
    by_id = {}
    for name, seen in found.items():
        with log._store.lock:
            id = log._store.table.find(name).id
        by_id[id] = seen
        demand(id in layout.ids, f"{name!r} with id {id} was never created")
        if id in layout.names:
            known = (layout.names[id], f"unnamed-{id}")
            demand(name in known, f"channel {layout.names[id]!r} is called {name!r}")
        for offset, message in seen.messages.items():
            right = layout.message(id, offset)
            demand(message == right, f"{name!r}: {message} instead of {right}")
        for offset in seen.missing:
            # An error that cannot say where the damage ends covers what is right as well.
            if gap and id not in unsure and (layout.source(id, offset), offset) not in may_lose:
                raise Wrong(f"{name!r}: offset {offset} is lost, and was not damaged")
    for id, (start, end) in layout.spans.items():
        _complete(case, id, range(start, end), by_id.get(id), may_lose, unsure)
    return found


def _complete(
    case: Case, id: int, offsets: range, seen: Seen | None, may_lose: set, unsure: set
) -> None:
    layout = case.layout
    name = layout.names[id]
    for offset in offsets:
        if seen is not None and (offset in seen.messages or offset in seen.missing):
            continue
        source = layout.source(id, offset)
        if (source, offset) in may_lose:
            # Nobody can know of it if nothing that is left tells of it; the report has a place.
            continue
        if id in unsure and (source != id or seen is None):
            continue
        raise Wrong(f"{name!r}: offset {offset} is silently lost")


def ends_of(found: dict[str, Seen]) -> dict[str, int]:
    return {name: seen.end for name, seen in found.items()}


# The ways of looking at it.


def _opened(case: Case, **options: Any) -> tuple[Image, Any]:
    """The log of the case, or ``None`` if opening was refused, as it must be: nothing changed."""
    image = Image(case.files)
    try:
        return image, image.log(**options)
    except chanlog.ChanlogError as error:
        demand(image.files() == case.files, f"{type(error).__name__}, and the files have changed")
        if case.damage.name != MARKER:
            demand(isinstance(error, chanlog.CorruptionError), f"opening raised {error!r}")
            _check_error(case, error)
        return image, None


def _check_error(case: Case, error: Any) -> None:
    demand(error.path.name == case.damage.name, f"damage in {case.damage.name}, error: {error}")
    demand(error.start < error.stop, f"an error of bytes {error.start} to {error.stop}")
    if len(case.damage.content) < len(case.layout.files[case.damage.name]):
        # What ends too early is told by what is left of it.
        return
    places = {at for place in case.touched for at in (*range(place.start, place.stop), place.whole)}
    demand(
        not (case.changed | places).isdisjoint(range(error.start, error.stop)),
        f"bytes {error.start} to {error.stop} have not changed: {error}",
    )


def _may_be_refused(case: Case, log: Any) -> None:
    demand(log is not None or case.touched or _is_vital(case), "refused, and nothing is damaged")


def _is_vital(case: Case) -> bool:
    """Whether something is damaged that is no batch and no spare copy of anything."""
    if case.damage.name in (CATALOG, LOCK):
        return False
    if case.damage.name == MARKER:
        return True
    places = [place for place in case.layout.places if place.name == case.damage.name]
    stop = max((place.stop for place in places), default=64)
    behind_is_room = parse_raw(case.damage.name) is not None
    return any(at < 64 or (at >= stop and not behind_is_room) for at in case.changed)


def strict(case: Case) -> None:
    """Opened as usual: right, or refused."""
    _, log = _opened(case)
    _may_be_refused(case, log)
    if log is not None:
        with log:
            hold(case, log, gap=False)


def outside(case: Case) -> None:
    """Looked at from outside, and nothing is changed."""
    image, log = _opened(case, read_only=True)
    _may_be_refused(case, log)
    if log is not None:
        with log:
            hold(case, log, gap=False)
        demand(image.files() == case.files, "a reader has changed the files")


def forgiving(case: Case) -> None:
    """Opened to go on: all is readable but what is damaged, and what is gone is a gap."""
    _, log = _opened(case, on_corruption="gap")
    if log is None:
        demand(case.damage.name == MARKER or _is_hopeless(case), "refused, though asked to go on")
        return
    with log:
        hold(case, log, gap=True)


def _is_hopeless(case: Case) -> bool:
    """Whether the salt of a segment is lost with its header and its first batch."""
    if not is_segment(case.damage.name):
        return False
    first = min((p.start for p in case.layout.places if p.name == case.damage.name), default=None)
    head = any(at < 64 for at in case.changed)
    return head and (first is None or any(place.start == first for place in case.touched))


def compacted(case: Case) -> None:
    """Compacted on top of the damage: it is refused, or nothing is blessed and nothing lost."""
    image, log = _opened(case)
    if log is None:
        return
    with log:
        before = hold(case, log, gap=False)
        try:
            log.compact()
        except chanlog.CorruptionError as error:
            demand(case.touched or _is_vital(case), f"nothing is damaged: {error!r}")
        hold(case, log, gap=False)
    _still_right(case, image, before, "raise")


def compacted_forgiving(case: Case) -> None:
    """Asked to go on, compacted, opened again, with its catalog and without: what was right is
    right, and no offset is given out again."""
    image, log = _opened(case, on_corruption="gap")
    if log is None:
        return
    with log:
        before = hold(case, log, gap=True)
        log.compact()
        after = hold(case, log, gap=True)
        demand(ends_of(after) == ends_of(before), "compaction has moved an end")
    _still_right(case, image, before, "gap")


def _still_right(case: Case, image: Image, before: dict[str, Seen], mode: str) -> None:
    files = image.files()
    # What was not rewritten is as damaged as before, and without the catalog that is a second loss.
    is_there = files.get(case.damage.name) == case.damage.content
    for drop in ((), (CATALOG,)):
        again = Image({name: content for name, content in files.items() if name not in drop})
        try:
            log = again.log(on_corruption=mode)
        except chanlog.CorruptionError:
            demand(mode == "raise", "refused, though asked to go on")
            continue
        with log:
            found = hold(case, log, gap=mode == "gap")
            for name, seen in before.items():
                if drop and is_there and case.touched:
                    continue
                where = f"{name!r}, opened again {'without' if drop else 'with'} its catalog"
                if name not in found:
                    demand(seen.end == seen.start, f"{where}: gone")
                    continue
                demand(found[name].end >= seen.end, f"{where}: the end has gone back")
                if mode == "gap":
                    lost = seen.messages.keys() - found[name].messages.keys()
                    lost -= set(range(found[name].start))
                    demand(not lost, f"{where}: {sorted(lost)} are lost")


def verified(case: Case) -> None:
    """``verify`` tells of it, in the right file."""
    image = Image(case.files)
    try:
        found = verify_folder(image, None)
    except chanlog.ChanlogError:
        demand(case.damage.name == MARKER, "verify raised")
        return
    finally:
        demand(image.files() == case.files, "verify has changed the files")
    damaged = bool(case.touched) or _is_vital(case) or case.damage.name == CATALOG
    told = [*found.problems, *found.torn]
    if damaged and not (_is_cut_clean(case)):
        demand(told, "verify has found nothing")
        demand(
            Path("image", case.damage.name) in {problem.path for problem in told},
            f"verify names {told}",
        )
    if not case.changed:
        demand(not told, f"verify finds {told}")


def _is_cut_clean(case: Case) -> bool:
    """Whether a raw segment simply ends earlier: then nothing in it is wrong."""
    if parse_raw(case.damage.name) is None:
        return False
    torn = [p for p in case.touched if p.header.kind]
    content = case.damage.content.rstrip(b"\0")
    return all(place.start >= len(content) for place in torn)


def late(case: Case) -> None:
    """Damaged after it was opened: what was not read before is refused or right."""
    _late(case, "raise")


def late_forgiving(case: Case) -> None:
    """The same for one that goes on."""
    _late(case, "gap")


def _late(case: Case, mode: str) -> None:
    name = case.damage.name
    if not case.layout.closed or len(case.damage.content) < len(case.layout.files[name]):
        # What was walked by opening is not looked at again; and a file that is cut under a map
        # is an assumption broken.
        return
    image = Image(case.layout.files)
    with image.log(on_corruption=mode) as log:
        image.exact(name).change(0, case.damage.content)
        if name == CATALOG:
            # It is verified as a whole when it is opened, and read where it lies from then on.
            return
        hold(case, log, gap=mode == "gap")
        with suppress(chanlog.CorruptionError):
            log.compact()
        hold(case, log, gap=mode == "gap")


WAYS: dict[str, Callable[[Case], None]] = {
    "strict": strict,
    "outside": outside,
    "forgiving": forgiving,
    "compacted": compacted,
    "compacted-forgiving": compacted_forgiving,
    "verified": verified,
    "late": late,
    "late-forgiving": late_forgiving,
}


def check(layout: Layout, damage: Damage, way: str) -> None:
    """Damage a log and look at it one way. Raises ``Wrong``, or whatever the log should not."""
    WAYS[way](Case.of(layout, damage))

"""All channels of a log: those of the catalog, and on top what has changed since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from weakref import WeakValueDictionary

from ..format.catalog import Catalog, Entry
from .naming import SortedNames
from .state import COMPANION_MARK, ChannelState

__all__ = ["ChannelTable"]


class ChannelTable:
    """Channels by name and by id. Guarded by the store's lock, except where said otherwise.

    ``changed`` holds what differs from the catalog ``base``. Everything else is made from the
    catalog when asked for and lives as long as somebody holds it, so cold channels cost nothing.
    """

    __slots__ = (
        "_companions", "_known", "_placeholders", "base", "changed", "count", "deaths", "gone",
        "live", "next_id", "removed", "retained",
    )  # fmt: skip

    def __init__(self, base: Catalog | None = None) -> None:
        self.base = base
        self.count = base.visible if base is not None else 0
        # How many of them are companions; ``None`` until somebody wants to know.
        self._companions: int | None = None
        # Whether any channel has ever been given a retention of its own.
        self.retained = False
        # How often something has died: trims and deletes.
        self.deaths = 0
        # Names that the base still has, and that are free.
        self.gone: set[str] = set()
        self.live: SortedNames[ChannelState] = SortedNames()
        self.changed: dict[int, ChannelState] = {}
        self.removed: set[int] = set()
        self.next_id = base.next_id if base is not None else 1
        self._known: WeakValueDictionary[int, ChannelState] = WeakValueDictionary()
        self._placeholders: WeakValueDictionary[str, ChannelState] = WeakValueDictionary()

    def find(self, name: str) -> ChannelState | None:
        """The channel of this name, if it exists."""
        state: ChannelState | None = self.live.get(name)
        if state is None and self.base is not None:
            entry = self.base.find(name)
            if entry is not None:
                state = self._materialize(entry)
                if state is not None and state.deleted:
                    return None
        return state

    def find_id(self, id: int) -> ChannelState | None:
        """The channel of this id, also one that was deleted and lives on for its forks."""
        state = self.changed.get(id)
        if state is None and self.base is not None:
            entry = self.base.find_id(id)
            if entry is not None:
                state = self._materialize(entry)
        return state

    def plain_start(self, id: int) -> int | None:
        """The start offset of a channel that was not deleted and has neither forks nor producers;
        ``None`` where ``find_id`` has to be asked. It makes no state of a cold channel."""
        state = self.changed.get(id)
        if state is not None:
            plain = not (state.deleted or state.children or state.producers)
            return state.start_offset if plain else None
        if self.base is None or id in self.removed:
            return None
        return self.base.plain_start(id)

    def known(self, id: int) -> ChannelState | None:
        """The channel of this id if it is in memory."""
        return self.changed.get(id) or self._known.get(id)

    def _materialize(self, entry: Entry) -> ChannelState | None:
        if entry.id in self.removed:
            return None
        state = self.changed.get(entry.id) or self._known.get(entry.id)
        if state is None:
            state = ChannelState.from_entry(entry)
            self._known[entry.id] = state
        return state

    def address(self, name: str) -> ChannelState:
        """The channel of this name, or a place where one can be awaited and created."""
        state = self.find(name) or self._placeholders.get(name)
        if state is None:
            state = ChannelState(name)
            self._placeholders[name] = state
        return state

    def add(self, state: ChannelState, id: int) -> None:
        """The placeholder ``state`` exists from now on."""
        state.id = id
        self.next_id = max(self.next_id, id + 1)
        self.live[state.name] = state
        self.changed[id] = state
        self.count += 1
        if state.is_companion:
            self._companions = None
        self._placeholders.pop(state.name, None)

    def touch(self, state: ChannelState, segment: int) -> None:
        """``state`` changes now, in this segment, and must be kept until the next catalog."""
        state.touched = segment
        if state.id not in self.changed:
            self.changed[state.id] = state
            if not state.deleted:
                self.live[state.name] = state

    def hide(self, state: ChannelState) -> None:
        """``state`` was deleted: its name is free. Once for each."""
        self.gone.add(state.name)
        if self.live.get(state.name) is state:
            del self.live[state.name]
        if state.is_companion:
            self._companions = None
        # Last, and once: what is done before may be interrupted and done again.
        self.count -= 1

    def remove(self, state: ChannelState) -> None:
        """``state`` was deleted, and no fork needs it any more. Whoever has a handle of it must
        not keep a segment alive, for it is not told any more when that is rewritten."""
        state.segment = None
        # First: from here on the catalog does not bring it back.
        self.removed.add(state.id)
        self.changed.pop(state.id, None)
        self._known.pop(state.id, None)

    def cool(self, captured: Iterable[ChannelState], active: int) -> None:
        """What the base has captured, and nobody has touched since, goes cold."""
        for state in captured:
            if state.touched < active and self.changed.get(state.id) is state:
                # In this order: an interrupt leaves no channel that only the catalog knows of
                # while somebody holds its state.
                self._known[state.id] = state
                if self.live.get(state.name) is state:
                    del self.live[state.name]
                del self.changed[state.id]

    def shrink(self) -> None:
        """Give back the room of what went cold: a dict never does so by itself."""
        self.changed = dict(self.changed)
        self.live = self.live.shrunk()

    def prune(self) -> None:
        """Forget which channels are gone, of those that the base does not have. Not while a
        catalog is being written: it may still have them."""
        base = self.base
        if base is None:
            self.removed, self.gone = set(), set()
            return
        self.removed = {id for id in self.removed if base.find_id(id) is not None}
        self.gone = {
            name for name in self.gone if base.find(name) is not None and self.find(name) is None
        }

    def visible(self) -> int:
        """How many channels there are, but for companions."""
        if self._companions is None:
            self._companions = len(self.names(COMPANION_MARK, None, self.count))
        return self.count - self._companions

    def states(self) -> Iterator[ChannelState]:
        """Every channel, hidden ones included, in order of ids; for passes over all of them."""
        seen = set()
        if self.base is not None:
            for entry in self.base.entries():
                state = self._materialize(entry)
                if state is not None:
                    seen.add(entry.id)
                    yield state
        for state in sorted(self.changed.values(), key=lambda state: state.id):
            if state.id not in seen:
                yield state

    def names(self, prefix: str, after: str | None, count: int) -> list[str]:
        """Up to ``count`` existing names with the prefix, behind ``after``, sorted."""
        start = prefix if after is None or after < prefix else after
        live: list[str] = []
        for name in self.live.walk(start, inclusive=after != start):
            if len(live) == count or not name.startswith(prefix):
                break
            live.append(name)
        if self.base is None:
            return live
        names = dict.fromkeys(live)
        for name in self.base.names(prefix, after):
            if len(names) >= len(live) + count:
                break
            if name not in names and name not in self.gone:
                names[name] = None
        return sorted(names)[:count]

"""What a channel is like: its state as a snapshot for whoever asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ..errors import ChannelDeleted
from ..group import GroupInfo
from ..interface import ChannelInfo
from ..options import Retention
from ..storage.companions import companions
from ..storage.state import ChannelState
from ..storage.store import Store
from ..storage.syncing import awaits_show, durable_end
from .leasing import Lessors

__all__ = ["describe", "to_datetime"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def describe(store: Store, lessors: Lessors, state: ChannelState) -> tuple[ChannelInfo, bool]:
    """The snapshot, and whether it tells of messages that do not show yet.

    Under ``always`` a cursor moves at once, and messages show when they are durable. Where that
    may have been one frame, the snapshot has both as they will be once it may be told.
    """
    # Before the rest, so that no group is ahead of the channel.
    groups = _groups(store, lessors, state)
    with store.lock:
        end, ended = state.end_offset, state.ended
        unseen = awaits_show(store, state)
        if unseen:
            end, ended = state.next_offset, state.sealed
        parent = None
        if state.parent is not None:
            origin = store.table.find_id(state.parent[0])
            gone = origin is None or origin.deleted
            parent = (None if gone or origin is None else origin.name, state.parent[1])
        retention = store.options.retention
        if state.retention is not None:
            retention = Retention.from_record(state.retention)
        has_messages = end > (parent[1] if parent else 0)
        found = ChannelInfo(
            name=state.name,
            exists=bool(state.id),
            ended=ended,
            start_offset=state.start_offset,
            end_offset=end,
            durable_offset=end if unseen else durable_end(store, state, end),
            created=to_datetime(state.created_ns) if state.id else None,
            last=to_datetime(state.time_ns) if has_messages else None,
            retention=retention,
            cursors=dict(sorted(state.cursors.items())),
            producers={
                name: (producer.epoch, producer.sequence_below(end))
                for name, producer in sorted(state.producers.items())
            },
            parent=parent,
            groups=groups,
        )
    # What a group is at is told of messages too: those of its companion.
    return found, unseen or bool(groups)


def _groups(store: Store, lessors: Lessors, state: ChannelState) -> dict[str, GroupInfo]:
    """What the groups are at. Each has a lock of its own, and none is held for all of them."""
    with store.lock:
        names = list(companions(store.table, state))
    try:
        return {name: lessors.of(state, name).info() for name in names}
    except ChannelDeleted:
        # Just now, and whoever has asked is told.
        return {}


def to_datetime(time_ns: int) -> datetime:
    """Nanoseconds since 1970 as an aware ``datetime`` in UTC."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)

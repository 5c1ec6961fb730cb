"""The frame of the state machine: opening, comparing, walking everything."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

import chanlog

from ..support import ManualClock, host_with
from .oracle import Item, Life, Oracle, Reader, Refused

NAMES = ["a", "a/b", "b", "c", "d"]
MICRO = timedelta(microseconds=2)
SENDERS = [None, "agent", "person"]
TYPES = [None, "token", "steer", ""]

names = st.sampled_from(NAMES)
senders = st.sampled_from(SENDERS)
types = st.sampled_from(TYPES)
places = st.integers(0, 1_000_000)
twins = st.booleans()
payloads = st.one_of(
    st.integers(-5, 1000),
    st.text(max_size=5),
    st.sampled_from([None, True, 1.5, {}, [], {"t": "delta", "i": 1}, b"", [b"x", {"k": [1]}]]),
    st.builds(lambda n, size: bytes([n]) * size, st.integers(1, 255), st.integers(0, 8000)),
)
extras = st.fixed_dictionaries(
    {},
    optional={
        "type": types,
        "key": st.sampled_from([None, "k", ""]),
        "headers": st.sampled_from([None, {"h": 1}, {"h": [1, {"x": None}], "i": b"y" * 300}]),
    },
)


class Base(RuleBasedStateMachine):
    """Owns the real log, the oracle, and the handles that are kept open."""

    on_disk = False

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="chanlog-model-")) if self.on_disk else None
        self.generation = itertools.count()
        self.path = None if self.folder is None else self.folder / str(next(self.generation))
        self.oracle = Oracle()
        self.clock = ManualClock()
        self.log = self.open()
        self.readers: list[tuple[chanlog.Subscription, Reader]] = []
        self.cursors: list[tuple[chanlog.Cursor, Reader]] = []
        self.producers: list[tuple[chanlog.Producer, Life, str, int]] = []
        self.walks: list[tuple[Any, Life, list[tuple[Any, ...]]]] = []
        self.stale: list[tuple[chanlog.Channel, Life]] = []
        self.changed: set[str] = set()
        self.unwalked: set[str] = set()
        self.time_floor = self.time_latest = 0

    def open(self) -> chanlog.Log:
        return chanlog.open(
            self.path,
            segment_bytes=64 * 1024,
            sync="os",
            background=False,
            host=host_with(self.clock),
        )

    def open_copy(self) -> None:
        """Go on with what a kill would leave: the files as they are, while the log is open."""
        old, self.path = self.path, self.folder / str(next(self.generation))
        shutil.copytree(old, self.path)
        self.log.close()
        shutil.rmtree(old)
        self.log = self.open()

    def teardown(self) -> None:
        try:
            self.everything_agrees()
            if self.on_disk:
                self.log.close()
                assert chanlog.verify(self.path).problems == []
                self.log = self.open()
                self.everything_agrees()
        finally:
            self.log.close()
            self.loop.close()
            if self.folder is not None:
                shutil.rmtree(self.folder)

    # Calling both sides.

    def call(self, twin: bool, target: Any, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method or its coroutine twin."""
        if twin:
            return self.loop.run_until_complete(
                getattr(target, "a" + method)(*arguments, **options)
            )
        return getattr(target, method)(*arguments, **options)

    def agree(self, model: Callable[[], Any], real: Callable[[], Any]) -> Any:
        """Both return the same, or the log raises what the oracle wants it to raise."""
        try:
            expected = model()
            refused: tuple[str, ...] = ()
        except Refused as error:
            expected, refused = None, error.kinds
        try:
            found = real()
        except chanlog.ChanlogError as error:
            assert type(error).__name__ in refused, f"{error!r}, expected {refused or expected!r}"
            return None
        assert not refused, f"returned {found!r}, expected one of {refused}"
        assert found == expected
        return found

    # Comparing.

    def message(self, life: Life, offset: int) -> tuple[Any, ...]:
        item = life.items[offset]
        return (offset, item.data, item.type, item.key, item.headers, item.sender)

    def expected(self, life: Life, start: int, stop: int) -> list[tuple[Any, ...]]:
        return [self.message(life, offset) for offset in range(start, stop)]

    def read(self, life: Life, message: chanlog.Message) -> tuple[Any, ...]:
        """A message without its time, which must be the one it always had."""
        item = life.items[message.offset]
        if item.time_ns is None:
            item.time_ns = message.time_ns
            assert message.time_ns >= self.time_floor, "time went back"
            self.time_latest = max(self.time_latest, message.time_ns)
        assert message.time_ns == item.time_ns
        return (message.offset, *message[2:])

    def channel_agrees(self, life: Life) -> None:
        """Walk all of a channel by every way there is."""
        channel = self.log.channel(life.name)
        expected = self.expected(life, life.start, life.end)
        replay = channel.replay()
        messages = list(replay)
        assert [self.read(life, message) for message in messages] == expected
        times = [message.time_ns for message in messages]
        assert times == sorted(times)
        assert [m for batch in replay.batches() for m in batch] == messages
        assert list(replay.data()) == [message[1] for message in expected]
        with channel.subscribe() as reader:
            seen = []
            try:
                while (message := reader.get(timeout=0)) is not None:
                    seen.append(message)
                assert not life.ended
            except chanlog.EndOfChannel as error:
                assert life.ended
                assert error.end_offset == life.end
            assert seen == messages

    def info_agrees(self, name: str) -> None:
        life = self.oracle.lives.get(name) or Life(name)
        info = self.log.channel(name).info()
        parent = None
        if life.parent is not None:
            above, at = life.parent
            parent = (None if above.deleted else above.name, at)
        assert (info.exists, info.ended) == (life.exists, life.ended)
        assert (info.start_offset, info.end_offset) == (life.start, life.end)
        assert info.durable_offset <= info.end_offset
        assert dict(info.cursors) == life.cursors
        assert dict(info.producers) == {
            writer: (state.epoch, len(state.offsets)) for writer, state in life.writers.items()
        }
        assert info.parent == parent
        assert info.retention == chanlog.Retention(**life.keep)
        life.created = life.created or info.created
        assert info.created == life.created
        if life.own and life.items[-1].time_ns is not None:
            assert info.last is not None
            assert abs(info.last - chanlog.Message(0, life.items[-1].time_ns, None).time) < MICRO

    def everything_agrees(self) -> None:
        assert list(self.log.channels()) == self.oracle.names()
        for name in NAMES:
            self.info_agrees(name)
        for life in self.oracle.existing().values():
            self.channel_agrees(life)

    @invariant()
    def what_changed_agrees(self) -> None:
        assert list(self.log.channels()) == self.oracle.names()
        for name in NAMES:
            self.info_agrees(name)
        for name, life in self.oracle.existing().items():
            if name in self.changed | self.unwalked:
                self.channel_agrees(life)
            if name in self.changed:
                life.stirred_ns = self.clock.now_ns
            if life.used:
                life.used, life.used_ns = False, self.clock.now_ns
        self.changed.clear()
        self.unwalked.clear()
        self.time_floor = self.time_latest
        assert self.log.statistics().channels == len(self.oracle.existing())

    @invariant()
    def readers_agree(self) -> None:
        for subscription, reader in self.readers:
            assert reader.life.deleted or reader.allows(subscription.offset)
            outcome, _ = reader.get(subscription.offset)
            assert subscription.ready == (outcome != "nothing"), outcome


def pick(things: list[Any], place: int) -> Any:
    return things[place % len(things)]


def item(data: Any, extra: dict[str, Any], sender: str | None) -> Item:
    return Item(data, sender=sender, **extra)

"""The state machine: every rule is done on both sides, and both must come to the same."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import chanlog

from ..support import ManualClock, host_with
from .outcomes import outcome_of

NAMES = ["a", "a/b.c", "ab", "ü *>"]
HANDLES_MAX = 8

_examples = itertools.count()

names = st.sampled_from(NAMES)
places = st.integers(0, HANDLES_MAX - 1)
small = st.integers(0, 6)
twins = st.booleans()
payloads = st.one_of(
    st.integers(-3, 3),
    st.text(max_size=3),
    st.sampled_from([None, 1.5, [], {"t": [1, b"x"], "i": {}}, b"", b"\x00\xff", 2**63]),
)
extras = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([None, "token", "steer", ""]),
        "key": st.sampled_from([None, "k", "l", ""]),
        "headers": st.sampled_from([None, {}, {"h": [1, {"x": None}], "b": b"y"}]),
    },
)


class Differential(RuleBasedStateMachine):
    """``logs`` are two handles on one server. Nothing that is done by one may be hidden from the
    other, so each new handle is taken from either of them."""

    logs: ClassVar[list[chanlog.Log]]
    clock: ClassVar[ManualClock]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.here = chanlog.open(host=host_with(self.clock), background=False)
        # A server has many examples, so each has names of its own.
        self.prefix = f"{next(_examples)}:"
        self.channels: list[Any] = []
        self.producers: list[Any] = []
        self.cursors: list[Any] = []
        self.readers: list[Any] = []
        self.groups: list[Any] = []
        self.deliveries: list[Any] = []

    def teardown(self) -> None:
        try:
            self.everything_agrees()
        finally:
            for pair in (*self.cursors, *self.readers, *self.groups):
                for handle in pair:
                    handle.close()
            for name in list(self.logs[0].channels(prefix=self.prefix)):
                self.logs[0].channel(name).delete()
            self.here.close()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    # Doing it on both sides.

    def both(self, pair: Any, work: Callable[[Any], Any], reads: bool = False) -> Any:
        """Do ``work`` with the handle of each side, and return what both returned, as a pair, or
        ``None`` if both have raised."""
        (expected, mine), (found, other) = (outcome_of(lambda h=h: work(h)) for h in pair)
        # Who ``reads`` may have looked before the channel was deleted, and has what it has seen.
        is_under_way = (
            reads
            and expected[:2] == ("raised", "ChannelDeleted")
            and (found[:2] == ("raised", "EndOfChannel") or str(found[1]).startswith("('message'"))
        )
        assert is_under_way or found == expected, f"{found}, and the embedded log: {expected}"
        return None if expected[0] == "raised" else (mine, other)

    def call(self, twin: bool, pair: Any, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of both, or its coroutine twin."""

        def work(handle: Any) -> Any:
            if not twin:
                return getattr(handle, method)(*arguments, **options)
            return self.loop.run_until_complete(
                getattr(handle, "a" + method)(*arguments, **options)
            )

        return self.both(pair, work, reads=method == "get")

    def keep(self, kept: list[Any], pair: Any) -> None:
        if pair is not None:
            kept.append(pair)
            for handle in kept.pop(0) if len(kept) > HANDLES_MAX else ():
                if hasattr(handle, "close"):
                    handle.close()

    def pick(self, kept: list[Any], place: int) -> Any:
        return kept[place % len(kept)]

    # Channels.

    @initialize()
    def begin(self) -> None:
        self.open_channel(NAMES[0], 0, None)

    @rule(name=names, who=st.integers(0, 1), sender=st.sampled_from([None, "agent", "person"]))
    def open_channel(self, name: str, who: int, sender: str | None) -> None:
        pair = (self.here, self.logs[who])
        self.keep(
            self.channels,
            self.both(pair, lambda log: log.channel(self.prefix + name, sender=sender)),
        )

    @rule(place=places, data=payloads, extra=extras, twin=twins)
    def publish(self, place: int, data: Any, extra: Any, twin: bool) -> None:
        self.call(twin, self.pick(self.channels, place), "publish", data, **extra)

    @rule(place=places, data=st.lists(payloads, max_size=5), extra=extras, twin=twins)
    def publish_many(self, place: int, data: Any, extra: Any, twin: bool) -> None:
        self.call(twin, self.pick(self.channels, place), "publish_many", data, **extra)

    @rule(place=places, data=payloads, expect=small, count=st.sampled_from([None, 0, 1, 3]))
    def publish_expecting(self, place: int, data: Any, expect: int, count: int | None) -> None:
        pair = self.pick(self.channels, place)
        if count is None:
            self.both(pair, lambda channel: channel.publish(data, expect=expect))
        else:
            self.both(pair, lambda channel: channel.publish_many([data] * count, expect=expect))

    @rule(place=places, data=payloads)
    def publish_at_the_end(self, place: int, data: Any) -> None:
        pair = self.pick(self.channels, place)
        self.both(pair, lambda c: c.publish(data, expect=c.info().end_offset))

    @rule(place=places, twin=twins)
    def end(self, place: int, twin: bool) -> None:
        self.call(twin, self.pick(self.channels, place), "end")

    @rule(place=places, before=small, twin=twins)
    def trim(self, place: int, before: int, twin: bool) -> None:
        self.call(twin, self.pick(self.channels, place), "trim", before)

    @rule(place=places, twin=twins)
    def delete(self, place: int, twin: bool) -> None:
        pair = self.pick(self.channels, place)
        self.look_once_more()
        self.call(twin, pair, "delete")

    def look_once_more(self) -> None:
        """Across a network nobody can tell a handle that was not looking of a channel that came and
        went, so all look while there is something to be seen."""
        for pair in self.channels:
            self.both(pair, lambda channel: channel.info())
        for pair in (*self.readers, *self.cursors):
            self.call(False, pair, "get", timeout=0)

    @rule(place=places, twin=twins)
    def info(self, place: int, twin: bool) -> None:
        self.call(twin, self.pick(self.channels, place), "info")

    # Reading.

    @rule(
        place=places, start=st.one_of(st.none(), small), stop=st.one_of(st.none(), small),
        twin=twins,
    )  # fmt: skip
    def replay(self, place: int, start: int | None, stop: int | None, twin: bool) -> None:
        async def walk(replay: Any) -> Any:
            return [message async for message in replay]

        def work(channel: Any) -> Any:
            replay = channel.replay(start, stop)
            if twin:
                return self.loop.run_until_complete(walk(replay))
            return [list(replay), list(replay.data())]

        self.both(self.pick(self.channels, place), work)

    @rule(
        place=places,
        where=st.one_of(
            st.fixed_dictionaries({}),
            st.fixed_dictionaries({"after": st.integers(-1, 6)}),
            st.fixed_dictionaries({"last": small}),
            st.just({"live": True}),
        ),
        types=st.sampled_from([None, "token", {"token"}, {"steer", ""}, set()]),
        echo=st.booleans(),
    )
    def subscribe(self, place: int, where: Any, types: Any, echo: bool) -> None:
        pair = self.pick(self.channels, place)
        if not where and outcome_of(pair[0].info)[0][:2] == ("raised", "ChannelDeleted"):
            # An engine is not asked for that, and tells with the first message that is asked for.
            return
        self.keep(
            self.readers,
            self.both(pair, lambda c: Quiet(c.subscribe(**where, types=types, echo=echo))),
        )

    @precondition(lambda self: self.readers)
    @rule(place=places, count=st.integers(1, 4), twin=twins)
    def read(self, place: int, count: int, twin: bool) -> None:
        for _ in range(count):
            self.call(twin, self.pick(self.readers, place), "get", timeout=0)

    @precondition(lambda self: self.readers)
    @rule(place=places, offset=small)
    def seek_reader(self, place: int, offset: int) -> None:
        pair = self.pick(self.readers, place)
        # Where a channel ended that is deleted an engine does not know any more.
        if not pair[0].handle._state.deleted:
            self.both(pair, lambda reader: reader.seek(offset))

    @rule(prefix=st.sampled_from(["", "a", "a/", "ab", "ü", "z"]), who=st.integers(0, 1))
    def list_channels(self, prefix: str, who: int) -> None:
        pair = (self.here, self.logs[who])
        self.both(pair, lambda log: list(log.channels(prefix=self.prefix + prefix)))

    # Cursors.

    @rule(place=places, name=st.sampled_from(["c", "d e"]))
    def open_cursor(self, place: int, name: str) -> None:
        pair = self.pick(self.channels, place)
        self.keep(self.cursors, self.both(pair, lambda channel: Quiet(channel.cursor(name))))

    @precondition(lambda self: self.cursors)
    @rule(place=places, offset=small, twin=twins, mode=st.sampled_from(["commit", "seek"]))
    def move_cursor(self, place: int, offset: int, twin: bool, mode: str) -> None:
        self.call(twin, self.pick(self.cursors, place), mode, offset)

    @precondition(lambda self: self.cursors)
    @rule(place=places, twin=twins, commit=st.booleans())
    def read_cursor(self, place: int, twin: bool, commit: bool) -> None:
        pair = self.pick(self.cursors, place)
        found = self.call(twin, pair, "get", timeout=0)
        if commit and found is not None and found[0] is not None:
            message = found[0]
            self.call(twin, pair, "commit", message)

    @precondition(lambda self: self.cursors)
    @rule(place=places, what=st.sampled_from(["position", "lag", "delete"]))
    def ask_cursor(self, place: int, what: str) -> None:
        self.both(self.pick(self.cursors, place), lambda cursor: getattr(cursor, what)())

    # Producers.

    @rule(place=places, name=st.sampled_from(["p", "q"]), epoch=st.integers(0, 2), twin=twins)
    def open_producer(self, place: int, name: str, epoch: int, twin: bool) -> None:
        pair = self.pick(self.channels, place)
        self.keep(self.producers, self.call(twin, pair, "producer", name, epoch=epoch))

    @precondition(lambda self: self.producers)
    @rule(
        place=places, data=st.lists(payloads, max_size=3), twin=twins, extra=extras,
        sequence=st.one_of(st.none(), small),
    )  # fmt: skip
    def produce(self, place: int, data: Any, twin: bool, extra: Any, sequence: Any) -> None:
        pair = self.pick(self.producers, place)
        if len(data) == 1:
            self.call(twin, pair, "publish", data[0], sequence=sequence, **extra)
        else:
            self.call(twin, pair, "publish_many", data, sequence=sequence, **extra)
        # An engine's handle never waits for that, so it cannot tell that its channel is gone.
        if outcome_of(pair[0].sequence)[0][0] == "returned":
            self.both(pair, lambda producer: producer.sequence())

    # Frames, where the engine has them.

    @rule(
        data=st.lists(st.tuples(places, payloads, st.one_of(st.none(), small)), max_size=3),
        commit=st.one_of(st.none(), st.tuples(places, small)),
        ending=st.one_of(st.none(), st.none(), places), twin=twins, who=st.integers(0, 1),
    )  # fmt: skip
    def frame(self, data: Any, commit: Any, ending: Any, twin: bool, who: int) -> None:
        if not self.logs[who].capabilities.frames:
            return
        if commit is not None and self.cursors:
            channel = self.here.channel(self.pick(self.cursors, commit[0])[0].handle.channel.name)
            if commit[1] >= channel.info().end_offset:
                # Wrong in two ways, it may be refused for either.
                return

        def fill(frame: Any, side: int) -> None:
            for place, payload, expect in data:
                frame.publish(self.pick(self.channels, place)[side], payload, expect=expect)
            if commit is not None and self.cursors:
                frame.commit(self.pick(self.cursors, commit[0])[side].handle, commit[1])
            if ending is not None:
                frame.end(self.pick(self.channels, ending)[side])

        async def awrite(log: Any, side: int) -> Any:
            async with log.atomic() as frame:
                fill(frame, side)
            return frame.offsets

        def write(at: tuple[Any, int]) -> Any:
            log, side = at
            if twin:
                return self.loop.run_until_complete(awrite(log, side))
            with log.atomic() as frame:
                fill(frame, side)
            return frame.offsets

        sides = (self.here, 0), (self.logs[who], 1)
        expected, found = (outcome_of(lambda side=side: write(side))[0] for side in sides)
        # What is wrong in two ways may be refused for either.
        is_refused = expected[0] == found[0] == "raised"
        assert is_refused or found == expected, f"{found}, and the embedded log: {expected}"

    # Groups.

    @rule(
        place=places, name=st.sampled_from(["g", "h"]), by_key=st.booleans(),
        deliveries_max=st.sampled_from([None, 1, 2]), letters=st.booleans(),
    )  # fmt: skip
    def open_group(
        self, place: int, name: str, by_key: bool, deliveries_max: int | None, letters: bool
    ) -> None:
        dead_letter = self.prefix + NAMES[-1] if letters and deliveries_max else None
        self.keep(
            self.groups,
            self.both(
                self.pick(self.channels, place),
                lambda channel: Quiet(
                    channel.group(
                        name,
                        lease=30,
                        deliveries_max=deliveries_max,
                        dead_letter=dead_letter,
                        by_key=by_key,
                    )
                ),
            ),
        )

    @precondition(lambda self: self.groups)
    @rule(place=places, twin=twins, count=st.integers(1, 3))
    def deliver(self, place: int, twin: bool, count: int) -> None:
        for _ in range(count):
            pair = self.call(twin, self.pick(self.groups, place), "get", timeout=0)
            if pair is not None and pair[0] is not None:
                self.keep(self.deliveries, pair)

    @precondition(lambda self: self.deliveries)
    @rule(
        place=places, twin=twins,
        how=st.sampled_from([("ack",), ("ack",), ("nak",), ("nak", 10), ("extend",)]),
    )  # fmt: skip
    def handle(self, place: int, twin: bool, how: tuple[Any, ...]) -> None:
        self.call(twin, self.pick(self.deliveries, place), *how)

    @precondition(lambda self: self.groups)
    @rule(place=places, what=st.sampled_from(["info", "info", "delete"]), twin=twins)
    def ask_group(self, place: int, what: str, twin: bool) -> None:
        self.call(twin, self.pick(self.groups, place), what)

    @precondition(lambda self: self.groups)
    @rule(seconds=st.sampled_from([5, 20, 40]))
    def let_time_pass(self, seconds: int) -> None:
        self.clock.advance(seconds)

    # Looking at all of it.

    @invariant()
    def what_is_listed_agrees(self) -> None:
        pair = (self.here, self.logs[0])
        self.both(pair, lambda log: list(log.channels(prefix=self.prefix)))

    def everything_agrees(self) -> None:
        """By handles that know nothing yet."""
        for log in self.logs:
            for name in NAMES:
                pair = (self.here.channel(self.prefix + name), log.channel(self.prefix + name))
                self.both(pair, lambda channel: channel.info())
                self.both(pair, lambda channel: list(channel.replay()))


class Quiet:
    """A handle whose identity says nothing: two of them are the same outcome."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self.handle, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quiet)

    __hash__ = None  # type: ignore[assignment]

"""Rules that read: subscriptions and cursors kept open, replays begun and finished later."""

from __future__ import annotations

import fnmatch
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import chanlog

from .base import NAMES, Base, names, pick, places, senders, twins
from .oracle import Life, Reader

filters = st.sampled_from([None, frozenset({"token"}), frozenset({"steer", ""})])
KEPT = 6

OUTCOMES = {
    chanlog.ChannelDeleted: "deleted",
    chanlog.OffsetTrimmed: "trimmed",
    chanlog.EndOfChannel: "end",
}


class Reading(Base):
    @rule(
        name=names,
        sender=senders,
        way=st.sampled_from(["start", "after", "last", "since", "live"]),
        place=places,
        passing=filters,
        echo=st.booleans(),
    )
    def subscribe(self, *, name, sender, way, place, passing, echo):
        life = self.oracle.life(name)
        options: dict[str, Any] = {}
        position = life.start
        if way == "after" and life.end > life.start:
            position = life.start + place % (life.end - life.start) + 1
            options["after"] = position - 1
        elif way == "last":
            options["last"] = place % (life.end + 2)
            position = max(life.start, life.end - options["last"])
        elif way == "since" and life.end > life.start:
            times = [item.time_ns for item in life.items]
            options["since"] = times[life.start + place % (life.end - life.start)]
            position = life.start
            while times[position] < options["since"]:
                position += 1
        elif way == "live":
            options["live"] = True
            position = life.end
        if sender is None:
            echo = True
        subscription = self.log.channel(name, sender=sender).subscribe(
            types=passing, echo=echo, **options
        )
        reader = Reader(life, position, passing, None if echo else sender)
        assert reader.allows(subscription.offset)
        self.readers.append((subscription, reader))
        if len(self.readers) > KEPT:
            self.readers.pop(0)[0].close()

    def look(self, subscription: Any, reader: Reader, position: int, twin: bool) -> bool:
        """One ``get`` that does not wait; whether it gave a message."""
        outcome, offset = reader.get(position)
        try:
            message = self.call(twin, subscription, "get", timeout=0)
        except chanlog.ChanlogError as error:
            assert OUTCOMES.get(type(error)) == outcome, f"{error!r}, expected {outcome}"
            if outcome == "trimmed":
                assert error.start_offset == reader.life.start
                subscription.seek(reader.life.start)
                reader.position = reader.life.start
                if isinstance(subscription, chanlog.Cursor):
                    reader.life.cursors[subscription.name] = reader.life.start
            return False
        if message is None:
            assert outcome == "nothing", f"nothing, expected {outcome}"
            return False
        assert outcome == "message", f"{message!r}, expected {outcome}"
        assert self.read(reader.life, message) == self.message(reader.life, offset)
        reader.position = offset + 1
        return True

    @precondition(lambda self: self.readers)
    @rule(place=places, count=st.integers(1, 40), twin=twins)
    def get(self, place, count, twin):
        subscription, reader = pick(self.readers, place)
        for _ in range(count):
            if not self.look(subscription, reader, subscription.offset, twin):
                break

    @precondition(lambda self: self.readers)
    @rule(place=places, to=places)
    def seek(self, place, to):
        subscription, reader = pick(self.readers, place)
        life = reader.life
        if not life.deleted:
            offset = life.start + to % (life.end - life.start + 1)
            subscription.seek(offset)
            reader.position = offset
            assert reader.allows(subscription.offset)

    @precondition(lambda self: self.readers)
    @rule(place=places, twin=twins)
    def close_a_reader(self, place, twin):
        subscription, _ = self.readers.pop(place % len(self.readers))
        subscription.close()
        try:
            self.call(twin, subscription, "get", timeout=0)
            raise AssertionError("a closed reader reads")
        except chanlog.HandleClosed:
            pass

    @rule(name=names, offset=st.integers(0, 5))
    def subscribe_to_the_future(self, name, offset):
        life = self.oracle.life(name)
        try:
            self.log.channel(name).subscribe(after=life.end + offset)
            raise AssertionError("it could")
        except chanlog.UnknownOffset as error:
            assert error.end_offset == life.end

    @rule(name=names, cursor=st.sampled_from(["one", "two"]), twin=twins)
    def open_cursor(self, name, cursor, twin):
        """Kept open, it reads on from where it stood, whoever commits meanwhile."""
        life = self.oracle.life(name)
        if not life.exists:
            return
        handle = self.log.channel(name).cursor(cursor)
        reader = Reader(life, life.position(cursor))
        self.look(handle, reader, reader.position, twin)
        self.cursors.append((handle, reader))
        if len(self.cursors) > KEPT:
            self.cursors.pop(0)[0].close()

    @precondition(lambda self: self.cursors)
    @rule(place=places, count=st.integers(1, 40), committing=st.booleans(), twin=twins)
    def read_cursor(self, place, count, committing, twin):
        cursor, reader = pick(self.cursors, place)
        life = reader.life
        for _ in range(count):
            _, offset = reader.get(reader.position)
            if not self.look(cursor, reader, reader.position, twin):
                break
            if committing:
                self.agree(
                    lambda o=offset: life.commit(cursor.name, o),
                    lambda o=offset: self.call(twin, cursor, "commit", o),
                )

    @rule(name=names, first=places, second=places, way=st.integers(0, 3))
    def replay(self, name, first, second, way):
        life = self.oracle.life(name)
        start, stop = sorted(life.start + n % (life.end - life.start + 1) for n in (first, second))
        replay = self.log.channel(name).replay(start, stop)
        expected = self.expected(life, start, stop)
        if way == 0:
            assert [self.read(life, message) for message in replay] == expected
        elif way == 1:
            batches = list(replay.batches())
            assert all(len(batch) for batch in batches)
            assert [self.read(life, m) for batch in batches for m in batch] == expected
        elif way == 2:
            assert list(replay.data()) == [message[1] for message in expected]
        else:

            async def walk():
                return [self.read(life, message) async for message in replay]

            assert self.loop.run_until_complete(walk()) == expected

    @rule(name=names, place=places)
    def replay_what_was_trimmed(self, name, place):
        life = self.oracle.life(name)
        if life.start:
            try:
                list(self.log.channel(name).replay(place % life.start))
                raise AssertionError("it could")
            except chanlog.OffsetTrimmed as error:
                assert error.start_offset == life.start

    @rule(name=names, place=places)
    def begin_a_replay(self, name, place):
        """To be finished after other things have happened."""
        life = self.oracle.life(name)
        if life.exists:
            start = life.start + place % (life.end - life.start + 1)
            walk = iter(self.log.channel(name).replay(start))
            rest = self.expected(life, start, life.end)
            self.walks = [*self.walks[-2:], (walk, life, rest)]
            self.step(walk, life, rest, 1)

    @precondition(lambda self: self.walks)
    @rule(place=places, count=st.integers(1, 300))
    def go_on_with_a_replay(self, place, count):
        self.step(*pick(self.walks, place), count)

    def step(self, walk: Any, life: Life, rest: list[tuple[Any, ...]], count: int) -> None:
        for _ in range(count):
            try:
                message = next(walk, None)
            except chanlog.OffsetTrimmed:
                assert not rest or rest[0][0] < life.start
                rest.clear()
                return
            except chanlog.ChannelDeleted:
                assert life.deleted
                rest.clear()
                return
            if message is None:
                assert not rest
                return
            assert self.read(life, message) == rest.pop(0)

    @rule(
        prefix=st.sampled_from(["", "a", "a/", "zz"]),
        pattern=st.sampled_from([None, "*", "?", "a*", "[ab]", "*b"]),
        twin=twins,
    )
    def list_channels(self, prefix, pattern, twin):
        if twin:

            async def walk():
                return [n async for n in self.log.achannels(prefix=prefix, pattern=pattern)]

            found = self.loop.run_until_complete(walk())
        else:
            found = list(self.log.channels(prefix=prefix, pattern=pattern))
        assert found == self.oracle.names(prefix, pattern)
        assert all(fnmatch.fnmatchcase(name, pattern or "*") for name in found)
        assert set(found) <= set(NAMES)

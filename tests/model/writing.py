"""Rules that change the log: publishing, frames, producers, the life of channels."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import chanlog

from .base import Base, extras, item, names, payloads, pick, places, senders, twins
from .oracle import Life

cursor_names = st.sampled_from(["one", "two"])
producer_names = st.sampled_from(["p", "q"])
KEEPS = [
    {},
    {},
    {"count": 1},
    {"count": 50},
    {"age": timedelta(seconds=1000.5), "count": 200},
    {"ttl": timedelta(seconds=3000.5)},
]


class Writing(Base):
    def channel(self, name: str, sender: str | None = None) -> tuple[chanlog.Channel, Life]:
        self.changed.add(name)
        return self.log.channel(name, sender=sender), self.oracle.life(name)

    @rule(name=names, sender=senders, data=payloads, extra=extras, twin=twins)
    def publish(self, name, sender, data, extra, twin):
        channel, life = self.channel(name, sender)
        self.agree(
            lambda: life.publish([item(data, extra, sender)])[0],
            lambda: self.call(twin, channel, "publish", data, **extra),
        )

    @rule(name=names, data=payloads, ahead=st.integers(-2, 2), many=st.booleans())
    def publish_expecting(self, name, data, ahead, many):
        channel, life = self.channel(name)
        expect = max(0, life.end + ahead)
        if many:
            self.agree(
                lambda: life.publish([item(data, {}, None)] * 2, expect),
                lambda: list(channel.publish_many([data, data], expect=expect)),
            )
        else:
            self.agree(
                lambda: life.publish([item(data, {}, None)], expect)[0],
                lambda: channel.publish(data, expect=expect),
            )

    @rule(
        name=names,
        sender=senders,
        datas=st.lists(payloads, max_size=12),
        extra=extras,
        twin=twins,
        durable=st.booleans(),
    )
    def publish_many(self, *, name, sender, datas, extra, twin, durable):
        channel, life = self.channel(name, sender)
        self.agree(
            lambda: life.publish([item(data, extra, sender) for data in datas]),
            lambda: list(
                self.call(twin, channel, "publish_many", iter(datas), durable=durable, **extra)
            ),
        )
        if durable and not life.ended and datas:
            assert channel.info().durable_offset == life.end

    @rule(name=names, count=st.integers(20, 200), size=st.integers(1, 1500))
    def publish_a_stream(self, name, count, size):
        """Tokens one by one, enough to fill segments."""
        channel, life = self.channel(name, "agent")
        if life.ended:
            return
        for n in range(count):
            data = [n, "s" * size]
            assert channel.publish(data, type="token") == life.end
            life.publish([item(data, {"type": "token"}, "agent")])

    @rule(name=names, datas=st.lists(payloads, max_size=3))
    def publish_what_cannot_be_carried(self, name, datas):
        channel, _ = self.channel(name)
        for attempt in (
            lambda: channel.publish([*datas, object()]),
            lambda: channel.publish_many([*datas, object()]),
        ):
            try:
                attempt()
                raise AssertionError("it was carried")
            except (chanlog.PayloadError, chanlog.ChannelEnded):
                pass

    @rule(name=names, twin=twins)
    def end(self, name, twin):
        channel, life = self.channel(name)
        self.agree(life.finish, lambda: self.call(twin, channel, "end"))

    @rule(name=names, place=places, twin=twins)
    def trim(self, name, place, twin):
        channel, life = self.channel(name)
        if life.exists:
            before = place % (life.end + 2)
            self.agree(
                lambda: life.trim(before),
                lambda: self.call(twin, channel, "trim", before=before),
            )

    @rule(name=names, twin=twins)
    def delete(self, name, twin):
        channel, life = self.channel(name)
        if life.exists:
            self.agree(lambda: self.oracle.delete(life), lambda: self.call(twin, channel, "delete"))
            self.stale = [*self.stale[-3:], (channel, life)]

    @precondition(lambda self: self.stale)
    @rule(place=places, twin=twins)
    def use_what_was_deleted(self, place, twin):
        channel, life = pick(self.stale, place)
        for method, arguments in [
            ("publish", ("x",)),
            ("publish_many", (["x"],)),
            ("end", ()),
            ("trim", (0,)),
            ("fork", ("d",)),
        ]:
            self.agree(
                life.must_live, lambda m=method, a=arguments: self.call(twin, channel, m, *a)
            )

    @rule(name=names, onto=names, place=places, twin=twins)
    def fork(self, name, onto, place, twin):
        channel, life = self.channel(name)
        self.changed.add(onto)
        waiting = [reader for _, reader in self.readers + self.cursors if reader.life.name == onto]
        if any(not reader.life.deleted and not reader.life.exists for reader in waiting):
            return  # Where such a reader should stand afterwards, nobody has said.
        at = place % (life.end + 3)
        at = None if at == life.end + 2 else at
        self.agree(
            lambda: self.oracle.fork(life, onto, at).name,
            lambda: self.call(twin, channel, "fork", onto, at=at).name,
        )

    @rule(name=names, keep=st.sampled_from(KEEPS), twin=twins)
    def configure(self, name, keep, twin):
        channel, life = self.channel(name)
        self.call(twin, channel, "configure", chanlog.Retention(**keep) if keep else None)
        life.exists, life.keep = True, keep

    @rule(seconds=st.integers(1, 2000))
    def advance_the_clock(self, seconds):
        self.clock.advance(seconds)

    @rule(twin=twins)
    def compact(self, twin):
        """Afterwards nothing is different, but for what retention forgets."""
        self.call(twin, self.log, "compact")
        now = self.clock.now_ns
        held = {reader.life for _, reader in self.readers + self.cursors}
        there = set(self.log.channels())
        for name, life in self.oracle.existing().items():
            if life.idle(life.stirred_ns, now) and life not in held:
                assert name not in there
            if life.idle(life.used_ns, now) and name not in there:
                self.oracle.delete(life)
            life.retire(now)
            self.unwalked.add(name)

    @rule(name=names, cursor=cursor_names, place=places, twin=twins)
    def commit(self, name, cursor, place, twin):
        channel, life = self.channel(name)
        if life.exists:
            offset = place % (life.end + 1)
            with channel.cursor(cursor) as handle:
                self.agree(
                    lambda: life.commit(cursor, offset),
                    lambda: self.call(twin, handle, "commit", offset),
                )
                self.cursor_agrees(handle, life, twin)

    @rule(name=names, cursor=cursor_names, place=places, twin=twins)
    def seek_cursor(self, name, cursor, place, twin):
        channel, life = self.channel(name)
        if life.exists:
            offset = life.start + place % (life.end - life.start + 2)
            with channel.cursor(cursor) as handle:
                self.agree(
                    lambda: life.seek(cursor, offset),
                    lambda: self.call(twin, handle, "seek", offset),
                )
                self.cursor_agrees(handle, life, twin)

    @rule(name=names, cursor=cursor_names, twin=twins)
    def delete_cursor(self, name, cursor, twin):
        channel, life = self.channel(name)
        if cursor in life.cursors:
            with channel.cursor(cursor) as handle:
                self.call(twin, handle, "delete")
            del life.cursors[cursor]

    def cursor_agrees(self, handle: chanlog.Cursor, life: Life, twin: bool) -> None:
        position = life.position(handle.name)
        assert handle.position() == position
        assert self.call(twin, handle, "lag") == life.end - position

    @rule(name=names, producer=producer_names, epoch=st.integers(0, 3), sender=senders, twin=twins)
    def open_producer(self, name, producer, epoch, sender, twin):
        channel, life = self.channel(name, sender)
        if life.ended:
            return
        found: list[chanlog.Producer] = []
        self.agree(
            lambda: life.open_writer(producer, epoch),
            lambda: found.append(self.call(twin, channel, "producer", producer, epoch=epoch)),
        )
        if found:
            self.producers = [*self.producers[-5:], (found[0], life, sender, epoch)]

    @precondition(lambda self: self.producers)
    @rule(place=places, back=st.integers(-2, 8), count=st.integers(1, 6), data=payloads, twin=twins)
    def produce(self, place, back, count, data, twin):
        """The next sequence, one that was, one that is not yet; one message or many."""
        producer, life, sender, epoch = pick(self.producers, place)
        self.changed.add(life.name)
        sequence: int | None = None
        if back and not life.deleted:
            sequence = max(0, len(life.writers[producer.name].offsets) - back)
        items = [item([n, data], {}, sender) for n in range(count)]
        known: dict[str, Any] = {"sequence": sequence}
        if count == 1:
            self.agree(
                lambda: life.produce(producer.name, epoch, items, sequence)[0],
                lambda: self.call(twin, producer, "publish", items[0].data, **known),
            )
        else:
            self.agree(
                lambda: life.produce(producer.name, epoch, items, sequence),
                lambda: list(
                    self.call(twin, producer, "publish_many", [i.data for i in items], **known)
                ),
            )

    @rule(
        publishes=st.lists(st.tuples(names, payloads, senders, extras), max_size=8),
        commits=st.lists(st.tuples(names, cursor_names, places), max_size=2),
        ends=st.lists(names, max_size=1),
        wrong=st.sampled_from(["", "", "", "expect", "exception"]),
        twin=twins,
    )
    def frame(self, publishes, commits, ends, wrong, twin):
        steps: list[tuple[str, tuple[Any, ...]]] = []
        firsts: set[str] = set()
        for name, data, sender, extra in publishes:
            expect = None
            if wrong == "expect" and name not in firsts:
                expect = self.oracle.life(name).end + len(firsts)
            firsts.add(name)
            steps.append(("publish", (name, item(data, extra, sender), expect)))
        for name, cursor, place in commits:
            life = self.oracle.life(name)
            if life.end:
                steps.append(("commit", (name, cursor, place % life.end)))
        steps += [("end", (name,)) for name in ends]
        self.changed.update(step[1][0] for step in steps)

        def fill(frame: chanlog.Frame) -> None:
            for kind, (name, *rest) in steps:
                if kind == "publish":
                    message, expect = rest
                    frame.publish(
                        self.log.channel(name, sender=message.sender),
                        message.data,
                        type=message.type,
                        key=message.key,
                        headers=message.headers,
                        expect=expect,
                    )
                elif kind == "commit":
                    with self.log.channel(name).cursor(rest[0]) as cursor:
                        frame.commit(cursor, rest[1])
                else:
                    frame.end(name)
            if wrong == "exception":
                raise ZeroDivisionError

        def write() -> list[int]:
            with self.log.atomic() as frame:
                fill(frame)
            return frame.offsets

        async def awrite() -> list[int]:
            async with self.log.atomic() as frame:
                fill(frame)
            return frame.offsets

        def real() -> list[int]:
            return self.loop.run_until_complete(awrite()) if twin else write()

        if wrong == "exception":
            try:
                real()
                raise AssertionError("the exception was swallowed")
            except (ZeroDivisionError, chanlog.ChanlogError):
                return
        self.agree(lambda: self.oracle.frame(steps), real)

"""Groups: consumers share the messages of a channel, and each message is handled by one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import pytest

from ...errors import ChannelDeleted, EndOfChannel, HandleClosed, LeaseLost
from ...group import Delivery, Group
from ...interface import Channel, Log
from ..harness import Harness
from .base import LIMIT_SECONDS, Face, Scenarios, datas, drain, gather, needs, run, spawn

__all__ = ["Groups", "hand", "handle", "spent"]


def hand(group: Group, count: int = 1) -> list[Delivery]:
    """The next ``count`` deliveries, which must come."""
    deliveries: list[Delivery] = []
    while len(deliveries) < count:
        delivery = group.get(timeout=LIMIT_SECONDS)
        if delivery is None:
            pytest.fail(f"{len(deliveries)} of {count} came: {datas(deliveries)!r:.300}")
        deliveries.append(delivery)
    return deliveries


def handle(group: Group, count: int = 1) -> list[object]:
    """Take ``count`` deliveries and acknowledge each; their payloads."""
    seen = []
    for _ in range(count):
        (delivery,) = hand(group)
        seen.append(delivery.message.data)
        delivery.ack()
    return seen


def spent(group: Group) -> bool:
    """Whether there is nothing to be delivered now."""
    return group.get(timeout=0) is None


def numbers(deliveries: Iterable[Delivery]) -> list[int]:
    """How often each was delivered."""
    return [delivery.deliveries for delivery in deliveries]


class Groups(Scenarios):
    """Each message of a channel is delivered to one consumer of a group, until one is done."""

    @needs("groups")
    def test_a_group_delivers_everything_in_order(self, channel: Channel, face: Face) -> None:
        """One consumer alone gets each message once, whole, from the start on."""
        channel.publish("a", type="t", key="k", headers={"h": 1})
        channel.publish_many("bc")
        group = channel.group("workers")
        first = face(group).get(timeout=LIMIT_SECONDS)
        message = first.message
        assert (message.data, message.type, message.key) == ("a", "t", "k")
        assert (message.headers, first.deliveries) == ({"h": 1}, 1)
        assert message.offset == next(iter(channel.replay())).offset
        face(first).ack()
        assert handle(group, 2) == ["b", "c"]
        assert face(group).get(timeout=0) is None

    @needs("groups")
    def test_consumers_share(self, channel: Channel) -> None:
        """What one consumer has, no other gets."""
        channel.publish_many("abcd")
        one, other = channel.group("workers"), channel.group("workers")
        held = [hand(one), hand(other), hand(one), hand(other)]
        assert [datas(deliveries) for deliveries in held] == [["a"], ["b"], ["c"], ["d"]]
        assert spent(one) and spent(other)

    @needs("groups", "remote")
    def test_consumers_of_two_handles_share(self, harness: Harness) -> None:
        """Consumers in two processes share a group as two in one process do."""
        name = harness.new_name()
        channels = [harness.open().channel(name) for _ in range(2)]
        channels[0].publish_many("ab")
        groups = [channel.group("workers") for channel in channels]
        assert [datas(hand(group)) for group in groups] == [["a"], ["b"]]
        assert spent(groups[0]) and spent(groups[1])

    @needs("groups")
    def test_groups_are_independent(self, channel: Channel) -> None:
        """Each group gets everything; so do readers and cursors beside it."""
        channel.publish_many("abc")
        assert handle(channel.group("one"), 3) == ["a", "b", "c"]
        assert handle(channel.group("other"), 3) == ["a", "b", "c"]
        assert datas(drain(channel.cursor("one"))) == ["a", "b", "c"]
        assert datas(drain(channel.subscribe())) == ["a", "b", "c"]

    @needs("groups")
    def test_many_workers_handle_each_message_once(self, log: Log, channel: Channel) -> None:
        """Threads that compete while messages come in handle each exactly once."""
        count = 200

        def work() -> list[object]:
            seen = []
            for delivery in log.channel(channel.name).group("workers"):
                with delivery:
                    seen.append(delivery.message.data)
            return seen

        workers = [spawn(work) for _ in range(4)]
        for number in range(count):
            channel.publish(number)
        channel.end()
        handled = [data for seen in gather(workers) for data in seen]
        assert sorted(handled) == list(range(count))  # type: ignore[type-var]

    @needs("groups")
    def test_a_group_does_not_begin_at_its_first_consumer(self, channel: Channel) -> None:
        """A group begins at the start offset, however late its first consumer comes."""
        offsets = channel.publish_many("abc")
        channel.trim(offsets[1])
        assert handle(channel.group("workers"), 2) == ["b", "c"]

    # Acknowledgements.

    @needs("groups")
    def test_what_is_done_never_comes_again(self, channel: Channel, harness: Harness) -> None:
        """An acknowledged message is not delivered again, also when its lease would be over."""
        channel.publish_many("ab")
        group = channel.group("workers", lease=0.3)
        assert handle(group, 2) == ["a", "b"]
        harness.advance(0.5)
        assert spent(group)

    @needs("groups")
    def test_acknowledging_twice_is_fine(self, channel: Channel, face: Face) -> None:
        """The same delivery may be acknowledged again; nothing else is."""
        channel.publish_many("ab")
        group = channel.group("workers")
        (delivery,) = hand(group)
        face(delivery).ack()
        face(delivery).ack()
        assert handle(group) == ["b"]
        assert face(group).info().pending == 0

    @needs("groups")
    def test_acknowledgements_in_any_order(self, channel: Channel) -> None:
        """A later message may be done before an earlier one, which is not done by it."""
        channel.publish_many("abc")
        group = channel.group("workers")
        a, b, c = hand(group, 3)
        c.ack()
        a.ack()
        b.nak()
        assert handle(group) == ["b"]
        assert spent(group)

    @needs("groups")
    def test_a_block_acknowledges_or_gives_back(self, channel: Channel) -> None:
        """``with delivery`` is done at its end, and given back when it raises."""
        channel.publish("a")
        group = channel.group("workers")
        with pytest.raises(LookupError):
            with hand(group)[0]:
                raise LookupError
        (again,) = hand(group)
        assert again.deliveries == 2
        with again:
            pass
        assert spent(group)

    @needs("groups")
    def test_a_block_in_an_event_loop(self, channel: Channel) -> None:
        """``async with delivery`` does the same without blocking the loop."""
        channel.publish_many("ab")
        channel.end()

        async def work() -> list[object]:
            seen, failed = [], False
            async for delivery in channel.group("workers"):
                with suppress(LookupError):
                    async with delivery:
                        if not failed:
                            failed = True
                            raise LookupError
                        seen.append(delivery.message.data)
            return seen

        assert sorted(map(str, run(work()))) == ["a", "b"]

    # Giving back.

    @needs("groups")
    def test_given_back_comes_again(self, channel: Channel, face: Face) -> None:
        """``nak`` gives a message to whoever asks next, and counts."""
        channel.publish("a")
        one, other = channel.group("workers"), channel.group("workers")
        face(hand(one)[0]).nak()
        (again,) = hand(other)
        assert (again.message.data, again.deliveries) == ("a", 2)
        face(again).nak()
        assert numbers(hand(one)) == [3]

    @needs("groups")
    def test_given_back_comes_before_new(self, channel: Channel) -> None:
        """Redeliveries come first, in the order of their offsets whatever the order of the naks;
        then what is new."""
        channel.publish_many("abcd")
        group = channel.group("workers")
        a, b, c = hand(group, 3)
        c.nak()
        a.nak()
        b.nak()
        assert handle(group, 4) == ["a", "b", "c", "d"]

    @needs("groups")
    def test_given_back_with_a_delay(self, channel: Channel, harness: Harness, face: Face) -> None:
        """With a delay it does not come before; others do meanwhile."""
        channel.publish_many("ab")
        group = channel.group("workers")
        face(hand(group)[0]).nak(delay=1.0)
        assert handle(group) == ["b"]
        assert spent(group)
        harness.advance(1.2)
        (again,) = hand(group)
        assert (again.message.data, again.deliveries) == ("a", 2)

    @needs("groups")
    def test_a_delay_wakes_a_waiting_consumer(self, channel: Channel, harness: Harness) -> None:
        """A consumer that waits gets it when the delay is over, without a publish to wake it."""
        channel.publish("a")
        group = channel.group("workers")
        hand(group)[0].nak(delay=0.2)
        waiting = spawn(hand, group)
        harness.advance(0.3)
        assert datas(waiting.result(3 * LIMIT_SECONDS)) == ["a"]

    # Leases.

    @needs("groups")
    def test_redelivery_after_the_lease(self, channel: Channel, harness: Harness) -> None:
        """A message whose consumer died is delivered to another when its lease is over."""
        channel.publish_many("ab")
        dead, alive = channel.group("workers", lease=0.3), channel.group("workers", lease=0.3)
        hand(dead)
        assert handle(alive) == ["b"]
        harness.advance(0.5)
        (again,) = hand(alive)
        assert (again.message.data, again.deliveries) == ("a", 2)

    @needs("groups")
    def test_the_end_of_a_lease_wakes_a_consumer(self, channel: Channel, harness: Harness) -> None:
        """A consumer that waits gets what another let go, without a publish to wake it."""
        channel.publish("a")
        hand(channel.group("workers", lease=0.2))
        waiting = spawn(hand, channel.group("workers", lease=0.2))
        harness.advance(0.3)
        assert numbers(waiting.result(3 * LIMIT_SECONDS)) == [2]

    @needs("groups")
    def test_a_lost_lease_is_told(self, channel: Channel, harness: Harness, face: Face) -> None:
        """Who acknowledges, gives back or extends too late gets ``LeaseLost``, and does not undo
        what the other consumer does."""
        channel.publish("a")
        (late,) = hand(channel.group("workers", lease=0.2))
        harness.advance(0.3)
        other = channel.group("workers")
        (again,) = hand(other)
        for call in (face(late).ack, face(late).nak, face(late).extend):
            with pytest.raises(LeaseLost) as caught:
                call()
        assert (caught.value.channel, caught.value.group) == (channel.name, "workers")
        assert caught.value.offset == again.message.offset
        assert spent(other)
        again.ack()
        assert other.info().pending == 0

    @needs("groups")
    def test_extend_begins_the_lease_anew(
        self, channel: Channel, harness: Harness, face: Face
    ) -> None:
        """Who says that it still works on a message keeps it beyond the first lease."""
        channel.publish("a")
        group = channel.group("workers", lease=1.5)
        (delivery,) = hand(group)
        for _ in range(2):
            harness.advance(0.9)
            face(delivery).extend()
        assert spent(channel.group("workers", lease=1.5))
        delivery.ack()

    @needs("groups")
    def test_closing_a_consumer_gives_nothing_back(
        self, channel: Channel, harness: Harness
    ) -> None:
        """What a closed handle was delivered stays leased, and comes again afterwards."""
        channel.publish("a")
        with channel.group("workers", lease=1.0) as group:
            (delivery,) = hand(group)
        other = channel.group("workers", lease=1.0)
        assert spent(other)
        harness.advance(1.2)
        assert numbers(hand(other)) == [2]
        assert delivery.message.data == "a"

    # Giving up.

    @needs("groups")
    def test_a_dead_letter(self, log: Log, channel: Channel, harness: Harness) -> None:
        """After so many deliveries a message goes to the dead-letter channel, whole and with
        headers that say where it came from, and is not delivered again."""
        letters = log.channel(harness.new_name("dead"))
        channel.publish("poison", type="t", key="k")
        channel.publish("fine")
        group = channel.group("workers", deliveries_max=3, dead_letter=letters.name)
        for count in range(1, 4):
            (delivery,) = hand(group)
            assert (delivery.message.data, delivery.deliveries) == ("poison", count)
            delivery.nak()
        assert handle(group) == ["fine"]
        assert spent(group)
        (letter,) = letters.replay()
        assert (letter.data, letter.type, letter.key) == ("poison", "t", "k")
        assert channel.name in dict(letter.headers or {}).values()
        assert group.info().dead == 1

    @needs("groups")
    def test_a_dead_letter_without_a_channel(self, channel: Channel) -> None:
        """Without a dead-letter channel it is dropped, and counted."""
        channel.publish_many(["poison", "fine"])
        group = channel.group("workers", deliveries_max=1)
        hand(group)[0].nak()
        assert handle(group) == ["fine"]
        assert spent(group)
        assert group.info().dead == 1

    @needs("groups")
    def test_a_dead_letter_by_lost_leases(
        self, log: Log, channel: Channel, harness: Harness
    ) -> None:
        """A message that kills its consumers is given up as one that is given back is."""
        letters = log.channel(harness.new_name("dead"))
        channel.publish("poison")
        group = channel.group("workers", lease=0.2, deliveries_max=2, dead_letter=letters.name)
        for count in (1, 2):
            assert numbers(hand(group)) == [count]
            harness.advance(0.3)
        assert spent(group)
        assert datas(letters.replay()) == ["poison"]

    # Waiting and ending.

    @needs("groups")
    def test_a_publish_wakes_one_consumer(self, channel: Channel, face: Face) -> None:
        """A consumer that waits is woken, and of two only one gets the message."""
        groups = [channel.group("workers") for _ in range(2)]
        waiting = [spawn(face(group).get, timeout=LIMIT_SECONDS) for group in groups]
        channel.publish_many("ab")
        deliveries = [delivery for delivery in gather(waiting) if delivery]
        assert sorted(datas(deliveries)) == ["a", "b"]

    @needs("groups")
    def test_a_cancelled_consumer_loses_nothing(self, channel: Channel) -> None:
        """A task that is cancelled while it waits leaves its message to the next."""

        async def body() -> list[object]:
            group, seen = channel.group("workers", lease=60), []

            async def done(delivery: Delivery | None) -> None:
                assert delivery is not None
                seen.append(delivery.message.data)
                await delivery.aack()

            for number in range(30):
                task = asyncio.create_task(group.aget())
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                publishing = asyncio.create_task(channel.apublish(number))
                for _ in range(number % 5):
                    await asyncio.sleep(0)
                task.cancel()
                await publishing
                with suppress(asyncio.CancelledError):
                    await done(await task)
            while len(seen) < 30:
                await done(await group.aget(timeout=LIMIT_SECONDS))
            return seen

        assert run(body()) == list(range(30))

    @needs("groups")
    def test_the_end_waits_for_what_is_pending(self, channel: Channel, face: Face) -> None:
        """A group comes to its end when the channel has ended and everything is done with, not
        while another consumer may still give something back."""
        channel.publish("a")
        group = channel.group("workers")
        (delivery,) = hand(group)
        channel.end()
        assert face(group).get(timeout=0.01) is None
        delivery.nak()
        assert handle(group) == ["a"]
        with pytest.raises(EndOfChannel):
            face(group).get(timeout=LIMIT_SECONDS)
        assert face.walk(group) == []

    @needs("groups")
    def test_closing_wakes_a_consumer(self, channel: Channel, face: Face) -> None:
        """``close`` from another thread ends its waiting."""
        group = channel.group("workers")
        waiting = spawn(face(group).get)
        group.close()
        with pytest.raises(HandleClosed):
            waiting.result(LIMIT_SECONDS)

    @needs("groups")
    def test_deletion_wakes_a_consumer(self, log: Log, channel: Channel) -> None:
        """``ChannelDeleted`` for who waits; under the name anew the group begins anew."""
        channel.publish("a")
        group = channel.group("workers")
        handle(group)
        waiting = spawn(group.get)
        channel.delete()
        with pytest.raises(ChannelDeleted):
            waiting.result(LIMIT_SECONDS)
        again = log.channel(channel.name)
        again.publish("b")
        assert handle(again.group("workers")) == ["b"]

    @needs("groups")
    def test_what_was_trimmed_is_skipped(self, channel: Channel) -> None:
        """Nobody can handle what is gone: it is skipped, also if it was to be delivered again."""
        offsets = channel.publish_many("abcd")
        group = channel.group("workers")
        hand(group)[0].nak()
        channel.trim(offsets[2])
        assert handle(group, 2) == ["c", "d"]
        assert spent(group)

    # What it tells.

    @needs("groups")
    def test_info_of_a_group(self, log: Log, channel: Channel, face: Face) -> None:
        """One snapshot for all consumers together, which ``channel.info()`` has too."""
        offsets = channel.publish_many("abcde")
        group = channel.group("workers")
        a, b, _ = hand(group, 3)
        a.ack()
        b.nak(delay=60)
        info = face(channel.group("workers")).info()
        assert (info.name, info.pending, info.waiting, info.lag, info.dead) == (
            "workers", 1, 1, 2, 0,
        )  # fmt: skip
        assert offsets[0] < info.position <= offsets[1]
        assert log.channel(channel.name).info().groups == {"workers": info}

    @needs("groups")
    def test_looking_at_a_group_creates_none(self, channel: Channel) -> None:
        """A handle that never asked for a message leaves nothing behind."""
        channel.publish("a")
        channel.group("workers").close()
        assert dict(channel.info().groups) == {}

    @needs("groups")
    def test_a_deleted_group_begins_anew(self, channel: Channel, face: Face) -> None:
        """Deleting forgets what was done, and no other group's."""
        channel.publish_many("ab")
        handle(channel.group("workers"), 2)
        handle(channel.group("others"), 2)
        face(channel.group("workers")).delete()
        assert set(channel.info().groups) == {"others"}
        assert handle(channel.group("workers"), 2) == ["a", "b"]
        assert spent(channel.group("others"))

"""Groups that keep an order by key, and that outlive handles and engines."""

from __future__ import annotations

from ...interface import Channel, Log
from ..harness import Harness
from .base import LIMIT_SECONDS, Scenarios, datas, needs, spawn
from .groups import hand, handle, numbers, spent

__all__ = ["GroupsByKey", "GroupsKept"]


class GroupsByKey(Scenarios):
    """With ``by_key`` the messages of one key are handled one after another."""

    @needs("groups", "group_order")
    def test_a_key_is_handled_in_order(self, channel: Channel) -> None:
        """While a message of a key is pending, the later ones of it wait; other keys do not."""
        for data, key in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("b2", "b")):
            channel.publish(data, key=key)
        one = channel.group("workers", by_key=True)
        other = channel.group("workers", by_key=True)
        (a1,), (b1,) = hand(one), hand(other)
        assert datas([a1, b1]) == ["a1", "b1"]
        assert spent(one)
        a1.ack()
        (a2,) = hand(other)
        assert a2.message.data == "a2"
        b1.ack()
        assert handle(one) == ["b2"]
        a2.ack()
        assert handle(one) == ["a3"]

    @needs("groups", "group_order")
    def test_a_key_waits_for_what_was_given_back(self, channel: Channel) -> None:
        """A message that is given back is handled before the later ones of its key, also if that
        has a delay."""
        for data in ("a1", "a2"):
            channel.publish(data, key="a")
        channel.publish("b1", key="b")
        group = channel.group("workers", by_key=True)
        hand(group)[0].nak(delay=0.2)
        assert handle(group) == ["b1"]
        assert handle(group, 2) == ["a1", "a2"]

    @needs("groups", "group_order")
    def test_messages_without_a_key_do_not_wait(self, channel: Channel) -> None:
        """What has no key has no order to keep."""
        channel.publish_many("abc")
        assert datas(hand(channel.group("workers", by_key=True), 3)) == ["a", "b", "c"]

    @needs("groups", "group_order")
    def test_an_acknowledgement_wakes_who_waits_for_a_key(self, channel: Channel) -> None:
        """A consumer that waits because of a key is woken when its turn has come."""
        channel.publish("a1", key="a")
        channel.publish("a2", key="a")
        one = channel.group("workers", by_key=True)
        (first,) = hand(one)
        waiting = spawn(hand, channel.group("workers", by_key=True))
        first.ack()
        assert datas(waiting.result(3 * LIMIT_SECONDS)) == ["a2"]


class GroupsKept(Scenarios):
    """What is done stays done; what is not comes again, counted."""

    @needs("groups", "reopen")
    def test_a_group_survives_reopening(self, log: Log, channel: Channel, harness: Harness) -> None:
        """Acknowledged messages do not come again; what is pending does, after its lease, with
        its count."""
        channel.publish_many("abc")
        group = channel.group("workers", lease=0.5)
        a, b = hand(group, 2)
        a.ack()
        log.close()
        again = harness.open().channel(channel.name).group("workers", lease=30)
        harness.advance(0.7)
        deliveries = hand(again, 2)
        assert sorted(datas(deliveries)) == ["b", "c"]
        assert sorted(numbers(deliveries)) == [1, 2]
        assert b.message.data == "b"

    @needs("groups", "restart")
    def test_a_group_survives_a_restart(self, channel: Channel, harness: Harness) -> None:
        """The same when the engine was started again."""
        channel.publish_many("abc")
        assert handle(channel.group("workers"), 2) == ["a", "b"]
        harness.restart()
        again = harness.open().channel(channel.name).group("workers")
        assert handle(again) == ["c"]
        assert spent(again)

    @needs("groups", "crash")
    def test_a_group_survives_a_crash(self, channel: Channel, harness: Harness) -> None:
        """After ``kill -9`` what was acknowledged does not come again, and all else does."""
        channel.publish_many("abcd")
        group = channel.group("workers", lease=0.5)
        a, b, _ = hand(group, 3)
        a.ack()
        b.nak()
        harness.crash()
        again = harness.open().channel(channel.name).group("workers", lease=30)
        harness.advance(0.7)
        deliveries = hand(again, 3)
        assert sorted(datas(deliveries)) == ["b", "c", "d"]
        assert dict(zip(datas(deliveries), numbers(deliveries), strict=True)) == {
            "b": 2, "c": 2, "d": 1,
        }  # fmt: skip

    @needs("groups", "crash")
    def test_dead_letters_survive_a_crash(
        self, log: Log, channel: Channel, harness: Harness
    ) -> None:
        """What was given up is in the dead-letter channel once, and is not delivered again."""
        letters = harness.new_name("dead")
        channel.publish_many(["poison", "fine"])
        group = channel.group("workers", deliveries_max=1, dead_letter=letters)
        hand(group)[0].nak()
        assert handle(group) == ["fine"]
        harness.crash()
        log = harness.open()
        again = log.channel(channel.name).group("workers", deliveries_max=1, dead_letter=letters)
        assert spent(again)
        assert datas(log.channel(letters).replay()) == ["poison"]
        assert again.info().dead == 1

    @needs("groups", "cut_network")
    def test_acknowledging_after_a_cut(self, channel: Channel, harness: Harness) -> None:
        """A delivery that was taken before the network was cut can be acknowledged after it."""
        channel.publish_many("ab")
        group = channel.group("workers")
        (delivery,) = hand(group)
        with harness.cut_network():
            pass
        delivery.ack()
        assert handle(group) == ["b"]
        assert spent(group)

"""Consumer groups: many consumers share the messages of a channel, and each is handled by one."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import threading
from datetime import timedelta

import pytest

import chanlog
from chanlog.channels import journal, leasing

from ..support import (
    LIMIT,
    auntil_waiting,
    datas,
    gather,
    host_with,
    replayed,
    run,
    spawn,
    until,
    until_waiting,
)


@pytest.fixture
def ten(channel):
    channel.publish_many(range(10))
    return channel


def get(group):
    """What is there now, and must be."""
    delivery = group.get(timeout=0)
    assert delivery is not None
    return delivery


def numbers(info):
    return (info.position, info.pending, info.waiting, info.lag, info.dead)


class TestDelivering:
    def test_each_message_goes_to_one_consumer(self, ten, face):
        one, two = ten.group("workers"), ten.group("workers")
        deliveries = [face(group).get(timeout=0) for _ in range(5) for group in (one, two)]
        assert [d.message.offset for d in deliveries] == list(range(10))
        assert [d.deliveries for d in deliveries] == [1] * 10
        assert one.get(timeout=0) is None
        assert face(two).get(timeout=0) is None

    def test_groups_know_nothing_of_each_other(self, ten):
        a, b = ten.group("a"), ten.group("b")
        get(a).ack()
        assert get(b).message.offset == 0
        assert list(ten.info().groups) == ["a", "b"]

    def test_all_of_the_message_is_there(self, log, channel):
        log.channel(channel.name, sender="me").publish(b"\0", type="t", key="k", headers={"h": [1]})
        assert get(channel.group("g")).message == next(iter(channel.replay()))

    def test_what_is_done_is_not_delivered_again(self, ten, face):
        group = ten.group("workers")
        for _ in range(10):
            face(get(group)).ack()
        assert group.get(timeout=0) is None
        assert numbers(group.info()) == (10, 0, 0, 0, 0)

    def test_begins_at_the_start_offset(self, ten):
        ten.trim(before=4)
        group = ten.group("workers")
        assert numbers(group.info()) == (4, 0, 0, 6, 0)
        assert get(group).message.offset == 4

    def test_opening_costs_and_stores_nothing(self, log, channel):
        group = channel.group("workers")
        assert group.name == "workers"
        assert group.get(timeout=0) is None
        assert numbers(group.info()) == (0, 0, 0, 0, 0)
        group.delete()
        assert not channel.info().exists
        assert log.statistics().appends == 0

    def test_a_loop_ends_when_all_is_done(self, ten, face):
        ten.end()
        seen = []
        for_all = ten.group("workers")
        if face.kind == "thread":
            for delivery in for_all:
                with delivery:
                    seen.append(delivery.message.data)
        else:

            async def main():
                async for delivery in for_all:
                    async with delivery:
                        seen.append(delivery.message.data)

            run(main())
        assert seen == list(range(10))
        with pytest.raises(chanlog.EndOfChannel) as caught:
            face(for_all).get()
        assert (caught.value.channel, caught.value.end_offset) == ("workflow-42", 10)

    def test_the_end_is_not_before_all_is_done(self, timed, clock, face):
        channel = timed.channel("w")
        channel.publish("a")
        channel.end()
        one, two = channel.group("g", lease=5), channel.group("g", lease=5)
        get(one)
        assert face(two).get(timeout=0) is None
        clock.advance(5)
        get(two).ack()
        with pytest.raises(chanlog.EndOfChannel):
            face(one).get(timeout=0)

    @pytest.mark.parametrize("wrong", [-1, "1", True, float("nan")])
    def test_a_timeout_that_is_none(self, ten, face, wrong):
        with pytest.raises(chanlog.InvalidOption):
            face(ten.group("g")).get(timeout=wrong)

    def test_repr(self, ten):
        group = ten.group("g")
        assert repr(group) == "<Group 'g' of 'workflow-42'>"
        assert repr(get(group)) == "<Delivery 1 of offset 0 of 'workflow-42' to 'g'>"


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"lease": 0}, "lease"),
            ({"lease": -1}, "lease"),
            ({"lease": "1"}, "lease"),
            ({"deliveries_max": 0}, "deliveries_max"),
            ({"deliveries_max": True}, "deliveries_max"),
            ({"deliveries_max": 1.0}, "deliveries_max"),
            ({"dead_letter": "dead"}, "dead_letter"),
            ({"dead_letter": "workflow-42", "deliveries_max": 1}, "dead_letter"),
            ({"by_key": 1}, "by_key"),
        ],
    )
    def test_wrong_ones(self, channel, options, named):
        with pytest.raises(chanlog.InvalidOption) as caught:
            channel.group("g", **options)
        assert caught.value.option == named

    @pytest.mark.parametrize("name", ["", "a\0", 7, "x" * 504])
    def test_wrong_names(self, channel, name):
        with pytest.raises(chanlog.InvalidName):
            channel.group(name)
        with pytest.raises(chanlog.InvalidName):
            channel.group("g", deliveries_max=1, dead_letter="")

    def test_the_longest_name(self, disk):
        with disk.open() as log:
            log.channel("w").publish(1)
            get(log.channel("w").group("x" * 503)).ack()
        with disk.open() as log:
            assert list(log.channel("w").info().groups) == ["x" * 503]

    def test_a_lease_as_timedelta(self, timed, clock):
        channel = timed.channel("w")
        channel.publish(1)
        group = channel.group("g", lease=timedelta(minutes=1))
        get(group)
        clock.advance(59)
        assert group.get(timeout=0) is None
        clock.advance(1)
        assert get(group).deliveries == 2

    @pytest.mark.parametrize("delay", [-1, "1", None, False, float("nan")])
    def test_a_delay_that_is_none(self, ten, face, delay):
        delivery = get(ten.group("g"))
        with pytest.raises(chanlog.InvalidOption):
            face(delivery).nak(delay)
        delivery.ack()

    def test_capabilities(self, log):
        assert log.capabilities.groups and log.capabilities.group_order


class TestLeases:
    @pytest.fixture
    def group(self, timed):
        timed.channel("w").publish_many("abc")
        return timed.channel("w").group("g", lease=10)

    def test_what_is_over_is_delivered_again_first(self, group, clock):
        first = get(group)
        clock.advance(9)
        assert get(group).message.data == "b"
        clock.advance(1)
        again = get(group)
        assert (again.message.data, again.deliveries) == ("a", 2)
        for call in (first.ack, first.nak, first.extend):
            with pytest.raises(chanlog.LeaseLost) as caught:
                call()
        assert (caught.value.channel, caught.value.group, caught.value.offset) == ("w", "g", 0)
        again.ack()
        with pytest.raises(chanlog.LeaseLost):
            first.ack()

    def test_late_is_fine_while_nobody_else_wants_it(self, group, clock, face):
        first = get(group)
        clock.advance(100)
        assert numbers(group.info()) == (0, 0, 1, 2, 0)
        face(first).ack()
        assert get(group).message.data == "b"
        assert numbers(group.info()) == (1, 1, 0, 1, 0)

    def test_extended(self, group, clock, face):
        first = get(group)
        for _ in range(3):
            clock.advance(9)
            face(first).extend()
        assert [get(group).message.data for _ in "bc"] == ["b", "c"]
        assert group.get(timeout=0) is None
        assert numbers(group.info()) == (0, 3, 0, 0, 0)
        first.ack()

    def test_extended_after_it_ran_out(self, group, clock):
        first = get(group)
        clock.advance(11)
        first.extend()
        assert get(group).message.data == "b"

    def test_given_back(self, group, face):
        first, second = get(group), get(group)
        face(second).nak()
        face(first).nak()
        assert numbers(group.info()) == (0, 0, 2, 1, 0)
        found = [get(group) for _ in range(3)]
        assert [(d.message.data, d.deliveries) for d in found] == [("a", 2), ("b", 2), ("c", 1)]

    def test_given_back_with_a_delay(self, group, clock, face):
        face(get(group)).nak(timedelta(seconds=3))
        get(group).nak(2.0)
        assert get(group).message.data == "c"
        assert numbers(group.info()) == (0, 1, 2, 0, 0)
        clock.advance(2)
        assert get(group).message.data == "b"
        assert group.get(timeout=0) is None
        clock.advance(1)
        assert get(group).message.data == "a"

    def test_the_same_twice_is_fine(self, group, face):
        first = get(group)
        face(first).ack()
        face(first).ack()
        second = get(group)
        face(second).nak()
        face(second).nak(5)
        assert get(group).message.data == "b"

    def test_something_else_afterwards_is_not(self, group):
        first, second = get(group), get(group)
        first.ack()
        second.nak(60)
        for call in (first.nak, first.extend, second.ack, second.extend):
            with pytest.raises(chanlog.LeaseLost):
                call()
        assert numbers(group.info()) == (1, 0, 1, 1, 0)

    def test_a_block_that_ends(self, group, face):
        def handle(delivery):
            with delivery:
                pass

        async def ahandle(delivery):
            async with delivery:
                pass

        if face.kind == "thread":
            handle(get(group))
        else:
            run(ahandle(get(group)))
        assert group.info().position == 1

    def test_a_block_that_raises(self, group, face):
        def handle(delivery):
            with delivery:
                raise KeyError(1)

        async def ahandle(delivery):
            async with delivery:
                raise KeyError(1)

        with pytest.raises(KeyError):
            handle(get(group)) if face.kind == "thread" else run(ahandle(get(group)))
        assert get(group).deliveries == 2

    def test_a_block_that_has_decided_itself(self, group, face):
        def handle(delivery):
            with delivery:
                delivery.nak(60)

        async def ahandle(delivery):
            async with delivery:
                await delivery.anak(60)

        handle(get(group)) if face.kind == "thread" else run(ahandle(get(group)))
        assert numbers(group.info()) == (0, 0, 1, 2, 0)
        with pytest.raises(KeyError), get(group) as delivery:
            delivery.ack()
            raise KeyError(1)
        assert numbers(group.info()) == (0, 0, 1, 1, 0)

    def test_what_a_block_raises_is_not_hidden(self, group, clock, face):
        """Another consumer has the message when the block raises."""

        def handle(delivery):
            with delivery:
                clock.advance(11)
                get(group)
                raise KeyError(1)

        async def ahandle(delivery):
            async with delivery:
                clock.advance(11)
                get(group)
                raise KeyError(1)

        with pytest.raises(KeyError):
            handle(get(group)) if face.kind == "thread" else run(ahandle(get(group)))

    def test_terms_are_those_of_whoever_gives_them(self, group, timed, clock):
        short = timed.channel("w").group("g", lease=1)
        get(group)
        get(short)
        clock.advance(1)
        assert get(group).message.data == "b"

    def test_a_clock_that_goes_back(self, group, clock):
        """Time goes on from where it was, so a lease lasts as long as it should."""
        get(group)
        clock.advance(-3600)
        get(group)
        clock.advance(9)
        assert get(group).message.data == "c"
        clock.advance(1)
        assert [get(group).message.data for _ in "ab"] == ["a", "b"]

    def test_a_closed_handle_keeps_its_leases(self, group, timed, clock):
        delivery = get(group)
        group.close()
        again = timed.channel("w").group("g")
        assert get(again).message.data == "b"
        delivery.ack()
        assert again.info().position == 1

    def test_leases_outlive_every_handle(self, timed, clock):
        """Nobody holds a thing of the group any more, and the lease goes on."""
        timed.channel("w").publish("a")
        get(timed.channel("w").group("g", lease=10))
        gc.collect()
        group = timed.channel("w").group("g")
        assert group.get(timeout=0) is None
        clock.advance(10)
        assert get(group).deliveries == 2

    def test_of_many_kept_groups_the_deleted_ones_are_forgotten(self, log, monkeypatch):
        monkeypatch.setattr(leasing, "_SWEEP_MIN", 4)
        log._committer.lessors._sweep_at = 4
        for n in range(20):
            channel = log.channel(f"c{n}")
            channel.publish(1)
            get(channel.group("g"))
            if n % 4:
                channel.delete()
        assert len(log._committer.lessors._kept) < 12

    def test_many_short_leases_leave_nothing_behind(self, ten):
        group = ten.group("g", lease=3600)
        kept = get(group)
        for n in range(500):
            ten.publish(n)
            kept.extend()
            get(group).ack()
        assert len(group._shared()._group._due) < 200


class TestWaiting:
    def test_a_thread_waits_for_a_message(self, log, channel):
        group = channel.group("g")
        got = spawn(group.get, timeout=LIMIT)
        until_waiting(log)
        channel.publish("now")
        assert got.result(LIMIT).message.data == "now"
        until(lambda: log.statistics().waiters == 0)

    def test_a_task_waits_for_a_message(self, log, channel):
        async def main():
            async with channel.group("g") as group:
                got = asyncio.create_task(group.aget(timeout=LIMIT))
                await auntil_waiting(log)
                await channel.apublish("now")
                async with await got as delivery:
                    return delivery.message.data

        assert run(main()) == "now"

    def test_time_is_up(self, channel, face):
        assert face(channel.group("g")).get(timeout=0.001) is None

    def test_for_a_lease_that_runs_out(self, ten, face):
        group = ten.group("g", lease=0.01)
        for _ in range(10):
            ten.group("g", lease=3600).get(timeout=0)
        ten.publish("a")
        get(group)
        again = face(group).get(timeout=LIMIT)
        assert (again.message.data, again.deliveries) == ("a", 2)

    def test_for_a_delay(self, channel, face):
        channel.publish("a")
        group = channel.group("g")
        get(group).nak(0.01)
        assert face(group).get().deliveries == 2

    @pytest.mark.parametrize("delay", [0, 0.01])
    def test_what_is_given_back_wakes(self, log, channel, delay):
        channel.publish("a")
        group = channel.group("g")
        delivery = get(group)
        got = spawn(group.get, timeout=LIMIT)
        until_waiting(log)
        delivery.nak(delay)
        assert got.result(LIMIT).deliveries == 2

    def test_the_last_ack_wakes_for_the_end(self, log, channel):
        channel.publish("a")
        channel.end()
        group = channel.group("g")
        delivery = get(group)
        got = spawn(group.get, timeout=LIMIT)
        until_waiting(log)
        delivery.ack()
        with pytest.raises(chanlog.EndOfChannel):
            got.result(LIMIT)

    def test_the_end_of_a_channel_wakes(self, log, channel):
        group = channel.group("g")
        got = spawn(list, group)
        until_waiting(log)
        channel.end()
        assert got.result(LIMIT) == []

    def test_a_dead_letter_wakes_for_the_end(self, log, channel):
        channel.publish("a")
        channel.end()
        patient, strict = channel.group("g"), channel.group("g", deliveries_max=1)
        delivery = get(patient)
        got = spawn(patient.get, timeout=LIMIT)
        until_waiting(log)
        # It comes back by itself, to be given up by whoever has the patience of one delivery.
        with channel.group("g", lease=0.001) as short:
            delivery.extend()
            assert short.get(timeout=0) is None
        delivery.nak(3600)
        patient._shared()._group.entries[0].due_ns = 0
        patient._shared()._group._reschedule()
        with pytest.raises(chanlog.EndOfChannel):
            strict.get(timeout=0)
        with pytest.raises(chanlog.EndOfChannel):
            got.result(LIMIT)

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            (lambda log, channel, group: group.close(), chanlog.HandleClosed),
            (lambda log, channel, group: log.close(), chanlog.LogClosed),
            (lambda log, channel, group: channel.delete(), chanlog.ChannelDeleted),
        ],
        ids=["handle", "log", "channel"],
    )
    def test_what_ends_a_wait(self, log, channel, face, change, error):
        channel.publish("a")
        group = channel.group("g")
        get(group).ack()
        waits = [spawn(face(group).get, timeout=LIMIT), spawn(face(group).get, timeout=LIMIT)]
        until_waiting(log, 2)
        change(log, channel, group)
        for wait in waits:
            with pytest.raises(error):
                wait.result(LIMIT)
        with pytest.raises(error):
            group.get(timeout=0)

    def test_a_loop_ends_when_its_handle_is_closed(self, log, channel, face):
        group = channel.group("g")
        got = spawn(face.walk, group)
        until_waiting(log)
        group.close()
        assert got.result(LIMIT) == []

    def test_the_exiting_interpreter_is_not_kept(self, log, channel, face):
        log._store.exiting = True
        with pytest.raises(chanlog.LogClosed):
            face(channel.group("g")).get(timeout=LIMIT)

    def test_cancelling_loses_nothing(self, log, channel):
        async def main():
            group = channel.group("g")
            got = asyncio.create_task(group.aget())
            await auntil_waiting(log)
            channel.publish("a")
            got.cancel()
            with pytest.raises(asyncio.CancelledError):
                await got
            return await group.aget(timeout=0)

        delivery = run(main())
        assert delivery.deliveries == 1

    def test_cancelled_while_it_waits_for_the_disk(self, disk):
        """Under ``always`` a delivery is told once it is durable. Nobody is told of this one."""
        with disk.open(sync="always") as log:
            channel = log.channel("w")
            channel.publish("a")
            group = channel.group("g", lease=3600)
            settle = log._committer.asettle

            async def cancelled(ticket):
                await settle(ticket)
                raise asyncio.CancelledError

            async def main():
                log._committer.asettle = cancelled
                with pytest.raises(asyncio.CancelledError):
                    await group.aget(timeout=0)
                log._committer.asettle = settle
                second = await group.aget(timeout=0)
                # And where there was nothing.
                log._committer.asettle = cancelled
                with pytest.raises(asyncio.CancelledError):
                    await group.aget(timeout=0)
                log._committer.asettle = settle
                return second

            assert run(main()).deliveries == 2

    def test_an_abandoned_task_leaves_nothing(self, log, channel):
        group = channel.group("g")

        async def main():
            waiting = group.aget()
            waiting.send(None)
            waiting.close()

        run(main())
        assert log.statistics().waiters == 0

    def test_many_threads_handle_each_once(self, log, channel):
        handled = []
        handles = [channel.group("g") for _ in range(4)]

        def work(group):
            for delivery in group:
                with delivery:
                    handled.append(delivery.message.data)

        workers = [spawn(work, group) for group in handles for _ in range(2)]
        for n in range(1000):
            channel.publish(n)
        channel.end()
        gather(workers)
        assert sorted(handled) == list(range(1000))
        assert numbers(channel.info().groups["g"]) == (1000, 0, 0, 0, 0)

    def test_many_tasks_of_several_loops_handle_each_once(self, log, channel):
        handled = []

        async def work():
            async for delivery in channel.group("g"):
                async with delivery:
                    handled.append(delivery.message.data)
                    await asyncio.sleep(0)

        async def loop():
            await asyncio.gather(*(work() for _ in range(20)))

        loops = [spawn(run, loop()) for _ in range(3)]
        for n in range(500):
            channel.publish(n)
        channel.end()
        gather(loops)
        assert sorted(handled) == list(range(500))


class TestByKey:
    def publish(self, channel, keys):
        for n, key in enumerate(keys):
            channel.publish(n, key=None if key == "-" else key)

    def test_one_of_a_key_at_a_time(self, channel):
        self.publish(channel, "aabab")
        group = channel.group("g", by_key=True)
        first, second = get(group), get(group)
        assert datas([first.message, second.message]) == [0, 2]
        assert group.get(timeout=0) is None
        assert numbers(group.info()) == (0, 2, 0, 3, 0)
        first.ack()
        third = get(group)
        assert third.message.data == 1
        second.ack()
        assert get(group).message.data == 4
        third.ack()
        assert get(group).message.data == 3
        assert numbers(group.info()) == (3, 2, 0, 0, 0)

    def test_what_has_no_key_waits_for_none(self, channel):
        self.publish(channel, "--a-")
        group = channel.group("g", by_key=True)
        assert [get(group).message.data for _ in range(4)] == [0, 1, 2, 3]

    def test_what_was_given_back_goes_first(self, timed, clock):
        channel = timed.channel("w")
        self.publish(channel, "aab")
        group = channel.group("g", by_key=True, lease=10)
        get(group).nak(5)
        assert get(group).message.data == 2
        assert group.get(timeout=0) is None
        clock.advance(5)
        again = get(group)
        assert (again.message.data, again.deliveries) == (0, 2)
        clock.advance(10)
        assert get(group).deliveries == 3

    def test_a_release_wakes(self, log, channel):
        self.publish(channel, "aa")
        group = channel.group("g", by_key=True)
        delivery = get(group)
        got = spawn(group.get, timeout=LIMIT)
        until_waiting(log)
        delivery.ack()
        assert got.result(LIMIT).message.data == 1

    def test_a_dead_letter_releases(self, channel):
        self.publish(channel, "aa")
        group = channel.group("g", by_key=True, deliveries_max=1)
        get(group).nak()
        assert get(group).message.data == 1
        assert group.info().dead == 1

    def test_consumers_that_do_not_agree(self, timed, clock):
        """Whoever does not ask for the order gets what is left to get, and what was passed over
        stays in its line."""
        channel = timed.channel("w")
        self.publish(channel, "aab")
        loose, strict = channel.group("g", lease=10), channel.group("g", lease=10, by_key=True)
        first, second = get(loose), get(loose)
        assert get(strict).message.data == 2
        second.nak()
        assert strict.get(timeout=0) is None
        assert get(loose).message.data == 1
        first.ack()
        clock.advance(10)
        assert get(strict).message.data == 1
        self.publish(channel, "aa")
        assert strict.get(timeout=0).message.data == 2
        assert strict.get(timeout=0) is None
        assert loose.get(timeout=0) is None

    def test_many_consumers_keep_the_order(self, log, channel):
        keys = [f"k{n % 7}" for n in range(700)]
        for n, key in enumerate(keys):
            channel.publish(n, key=key)
        channel.end()
        handled = {key: [] for key in keys}
        busy = {key: threading.Lock() for key in keys}

        def work(group):
            for delivery in group:
                with delivery:
                    key = delivery.message.key
                    assert busy[key].acquire(blocking=False), "two of one key at a time"
                    handled[key].append(delivery.message.data)
                    busy[key].release()

        gather([spawn(work, channel.group("g", by_key=True)) for _ in range(8)])
        assert sorted(itertools.chain(*handled.values())) == list(range(700))
        assert all(found == sorted(found) for found in handled.values())

    def test_what_is_trimmed_releases(self, channel):
        self.publish(channel, "aaaab")
        group = channel.group("g", by_key=True)
        stale = get(group)
        assert get(group).message.data == 4
        channel.trim(before=2)
        assert numbers(group.info()) == (2, 1, 0, 2, 0)
        assert get(group).message.data == 2
        stale.ack()
        channel.trim(before=4)
        assert group.get(timeout=0) is None
        assert numbers(group.info()) == (4, 1, 0, 0, 0)


class TestDeadLetters:
    def test_after_so_many_deliveries(self, log, channel, face):
        log.channel(channel.name, sender="me").publish(
            {"n": 1}, type="job", key="k", headers={"h": 1}
        )
        channel.publish("next")
        group = channel.group("g", deliveries_max=2, dead_letter="dead")
        get(group).nak()
        get(group).nak()
        assert numbers(group.info()) == (0, 0, 1, 1, 0)
        assert face(group).get(timeout=0).message.data == "next"
        assert numbers(group.info()) == (1, 1, 0, 0, 1)
        (letter,) = log.channel("dead").replay()
        assert letter[2:] == (
            {"n": 1},
            "job",
            "k",
            {
                "h": 1,
                "dead-letter-channel": "workflow-42",
                "dead-letter-group": "g",
                "dead-letter-offset": 0,
                "dead-letter-deliveries": 2,
            },
            "me",
        )

    def test_when_the_last_lease_runs_out(self, timed, clock):
        channel = timed.channel("w")
        channel.publish("a")
        group = channel.group("g", lease=5, deliveries_max=1, dead_letter="dead")
        late = get(group)
        clock.advance(5)
        assert replayed(timed.channel("dead")) == []
        assert group.get(timeout=0) is None
        assert replayed(timed.channel("dead")) == ["a"]
        with pytest.raises(chanlog.LeaseLost):
            late.ack()

    def test_in_time_is_not_dead(self, timed, clock):
        channel = timed.channel("w")
        channel.publish("a")
        group = channel.group("g", lease=5, deliveries_max=1, dead_letter="dead")
        late = get(group)
        clock.advance(5)
        late.ack()
        assert group.get(timeout=0) is None
        assert numbers(group.info()) == (1, 0, 0, 0, 0)

    def test_without_a_channel_it_is_dropped_and_counted(self, log, ten):
        group = ten.group("g", deliveries_max=1)
        for _ in range(10):
            get(group).nak(0)
            assert group.info().dead <= 10
        assert group.get(timeout=0) is None
        assert numbers(group.info()) == (10, 0, 0, 0, 10)
        assert list(log.channels()) == ["workflow-42"]

    def test_a_dead_letter_channel_that_has_ended(self, log, channel):
        """Nothing is lost: whoever gets is told, and the message stays."""
        channel.publish("a")
        log.channel("dead").end()
        group = channel.group("g", deliveries_max=1, dead_letter="dead")
        get(group).nak()
        for _ in range(2):
            with pytest.raises(chanlog.ChannelEnded):
                group.get(timeout=0)
        assert numbers(group.info()) == (0, 0, 1, 0, 0)
        log.channel("dead").delete()
        assert group.get(timeout=0) is None
        assert replayed(log.channel("dead")) == ["a"]

    def test_a_dead_letter_channel_that_is_deleted_just_now(self, log, channel, monkeypatch):
        channel.publish("a")
        log.channel("dead").publish("other")
        group = channel.group("g", deliveries_max=1, dead_letter="dead")
        get(group).nak()
        append = journal.Journal.append

        def deleted(kept, *arguments):
            log.channel("dead").delete()
            return append(kept, *arguments)

        with monkeypatch.context() as patched:
            patched.setattr(journal.Journal, "append", deleted)
            with pytest.raises(chanlog.ChannelDeleted) as caught:
                group.get(timeout=0)
            assert caught.value.channel == "dead"
        assert group.get(timeout=0) is None
        assert replayed(log.channel("dead")) == ["a"]

    def test_a_message_of_the_largest_size(self, store):
        log = store.open(message_bytes_max=100)
        log.channel("w").publish(b"x" * 90)
        group = log.channel("w").group("g", deliveries_max=1, dead_letter="dead")
        get(group).nak()
        assert group.get(timeout=0) is None
        assert replayed(log.channel("dead")) == [b"x" * 90]

    def test_a_subscriber_is_woken(self, log, channel):
        channel.publish("a")
        with log.channel("dead").subscribe() as reader:
            got = spawn(reader.get, timeout=LIMIT)
            until_waiting(log)
            group = channel.group("g", deliveries_max=1, dead_letter="dead")
            get(group).nak()
            assert group.get(timeout=0) is None
            assert got.result(LIMIT).data == "a"


class TestTrimmed:
    def test_is_skipped(self, ten):
        group = ten.group("g")
        get(group).ack()
        held = get(group)
        ten.trim(before=5)
        assert numbers(group.info()) == (5, 0, 0, 5, 0)
        held.ack()
        assert get(group).message.data == 5

    @pytest.mark.parametrize("work", ["ack", "nak", "extend"])
    def test_while_somebody_is_at_it(self, ten, work):
        """Nobody else can have it, so nothing was lost, and nothing is left to say."""
        group = ten.group("g")
        delivery = get(group)
        ten.trim(before=5)
        group.info()
        getattr(delivery, work)()
        assert numbers(group.info()) == (5, 0, 0, 5, 0)

    def test_in_what_waits(self, ten):
        group = ten.group("g")
        for delivery in [get(group) for _ in range(3)]:
            delivery.nak()
        ten.trim(before=2)
        assert [(get(group).message.data) for _ in range(2)] == [2, 3]

    def test_just_when_it_is_read(self, ten, monkeypatch):
        group = ten.group("g")
        get(group).nak()
        read = leasing.Lessor._read

        def trimmed(lessor, offset):
            ten.trim(before=3)
            return read(lessor, offset)

        monkeypatch.setattr(leasing.Lessor, "_read", trimmed)
        assert get(group).message.data == 3

    def test_while_its_key_is_asked_for(self, channel, monkeypatch):
        for n in range(4):
            channel.publish(n, key="a")
        loose, strict = channel.group("g"), channel.group("g", by_key=True)
        get(loose)
        get(loose)
        loose._shared()._whole = False
        read = leasing.Reader.run

        def trimmed(reader, offset, stop):
            channel.trim(before=1)
            return read(reader, offset, stop)

        monkeypatch.setattr(leasing.Reader, "run", trimmed)
        assert strict.get(timeout=0) is None
        assert numbers(strict.info()) == (1, 1, 0, 2, 0)


class TestNames:
    def test_companions_do_not_show(self, log, ten):
        get(ten.group("g"))
        assert list(log.channels()) == ["workflow-42"]
        assert list(log.channels(prefix="\0")) == []
        assert list(log.channels(pattern="*")) == ["workflow-42"]
        assert log.statistics().channels == 1
        log.channel("b").publish(1)
        get(log.channel("b").group("g"))
        assert log.statistics().channels == 2
        log.channel("b").delete()
        assert log.statistics().channels == 1
        with pytest.raises(chanlog.InvalidName):
            log.channel("\0" + "0" * 8 + "g")

    def test_deleted_with_its_channel(self, log, ten):
        delivery = get(ten.group("g"))
        assert len(log._store.table.live) == 2
        ten.delete()
        assert len(log._store.table.live) == 0
        for call in (delivery.ack, delivery.nak, delivery.extend, ten.group("g").info):
            with pytest.raises(chanlog.ChannelDeleted):
                call()
        channel = log.channel(ten.name)
        channel.publish("new")
        assert channel.info().groups == {}
        assert get(channel.group("g")).message.data == "new"

    def test_deleted_while_a_group_comes_into_being(self, log, ten, face, monkeypatch):
        """A group that begins between the look and the delete is deleted too."""
        look = log._store.table.names
        first = [True]

        def joined(prefix, after, count):
            found = look(prefix, after, count)
            if first and prefix.startswith("\0"):
                first.clear()
                log._store.lock.release()
                get(ten.group("g"))
                log._store.lock.acquire()
            return found

        monkeypatch.setattr(type(log._store.table), "names", lambda _, *rest: joined(*rest))
        face(ten).delete()
        assert len(log._store.table.live) == 0

    def test_a_group_of_a_channel_that_is_deleted_just_now(self, log, ten, monkeypatch):
        group = ten.group("g")
        lend = leasing.Lessor._lend

        def deleted(*arguments):
            ten.delete()
            return lend(*arguments)

        monkeypatch.setattr(leasing.Lessor, "_lend", deleted)
        with pytest.raises(chanlog.ChannelDeleted) as caught:
            group.get(timeout=0)
        assert caught.value.channel == ten.name

    def test_info_of_a_channel_that_is_deleted_just_now(self, ten, face, monkeypatch):
        get(ten.group("g"))
        info = leasing.Lessor.info

        def deleted(lessor):
            ten.delete()
            return info(lessor)

        monkeypatch.setattr(leasing.Lessor, "info", deleted)
        with pytest.raises(chanlog.ChannelDeleted):
            face(ten).info()

    @pytest.mark.parametrize("sync", ["always", "os"])
    def test_an_ack_in_a_channel_that_is_deleted_just_now(self, disk, sync, monkeypatch):
        with disk.open(sync=sync) as log:
            channel = log.channel("w")
            channel.publish(1)
            group = channel.group("g")
            delivery = get(group)
            claim = leasing.Lessor._claim

            def deleted(lessor, lease):
                found = claim(lessor, lease)
                channel.delete()
                return found

            monkeypatch.setattr(leasing.Lessor, "_claim", deleted)
            with pytest.raises(chanlog.ChannelDeleted) as caught:
                delivery.ack()
            assert caught.value.channel == "w"

    def test_a_fork_has_none(self, ten):
        get(ten.group("g")).ack()
        fork = ten.fork("fork")
        assert fork.info().groups == {}
        assert get(fork.group("g")).message.offset == 0

    def test_delete_begins_anew(self, log, ten, face):
        group = ten.group("g")
        old = get(group)
        get(group).ack()
        face(group).delete()
        assert ten.info().groups == {}
        again = get(group)
        assert (again.message.offset, again.deliveries) == (0, 1)
        with pytest.raises(chanlog.LeaseLost):
            old.ack()
        face(group).delete()
        with pytest.raises(chanlog.LeaseLost):
            again.ack()

    def test_info_shows_them(self, ten, face):
        group = ten.group("g")
        get(group).ack()
        get(group)
        get(group).nak()
        expected = face(group).info()
        assert numbers(expected) == (1, 1, 1, 7, 0)
        assert face(ten).info().groups == {"g": expected}


class TestRetention:
    def test_what_a_group_is_at_is_not_for_retention(self, store, clock):
        log = store.open(host=host_with(clock), retention=chanlog.Retention(count=1, age=60))
        channel = log.channel("w")
        channel.publish_many(range(5))
        group = channel.group("g")
        for _ in range(5):
            get(group).ack()
        clock.advance(3600)
        log.compact()
        channel.publish("next")
        assert get(group).message.data == "next"
        assert numbers(group.info()) == (5, 1, 0, 0, 0)

    def test_nor_for_the_size_of_the_log(self, disk):
        log = disk.open(segment_bytes=64 * 1024, log_bytes_max=64 * 1024)
        channel = log.channel("w")
        channel.publish("a")
        group = channel.group("g")
        get(group).nak(3600)
        for _ in range(200):
            log.channel("noise").publish(b"x" * 2000)
        log.compact()
        log.close()
        with disk.open() as log:
            assert log.channel("w").info().groups["g"].position >= 1

    def test_a_group_at_work_keeps_a_channel_alive(self, store, clock):
        log = store.open(host=host_with(clock), retention=chanlog.Retention(ttl=60))
        channel = log.channel("w")
        channel.publish_many(range(5))
        group = channel.group("g")
        clock.advance(50)
        get(group).ack()
        clock.advance(50)
        log.compact()
        assert channel.info().exists
        clock.advance(60)
        log.compact()
        assert list(log.channels()) == []
        assert len(log._store.table.live) == 0


class TestAlways:
    def test_everything_waits_for_the_disk(self, disk, face):
        with disk.open(sync="always") as log:
            channel = log.channel("w")
            channel.publish_many("abc")
            group = channel.group("g", deliveries_max=1, dead_letter="dead")
            for work in ("ack", "nak", "extend"):
                delivery = face(group).get(timeout=0)
                before = log.statistics().syncs
                getattr(face(delivery), work)()
                assert log.statistics().syncs > before
            assert face(group).get(timeout=0) is None
            assert replayed(log.channel("dead")) == ["b"]
            assert numbers(face(group).info()) == (2, 1, 0, 0, 1)
            face(group).delete()
            assert channel.info().groups == {}

    def test_what_others_have_done_is_durable_before_it_is_told(self, disk, face, monkeypatch):
        """Another consumer has done it, and has not come to wait for the disk yet."""
        with disk.open(sync="always") as log:
            channel = log.channel("w")
            channel.publish_many("ab")
            channel.end()
            group = channel.group("g")
            first, second = get(group), get(group)
            shared = group._shared()
            questions = [
                (lambda: shared.ack(first._lease), face(first).nak, chanlog.LeaseLost),
                (lambda: shared.ack(second._lease), face(group).get, chanlog.EndOfChannel),
                (shared.delete, face(channel).info, None),
            ]
            for change, question, error in questions:
                change()
                before = log.statistics().syncs
                if error is None:
                    question()
                else:
                    with pytest.raises(error):
                        question()
                assert log.statistics().syncs == before + 1


class TestStates:
    def test_read_only_shows_and_does_not_get(self, disk, clock):
        with disk.open(host=host_with(clock)) as log:
            channel = log.channel("w")
            channel.publish_many("abcd")
            group = channel.group("g", lease=10)
            get(group).ack()
            get(group)
            get(group).nak(3600)
            with chanlog.open(disk.path, read_only=True, host=host_with(clock)) as reader:
                seen = reader.channel("w").group("g")
                assert numbers(seen.info()) == (1, 1, 1, 1, 0)
                assert reader.channel("w").info().groups == {"g": seen.info()}
                for call in (seen.get, seen.delete):
                    with pytest.raises(chanlog.ReadOnly):
                        call()
                get(group).ack()
                assert numbers(seen.info()) == (1, 1, 1, 0, 0)
                clock.advance(10)
                assert numbers(seen.info()) == (1, 0, 2, 0, 0)
                group.delete()
                assert reader.channel("w").info().groups == {}

    def test_read_only_while_the_owner_tidies_up(self, disk, monkeypatch):
        with disk.open() as log:
            log.channel("w").publish_many("abc")
            get(log.channel("w").group("g")).ack()
            with chanlog.open(disk.path, read_only=True) as reader:
                run, times = journal.Reader.run, [True]

                def trimmed(*arguments):
                    if times.pop():
                        times.append(False)
                        raise chanlog.OffsetTrimmed("just now")
                    times.append(False)
                    return run(*arguments)

                monkeypatch.setattr(journal.Reader, "run", trimmed)
                assert numbers(reader.channel("w").group("g").info()) == (1, 0, 0, 2, 0)

    def test_after_close(self, log, ten, face):
        group = ten.group("g")
        delivery = get(group)
        log.close()
        for call in (
            face(group).get,
            face(group).info,
            face(group).delete,
            face(delivery).ack,
            face(delivery).nak,
            face(delivery).extend,
        ):
            with pytest.raises(chanlog.LogClosed):
                call()

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_in_a_forked_child(self, disk):
        with disk.open(sync="os") as log:
            log.channel("w").publish(1)
            group = log.channel("w").group("g")
            delivery = get(group)
            # As if another thread were in the middle of something.
            group._shared()._lock.acquire()
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    for call in (group.get, group.info, delivery.ack, group.delete):
                        try:
                            call()
                        except chanlog.ForkedProcess:
                            continue
                        os._exit(2)
                    status = 0
                finally:
                    os._exit(status)
            group._shared()._lock.release()
            _, status = os.waitpid(child, 0)
            assert status == 0
            delivery.ack()

    def test_a_failed_log(self, ten):
        group = ten.group("g")
        delivery = get(group)
        ten._store.fail(OSError("broken"))
        for call in (group.get, delivery.ack, delivery.nak, delivery.extend):
            with pytest.raises(chanlog.LogFailed):
                call()
        assert group.info().name == "g"

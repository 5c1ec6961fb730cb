"""Groups: leases that end when told to, and faults between delivery and acknowledgement."""

from __future__ import annotations

import asyncio

import pytest

import chanlog

from ..support import LIMIT, run, spawn


def test_a_lease_ends_when_told_to(make, face, clock):
    channel = make().log.channel("a")
    channel.publish("x")
    group = channel.group("g", lease=30)
    first = face(group).get(timeout=0)
    assert face(channel.group("g", lease=30)).get(timeout=0) is None
    clock.advance(29)
    assert face(group).get(timeout=0) is None
    clock.advance(1)
    second = face(group).get(timeout=0)
    assert (first.deliveries, second.deliveries) == (1, 2)
    with pytest.raises(chanlog.LeaseLost):
        face(first).ack()
    face(second).ack()


def test_waiting_for_the_end_of_a_lease(make, clock):
    channel = make().log.channel("a")
    channel.publish("x")
    one, two = channel.group("g", lease=30), channel.group("g", lease=30)
    one.get()
    got = spawn(two.get)
    clock.settle()
    clock.advance(29)
    clock.settle()
    assert not got.done()
    clock.advance(1)
    assert got.result(LIMIT).deliveries == 2


def test_a_task_that_waits_for_the_end_of_a_lease(make, clock):
    channel = make().log.channel("a")
    channel.publish("x")

    async def body():
        await channel.group("g", lease=30).aget()
        task = asyncio.create_task(channel.group("g", lease=30).aget(timeout=40))
        late = asyncio.create_task(channel.group("g", lease=30).aget(timeout=20))
        await clock.asettle()
        clock.advance(20)
        await clock.asettle()
        assert late.done() and not task.done()
        clock.advance(10)
        await clock.asettle()
        assert task.result().deliveries == 2
        assert late.result() is None

    run(body())


def test_a_nak_with_a_delay(make, face, clock):
    channel = make().log.channel("a")
    channel.publish("x")
    group = channel.group("g")
    face(face(group).get()).nak(5)
    got = spawn(group.get)
    clock.settle()
    clock.advance(4)
    clock.settle()
    assert not got.done()
    clock.advance(1)
    assert got.result(LIMIT).deliveries == 2


def test_a_lease_that_ends_in_the_hands_of_its_holder(make, face):
    faults = make()
    faults.on("get", nth=1).expire_lease()
    channel = faults.log.channel("a")
    channel.publish("x")
    one, two = channel.group("g"), channel.group("g")
    first = face(one).get(timeout=0)
    second = face(two).get(timeout=0)
    assert first.message == second.message
    for work in (face(first).ack, face(first).extend, face(first).nak):
        with pytest.raises(chanlog.LeaseLost):
            work()
    face(second).ack()


@pytest.mark.parametrize("operation", ["ack", "extend", "nak"])
def test_a_lease_that_ends_just_before(make, face, operation):
    faults = make("kafka")
    faults.on(operation, nth=1).expire_lease()
    channel = faults.log.channel("a")
    channel.publish("x")
    group = channel.group("g")
    delivery = face(group).get(timeout=0)
    with pytest.raises(chanlog.LeaseLost) as caught:
        getattr(face(delivery), operation)()
    assert (caught.value.group, caught.value.offset) == ("g", 0)
    assert face(group).get(timeout=0).deliveries == 2


def test_a_redelivery(make, face):
    faults = make()
    faults.on("get", nth=3).redeliver()
    channel = faults.log.channel("a")
    channel.publish_many("xyz")
    group = channel.group("g")
    first, second = face(group).get(), face(group).get()
    again = face(group).get()
    assert (again.message, again.deliveries) == (first.message, 2)
    face(second).ack()
    face(again).ack()
    assert face(group).get().message.data == "z"


def test_an_ack_that_is_forgotten(make, face, clock):
    faults = make("nats")
    faults.on("ack", nth=1).lose_commit()
    channel = faults.log.channel("a")
    channel.publish("x")
    group = channel.group("g", lease=10)
    face(face(group).get()).ack()
    assert face(group).get(timeout=0) is None
    clock.advance(10)
    again = face(group).get(timeout=0)
    assert again.deliveries == 2
    face(again).ack()
    assert face(group).info().lag == 0


def test_an_ack_whose_answer_is_lost(make, face, clock):
    faults = make()
    faults.on("ack", nth=1).lose_ack()
    channel = faults.log.channel("a")
    channel.publish("x")
    group = channel.group("g", lease=10)
    delivery = face(group).get()
    with pytest.raises(chanlog.Disconnected):
        face(delivery).ack()
    clock.advance(10)
    assert face(group).get(timeout=0) is None
    # Doing the same thing twice is fine.
    face(delivery).ack()


def test_a_crash_between_delivery_and_ack(make, face, clock):
    faults = make()
    channel = faults.log.channel("a")
    channel.publish_many("xy")
    group = channel.group("g", lease=10)
    face(face(group).get()).ack()
    delivery = face(group).get()
    face(faults).crash()
    clock.advance(10)
    again = face(group).get(timeout=0)
    assert again.message == delivery.message
    with pytest.raises(chanlog.LeaseLost):
        face(delivery).ack()
    face(again).ack()


def test_a_loop_acks_by_itself(make):
    faults = make()
    faults.on("ack", nth=2).lose_ack()
    channel = faults.log.channel("a")
    channel.publish_many("xyz")
    channel.end()
    group, got = channel.group("g"), []
    for _ in range(3):
        try:
            for delivery in group:
                with delivery:
                    got.append(delivery.message.data)
        except chanlog.Disconnected:
            continue
    assert got == ["x", "y", "z"]

    async def body():
        found = []
        async for delivery in channel.group("h"):
            async with delivery:
                found.append(delivery.message.data)
        return found

    assert run(body()) == ["x", "y", "z"]

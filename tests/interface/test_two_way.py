"""Two ways in one channel: an agent and its clients on one name, and the person who interrupts."""

from __future__ import annotations

import asyncio
import sys

import pytest

import chanlog

from ..support import LIMIT, auntil_waiting, datas, drain, run, spawn, take, until_waiting

STEERING = {"interrupt", "steer"}


def test_each_sees_only_the_others_side(log, face):
    agent, client = log.channel("w", sender="agent"), log.channel("w", sender="client")
    with agent.subscribe(echo=False) as inbox, client.subscribe(echo=False) as outbox:
        for n in range(10):
            face(agent).publish(n, type="token")
            if n % 4 == 0:
                face(client).publish(-n, type="steer")
        assert datas(drain(inbox)) == [0, -4, -8]
        assert datas(drain(outbox)) == list(range(10))


def test_several_clients_see_each_other_and_the_agent(log):
    agent, one, two = (log.channel("w", sender=name) for name in ("agent", "one", "two"))
    one.publish("from one")
    two.publish("from two")
    agent.publish("from the agent")
    assert datas(drain(one.subscribe(echo=False))) == ["from two", "from the agent"]
    assert datas(drain(agent.subscribe(echo=False))) == ["from one", "from two"]


def test_an_interrupt_before_the_agent_attached_is_waiting(log, face):
    log.channel("w", sender="person").publish("stop", type="interrupt")
    agent = log.channel("w", sender="agent")
    with agent.subscribe(types=STEERING, echo=False) as inbox:
        assert inbox.ready
        assert face(inbox).get(timeout=0).data == "stop"


def test_an_interrupt_while_the_agent_restarts_is_waiting(disk):
    """The agent dies, the person interrupts, the agent comes back at the offset it knows."""
    with disk.open() as log:
        agent = log.channel("w", sender="agent")
        person = log.channel("w", sender="person")
        person.publish("begin", type="steer")
        with agent.subscribe(types=STEERING, echo=False) as inbox:
            handled = inbox.get(timeout=0)
        agent.publish_many(range(100), type="token")
        person.publish("stop", type="interrupt")
    with disk.open() as log:
        agent = log.channel("w", sender="agent")
        with agent.subscribe(after=handled.offset, types=STEERING, echo=False) as inbox:
            assert inbox.ready
            assert datas(drain(inbox)) == ["stop"]


def test_an_interrupt_is_not_lost_to_an_agent_with_a_cursor(disk):
    with disk.open() as log:
        person, agent = log.channel("w", sender="person"), log.channel("w", sender="agent")
        person.publish("first", type="steer")
        with agent.cursor("inbox") as cursor:
            cursor.commit(cursor.get(timeout=0))
        person.publish("stop", type="interrupt")
    with disk.open() as log, log.channel("w", sender="agent").cursor("inbox") as cursor:
        assert cursor.ready
        assert cursor.get(timeout=0).data == "stop"


def test_the_inbox_is_asked_between_tokens(log):
    """A whole turn: the person interrupts mid-answer and the agent stops right there."""
    agent, person = log.channel("w", sender="agent"), log.channel("w", sender="person")
    with agent.subscribe(types=STEERING, echo=False) as inbox:
        for n in range(1000):
            if inbox.ready:
                break
            agent.publish(n, type="token")
            if n == 57:
                person.publish("enough", type="interrupt")
        assert inbox.get(timeout=0).data == "enough"
        assert log.channel("w").info().end_offset == 59
        assert not inbox.ready


def test_an_interrupt_wakes_an_agent_that_waits_amid_tokens(log):
    agent, person = log.channel("w", sender="agent"), log.channel("w", sender="person")
    with agent.subscribe(types=STEERING, echo=False) as inbox:
        got = spawn(inbox.get, timeout=LIMIT)
        until_waiting(log)
        agent.publish_many(range(100), type="token")
        agent.publish("my own steer", type="steer")
        person.publish("a word", type="chat")
        assert not got.done()
        person.publish("stop", type="interrupt")
        assert got.result(LIMIT).data == "stop"


def test_agent_and_client_in_one_loop(log):
    async def serve(agent):
        async with agent.subscribe(types={"question"}) as inbox:
            async for question in inbox:
                for word in question.data.split():
                    await agent.apublish(word.upper(), type="token", key=question.key)
                await agent.apublish(None, type="done", key=question.key)

    async def ask(client, key, question):
        async with client.subscribe(live=True, echo=False) as answers:
            await client.apublish(question, type="question", key=key)
            words = []
            async for message in answers:
                if message.key == key and message.type == "done":
                    return words
                if message.key == key and message.type == "token":
                    words.append(message.data)
        return None

    async def main():
        agent = log.channel("w", sender="agent")
        serving = asyncio.create_task(serve(agent))
        await auntil_waiting(log)
        answers = await asyncio.gather(
            *(ask(log.channel("w", sender=f"client-{n}"), str(n), f"what is {n}") for n in range(5))
        )
        await agent.aend()
        await serving
        return answers

    assert run(main()) == [["WHAT", "IS", str(n)] for n in range(5)]


def test_a_client_that_drops_comes_back_without_loss_or_double(log):
    agent, client = log.channel("w", sender="agent"), log.channel("w", sender="client")
    seen: list[chanlog.Message] = []
    for round_ in range(10):
        agent.publish_many([f"{round_}-{n}" for n in range(7)], type="token")
        after = seen[-1].offset if seen else None
        with client.subscribe(after=after) as reader:
            seen += take(reader, 5)
    with client.subscribe(after=seen[-1].offset) as reader:
        seen += drain(reader)
    assert datas(seen) == [f"{round_}-{n}" for round_ in range(10) for n in range(7)]


def test_ready_knows_the_end_behind_my_own_words(log, face):
    """All that is left for a reader without echo is its own, and then the end: that is ready."""
    agent = log.channel("w", sender="agent")
    with agent.subscribe(echo=False) as inbox:
        agent.publish("mine", type="token")
        assert not inbox.ready
        agent.end()
        assert inbox.ready
        with pytest.raises(chanlog.EndOfChannel):
            face(inbox).get(timeout=0)


@pytest.mark.parametrize("filtered", [{"types": STEERING}, {"echo": False}], ids=["types", "echo"])
def test_ready_costs_the_same_whatever_else_was_published(log, filtered):
    """``inbox.ready`` between two tokens looks at nothing that is not for the inbox."""
    agent = log.channel("w", sender="agent")

    def calls():
        counted = 0

        def count(frame, event, argument):
            nonlocal counted
            counted += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            ready = inbox.ready
        finally:
            sys.setprofile(None)
        assert not ready
        return counted

    with agent.subscribe(**filtered) as inbox:
        agent.publish("token", type="token")
        inbox.ready  # noqa: B018 - whatever it looks at once
        agent.publish("token", type="token")
        one = calls()
        for n in range(1000):
            agent.publish(n, type="token")
        agent.publish_many(range(1000), type="token")
        assert calls() <= one <= 6


def test_echo_without_a_sender_is_refused(log):
    """There is nothing to leave out, and whoever asks expects that there is."""
    with pytest.raises(chanlog.InvalidOption, match="sender") as caught:
        log.channel("w").subscribe(echo=False)
    assert caught.value.option == "echo"


def test_types_that_are_none_are_refused(log):
    with pytest.raises(chanlog.InvalidOption) as caught:
        log.channel("w").subscribe(types=["steer", 7])
    assert caught.value.option == "types"

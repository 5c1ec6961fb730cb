"""What is lost on its way, comes late or comes twice is done once, and told as it is."""

from __future__ import annotations

from functools import partial

import pytest
import redis

import chanlog

from ..support import LIMIT, spawn
from .conftest import only

SECONDS = 0.5


def replayed(channel):
    return list(channel.replay().data())


def asked(harness):
    return redis.Redis(port=harness.server.port)


@only("redis")
def test_what_the_short_way_has_sent_may_have_happened(harness, monkeypatch):
    """Its answer was lost, then nobody could be reached: and that was called `nothing was done`."""
    with harness.connect(timeout=SECONDS) as log:
        channel = log.channel(harness.new_name())
        channel.publish("a")
        engine = log._engine
        publish = engine._publish_plain

        async def losing(*arguments):
            await publish(*arguments)
            cut.__enter__()
            raise redis.ConnectionError("the answer is lost")

        cut = harness.cut_network()
        monkeypatch.setattr(engine, "_publish_plain", losing)
        with pytest.raises(chanlog.Disconnected) as raised:
            channel.publish("b")
        monkeypatch.undo()
        cut.__exit__(None, None, None)
        assert raised.value.happened is None
        assert replayed(channel) == ["a", "b"]


@pytest.fixture
def sent(log, monkeypatch):
    """All scripts that were sent to Redis; each can be sent again."""
    sent = []
    evaluate = log._engine._evaluate

    async def noting(*call):
        sent.append(partial(evaluate, *call))
        return await evaluate(*call)

    monkeypatch.setattr(log._engine, "_evaluate", noting)
    return sent


def send_again(call):
    with pytest.raises(StopIteration):
        call().send(None)


@only("redis")
@pytest.mark.parametrize("way", ["short", "general"])
def test_a_copy_that_comes_late_does_nothing(log, harness, monkeypatch, sent, way):
    """By then its slot belonged to a later call, which was taken for another."""
    channel = log.channel(harness.new_name())
    channel.publish("a")
    if way == "general":
        monkeypatch.setattr("chanlog.engines.redis.engine._PLAIN_MAX", 0)
    assert channel.publish("b") == 1
    late = sent[-1]
    assert channel.publish("c") == 2
    send_again(late)
    assert replayed(channel) == ["a", "b", "c"]


@only("redis")
def test_a_copy_of_what_was_refused_is_not_done_either(log, harness, sent):
    channel = log.channel(harness.new_name())
    channel.publish("a")
    with pytest.raises(chanlog.UnexpectedOffset):
        channel.publish("b", expect=2)
    late = sent[-1]
    channel.publish("c")
    send_again(late)
    assert replayed(channel) == ["a", "c"]


@only("redis")
def test_a_full_server_is_told_at_once(harness):
    with harness.connect() as log, asked(harness) as client:
        channel = log.channel(harness.new_name())
        channel.publish("a")
        producer = channel.producer("p")
        client.config_set("maxmemory", 1)
        try:
            for publish in (channel.publish, producer.publish):
                with pytest.raises(chanlog.DiskFull):
                    publish("b")
        finally:
            client.config_set("maxmemory", 0)
        channel.publish("c")
        assert replayed(channel) == ["a", "c"]


@only("redis")
def test_a_server_that_leads_no_more_is_asked_again(harness):
    """As when another has taken over under the same address, and does not know it yet."""
    with harness.connect() as log, asked(harness) as client:
        channel = log.channel(harness.new_name())
        channel.publish("a")
        client.execute_command("REPLICAOF", "127.0.0.1", 1)
        waiting = spawn(channel.publish, "b")
        reader = spawn(channel.subscribe(after=0).get, LIMIT)
        assert not waiting.done()
        client.execute_command("REPLICAOF", "NO", "ONE")
        assert waiting.result(LIMIT) == 1
        assert reader.result(LIMIT).data == "b"


@only("nats")
def test_what_comes_behind_a_publish_does_not_undo_it(log, harness, monkeypatch):
    channel = log.channel(harness.new_name())
    channel.configure(chanlog.Retention(age=3600))
    channel.publish_many(range(63))

    async def gone(*_):
        raise chanlog.Disconnected("away", engine="nats", happened=False)

    monkeypatch.setattr(log._engine, "since", gone)
    assert channel.publish("b") == 63
    assert channel.publish("c") == 64


@only("nats")
def test_a_delete_leaves_the_next_life_alone(log, harness, monkeypatch):
    """It forgot all that it found under the name, also what was there since a moment."""
    name = harness.new_name()
    channel, engine = log.channel(name), log._engine
    channel.publish("a")
    channel.cursor("c").commit(0)
    forget = engine._forget

    async def late(*arguments):
        with harness.connect() as other:
            again = other.channel(name)
            again.publish("new")
            again.cursor("c").commit(0)
        await forget(*arguments)

    monkeypatch.setattr(engine, "_forget", late)
    channel.delete()
    again = log.channel(name)
    assert replayed(again) == ["new"]
    assert again.cursor("c").position() == 1


@only("nats")
def test_a_full_stream_is_told_at_once(log, harness):
    channel = log.channel(harness.new_name())
    channel.publish("a")
    engine = log._engine

    def limited(bytes_max):
        async def limit(session):
            found = await session.ask(f"STREAM.INFO.{engine.stream}")
            config = found["config"] | {"max_bytes": bytes_max, "discard": "new"}
            await session.ask(f"STREAM.UPDATE.{engine.stream}", **config)

        log._runner.run(limit)

    limited(4096)
    try:
        with pytest.raises(chanlog.DiskFull):
            channel.publish(b"x" * 8192)
    finally:
        limited(-1)
    channel.publish("c")
    assert replayed(channel) == ["a", "c"]


@pytest.mark.parametrize("who", ["the same log", "another log"])
def test_what_was_read_ahead_of_one_life_is_not_of_the_next(log, harness, who):
    """The rest of a large message that was read in parts was handed to a reader of the new one."""
    name = harness.new_name()
    channel = log.channel(name)
    channel.publish_many(["old"] * 100)
    assert channel.subscribe().get(timeout=LIMIT).data == "old"
    with harness.connect() as other:
        (log if who == "the same log" else other).channel(name).delete()
        other.channel(name).publish_many(["new"] * 60)
        again = log.channel(name)
        again.info()
        assert again.subscribe(after=31).get(timeout=LIMIT).data == "new"
        assert list(again.replay(32, 35).data()) == ["new"] * 3


def test_a_handle_keeps_its_log(harness):
    """The collector closed the log under whoever had a reader of it and nothing else."""
    reader = harness.connect().channel(harness.new_name()).subscribe()
    assert reader.get(timeout=0.01) is None
    reader._owner._log.close()


@only("nats")
def test_the_first_that_is_kept_is_of_the_next_life(harness, monkeypatch):
    """To forget what comes before the first of a stream was taken for all of it."""
    with harness.connect(prefix="first-kept") as log:
        name = harness.new_name()
        channel, engine = log.channel(name), log._engine
        channel.publish("a")
        forget = engine._forget

        async def late(*arguments):
            with harness.connect(prefix="first-kept") as other:
                other.channel(name).cursor("c").seek(0)
                other.channel(name).publish("new")
                other.channel(name).cursor("c").commit(0)
            await forget(*arguments)

        monkeypatch.setattr(engine, "_forget", late)
        channel.delete()
        assert log.channel(name).cursor("c").position() == 1


def test_who_leads_is_told_in_many_words():
    from chanlog.engines.redis.session import Unreached, _reply

    for error in (
        redis.exceptions.ReadOnlyError("You can't write against a read only replica."),
        redis.exceptions.MasterDownError("Link with MASTER is down"),
        redis.ResponseError("NOREPLICAS Not enough good replicas to write."),
        redis.ResponseError("UNBLOCKED force unblock from blocking operation"),
        redis.ResponseError("ERR Error running script (call to f_1): @user_script:3: -READONLY No"),
    ):
        with pytest.raises(Unreached):
            _reply(error)
    refused = redis.ResponseError("WRONGTYPE Operation against a key")
    assert _reply(refused) is refused

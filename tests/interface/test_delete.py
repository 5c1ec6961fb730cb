"""Deleting a channel, and the new one of the same name."""

from __future__ import annotations

import asyncio

import pytest

import chanlog

from ..support import LIMIT, auntil_waiting, datas, drain, replayed, run, spawn, take, until_waiting


def test_it_is_gone(log, channel, face):
    channel.publish_many(range(5))
    face(channel).delete()
    assert list(log.channels()) == []
    fresh = log.channel("workflow-42")
    assert fresh.info().exists is False
    assert replayed(fresh) == []


def test_who_holds_it_is_told(log, channel, face):
    channel.publish_many(range(5))
    reader = channel.subscribe()
    take(reader, 2)
    cursor = channel.cursor("c")
    cursor.commit(1)
    producer = channel.producer("p")
    channel.delete()
    for attempt in (
        lambda: face(channel).publish("x"),
        lambda: face(channel).publish_many(["x"]),
        lambda: face(channel).end(),
        lambda: face(channel).trim(before=0),
        lambda: face(channel).fork("other"),
        lambda: face(reader).get(timeout=0),
        lambda: face(cursor).commit(2),
        lambda: face(producer).publish("x"),
    ):
        with pytest.raises(chanlog.ChannelDeleted) as caught:
            attempt()
        assert caught.value.channel == "workflow-42"
    assert list(log.channels()) == []
    reader.close()
    cursor.close()


def test_a_waiting_thread_is_told(log, channel):
    channel.publish("a")
    with channel.subscribe(live=True) as reader:
        got = spawn(reader.get, timeout=LIMIT)
        until_waiting(log)
        channel.delete()
        with pytest.raises(chanlog.ChannelDeleted):
            got.result(LIMIT)


def test_a_waiting_task_is_told(log, channel):
    async def main():
        await channel.apublish("a")
        async with channel.subscribe(live=True) as reader:
            got = asyncio.create_task(reader.aget(timeout=LIMIT))
            await auntil_waiting(log)
            await channel.adelete()
            with pytest.raises(chanlog.ChannelDeleted):
                await got

    run(main())


def test_a_loop_is_told(log, channel):
    channel.publish("a")
    seen = spawn(lambda: datas(channel.subscribe()))
    until_waiting(log)
    channel.delete()
    with pytest.raises(chanlog.ChannelDeleted):
        seen.result(LIMIT)


def test_the_name_starts_anew(log, channel, face):
    channel.publish_many(range(5))
    channel.cursor("c").commit(3)
    channel.configure(chanlog.Retention(count=2))
    channel.end()
    face(channel).delete()
    fresh = log.channel("workflow-42")
    assert face(fresh).publish("new") == 0
    info = fresh.info()
    assert (info.ended, info.cursors, info.producers, info.retention) == (
        False,
        {},
        {},
        chanlog.Retention(),
    )
    assert replayed(fresh) == ["new"]
    with pytest.raises(chanlog.ChannelDeleted):
        channel.publish("x")
    assert datas(drain(fresh.subscribe())) == ["new"]


def test_an_old_reader_never_sees_the_new_channel(log, channel):
    channel.publish("old")
    with channel.subscribe() as reader:
        channel.delete()
        log.channel("workflow-42").publish_many(["new"] * 3)
        for _ in range(3):
            with pytest.raises(chanlog.ChannelDeleted):
                reader.get(timeout=0)


def test_many_lives_of_one_name(disk):
    options = {"segment_bytes": 64 * 1024}
    for life in range(5):
        with disk.open(**options) as log:
            channel = log.channel("w")
            if life:
                assert replayed(channel) == [[life - 1, n, "x" * 300] for n in range(150)]
                channel.delete()
                channel = log.channel("w")
            for n in range(150):
                channel.publish([life, n, "x" * 300])
                log.channel("keep").publish([life, n])
            if life % 2:
                log.compact()
    with disk.open(**options) as log:
        assert replayed(log.channel("w")) == [[4, n, "x" * 300] for n in range(150)]
        assert replayed(log.channel("keep")) == [[life, n] for life in range(5) for n in range(150)]


def test_it_survives_reopening_and_compaction(disk):
    with disk.open(segment_bytes=64 * 1024) as log:
        for n in range(200):
            log.channel("gone").publish("x" * 600)
            log.channel("stays").publish(n)
        log.channel("gone").delete()
    for _ in range(3):
        with disk.open(segment_bytes=64 * 1024) as log:
            assert list(log.channels()) == ["stays"]
            assert log.channel("gone").info().exists is False
            assert replayed(log.channel("stays")) == list(range(200))
            log.compact()


def test_space_is_given_back(disk):
    with disk.open(segment_bytes=64 * 1024) as log:
        for n in range(20):
            for _ in range(40):
                log.channel(f"w{n}").publish(b"x" * 2000)
        before = log.statistics().disk_bytes
        for n in range(20):
            log.channel(f"w{n}").delete()
        log.compact()
        assert log.statistics().disk_bytes < before / 4
        assert sum(f.stat().st_size for f in disk.path.rglob("*")) < before / 4


def test_space_is_given_back_between_what_stays(disk):
    """One channel in ten stays: its messages lie between those of the others."""
    with disk.open(segment_bytes=64 * 1024) as log:
        for m in range(100):
            for n in range(10):
                log.channel(f"w{n}").publish([m, "x" * 1000])
        before = log.statistics().disk_bytes
        for n in range(1, 10):
            log.channel(f"w{n}").delete()
        log.compact()
        assert log.statistics().disk_bytes < before / 2
        assert [data[0] for data in replayed(log.channel("w0"))] == list(range(100))


def test_a_second_delete_does_nothing(log, channel, face):
    channel.publish("a")
    face(channel).delete()
    face(channel).delete()
    log.channel("workflow-42").publish("another of that name")
    face(channel).delete()
    assert replayed(log.channel("workflow-42")) == ["another of that name"]


def test_deleting_what_is_not_there_does_nothing(log, channel, face):
    face(channel).delete()
    assert list(log.channels()) == []
    assert channel.publish("first") == 0

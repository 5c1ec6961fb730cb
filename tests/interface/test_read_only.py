"""Looking at a log from outside, while somebody writes it and when nobody does."""

from __future__ import annotations

import asyncio
import os

import pytest

import chanlog

from ..support import LIMIT, datas, drain, finish, python, replayed, run, stop, take, tree

WRITER = """
import sys, chanlog
with chanlog.open(sys.argv[1], segment_bytes=64 * 1024, background=False) as log:
    channel = log.channel("w", sender="writer")
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "publish":
            for n in range(int(rest[0]), int(rest[1])):
                channel.publish([n, "x" * 200], type="even" if n % 2 == 0 else "odd")
        elif command == "many":
            channel.publish_many([[n, "x" * 200] for n in range(int(rest[0]), int(rest[1]))])
        elif command == "new":
            log.channel(rest[0]).publish("new")
        elif command == "commit":
            channel.cursor("c").commit(int(rest[0]))
        elif command == "trim":
            channel.trim(before=int(rest[0]))
        elif command == "delete":
            log.channel(rest[0]).delete()
        elif command == "compact":
            log.compact()
        elif command == "end":
            channel.end()
        print("done", line.strip())
"""


class Writer:
    """Another process that owns the log and does what it is told."""

    def __init__(self, path):
        self.process = python(WRITER, path)

    def __call__(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer == f"done {line}\n", self.process.communicate()[1]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def writer(path):
    writer = Writer(path)
    yield writer
    stop(writer.process)


def numbers(messages):
    return [message.data[0] for message in messages]


def test_a_live_log_has_what_was_written(path, writer):
    writer("publish 0 10")
    with chanlog.open(path, read_only=True) as log:
        channel = log.channel("w")
        assert list(log.channels()) == ["w"]
        assert numbers(channel.replay()) == list(range(10))
        assert channel.info().end_offset == 10
        assert {message.sender for message in channel.replay()} == {"writer"}


def test_it_follows_what_comes_later(path, writer):
    writer("publish 0 10")
    with chanlog.open(path, read_only=True) as log:
        channel = log.channel("w")
        with channel.subscribe(after=4) as reader, channel.subscribe(types={"odd"}) as odd:
            assert numbers(take(reader, 5)) == [5, 6, 7, 8, 9]
            for n in range(10, 2000, 199):
                writer(f"publish {n} {n + 199}")
                assert numbers(take(reader, 199)) == list(range(n, n + 199))
            assert numbers(take(odd, 900)) == list(range(1, 1800, 2))


def test_it_follows_from_a_loop(path, writer):
    writer("publish 0 3")

    async def main():
        async with await chanlog.aopen(path, read_only=True) as log:
            async with log.channel("w").subscribe() as reader:
                got = asyncio.create_task(anext_of(reader, 10))
                await asyncio.to_thread(writer, "publish 3 10")
                return await got

    async def anext_of(reader, count):
        return [(await reader.aget(timeout=LIMIT)).data[0] for _ in range(count)]

    assert run(main()) == list(range(10))


def test_a_loop_ends_with_the_channel(path, writer):
    writer("publish 0 5")
    with chanlog.open(path, read_only=True) as log:
        reader = log.channel("w").subscribe()
        assert numbers(take(reader, 5)) == [0, 1, 2, 3, 4]
        writer("many 5 8")
        writer("end")
        assert numbers(reader) == [5, 6, 7]


def test_it_sees_channels_cursors_and_deletes_come(path, writer):
    writer("publish 0 10")
    with chanlog.open(path, read_only=True) as log:
        assert list(log.channels()) == ["w"]
        writer("new other")
        writer("commit 3")
        writer("trim 2")
        assert caught_up(lambda: list(log.channels()) == ["other", "w"])
        assert caught_up(lambda: dict(log.channel("w").info().cursors) == {"c": 4})
        assert caught_up(lambda: log.channel("w").info().start_offset == 2)
        writer("delete other")
        assert caught_up(lambda: list(log.channels()) == ["w"])


def caught_up(condition):
    from ..support import until

    until(condition)
    return True


def test_it_goes_on_over_a_compaction(path, writer):
    writer("publish 0 1000")
    with chanlog.open(path, read_only=True) as log:
        channel = log.channel("w")
        with channel.subscribe() as reader:
            assert numbers(take(reader, 100)) == list(range(100))
            writer("compact")
            writer("publish 1000 1500")
            writer("compact")
            assert numbers(take(reader, 1400)) == list(range(100, 1500))
        assert numbers(channel.replay()) == list(range(1500))


def test_a_writer_that_dies_and_comes_back(path, writer):
    writer("publish 0 100")
    with chanlog.open(path, read_only=True) as log:
        with log.channel("w").subscribe() as reader:
            assert numbers(take(reader, 100)) == list(range(100))
            stop(writer.process)
            assert reader.get(timeout=0) is None
            second = Writer(path)
            try:
                second("publish 100 200")
                assert numbers(take(reader, 100)) == list(range(100, 200))
            finally:
                stop(second.process)


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_a_dead_log_is_only_looked_at(path, writer, how):
    writer("publish 0 1000")
    writer("commit 5")
    if how == "closed":
        finish(writer.process)
    else:
        stop(writer.process)
    before = tree(path)
    with chanlog.open(path, read_only=True) as log:
        channel = log.channel("w")
        assert numbers(channel.replay()) == list(range(1000))
        assert numbers(drain(channel.subscribe(last=3))) == [997, 998, 999]
        with channel.cursor("c") as cursor:
            assert cursor.position() == 6
            assert numbers(take(cursor, 1)) == [6]
    assert tree(path) == before
    with chanlog.open(path) as log:
        assert len(replayed(log.channel("w"))) == 1000


def test_a_folder_that_cannot_be_written(path, writer):
    """Read-only means that not even a lock file is needed."""
    writer("publish 0 10")
    finish(writer.process)
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    path.chmod(0o500)
    try:
        with chanlog.open(path, read_only=True) as log:
            assert numbers(log.channel("w").replay()) == list(range(10))
    finally:
        path.chmod(0o700)


def test_several_look_at_once(path, writer):
    writer("publish 0 10")
    with chanlog.open(path, read_only=True) as one, chanlog.open(path, read_only=True) as two:
        writer("publish 10 20")
        for log in (one, two):
            assert caught_up(lambda log=log: log.channel("w").info().end_offset == 20)


def test_nothing_can_be_changed(path, writer, face):
    writer("publish 0 10")
    with chanlog.open(path, read_only=True) as log:
        channel = log.channel("w")
        for attempt in (
            lambda: face(channel).publish(1),
            lambda: face(channel).publish_many([1]),
            lambda: face(channel).end(),
            lambda: face(channel).trim(before=1),
            lambda: face(channel).delete(),
            lambda: face(channel).fork("other"),
            lambda: face(channel).configure(None),
            lambda: face(channel).producer("p"),
            lambda: face(channel.cursor("c")).commit(1),
            lambda: face(channel.cursor("c")).seek(1),
            lambda: face(log).compact(),
            lambda: frame(log),
        ):
            with pytest.raises(chanlog.ReadOnly):
                attempt()
        assert numbers(channel.replay()) == list(range(10))


def frame(log):
    with log.atomic() as frame:
        frame.publish("w", 1)


def test_memory_cannot_be_read_only():
    with pytest.raises(chanlog.ChanlogError):
        chanlog.open(read_only=True)


def test_looking_does_not_lock_the_owner_out(path):
    with chanlog.open(path) as log:
        log.channel("w").publish(1)
    with chanlog.open(path, read_only=True) as looking:
        with chanlog.open(path) as log:
            log.channel("w").publish(2)
            assert caught_up(lambda: replayed(looking.channel("w")) == [1, 2])
        assert datas(looking.channel("w").replay()) == [1, 2]


def test_what_is_durable(tmp_path):
    """Of a log that was closed all is; of one that lives, what its batches say: never too much."""
    with chanlog.open(tmp_path / "log", sync="os") as log:
        channel = log.channel("a")
        channel.publish_many("abc")
        log.sync()
        channel.publish("d")
        with chanlog.open(tmp_path / "log", read_only=True) as other:
            assert other.channel("a").info().durable_offset == 3
    with chanlog.open(tmp_path / "log", read_only=True) as other:
        assert other.channel("a").info().durable_offset == 4

"""Names, closed handles and forked processes: a clear error, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys

import pytest

import chanlog

from ..support import (
    LIMIT,
    ROOT,
    auntil_waiting,
    datas,
    drain,
    replayed,
    run,
    spawn,
    until_waiting,
)

WRONG_NAMES = ["", "a\nb", "\x00", "tab\t", "del\x7f", "\u2028", "\x85", "x" * 513, "ä" * 257]
NOT_NAMES = [None, 5, b"bytes", ["list"]]


@pytest.mark.parametrize("name", WRONG_NAMES + NOT_NAMES, ids=lambda name: ascii(name)[:12])
def test_names_that_cannot_be(log, name):
    channel = log.channel("w")
    channel.publish(1)
    for attempt in (
        lambda: log.channel(name),
        lambda: channel.cursor(name),
        lambda: channel.producer(name),
        lambda: channel.fork(name),
    ):
        with pytest.raises(chanlog.InvalidName) as caught:
            attempt()
        assert caught.value.name == name
        assert isinstance(caught.value, ValueError)
    assert list(log.channels()) == ["w"]


@pytest.mark.parametrize(
    "name", ["x", "x" * 512, "ä" * 256, "a b", "\U0001f600", "a/../b", ".", "*"]
)
def test_names_that_can_be(log, name):
    log.channel(name).publish("here")
    log.channel(name).cursor(name).commit(0)
    log.channel(name).producer(name)
    assert replayed(log.channel(name)) == ["here"]
    assert list(log.channels()) == [name]


USES = {
    "publish": lambda it: it.channel.publish(1),
    "publish_many": lambda it: it.channel.publish_many([1]),
    "apublish": lambda it: run(it.channel.apublish(1)),
    "apublish durable": lambda it: run(it.channel.apublish(1, durable=True)),
    "end": lambda it: it.channel.end(),
    "trim": lambda it: it.channel.trim(before=0),
    "delete": lambda it: it.channel.delete(),
    "fork": lambda it: it.channel.fork("other"),
    "info": lambda it: it.channel.info(),
    "configure": lambda it: it.channel.configure(None),
    "subscribe": lambda it: it.channel.subscribe().get(timeout=0),
    "replay": lambda it: list(it.channel.replay()),
    "channels": lambda it: list(it.log.channels()),
    "atomic": lambda it: it.frame(),
    "sync": lambda it: it.log.sync(),
    "async_": lambda it: run(it.log.async_()),
    "compact": lambda it: it.log.compact(),
    "get": lambda it: it.reader.get(timeout=0),
    "aget": lambda it: run(it.reader.aget(timeout=0)),
    "cursor": lambda it: it.cursor.commit(0),
    "position": lambda it: it.cursor.position(),
    "producer": lambda it: it.producer.publish(1),
}


class Everything:
    """One handle of each kind."""

    def __init__(self, log):
        self.log = log
        self.channel = log.channel("w")
        self.channel.publish_many(range(3))
        self.reader = self.channel.subscribe()
        self.cursor = self.channel.cursor("c")
        self.producer = self.channel.producer("p")

    def frame(self):
        with self.log.atomic() as frame:
            frame.publish("w", 1)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_closed_log_says_so(log, use):
    everything = Everything(log)
    log.close()
    with pytest.raises(chanlog.LogClosed):
        use(everything)


def test_closing_twice_is_fine(store, face):
    log = store.open()
    face(log).close()
    face(log).close()
    log.close()


def test_closing_touches_nothing(disk):
    with disk.open() as log:
        log.channel("w").publish_many(range(5))
    with disk.open() as log:
        assert replayed(log.channel("w")) == list(range(5))
        assert not log.channel("w").info().ended


def test_async_with_closes(disk):
    async def main():
        async with disk.open() as log:
            await log.channel("w").apublish(1)
        with pytest.raises(chanlog.LogClosed):
            await log.channel("w").apublish(2)

    run(main())


def test_aopen(tmp_path):
    async def main():
        async with await chanlog.aopen(tmp_path / "log") as log:
            await log.channel("w").apublish(1, durable=True)
        async with await chanlog.aopen(tmp_path / "log", read_only=True) as log:
            return [message.data async for message in log.channel("w").replay()]

    assert run(main()) == [1]


def test_closing_the_log_wakes_who_waits(log, channel):
    with channel.subscribe() as one, channel.cursor("c") as two:
        waiting = [spawn(one.get), spawn(two.get, timeout=LIMIT)]
        until_waiting(log, 2)
        log.close()
        for future in waiting:
            with pytest.raises(chanlog.LogClosed):
                future.result(LIMIT)


def test_closing_the_log_wakes_tasks(log, channel):
    async def main():
        async with channel.subscribe() as reader:
            got = asyncio.create_task(reader.aget())
            await auntil_waiting(log)
            await log.aclose()
            with pytest.raises(chanlog.LogClosed):
                await got

    run(main())


def test_a_log_left_open_warns(tmp_path):
    source = (
        "import chanlog, gc, sys\n"
        "log = chanlog.open(sys.argv[1])\n"
        "log.channel('w').publish(1)\n"
        "del log; gc.collect()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", source, str(tmp_path / "log")],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert "ResourceWarning" in done.stderr
    with chanlog.open(tmp_path / "log") as log:
        assert replayed(log.channel("w")) == [1]


def in_child(work) -> str:
    """What ``work()`` returns in a forked child, as text."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = work()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return text


def test_a_forked_child_is_refused(store):
    log = store.open(background=True)
    everything = Everything(log)

    def work():
        wrong = []
        for name, use in USES.items():
            if name.startswith("a") and name != "atomic":
                continue
            try:
                use(everything)
                wrong.append(name)
            except chanlog.ForkedProcess:
                pass
            except BaseException as error:
                wrong.append(f"{name} {type(error).__name__}")
        return ", ".join(wrong)

    assert in_child(work) == ""
    everything.channel.publish("still mine")
    assert replayed(everything.channel) == [0, 1, 2, "still mine"]


def test_a_forked_child_may_close_and_harms_nothing(disk):
    log = disk.open(background=True)
    log.channel("w").publish("a")

    def work():
        log.close()
        return "closed"

    assert in_child(work) == "closed"
    log.channel("w").publish("b", durable=True)
    with pytest.raises(chanlog.LogLocked):
        chanlog.open(disk.path)
    log.close()
    with disk.open() as log:
        assert replayed(log.channel("w")) == ["a", "b"]


def test_a_forked_child_does_not_keep_the_lock(disk):
    """The parent closes while the child lives: the directory is free."""
    log = disk.open()
    log.channel("w").publish("a")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    try:
        log.close()
        with disk.open() as log:
            assert replayed(log.channel("w")) == ["a"]
    finally:
        os.close(write)
        os.waitpid(pid, 0)


def test_a_log_opened_after_the_fork_works(tmp_path):
    def work():
        with chanlog.open(tmp_path / "log") as log:
            log.channel("w").publish("from the child")
        return "done"

    assert in_child(work) == "done"
    with chanlog.open(tmp_path / "log") as log:
        assert replayed(log.channel("w")) == ["from the child"]


def test_errors_travel_between_processes(channel):
    channel.publish(1)
    with pytest.raises(chanlog.UnknownOffset) as caught:
        channel.subscribe(after=5)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is chanlog.UnknownOffset
    assert (str(again), again.end_offset) == (str(caught.value), 1)


def test_bad_use_loses_nothing(channel):
    channel.publish_many(range(3))
    for attempt in (
        lambda: channel.publish(object()),
        lambda: channel.subscribe(after=99),
        lambda: channel.trim(before=99),
        lambda: channel.fork("workflow-42"),
        lambda: channel.publish(1, expect=0),
    ):
        with pytest.raises(chanlog.ChanlogError):
            attempt()
    channel.publish(3)
    assert datas(drain(channel.subscribe())) == [0, 1, 2, 3]


def test_a_reader_with_messages_in_hand_is_told_too(log, channel):
    """It once went on from what it had decoded already."""
    channel.publish_many(range(10))
    with channel.subscribe() as reader:
        assert reader.get(timeout=0).data == 0
        log.close()
        with pytest.raises(chanlog.LogClosed):
            reader.get(timeout=0)

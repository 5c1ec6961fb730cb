"""Many at once: what they cost, what stays of them, and who is left waiting."""

from __future__ import annotations

import asyncio
import gc
import signal
import weakref
from random import Random

import pytest

import chanlog

from ...support import LIMIT, finish, python, replayed, run, spawn, until, until_waiting
from ..campaign import passed
from . import CAMPAIGNS, dropping
from .clock import jumpy_clock
from .crowd import BLOCKS, CROWDS
from .dropping import drop_many, kill_loop
from .idle import work_beside
from .leaving import CONSUMERS, ENDINGS, leave_so
from .many import channels_come_and_go, lagging, many_channels, many_loops
from .work import work_of

CROWD = next(campaign for campaign in CAMPAIGNS if campaign.name == "crowds")


def test_the_crowds():
    assert CROWD.small >= 2 * len(CROWDS)
    passed(CROWD)


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_two_thousand_idle_subscribers_cost_a_publisher_nothing(tmp_path, where):
    """A thousand threads and a thousand tasks wait on other channels: a publish executes the very
    same lines, makes the same calls and allocates the same memory as beside nobody."""
    path = tmp_path if where == "disk" else None
    alone = work_beside(path and path / "alone", 0, 0, 50)
    beside = work_beside(path and path / "beside", 1000, 1000, 50)
    assert alone == beside
    assert all(work.lines.total() and work.calls.total() for work in alone.values())


def test_one_who_waits_here_costs_something(store):
    """So the counting counts."""
    log = store.open(sync="os")
    channel = log.channel("w")

    def publish():
        channel.publish("x")

    # The first ones also start a thread, and find a place for the channel.
    work_of(publish, 3)
    alone = work_of(publish, 10)
    assert work_of(publish, 10).lines == alone.lines
    with channel.subscribe(types={"never"}, live=True) as reader:
        waiting = spawn(reader.get)
        until_waiting(log)
        assert work_of(publish, 10).lines.total() > alone.lines.total()
    with pytest.raises(chanlog.HandleClosed):
        waiting.result(LIMIT)


@pytest.mark.parametrize("way", dropping.DROPS, ids=lambda way: way.__name__)
def test_a_subscription_that_is_dropped_is_collected(channel, way):
    channel.publish_many(range(10), type="t")
    gone = weakref.ref(way(channel, 1))
    gc.collect()
    assert gone() is None


def test_a_hundred_thousand_dropped_subscriptions_leave_nothing():
    with chanlog.open() as log:
        assert drop_many(log, 100_000) < BLOCKS


def test_subscriptions_that_somebody_keeps_are_found(log, monkeypatch):
    kept = []

    def keeping(channel, number):
        kept.append(channel.subscribe())
        return object.__new__(Kept)

    class Kept:
        pass

    monkeypatch.setattr(dropping, "DROPS", (keeping,))
    assert drop_many(log, 2000) > BLOCKS


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_the_interpreter_exits_whoever_waits(tmp_path, consumer):
    leave_so(consumer, "falls off the end", "thread", tmp_path / "log", "interval")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("how", ["thread", "pool"])
def test_the_interpreter_exits_however_it_ends(tmp_path, ending, how):
    leave_so("for", ending, how, tmp_path / "log", "always")


def test_loops_that_die_leave_nobody_waiting(log):
    gone = [kill_loop(Random(seed), log) for seed in range(60)]
    gc.collect()
    assert sum(loop() is not None for loop in gone) <= 6


@pytest.mark.parametrize("sync", ["always", "interval"])
def test_a_loop_that_dies_while_a_sync_is_awaited(tmp_path, sync):
    """The sync goes on, others get their answer, and what the dead task published is there once."""
    with chanlog.open(tmp_path / "log", sync=sync, background=False) as log:
        channel = log.channel("w")
        channel.publish("first", durable=True)
        loop = asyncio.new_event_loop()
        with log._store.leading:
            # Nobody can sync meanwhile.
            task = loop.create_task(channel.apublish("from the dead", durable=True))
            task._log_destroy_pending = False
            loop.run_until_complete(asyncio.sleep(0))
            alive = spawn(lambda: run(channel.apublish("alive", durable=True)))
            thread = spawn(channel.publish, "thread", durable=True)
            until(lambda: log._store.appends == 4)
            assert not alive.done()
            assert not thread.done()
            loop.close()
        assert {alive.result(LIMIT), thread.result(LIMIT)} == {2, 3}
        assert channel.publish("last", durable=True) == 4
        assert replayed(channel)[:2] == ["first", "from the dead"]
        assert channel.info().durable_offset == 5
        del task


INTERRUPTED = """
import asyncio, os, signal, sys, threading, chanlog
signal.signal(signal.SIGINT, signal.default_int_handler)
log = chanlog.open(sys.argv[1])
channel = log.channel("w")
channel.publish("kept")
outside = channel.subscribe(live=True)

def consume():
    print(outside.get().data, flush=True)

thread = threading.Thread(target=consume)
thread.start()

async def consume_too():
    async for _ in channel.subscribe(live=True):
        pass

async def main():
    tasks = [asyncio.create_task(consume_too()) for _ in range(10)]
    while log.statistics().waiters < 11:
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.gather(*tasks)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", log.statistics().waiters, flush=True)
channel.publish("after")
thread.join()
log.close()
"""


def test_a_loop_that_is_interrupted_leaves_nobody_waiting(tmp_path):
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    assert finish(python(INTERRUPTED, tmp_path / "log")) == "interrupted 1\nafter\n"


def test_many_loops_in_many_threads_on_one_channel(log):
    many_loops(log, 20, 20, 60)


def test_a_thousand_channels_with_a_waiting_reader_each(log):
    many_channels(log, 1000, 3, Random(1))


def test_readers_that_lag_by_everything_cost_no_memory(tmp_path):
    """Twenty megabytes are published beside a hundred readers that read nothing of it."""
    alone, beside = lagging(tmp_path, 20_000)
    assert beside - alone < 2048


@pytest.mark.parametrize("seed", range(8))
def test_a_clock_that_jumps(tmp_path, seed):
    jumpy_clock(Random(seed), tmp_path / "log")


def test_channels_that_are_gone_give_their_memory_back(log):
    channels_come_and_go(log, 200)
    assert max(channels_come_and_go(log, 10_000)) < BLOCKS


def test_channels_that_stay_are_found(log, monkeypatch):
    channels_come_and_go(log, 200)
    kept = []
    delete = type(log.channel("w")).delete

    def keep(channel):
        delete(channel)
        kept.append(channel)

    monkeypatch.setattr(type(log.channel("w")), "delete", keep)
    assert min(channels_come_and_go(log, 2000)) > BLOCKS

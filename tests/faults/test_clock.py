"""A clock that is moved by hand drives every wait of a log, and says when all has come to rest."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest

import chanlog
from chanlog.testing.clock import NotSettled, VirtualClock

from ..support import LIMIT, run, spawn


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def log(clock):
    with chanlog.open(host=clock.host) as log:
        yield log


def test_a_timeout_passes_when_told_to(clock, log):
    reader = log.channel("a").subscribe()
    got = spawn(reader.get, timeout=30)
    clock.settle()
    clock.advance(29.9)
    clock.settle()
    assert not got.done()
    clock.advance(0.1)
    assert got.result(LIMIT) is None


def test_a_timeout_of_a_task_passes_when_told_to(clock, log):
    async def body():
        reader = log.channel("a").subscribe()
        task = asyncio.create_task(reader.aget(timeout=30))
        await clock.asettle()
        clock.advance(29.9)
        await clock.asettle()
        assert not task.done()
        clock.advance(0.1)
        await clock.asettle()
        assert task.done()
        assert await task is None

    run(body())


def test_a_message_ends_the_wait_before(clock, log):
    reader = log.channel("a").subscribe()
    got = spawn(reader.get, timeout=30)
    clock.settle()
    log.channel("a").publish("here")
    assert got.result(LIMIT).data == "here"
    assert not [alarm for alarm in clock._alarms if alarm.when > 1]


@pytest.mark.parametrize("step", [0.1, 0.7, 1 / 3])
def test_a_sum_of_steps_is_as_long_as_the_whole(clock, log, step):
    reader = log.channel("a").subscribe()
    for count in (2, 3, 7):
        got = spawn(reader.get, timeout=step * count)
        clock.settle()
        for _ in range(count):
            assert not got.done()
            clock.advance(step)
            clock.settle()
        assert got.result(LIMIT) is None


def test_messages_carry_its_time(clock, log):
    log.channel("a").publish(1)
    clock.advance(1.5)
    log.channel("a").publish(2)
    first, second = log.channel("a").replay()
    assert second.time_ns - first.time_ns == 1_500_000_000
    assert second.time_ns == clock.now_ns


def test_retention_by_age_is_applied_when_the_time_has_come(clock, log):
    channel = log.channel("a")
    channel.configure(chanlog.Retention(age=3600))
    channel.publish("old")
    clock.advance(1800)
    channel.publish("young")
    clock.settle()
    assert list(channel.replay().data()) == ["old", "young"]
    clock.advance(1801)
    clock.settle()
    assert list(channel.replay().data()) == ["young"]


def test_an_idle_channel_expires_when_the_time_has_come(clock, log):
    channel = log.channel("a")
    channel.configure(chanlog.Retention(ttl=60))
    channel.publish("last")
    clock.advance(59)
    clock.settle()
    assert channel.info().exists
    clock.advance(2)
    clock.settle()
    assert list(log.channels()) == []


def test_the_interval_of_syncs_passes_when_told_to(clock, tmp_path):
    with chanlog.open(tmp_path, sync="interval", sync_interval=5, host=clock.host) as log:
        channel = log.channel("a")
        channel.publish(1)
        clock.settle()
        assert channel.info().durable_offset == 0
        clock.advance(5)
        clock.settle()
        assert channel.info().durable_offset == 1


def test_settling_waits_for_all_that_was_woken(clock, log):
    """A chain of threads, each of which wakes the next."""
    threads = []
    for place in range(5):

        def work(place=place):
            with log.channel(f"c{place}").subscribe() as reader:
                for message in reader:
                    log.channel(f"c{place + 1}").publish(message.data + 1)

        threads.append(spawn(work))
    for number in range(20):
        log.channel("c0").publish(0)
        clock.settle()
        assert log.channel("c5").info().end_offset == number + 1
    for place in range(5):
        log.channel(f"c{place}").end()
    for thread in threads:
        thread.result(LIMIT)


def test_settling_waits_for_all_tasks_that_were_woken(clock, log):
    async def work(place):
        async for message in log.channel(f"c{place}").subscribe():
            await asyncio.sleep(0)
            await log.channel(f"c{place + 1}").apublish(message.data + 1)

    async def body():
        tasks = [asyncio.create_task(work(place)) for place in range(5)]
        for number in range(20):
            log.channel("c0").publish(0)
            await clock.asettle()
            assert log.channel("c5").info().end_offset == number + 1
        for place in range(5):
            log.channel(f"c{place}").end()
        await asyncio.gather(*tasks)

    run(body())


def test_settling_waits_for_threads_and_loops_elsewhere(clock, log):
    """From a thread to a task of another thread's loop, and to an executor's worker."""

    async def relay():
        async for message in log.channel("a").subscribe():
            await asyncio.to_thread(log.channel("b").publish, message.data)

    relaying = spawn(lambda: asyncio.run(relay()))
    for number in range(20):
        log.channel("a").publish(number)
        clock.settle()
        assert log.channel("b").info().end_offset == number + 1
    log.channel("a").end()
    relaying.result(LIMIT)


def test_a_durable_publish_is_waited_for(clock, tmp_path):
    async def body(log):
        task = asyncio.create_task(log.channel("a").apublish(1, durable=True))
        await clock.asettle()
        assert task.done()

    with chanlog.open(tmp_path, host=clock.host) as log:
        run(body(log))


def test_whoever_waits_elsewhere_is_at_rest(clock, log):
    work = queue.Queue()
    event = threading.Event()

    def body():
        event.wait()
        log.channel("a").publish(work.get())

    done = spawn(body)
    clock.settle()
    event.set()
    clock.settle()
    assert not done.done()
    work.put("x")
    clock.settle()
    assert log.channel("a").info().end_offset == 1


def test_who_still_runs_is_named(clock, log):
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            pass

    thread = threading.Thread(target=busy, name="busy one", daemon=True)
    thread.start()
    try:
        with pytest.raises(NotSettled, match=r"'busy one' in (busy|is_set)") as caught:
            clock.settle(timeout=0.05)
        assert len(caught.value.running) == 1
    finally:
        stop.set()
        thread.join()
    clock.settle()


def test_a_task_that_still_runs_is_named(clock, log):
    async def busy():
        while True:
            await asyncio.sleep(0)

    async def body():
        task = asyncio.create_task(busy(), name="busy one")
        with pytest.raises(NotSettled, match="task 'busy one' in busy"):
            await clock.asettle(timeout=0.05)
        task.cancel()
        await clock.asettle()

    run(body())


def test_settling_in_a_loop_says_what_to_use(clock, log):
    async def body():
        with pytest.raises(chanlog.InvalidOption, match="asettle"):
            clock.settle()

    run(body())


def test_sleeping_on_the_clock(clock, log):
    woken = []

    async def body():
        task = asyncio.create_task(clock.asleep(5))
        await clock.asettle()
        clock.advance(4)
        await clock.asettle()
        assert not task.done()
        clock.advance(1)
        await task

    thread = spawn(lambda: (clock.sleep(9), woken.append(1)))
    clock.settle()
    run(body())
    assert woken == []
    clock.advance(4)
    thread.result(LIMIT)
    assert woken == [1]


@pytest.mark.parametrize("seconds", [-1, "1", True, float("nan")])
def test_time_goes_forward(clock, seconds):
    with pytest.raises(chanlog.InvalidOption):
        clock.advance(seconds)


def test_a_log_with_another_clock_is_not_looked_at(clock):
    with chanlog.open(retention=chanlog.Retention(age=3600)) as log:
        log.channel("a").publish(1)
        clock.settle()


def test_what_was_there_before_is_not_looked_at():
    """Threads that earlier tests have left behind kept time from going on."""
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            pass

    thread = threading.Thread(target=busy, name="chanlog-left", daemon=True)
    thread.start()
    try:
        clock = VirtualClock()
        clock.advance(1)
        clock.settle()
    finally:
        stop.set()
        thread.join()

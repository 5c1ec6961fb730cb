"""Who is woken by what: those who wait for it, all of them, and no others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref

import pytest

import chanlog
from chanlog.channels.waking import TaskWaiter, ThreadWaiter

from ..support import (
    LIMIT,
    auntil,
    auntil_waiting,
    gather,
    host_with,
    run,
    spawn,
    take,
    until,
    until_waiting,
)


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts how often it was called from another thread."""

    calls = 0

    def call_soon_threadsafe(self, *arguments, **options):
        self.calls += 1
        return super().call_soon_threadsafe(*arguments, **options)


@contextlib.contextmanager
def loop_thread():
    """A running loop in a thread of its own."""
    loop = CountingLoop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    asyncio.SelectorEventLoop.call_soon_threadsafe(loop, loop.stop)
    thread.join(LIMIT)
    assert not thread.is_alive()
    loop.close()


def submit(loop, coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, loop)


@pytest.mark.parametrize("rounds", [200])
def test_a_thread_is_woken_by_a_thread(channel, rounds):
    """Ping and pong: each waits for the other, so one lost wake-up stops the game."""

    def play(mine, theirs, begin):
        with channel.subscribe(types={theirs}) as reader:
            if begin:
                channel.publish(-1, type=mine)
            for n in range(rounds):
                assert reader.get(timeout=LIMIT) is not None, f"lost in round {n}"
                channel.publish(n, type=mine)

    gather([spawn(play, "ping", "pong", True), spawn(play, "pong", "ping", False)])
    assert channel.info().end_offset == 2 * rounds + 1


def test_a_task_is_woken_by_a_task(channel):
    async def play(mine, theirs, begin):
        async with channel.subscribe(types={theirs}) as reader:
            if begin:
                await channel.apublish(-1, type=mine)
            for n in range(200):
                assert await reader.aget(timeout=LIMIT) is not None
                await channel.apublish(n, type=mine)

    async def main():
        await asyncio.gather(play("ping", "pong", True), play("pong", "ping", False))

    run(main())


def test_threads_and_tasks_wake_each_other(channel):
    def thread():
        with channel.subscribe(types={"task"}) as reader:
            for n in range(200):
                assert reader.get(timeout=LIMIT).data == n
                channel.publish(n, type="thread")

    async def task():
        async with channel.subscribe(types={"thread"}) as reader:
            for n in range(200):
                await channel.apublish(n, type="task")
                assert (await reader.aget(timeout=LIMIT)).data == n

    playing = spawn(thread)
    run(task())
    playing.result(LIMIT)


def test_tasks_of_two_loops_wake_each_other(channel):
    async def play(mine, theirs, begin):
        async with channel.subscribe(types={theirs}) as reader:
            if begin:
                await channel.apublish(-1, type=mine)
            for n in range(200):
                assert await reader.aget(timeout=LIMIT) is not None
                await channel.apublish(n, type=mine)

    first = spawn(lambda: run(play("ping", "pong", True)))
    second = spawn(lambda: run(play("pong", "ping", False)))
    gather([first, second])


def test_a_typed_waiter_waits_for_its_type(log, channel):
    with channel.subscribe(types={"stop"}) as one, channel.subscribe(types={"stop"}) as two:
        thread = spawn(one.get, timeout=LIMIT)
        task = spawn(lambda: run(two.aget(timeout=LIMIT)))
        until_waiting(log, 2)
        for n in range(200):
            channel.publish(n, type="token")
            channel.publish_many([n, n])
        assert not thread.done()
        assert not task.done()
        channel.publish("now", type="stop")
        assert [future.result(LIMIT).data for future in (thread, task)] == ["now", "now"]


def test_a_waiter_of_another_channel_sleeps_on(log):
    """A publish wakes the waiters of its channel and no others."""
    with loop_thread() as loop, log.channel("quiet").subscribe() as reader:
        waiting = submit(loop, reader.aget())
        until_waiting(log)
        calls = loop.calls
        for n in range(500):
            log.channel("busy").publish(n)
        assert loop.calls == calls
        log.channel("quiet").publish("now")
        assert waiting.result(LIMIT).data == "now"
        assert loop.calls == calls + 1


def test_a_thousand_idle_subscribers(log):
    async def main():
        loop = asyncio.get_running_loop()
        readers = [log.channel(f"idle-{n}").subscribe() for n in range(1000)]
        tasks = [asyncio.create_task(reader.aget()) for reader in readers]
        await auntil_waiting(log, 1000)
        busy = log.channel("busy")
        async with busy.subscribe() as reader:
            for n in range(100):
                await busy.apublish(n)
                assert (await reader.aget(timeout=LIMIT)).data == n
        assert not any(task.done() for task in tasks)
        for n in (0, 500, 999):
            await log.channel(f"idle-{n}").apublish(n)
            assert (await tasks[n]).data == n
        assert sum(task.done() for task in tasks) == 3
        await loop.run_in_executor(None, log.close)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(outcome, chanlog.LogClosed) for outcome in outcomes) == 997

    run(main())


def test_a_thousand_tasks_on_one_channel(log, channel):
    """One publish reaches all of them, through few calls into their loop."""
    with loop_thread() as loop:
        readers = [channel.subscribe() for _ in range(1000)]

        async def main():
            return await asyncio.gather(*(reader.aget() for reader in readers))

        waiting = submit(loop, main())
        until_waiting(log, 1000)
        # The loop is busy with something else meanwhile, or each call might find it done already.
        busy, go = threading.Event(), threading.Event()
        asyncio.SelectorEventLoop.call_soon_threadsafe(loop, lambda: busy.set() or go.wait(LIMIT))
        assert busy.wait(LIMIT)
        calls = loop.calls
        channel.publish("now")
        go.set()
        assert [message.data for message in waiting.result(LIMIT)] == ["now"] * 1000
        assert loop.calls - calls == 1


def test_a_hundred_threads_on_one_channel(log, channel):
    readers = [channel.subscribe() for _ in range(100)]
    waiting = [spawn(reader.get, timeout=LIMIT) for reader in readers]
    until_waiting(log, 100)
    channel.publish("now")
    assert [message.data for message in gather(waiting)] == ["now"] * 100
    until(lambda: log.statistics().waiters == 0)


def test_frames_wake_all_their_channels(log):
    with log.channel("one").subscribe() as one, log.channel("two").subscribe() as two:
        waiting = [spawn(reader.get, timeout=LIMIT) for reader in (one, two)]
        until_waiting(log, 2)
        with log.atomic() as frame:
            frame.publish("one", 1)
            frame.publish("two", 2)
        assert [message.data for message in gather(waiting)] == [1, 2]


def test_producers_wake(log, channel):
    with channel.subscribe() as reader:
        waiting = spawn(reader.get, timeout=LIMIT)
        until_waiting(log)
        channel.producer("p").publish("now")
        assert waiting.result(LIMIT).data == "now"


def test_trimming_past_a_waiter_leaves_it_waiting(log, channel):
    """It has read everything; what is forgotten behind it is none of its concern."""
    channel.publish_many(range(5))
    with channel.subscribe() as reader:
        take(reader, 5)
        waiting = spawn(reader.get, timeout=LIMIT)
        until_waiting(log)
        channel.trim(before=5)
        log.compact()
        assert not waiting.done()
        channel.publish("now")
        assert waiting.result(LIMIT).data == "now"


def test_closing_one_waiter_leaves_the_others(log, channel):
    one, two = channel.subscribe(), channel.subscribe()
    waiting = [spawn(reader.get, timeout=LIMIT) for reader in (one, two)]
    until_waiting(log, 2)
    one.close()
    with pytest.raises(chanlog.HandleClosed):
        waiting[0].result(LIMIT)
    channel.publish("now")
    assert waiting[1].result(LIMIT).data == "now"
    two.close()


def test_closing_the_log_wakes_everybody(log, channel):
    """Threads and tasks of two loops, in ``get``, in both loops, through cursors."""

    async def loop_over(reader):
        async for _ in reader:
            pass

    with loop_thread() as loop:
        threads = [spawn(channel.subscribe().get), spawn(lambda: list(channel.subscribe()))]
        threads.append(spawn(channel.cursor("c").get))
        tasks = [submit(loop, channel.subscribe().aget())]
        tasks.append(submit(loop, loop_over(channel.subscribe())))
        tasks.append(submit(loop, channel.cursor("d").aget()))
        until_waiting(log, 6)
        log.close()
        for future in threads + tasks:
            with pytest.raises(chanlog.LogClosed):
                future.result(LIMIT)


def test_a_loop_that_dies_leaves_nobody_waiting(log, channel):
    """Its tasks can never be woken again; a publish must not mind, and others get theirs."""
    loop = asyncio.new_event_loop()
    dead = channel.subscribe()
    task = loop.create_task(dead.aget())
    loop.run_until_complete(auntil_waiting(log))
    with channel.subscribe() as alive:
        waiting = spawn(alive.get, timeout=LIMIT)
        until_waiting(log, 2)
        loop.close()
        channel.publish("now")
        assert waiting.result(LIMIT).data == "now"
        channel.publish("again")
        assert [message.data for message in take(alive, 1)] == ["again"]
    assert run(dead.aget(timeout=0)).data == "now"
    until(lambda: log.statistics().waiters == 0)
    task._log_destroy_pending = False
    dead.close()
    del task


def test_a_loop_that_is_gone_is_forgotten(channel):
    """One loop a request is common; each was kept for ever by what had woken it."""

    async def wait():
        async with channel.subscribe() as reader:
            assert await reader.aget(timeout=1e-4) is None

    loop = asyncio.new_event_loop()
    loop.run_until_complete(wait())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


def abandon(reader, loop=None):
    """A task that waits in a loop which is closed under it; nobody holds either."""
    loop = loop or asyncio.new_event_loop()
    task = loop.create_task(reader.aget())
    task._log_destroy_pending = False
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_a_task_is_collected_while_the_log_is_locked(store):
    """The collector may run anywhere, so also in a publish, just when it holds the lock. What it
    found there was a task that had waited in a loop that died; finishing its ``aget`` asked for
    the lock again, and that was the end of the log for everybody."""

    def clock():
        # Asked for the time of a message, with the lock held.
        gc.collect()
        return 1

    log = store.open(host=host_with(clock))
    channel = log.channel("w")
    channel.publish("exists")
    for n in range(10):
        abandon(log.channel("nobody").subscribe())
        abandon(channel.subscribe(live=True))
        assert spawn(channel.publish, n).result(LIMIT) == n + 1
    assert log.statistics().waiters <= 1


def test_loops_that_die_are_forgotten_without_a_publish(log, channel):
    """A channel on which nothing is published kept every task that had waited on it in a loop
    which was closed meanwhile, and the loop."""
    channel.publish("exists")
    loops = []
    for _ in range(1000):
        loop = asyncio.new_event_loop()
        loops.append(weakref.ref(loop))
        abandon(channel.subscribe(live=True), loop)
    del loop
    gc.collect()
    assert sum(ref() is not None for ref in loops) < 50
    assert log.statistics().waiters == 0
    gc.collect()
    assert [ref for ref in loops if ref() is not None] == []


def test_types_that_nobody_asks_for_any_more_are_forgotten(channel):
    """Whoever waits for the answer to each of its questions may well ask for a type of its own.
    What a channel kept of each type was never given back."""
    channel.publish("exists")
    keeper = channel.subscribe(types={"kept"}, live=True)
    for n in range(1000):
        with channel.subscribe(types={f"answer-{n}"}, live=True) as reader:
            channel.publish(n, type=f"answer-{n}")
            assert reader.get(timeout=0).data == n
    assert len(channel.state.listeners.tails) < 50
    assert not keeper.ready
    channel.publish("now", type="kept")
    assert keeper.get(timeout=0).data == "now"


def test_a_channel_on_which_a_dead_loop_waits_expires(store, clock):
    """Nobody waits on it any more."""
    log = store.open(host=host_with(clock))
    channel = log.channel("w")
    channel.configure(chanlog.Retention(ttl=10))
    channel.publish("exists")
    abandon(channel.subscribe(live=True))
    clock.advance(11)
    log.compact()
    assert list(log.channels()) == []


def test_a_loop_that_dies_before_it_came_to_wake_is_forgotten(channel):
    """It had been called, and was closed before it answered the call."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(channel.subscribe().aget())
    task._log_destroy_pending = False
    loop.run_until_complete(asyncio.sleep(0))
    channel.publish("now")
    loop.close()
    gone = weakref.ref(loop)
    del loop, task
    channel.publish("again")
    # The next loop finds it.
    run(channel.subscribe(after=0).aget(timeout=LIMIT))
    with channel.subscribe(live=True) as reader:
        assert run(reader.aget(timeout=1e-4)) is None
    gc.collect()
    assert gone() is None


def test_waiters_that_give_up_do_not_swallow_a_wake(log, channel):
    """Some time out just as the message comes; the ones that stay must get it."""
    for n in range(50):
        with channel.subscribe(live=True) as patient, channel.subscribe(live=True) as hasty:
            waiting = spawn(patient.get, timeout=LIMIT)
            giving_up = [spawn(hasty.get, timeout=1e-5)]
            until_waiting(log)
            channel.publish(n)
            assert waiting.result(LIMIT).data == n
            message = giving_up[0].result(LIMIT)
            assert message is None or message.data == n
            if message is None:
                assert take(hasty, 1)[0].data == n


def test_ready_is_true_once_publish_returned(channel):
    """No window in which the publisher knows of a message and a reader does not."""
    asked, told = threading.Barrier(2), threading.Barrier(2)

    def publish():
        for n in range(300):
            channel.publish(n)
            told.wait(LIMIT)
            asked.wait(LIMIT)

    with channel.subscribe() as reader:
        publishing = spawn(publish)
        for n in range(300):
            told.wait(LIMIT)
            assert reader.ready
            assert reader.get(timeout=0).data == n
            assert not reader.ready
            asked.wait(LIMIT)
        publishing.result(LIMIT)


def test_nobody_is_woken_before_it_can_be_read(log, channel):
    """A wake-up without its message would make ``get`` without a limit return nothing."""

    async def read():
        seen = []
        async with channel.subscribe() as reader:
            while len(seen) < 300:
                message = await reader.aget()
                assert message is not None
                seen.append(message.data)
        return seen

    async def main():
        tasks = [asyncio.create_task(read()) for _ in range(5)]
        await auntil(lambda: log.statistics().waiters >= 5)
        publishing = spawn(lambda: [channel.publish(n) for n in range(300)])
        found = await asyncio.gather(*tasks)
        publishing.result(LIMIT)
        return found

    assert run(main()) == [list(range(300))] * 5


def test_a_signal_while_a_task_is_being_woken(log, channel):
    """Nobody knew any more whether the loop had been called, and whoever came later relied on it:
    calling it once more does no harm."""

    class SignalledLoop(asyncio.SelectorEventLoop):
        signals = 1

        def call_soon_threadsafe(self, *arguments, **options):
            if self.signals and threading.current_thread() is threading.main_thread():
                self.signals -= 1
                raise KeyboardInterrupt
            return super().call_soon_threadsafe(*arguments, **options)

    loop = SignalledLoop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    with channel.subscribe() as one, channel.subscribe() as two:
        waiting = [
            spawn(lambda reader=reader: submit(loop, reader.aget()).result(LIMIT))
            for reader in (one, two)
        ]
        until_waiting(log, 2)
        with pytest.raises(KeyboardInterrupt):
            channel.publish("first")
        channel.publish("second")
        assert [message.data for message in gather(waiting)] == ["first", "first"]
    loop.call_soon_threadsafe(loop.stop)
    thread.join(LIMIT)
    loop.close()


def test_a_task_whose_loop_has_closed(log, channel):
    """Nobody waits there any more: it is forgotten, and the publish goes through."""
    loop = asyncio.new_event_loop()
    waiter = TaskWaiter(loop, None)
    with channel.subscribe() as reader:
        assert reader._register(waiter)
        loop.close()
        assert [channel.publish(number) for number in range(2)] == [0, 1]
    assert not waiter.future.done()
    assert log.statistics().waiters == 0


def test_a_thread_that_two_wake_at_once():
    """The second found its lock released already, and publishing raised."""
    waiter = ThreadWaiter(None)
    waiter._lock.release()
    waiter.wake()
    assert waiter.woken
    assert waiter.wait(0)

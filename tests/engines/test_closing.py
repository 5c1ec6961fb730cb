"""Logs on an engine are closed by whoever comes, from wherever that is."""

from __future__ import annotations

import asyncio
import os
import warnings
from contextlib import suppress

import pytest

import chanlog
from chanlog.engines.running import heeding

from ..support import LIMIT
from .conftest import only


def test_a_log_that_the_collector_finds_in_its_own_thread(harness):
    """It waited there for itself, for ever."""
    log = harness.connect()
    log.channel(harness.new_name()).subscribe().get(timeout=0.01)
    runner = log._runner
    thread = runner._thread
    assert thread is not None
    runner._loop.call_soon_threadsafe(log.close)
    thread.join(LIMIT)
    assert not thread.is_alive()
    with pytest.raises(chanlog.LogClosed):
        log.channel("a")
    runner._loop.close()


def test_a_child_of_a_fork_is_told_and_says_nothing_itself(harness):
    with harness.connect() as log:
        channel = log.channel(harness.new_name())
        channel.publish("a")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            status = 1
            try:
                channel.publish("b")
            except chanlog.ForkedProcess:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    log.__del__()
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert list(channel.replay().data()) == ["a"]


def test_one_log_in_many_loops(harness):
    """Each loop has connections of its own, and gives them back when it ends."""
    with harness.connect() as log:
        channel = log.channel(harness.new_name())

        async def body(number: int) -> int:
            return await channel.apublish(number)

        assert [asyncio.run(body(number)) for number in range(5)] == list(range(5))
        assert set(log._runner._sessions) <= {log._runner._loop}


def test_what_cannot_be_told_is_not_told(harness):
    with harness.connect() as log:
        able = log.capabilities
        for call in (log.sync, lambda: log.channel("a").publish(1, durable=True)):
            if able.durable:
                call()
            else:
                with pytest.raises(chanlog.Unsupported):
                    call()
        with pytest.raises(chanlog.Unsupported):
            log.statistics()
        with pytest.raises(chanlog.Unsupported) as raised:
            log.channel("a").configure(chanlog.Retention(bytes=7))
        assert (raised.value.engine, raised.value.feature) == (able.engine, "retention")


def test_nothing_begins_after_a_close(harness):
    """A reader that had looked before, and waited after, made a thread that nobody ended."""
    log = harness.connect()
    runner = log._runner
    reader = log.channel(harness.new_name()).subscribe()
    log.close()
    with pytest.raises(chanlog.LogClosed):
        reader._wait()
    assert runner._thread is None or not runner._thread.is_alive()


def test_what_is_under_way_in_another_loop_ends(harness):
    log = harness.connect(timeout=LIMIT)
    channel = log.channel(harness.new_name())
    channel.publish("a")

    async def body():
        assert await channel.apublish("b") == 1
        with harness.cut_network():
            publishing = asyncio.ensure_future(channel.apublish("c"))
            await asyncio.sleep(0.1)
            await log.aclose()
            with pytest.raises(chanlog.LogClosed):
                await publishing

    asyncio.run(asyncio.wait_for(body(), LIMIT / 2))
    with harness.connect() as again:
        assert list(again.channel(channel.name).replay().data()) == ["a", "b"]


@only("nats")
def test_a_reader_that_is_cancelled_leaves_nothing_behind(harness):
    """Each left a subscription and its task, when it was cancelled in the wrong moment."""

    async def body():
        log = await chanlog.aconnect(harness.server.url)
        channel = log.channel(harness.new_name())
        await channel.apublish_many(range(10))

        async def once(number):
            reader = channel.subscribe()
            with suppress(TimeoutError):
                async with asyncio.timeout(number % 20 * 0.0001):
                    await reader.aget()
            reader.close()

        for number in range(20):
            await once(number)
        await asyncio.sleep(0.1)
        before = len(asyncio.all_tasks())
        for number in range(200):
            await once(number)
        await asyncio.sleep(0.1)
        after = len(asyncio.all_tasks())
        await log.aclose()
        return before, after

    before, after = asyncio.run(body())
    assert after <= before + 2


def test_a_cancellation_that_a_client_has_lost_is_found():
    async def swallowing(error):
        try:
            await asyncio.sleep(LIMIT)
        except asyncio.CancelledError:
            if error is not None:
                raise error from None
        return "an answer"

    async def body(error):
        task = asyncio.ensure_future(heeding(swallowing(error)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body(None))
    asyncio.run(body(OSError("an answer that is an error")))

"""Logs on an engine are closed by whoever comes, from wherever that is."""

from __future__ import annotations

import asyncio
import os
import warnings

import pytest

import chanlog

from ..support import LIMIT


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

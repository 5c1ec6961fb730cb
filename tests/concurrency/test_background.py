"""The threads in the background: one of each, whatever happens while it is started."""

from __future__ import annotations

import threading

import pytest

import chanlog
from chanlog import log as log_module

from ..support import LIMIT, spawn, until


def started_and_interrupted(monkeypatch):
    """Let the next thread of chanlog's start, and a signal hit whoever has started it."""
    start = threading.Thread.start

    def signalled(thread):
        start(thread)
        if thread.name.startswith("chanlog-"):
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", signalled)


def of_chanlog():
    return [thread for thread in threading.enumerate() if thread.name.startswith("chanlog-")]


def test_a_signal_while_the_thread_is_started(disk, monkeypatch):
    """Nobody knew of the thread, so that the next append started another one; a close asked one of
    them to end and waited for the other, or left one behind."""
    log = disk.open(sync="interval", sync_interval=0.001)
    before = set(of_chanlog())
    started_and_interrupted(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        log.channel("w").publish(0)
    log.channel("w").publish(1)
    until(lambda: log.channel("w").info().durable_offset >= 1)
    spawn(log.close).result(LIMIT)
    until(lambda: set(of_chanlog()) <= before)


def test_one_thread_though_two_were_started(disk, monkeypatch):
    """The first had begun and not noted itself when the second was started."""
    log = disk.open(sync="os")
    background = log._committer._background
    with background._lock:
        late = spawn(background._run)
        monkeypatch.setattr(background, "thread", threading.current_thread(), raising=True)
    late.result(LIMIT)
    background.thread = None


def test_a_signal_in_the_middle_of_a_close(disk, monkeypatch):
    """The log passed for closed, so that closing it again did nothing, and nobody could open it."""
    log = disk.open()
    log.channel("w").publish(0)
    close_files = log_module.close_files

    def signalled(store):
        monkeypatch.setattr(log_module, "close_files", close_files)
        raise KeyboardInterrupt

    monkeypatch.setattr(log_module, "close_files", signalled)
    with pytest.raises(KeyboardInterrupt):
        log.close()
    log.close()
    with disk.open() as again:
        assert [message.data for message in again.channel("w").replay()] == [0]
    with pytest.raises(chanlog.LogClosed):
        log.channel("w").publish(1)

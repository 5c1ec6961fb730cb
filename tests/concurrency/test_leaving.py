"""Processes that end or are interrupted while somebody waits."""

from __future__ import annotations

import signal

import pytest

import chanlog

from ..support import finish, python, replayed, stop

BLOCKED = """
import sys, threading, chanlog
log = chanlog.open(sys.argv[1] or None)
channel = log.channel("w")
channel.publish("kept")

def consume():
    try:
        for message in channel.subscribe():
            print(message.data, flush=True)
    except chanlog.LogClosed:
        print("closed", flush=True)

thread = threading.Thread(target=consume, daemon=sys.argv[2] == "True")
thread.start()
while log.statistics().waiters < 1:
    pass
print("leaving", flush=True)
"""


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("where", ["disk", "memory"])
def test_the_interpreter_exits_with_a_blocked_consumer(tmp_path, daemon, where):
    path = tmp_path / "log" if where == "disk" else ""
    printed = finish(python(BLOCKED, path, daemon)).splitlines()
    assert printed[:2] == ["kept", "leaving"]
    if not daemon:
        assert printed == ["kept", "leaving", "closed"]
    if path:
        with chanlog.open(path) as log:
            assert replayed(log.channel("w")) == ["kept"]


IN_A_LOOP = """
import asyncio, sys, chanlog
log = chanlog.open(sys.argv[1])

async def consume():
    async for message in log.channel("w").subscribe():
        print(message.data, flush=True)

async def main():
    task = asyncio.create_task(consume())
    await log.channel("w").apublish("kept")
    while log.statistics().waiters < 1:
        await asyncio.sleep(0)

asyncio.run(main())
print("left", flush=True)
"""


def test_a_loop_ends_with_a_task_that_waits(tmp_path):
    assert finish(python(IN_A_LOOP, tmp_path / "log")) == "kept\nleft\n"
    with chanlog.open(tmp_path / "log") as log:
        assert replayed(log.channel("w")) == ["kept"]


INTERRUPTED = """
import sys, threading, chanlog
with chanlog.open(sys.argv[1] or None) as log:
    channel = log.channel("w")
    def tell():
        while log.statistics().waiters < 1:
            pass
        print("waiting", flush=True)
    with channel.subscribe() as reader:
        for n in range(5):
            teller = threading.Thread(target=tell)
            teller.start()
            try:
                reader.get(timeout=None if n % 2 else 1000)
            except KeyboardInterrupt:
                teller.join()
                channel.publish(n)
                print(reader.get(timeout=0).data, log.statistics().waiters, flush=True)
"""


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_waiting_thread_can_be_interrupted(tmp_path, where):
    """Ctrl-C reaches ``get``, and afterwards everything works."""
    process = python(INTERRUPTED, tmp_path / "log" if where == "disk" else "")
    try:
        for n in range(5):
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == f"{n} 0\n"
        finish(process)
    finally:
        stop(process)


LEFT_OPEN = """
import sys, chanlog
log = chanlog.open(sys.argv[1], sync=sys.argv[2])
for n in range(1000):
    log.channel("w").publish(n)
"""


@pytest.mark.parametrize("sync", ["always", "interval", "os"])
def test_a_log_that_nobody_closed_is_closed_at_exit(tmp_path, sync):
    finish(python(LEFT_OPEN, tmp_path / "log", sync))
    with chanlog.open(tmp_path / "log") as log:
        assert replayed(log.channel("w")) == list(range(1000))


PUBLISHING = """
import sys, threading, chanlog
log = chanlog.open(sys.argv[1])

def publish():
    threading.main_thread().join()
    n = 0
    try:
        while n < 1000:
            log.channel("w").publish(n)
            n += 1
    except chanlog.LogClosed:
        pass
    print(n, flush=True)

threading.Thread(target=publish, daemon=False).start()
"""


def test_a_publisher_that_outlives_the_main_thread(tmp_path):
    """Its messages are there, or it is told; nothing between."""
    count = int(finish(python(PUBLISHING, tmp_path / "log")))
    with chanlog.open(tmp_path / "log") as log:
        assert replayed(log.channel("w")) == list(range(count))

"""Interpreters that exit while consumers wait: real processes, each with a bound on its time."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from random import Random

import chanlog

from ...support import LIMIT, python, replayed, stop

__all__ = ["CONSUMERS", "ENDINGS", "leave"]

# What waits, each as the body of a function that is given the log and the channel.
CONSUMERS = {
    "get": "channel.subscribe(live=True).get()",
    "get with a limit": "channel.subscribe(live=True).get(timeout=1000)",
    "for": "for _ in channel.subscribe(): pass",
    "get of a type": "channel.subscribe(types={'never'}).get()",
    "cursor": "for message in channel.cursor('c'): pass",
    "cursor get": "channel.cursor('d').seek(1); channel.cursor('d').get()",
    "aget": "asyncio.run(channel.subscribe(live=True).aget())",
    "async for": "asyncio.run(walk(channel.subscribe()))",
    "async cursor": "asyncio.run(walk(channel.cursor('e')))",
    "many tasks": "asyncio.run(several(channel))",
    "executor of a loop": "asyncio.run(through_executor(channel))",
    "another log": "aopened().channel('x').subscribe().get()",
}

# How the main thread ends, with the exit code.
ENDINGS = {
    "falls off the end": ("", 0),
    "sys.exit": ("sys.exit(7)", 7),
    "raises": ("raise RuntimeError('planted')", 1),
    "interrupted": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(1000)", -signal.SIGINT),
    "closes first": ("log.close()", 0),
    "ends its channel": ("channel.end()", 0),
    "publishes first": ("channel.publish('more', type='other')", 0),
}

PROGRAM = """
import asyncio, os, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import chanlog
signal.signal(signal.SIGINT, signal.default_int_handler)
path, sync, how = sys.argv[1:4]
log = chanlog.open(path or None, sync=sync)
channel = log.channel("w")

async def walk(reader):
    async for _ in reader:
        pass

async def several(channel):
    await asyncio.gather(*(channel.subscribe(live=True).aget() for _ in range(20)))

async def through_executor(channel):
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, channel.subscribe(live=True).get)

def aopened():
    name = f"{path}-{threading.get_ident()}" if path else None
    other = asyncio.run(chanlog.aopen(name))
    opened.append(other)
    return other

opened = [log]

def consume():
    try:
        CONSUMER
    except (chanlog.LogClosed, chanlog.EndOfChannel):
        pass

channel.publish("kept", durable=True)
if how == "pool":
    pool = ThreadPoolExecutor()
    futures = [pool.submit(consume) for _ in range(2)]
else:
    for _ in range(2):
        threading.Thread(target=consume, daemon=how == "daemon").start()
while sum(some.statistics().waiters for some in opened) < 2:
    time.sleep(0.001)
print("leaving", flush=True)
ENDING
"""


def leave(random: Random, folder: Path) -> str:
    """One process with consumers that wait, which ends somehow; returns what it was. Raises
    ``AssertionError`` if it hangs, exits with another code, or what it published is not there."""
    consumer, ending = random.choice(list(CONSUMERS)), random.choice(list(ENDINGS))
    how = random.choice(["thread", "daemon", "pool"])
    on_disk = random.random() < 0.8
    sync = random.choice(["always", "interval", "os"])
    said = f"{consumer}, {how}, {ending}, {sync}, {'disk' if on_disk else 'memory'}"
    leave_so(consumer, ending, how, folder / "log" if on_disk else None, sync)
    return said


def leave_so(consumer: str, ending: str, how: str, path: Path | None, sync: str) -> None:
    """That process, chosen by hand."""
    line, code = ENDINGS[ending]
    program = PROGRAM.replace("CONSUMER", CONSUMERS[consumer]).replace("ENDING", line)
    process = python(program, path or "", sync, how)
    try:
        out, err = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"hangs: {consumer}, {how}, {ending}, {sync}") from None
    finally:
        stop(process)
    assert out == "leaving\n", err
    assert process.returncode == code, (consumer, how, ending, process.returncode, err)
    if code == 0:
        assert "Error" not in err, err
    if path is not None:
        with chanlog.open(path) as log:
            assert replayed(log.channel("w"))[0] == "kept"

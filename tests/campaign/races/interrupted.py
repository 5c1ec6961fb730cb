"""A process that is interrupted by real signals while it uses a log: the child of ``signals-real``.

``python -m tests.campaign.races.interrupted PATH COUNT SEED`` prints what it has found wrong.
"""

from __future__ import annotations

import contextlib
import faulthandler
import random
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import chanlog

HANG_SECONDS = 100.0
STEPS_MAX = 1_000
SECONDS_MIN, SECONDS_MAX = 30e-6, 400e-6


def raise_it(*_: object) -> None:
    raise KeyboardInterrupt


class User:
    """Publishes and reads in the one thread that gets the signals. Each payload is a new number,
    so that what was acknowledged, and what was published by a call that raised, can be told."""

    def __init__(self, log: chanlog.Log, chance: random.Random) -> None:
        self.log = log
        self.chance = chance
        self.channel = log.channel("a", sender="user")
        self.reader = self.channel.subscribe()
        self.typed = self.channel.subscribe(types={"t"})
        self.cursor = self.channel.cursor("c")
        self.number = 0
        self.acknowledged: list[tuple[int, int]] = []
        self.seen: list[chanlog.Message] = []
        self.seen_typed: list[chanlog.Message] = []
        self.ways: list[Callable[[], None]] = [
            self.publish, self.publish, self.publish, self.publish_durably, self.publish_many,
            self.frame, self.read, self.read, self.read_typed, self.commit, self.wait, self.list,
        ]  # fmt: skip

    def step(self) -> None:
        self.chance.choice(self.ways)()

    def _next(self, count: int = 1) -> int:
        number = self.number
        self.number = number + count
        return number

    def publish(self) -> None:
        number = self._next()
        type = "t" if number % 3 == 0 else None
        self.acknowledged.append((self.channel.publish(number, type=type), number))

    def publish_durably(self) -> None:
        number = self._next()
        self.acknowledged.append((self.channel.publish(number, durable=True), number))

    def publish_many(self) -> None:
        number = self._next(3)
        offsets = self.channel.publish_many(range(number, number + 3))
        self.acknowledged.extend(zip(offsets, range(number, number + 3), strict=True))

    def frame(self) -> None:
        number = self._next()
        with self.log.atomic() as frame:
            frame.publish("a", number)
            frame.publish("frames", number)
        self.acknowledged.append((frame.offsets[0], number))

    def read(self) -> None:
        # One expression: behind the call of a function in Python no signal is looked for.
        self.seen.append(self.reader.get(timeout=0))

    def read_typed(self) -> None:
        self.seen_typed.append(self.typed.get(timeout=0))

    def wait(self) -> None:
        self.seen.append(self.reader.get(timeout=1e-6))

    def commit(self) -> None:
        with contextlib.suppress(chanlog.CommitBehind, chanlog.UnknownOffset):
            self.cursor.commit(self.channel.info().end_offset - 1)

    def list(self) -> None:
        for name in list(self.log.channels()):
            self.log.channel(name).info()


def use(path: str, count: int, seed: int) -> list[str]:
    """Be interrupted ``count`` times, and say what is wrong then."""
    chance = random.Random(seed)
    wrong: list[str] = []
    log = chanlog.open(path, segment_bytes=64 * 1024, sync_interval=0.001)
    user = User(log, chance)
    user.publish()
    follower: list[chanlog.Message] = []

    def follow() -> None:
        follower.extend(log.channel("a").subscribe())

    others = [threading.Thread(target=follow, daemon=True)]
    others[0].start()
    signal.signal(signal.SIGALRM, raise_it)
    hits = 0
    while hits < count:
        try:
            while True:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(SECONDS_MIN, SECONDS_MAX))
                # Then once more: of a signal in the middle of a finalizer nobody hears.
                for _ in range(STEPS_MAX):
                    user.step()
        except KeyboardInterrupt:
            hits += 1
    end = user.channel.end()
    others[0].join(30)
    if others[0].is_alive():
        wrong.append("the thread that follows waits for ever")
    history = list(user.channel.replay())
    wrong += judge(user, history, end, follower)
    frames = [message.data for message in log.channel("frames").replay()]
    log.close()
    with chanlog.open(path) as again:
        if list(again.channel("a").replay()) != history:
            wrong.append("opening again shows something else")
        if not set(frames) <= {message.data for message in history}:
            wrong.append("half of a frame was written")
    return wrong


def judge(user: User, history: list[Any], end: int, follower: list[Any]) -> list[str]:
    """What is wrong with what was read."""
    wrong = []
    if [message.offset for message in history] != list(range(end)):
        wrong.append("the offsets are not dense")
    numbers = [message.data for message in history]
    if numbers != sorted(set(numbers)):
        wrong.append("a message is there twice, or out of order")
    for offset, number in user.acknowledged:
        if offset >= end or history[offset].data != number:
            wrong.append(f"{number} was acknowledged at {offset} and is not there")
            break
    if follower != history:
        wrong.append("the thread that follows has seen something else")
    for reader, seen, wanted in (
        (user.reader, user.seen, history),
        (user.typed, user.seen_typed, [message for message in history if message.type == "t"]),
    ):
        rest = [*filter(None, seen), *reader]
        if rest != wanted:
            wrong.append(f"a reader has seen {len(rest)} messages and not {len(wanted)}")
    if user.log.statistics().waiters:
        wrong.append("a waiter is left")
    return wrong


if __name__ == "__main__":
    # Where it hangs, if it does.
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
    found = use(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print("\n".join(found))
    raise SystemExit(1 if found else 0)

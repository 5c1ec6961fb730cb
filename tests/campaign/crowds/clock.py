"""A clock that jumps: back, forward, to 0, also while the log is closed."""

from __future__ import annotations

from pathlib import Path
from random import Random

import chanlog
from chanlog import Retention

from ...support import host_with

__all__ = ["jumpy_clock"]

SECOND = 1_000_000_000
JUMPS = (0, 1, -1, 5, -5, 3600, -3600, 10**6, -(10**6))
AGE = 60


class JumpyClock:
    """Nanoseconds since 1970, never below 0, which is where a machine without a battery begins.
    ``told_ns`` is the latest time it has told anybody."""

    def __init__(self, random: Random) -> None:
        self.now_ns = random.choice([0, 1_700_000_000 * SECOND])
        self.told_ns = 0
        self._random = random

    def __call__(self) -> int:
        self.told_ns = max(self.told_ns, self.now_ns)
        return self.now_ns

    def jump(self) -> None:
        """Somebody sets the clock."""
        if self._random.random() < 0.05:
            self.now_ns = 0
        else:
            self.now_ns = max(0, self.now_ns + self._random.choice(JUMPS) * SECOND)


def jumpy_clock(random: Random, path: Path, steps: int = 60) -> None:
    """Publish, reopen and compact under a jumping clock, and compare with what a list says.

    Held to: offsets are dense; times never decrease, and are the clock's unless it went back;
    ``since`` finds the first message that is not older, and all behind it; retention by age
    forgets nothing younger, by the latest time that anybody was told, and all that is older than
    the log's last message and the clock say.
    """
    clock = JumpyClock(random)
    options = {"host": host_with(clock), "background": False, "segment_bytes": 64 * 1024}
    log = chanlog.open(path, **options)
    log.channel("aged").configure(Retention(age=AGE))
    times: dict[str, list[int]] = {"kept": [], "aged": []}
    latest = 0
    try:
        for _ in range(steps):
            clock.jump()
            name = random.choice(list(times))
            channel = log.channel(name)
            kind = random.random()
            if kind < 0.6:
                told = clock.told_ns
                offset = channel.publish([len(times[name]), b"x" * random.randrange(3000)])
                assert offset == len(times[name])
                time = next(iter(channel.replay(offset))).time_ns
                assert max(latest, clock.now_ns) <= time <= clock.told_ns
                assert time == clock.now_ns or clock.now_ns < told
                latest = time
                times[name].append(time)
            elif kind < 0.7:
                log.close()
                clock.jump()
                log = chanlog.open(path, **options)
            elif kind < 0.85:
                log.compact()
                before = max(latest, clock.now_ns) - AGE * SECOND
                forgotten = sum(time < before for time in times["aged"])
                assert log.channel("aged").info().start_offset >= forgotten
            for name, expected in times.items():
                _check(log.channel(name), expected, clock.told_ns - AGE * SECOND, random)
    finally:
        log.close()


def _check(channel: chanlog.Channel, expected: list[int], before: int, random: Random) -> None:
    info = channel.info()
    start = info.start_offset
    assert info.end_offset == len(expected)
    assert all(time < before for time in expected[:start])
    assert not start or channel.name == "aged"
    read = list(channel.replay())
    numbers = list(range(start, len(expected)))
    assert [message.offset for message in read] == numbers
    assert [message.data[0] for message in read] == numbers
    assert [message.time_ns for message in read] == expected[start:]
    if expected:
        since = random.choice(expected) + random.choice([-1, 0, 1])
        behind = [n for n in numbers if expected[n] >= since]
        assert channel.subscribe(since=since).offset == (behind[0] if behind else len(expected))

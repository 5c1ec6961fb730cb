"""Closing, dying and coming back: what was acknowledged is there."""

from __future__ import annotations

import os
import random
import shutil

import pytest

import chanlog

from ..support import python, replayed, stop

SMALL = {"segment_bytes": 64 * 1024}


def test_everything_comes_back(disk):
    with disk.open(**SMALL) as log:
        channel = log.channel("w", sender="me")
        channel.publish({"x": 1}, type="t", key="k", headers={"h": 1})
        channel.publish_many([2, 3], type="u")
        before = list(channel.replay())
        info = channel.info()
    with disk.open(**SMALL) as log:
        channel = log.channel("w")
        assert list(channel.replay()) == before
        assert channel.info() == info or channel.info().durable_offset == 3
        assert (channel.info().created, channel.info().last) == (info.created, info.last)
        assert channel.publish(4) == 3


def test_many_channels(disk):
    draw = random.Random(7)
    names = [f"workflow-{n}" for n in range(500)]
    expected = {name: [] for name in names}
    for _ in range(4):
        with disk.open(**SMALL) as log:
            for name in draw.sample(names, 400):
                items = [[name, len(expected[name]) + n] for n in range(draw.randrange(1, 6))]
                if draw.random() < 0.5:
                    log.channel(name).publish_many(items)
                else:
                    for item in items:
                        log.channel(name).publish(item)
                expected[name] += items
            if draw.random() < 0.5:
                log.compact()
    with disk.open(**SMALL) as log:
        assert list(log.channels()) == sorted(name for name in names if expected[name])
        for name in names:
            assert replayed(log.channel(name)) == expected[name]
            assert log.channel(name).info().end_offset == len(expected[name])


def test_a_log_of_three_messages_is_a_small_directory(disk):
    with disk.open() as log:
        log.channel("w").publish_many([1, 2, 3])
    assert sum(file.stat().st_size for file in disk.path.rglob("*")) < 64 * 1024
    assert len(list(disk.path.rglob("*"))) < 10


def test_opening_and_closing_adds_nothing(disk):
    sizes = []
    for _ in range(5):
        with disk.open() as log:
            if not sizes:
                log.channel("w").publish(1)
        sizes.append(sum(file.stat().st_size for file in disk.path.rglob("*")))
    assert sizes[-1] <= sizes[1] + 4096


def test_the_size_of_segments_may_change(disk):
    for n, size in enumerate([64, 256, 64, 1024]):
        with disk.open(segment_bytes=size * 1024) as log:
            for m in range(200):
                log.channel("w").publish([n, m, "x" * 500])
    with disk.open() as log:
        assert [data[:2] for data in replayed(log.channel("w"))] == [
            [n, m] for n in range(4) for m in range(200)
        ]


def crash(disk, tmp_path):
    """What a killed process leaves: the directory as it is, while the log is still open."""
    shutil.copytree(disk.path, tmp_path / "crashed")
    return chanlog.open(tmp_path / "crashed", background=False, **SMALL)


@pytest.mark.parametrize("sync", ["always", "interval", "os"])
@pytest.mark.parametrize("count", [0, 1, 10, 500])
def test_a_crash_loses_nothing(disk, tmp_path, sync, count):
    log = disk.open(sync=sync, **SMALL)
    channel = log.channel("w")
    for n in range(count):
        channel.publish([n, "x" * 300])
        if n % 50 == 0:
            channel.publish_many([[n, "y"]] * 3)
            log.channel(f"other-{n}").publish(n)
            channel.cursor("c").commit(n)
    producer = channel.producer("p", epoch=2)
    producer.publish("produced")
    with crash(disk, tmp_path) as again:
        assert list(again.channels()) == list(log.channels())
        for name in log.channels():
            assert list(again.channel(name).replay()) == list(log.channel(name).replay())
        found, expected = again.channel("w").info(), channel.info()
        assert found.cursors == expected.cursors
        assert found.producers == expected.producers
        assert found.end_offset == expected.end_offset
        assert again.channel("w").publish("next") == expected.end_offset


def test_a_crash_is_reported_and_a_clean_close_is(disk, tmp_path):
    log = disk.open(**SMALL)
    log.channel("w").publish_many(range(10))
    with crash(disk, tmp_path) as again:
        assert again.recovery.clean is False
        assert again.recovery.damage == []
    with chanlog.open(tmp_path / "crashed") as again:
        assert again.recovery.clean is True


def test_a_crash_after_each_operation(disk, tmp_path):
    """Nothing is half done between two calls."""
    log = disk.open(**SMALL)

    def steps():
        one = log.channel("one")
        yield one.publish("a")
        yield one.publish_many("bcd")
        yield one.cursor("c").commit(1)
        yield one.fork("two", at=2)
        yield log.channel("two").publish("e")
        yield one.trim(before=1)
        yield one.configure(chanlog.Retention(count=9))
        yield one.end()
        yield log.channel("three").publish("x" * 100_000)
        yield log.compact()
        yield one.delete()
        yield log.compact()
        yield log.channel("one").publish("another life")

    for place, _ in enumerate(steps()):
        path = tmp_path / f"after-{place}"
        shutil.copytree(disk.path, path)
        with chanlog.open(path, background=False, **SMALL) as again:
            assert list(again.channels()) == list(log.channels())
            for name in log.channels():
                found, expected = again.channel(name), log.channel(name)
                assert list(found.replay()) == list(expected.replay())
                a, b = found.info(), expected.info()
                assert (a.start_offset, a.end_offset, a.ended, a.cursors, a.retention) == (
                    b.start_offset,
                    b.end_offset,
                    b.ended,
                    b.cursors,
                    b.retention,
                )
                assert (a.parent, a.created) == (b.parent, b.created)
        assert chanlog.verify(path).problems == []


KILLED = """
import sys, threading, chanlog
log = chanlog.open(sys.argv[1], sync=sys.argv[2], segment_bytes=64 * 1024)
lock = threading.Lock()

def say(text):
    with lock:
        sys.stdout.write(text)

def write(name):
    channel = log.channel(name)
    producer = log.channel("all").producer(name)
    n = 0
    while True:
        if n % 3 == 0:
            offsets = channel.publish_many([[name, n], [name, n + 1]])
        elif n % 3 == 1:
            offsets = [channel.publish([name, n, "x" * (n % 900)])]
        else:
            with log.atomic() as frame:
                frame.publish(channel, [name, n])
                frame.publish("frames", [name, n])
            offsets = [frame.offsets[0]]
        say(f"{name} {n} {offsets[-1]}\\n")
        producer.publish([name, n])
        n += 1

threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("sync", ["always", "interval", "os"])
@pytest.mark.parametrize("lines", [1, 40, 3000])
def test_what_a_killed_process_acknowledged_is_there(tmp_path, sync, lines):
    """SIGKILL at an arbitrary moment; each line it got out is an acknowledgement."""
    path = tmp_path / "log"
    process = python(KILLED, path, sync)
    told = []
    try:
        for _ in range(lines if sync != "always" else min(lines, 400)):
            told.append(process.stdout.readline())
        process.kill()
        told += process.stdout.readlines()
    finally:
        stop(process)
    last = {}
    for line in told:
        if line.endswith("\n"):
            name, n, offset = line.split()
            last[name] = (int(n), int(offset))
    with chanlog.open(path, background=False, **SMALL) as log:
        for name, (n, offset) in last.items():
            found = replayed(log.channel(name))
            assert len(found) > offset
            expected = []
            for m in range(n + 2):
                if m % 3 == 0:
                    expected += [[name, m], [name, m + 1]]
                elif m % 3 == 1:
                    expected.append([name, m, "x" * (m % 900)])
                else:
                    expected.append([name, m])
            assert found == expected[: len(found)]
            frames = [m for writer, m in replayed(log.channel("frames")) if writer == name]
            assert frames == list(range(2, 2 + 3 * len(frames), 3))
            assert len(frames) == len([m for m in range(_steps(len(found))) if m % 3 == 2])
            produced = log.channel("all").info().producers[name][1]
            assert produced in (n, n + 1, n + 2)
        log.channel("a").publish("on")
    assert chanlog.verify(path).problems == []


def _steps(messages: int) -> int:
    """How many steps of the writer made so many messages: they come as 2, 1, 1."""
    whole, rest = divmod(messages, 4)
    return whole * 3 + (0, 0, 1, 2)[rest]


def test_a_torn_tail_is_kept_aside_and_reported(disk, tmp_path):
    """Half of a record at the end, as a kill amid a system call leaves it."""
    log = disk.open(sync="os", **SMALL)
    channel = log.channel("w")
    for n in range(20):
        channel.publish([n, b"MARK" * 10])
    path = tmp_path / "crashed"
    shutil.copytree(disk.path, path)
    segment, position = find_last(path, b"MARK")
    with open(segment, "r+b") as file:
        file.seek(position)
        file.write(b"\x00" * 4)
    with chanlog.open(path, background=False, **SMALL) as again:
        assert len(again.recovery.torn) == 1
        torn = again.recovery.torn[0]
        assert os.path.exists(torn.kept_as)
        assert torn.start < position <= torn.stop
        assert replayed(again.channel("w")) == [[n, b"MARK" * 10] for n in range(19)]
        assert again.channel("w").publish("on") == 19
    with chanlog.open(path, background=False, **SMALL) as again:
        assert again.recovery.clean
        assert replayed(again.channel("w"))[-1] == "on"


def find_last(path, mark):
    """The file and position of the last occurrence of ``mark`` anywhere in a log."""
    places = []
    for file in path.rglob("*"):
        if file.is_file():
            position = file.read_bytes().rfind(mark)
            if position >= 0:
                places.append((file, position))
    assert places
    return max(places, key=lambda place: (place[0].stat().st_mtime_ns, place[1]))


def test_damage_below_the_durable_mark_raises_and_touches_nothing(disk, tmp_path):
    with disk.open(**SMALL) as log:
        channel = log.channel("w")
        for n in range(300):
            channel.publish([n, f"<{n:05}>" * 50], durable=n % 100 == 99)
    path = tmp_path / "damaged"
    shutil.copytree(disk.path, path)
    segment, position = find_last(path, b"<00042>")
    data = bytearray(segment.read_bytes())
    data[position] ^= 1
    segment.write_bytes(data)
    assert chanlog.verify(path).problems != []
    with pytest.raises(chanlog.CorruptionError) as caught:
        with chanlog.open(path, background=False, **SMALL) as log:
            replayed(log.channel("w"))
    error = caught.value
    assert os.path.samefile(error.path, segment)
    assert error.start <= position < error.stop
    assert error.channel == "w"
    assert error.first_offset <= 42 < error.stop_offset
    assert segment.read_bytes() == bytes(data)
    with chanlog.open(path, background=False, on_corruption="gap", **SMALL) as log:
        messages = list(log.channel("w").replay())
        (gap,) = [message for message in messages if isinstance(message, chanlog.Gap)]
        assert (gap.offset, gap.offset + gap.missing) == (error.first_offset, error.stop_offset)
        whole = [message for message in messages if not isinstance(message, chanlog.Gap)]
        lost = range(gap.offset, gap.offset + gap.missing)
        assert [message.offset for message in whole] == [n for n in range(300) if n not in lost]
        assert log.channel("w").publish("on") == 300


def test_a_compaction_is_closed_as_cleanly_as_anything(disk):
    """Published, closed, compacted, closed: the last close was once taken for a crash."""
    with disk.open(**SMALL) as log:
        log.channel("w").publish(1)
    with disk.open(**SMALL) as log:
        log.compact()
    with disk.open(**SMALL) as log:
        assert log.recovery.clean
        assert replayed(log.channel("w")) == [1]

"""History: ranges, batches, payloads alone."""

from __future__ import annotations

import asyncio

import pytest

import chanlog

from ..support import datas, offsets, replayed, run


@pytest.fixture
def mixed(channel):
    """Twenty messages, singles and batches between those of another channel."""
    n = 0
    for size in (1, 1, 5, 1, 7, 2, 3):
        items = list(range(n, n + size))
        channel.publish(items[0]) if size == 1 else channel.publish_many(items)
        n += size
    assert n == 20
    return channel


def ways(channel, start=None, stop=None):
    """The same history by every way there is."""
    replay = channel.replay(start, stop)

    async def walk():
        return [message async for message in replay]

    return [
        [message.data for message in replay],
        datas(run(walk())),
        [message.data for batch in replay.batches() for message in batch],
        list(replay.data()),
    ]


@pytest.mark.parametrize("start", [None, 0, 1, 3, 7, 8, 15, 19, 20])
@pytest.mark.parametrize("stop", [None, 0, 1, 4, 7, 12, 19, 20])
def test_every_range_by_every_way(mixed, start, stop):
    first = 0 if start is None else start
    last = 20 if stop is None else stop
    if first > last:
        return
    assert ways(mixed, start, stop) == [list(range(first, last))] * 4


def test_batches_are_not_empty_and_in_order(mixed):
    batches = list(mixed.replay(2, 18).batches())
    assert all(len(batch) > 0 for batch in batches)
    assert [message.offset for batch in batches for message in batch] == list(range(2, 18))
    assert all(isinstance(message, chanlog.Message) for batch in batches for message in batch)


def test_all_fields_by_every_way(log):
    channel = log.channel("w", sender="s")
    channel.publish(1, type="t", key="k", headers={"h": 1})
    channel.publish_many([2, 3], type="u", headers={"h": 2})
    singles = list(channel.replay())
    assert [m[3:] for m in singles] == [
        ("t", "k", {"h": 1}, "s"),
        ("u", None, {"h": 2}, "s"),
        ("u", None, {"h": 2}, "s"),
    ]
    assert [m for batch in channel.replay().batches() for m in batch] == singles
    assert [m.data for m in singles] == list(channel.replay().data())


def test_it_never_waits_and_stops_where_the_end_was(mixed):
    replay = mixed.replay()
    mixed.publish_many(["later"] * 5)
    assert list(replay.data()) == list(range(20))
    assert datas(replay) == list(range(20))
    assert len(replayed(mixed)) == 25


def test_it_can_be_walked_many_times(mixed):
    replay = mixed.replay(5)
    one, two = iter(replay), iter(replay)
    assert [next(one).data for _ in range(6)] == [5, 6, 7, 8, 9, 10]
    assert next(two).data == 5
    assert list(replay.data()) == list(range(5, 20))
    assert datas(one) == list(range(11, 20))


def test_a_channel_that_does_not_exist_has_no_history(channel):
    assert ways(channel) == [[]] * 4


def test_an_ended_channel_has_its_history(mixed):
    mixed.end()
    assert ways(mixed) == [list(range(20))] * 4


def test_it_starts_at_the_first_readable(mixed):
    mixed.trim(before=9)
    assert ways(mixed) == [list(range(9, 20))] * 4
    assert ways(mixed, 9, 12) == [[9, 10, 11]] * 4


@pytest.mark.parametrize("way", ["messages", "batches", "data"])
def test_what_was_trimmed_is_said_and_not_skipped(mixed, way):
    mixed.trim(before=9)
    with pytest.raises(chanlog.OffsetTrimmed) as caught:
        replay = mixed.replay(8)
        list({"messages": replay, "batches": replay.batches(), "data": replay.data()}[way])
    assert caught.value.start_offset == 9


def test_a_start_in_the_future(mixed, face):
    with pytest.raises(chanlog.UnknownOffset) as caught:
        list(face(mixed).replay(21))
    assert caught.value.end_offset == 20


def test_a_start_of_a_channel_that_does_not_exist(channel):
    with pytest.raises(chanlog.UnknownOffset):
        list(channel.replay(1))


@pytest.mark.parametrize("compacted", [False, True])
def test_interleaved_channels_over_many_segments(store, compacted):
    with store.open(segment_bytes=64 * 1024) as log:
        channels = [log.channel(f"w{n}") for n in range(7)]
        for n in range(300):
            for place, channel in enumerate(channels):
                if (n + place) % 5:
                    channel.publish([place, n, "x" * 80])
                else:
                    channel.publish_many([[place, n, "x" * 80]] * 3)
        if compacted:
            log.compact()
        for place, channel in enumerate(channels):
            expected = [
                [place, n, "x" * 80] for n in range(300) for _ in range(1 if (n + place) % 5 else 3)
            ]
            assert ways(channel) == [expected] * 4
            assert ways(channel, 100, 301) == [expected[100:301]] * 4
            assert offsets(channel.replay(250, 260)) == list(range(250, 260))


def test_a_reader_in_the_middle_of_a_compaction_is_undisturbed(store):
    """Clustering moves what is being read; nobody who reads it may notice."""
    with store.open(segment_bytes=64 * 1024) as log:
        channel, noise = log.channel("w"), log.channel("noise")
        for n in range(600):
            channel.publish([n, "x" * 300])
            noise.publish("y" * 300)
        messages, payloads = iter(channel.replay()), channel.replay().data()
        batches, live = channel.replay().batches(), channel.subscribe()
        seen = [[next(messages).data[0]], [next(payloads)[0]], [], [live.get(timeout=0).data[0]]]
        seen[2] += [message.data[0] for message in next(batches)]
        noise.delete()
        log.compact()
        log.compact()
        channel.end()
        seen[0] += [message.data[0] for message in messages]
        seen[1] += [data[0] for data in payloads]
        seen[2] += [message.data[0] for batch in batches for message in batch]
        seen[3] += [message.data[0] for message in live]
        assert seen == [list(range(600))] * 4


@pytest.mark.parametrize("how", ["trim", "delete"])
def test_a_reader_in_the_middle_of_what_goes_away(store, how):
    """It finishes, or is told; it never skips."""
    with store.open(segment_bytes=64 * 1024) as log:
        channel = log.channel("w")
        for n in range(600):
            channel.publish([n, "x" * 300])
        replay = iter(channel.replay())
        seen = [next(replay).data[0] for _ in range(10)]
        if how == "trim":
            channel.trim(before=590)
        else:
            channel.delete()
        log.compact()
        try:
            seen += [message.data[0] for message in replay]
        except (chanlog.OffsetTrimmed, chanlog.ChannelDeleted):
            assert seen == list(range(len(seen)))
        else:
            assert seen == list(range(600))


def test_a_walk_in_a_loop_lets_others_run(channel):
    for _ in range(20):
        channel.publish_many(range(500))

    async def main():
        turns = 0
        walking = True

        async def other():
            nonlocal turns
            while walking:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        count = 0
        async for _ in channel.replay():
            count += 1
        walking = False
        await task
        return count, turns

    count, turns = run(main())
    assert count == 10_000
    assert turns > 5


def test_it_says_what_it_is(channel):
    channel.publish_many(range(5))
    assert repr(channel.replay(1, 4)) == "<Replay 'workflow-42' 1:4>"

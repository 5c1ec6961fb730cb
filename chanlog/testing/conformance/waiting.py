"""Waiting: a reader that waits is woken, and one that gives up loses nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from ...errors import ChannelDeleted, EndOfChannel, HandleClosed, LogClosed
from ...interface import Channel, Log
from ...message import Message
from ..harness import Harness
from .base import LIMIT_SECONDS, Face, Scenarios, datas, gather, run, spawn, take, until

__all__ = ["Waiting"]


class Waiting(Scenarios):
    """Whoever waits is told, and whoever stops waiting finds its message still next."""

    def test_a_waiting_reader_is_woken(self, channel: Channel, face: Face) -> None:
        """A reader that waits without a time-out gets what another thread publishes."""
        reader = channel.subscribe()
        waiting = spawn(face(reader).get, timeout=LIMIT_SECONDS)
        channel.publish("wake up")
        message = waiting.result(LIMIT_SECONDS)
        assert message is not None and message.data == "wake up"

    def test_many_waiting_readers_are_all_woken(self, channel: Channel) -> None:
        """One message wakes every reader of its channel, threads and tasks alike."""
        threads = [spawn(take, channel.subscribe(), 1) for _ in range(5)]
        readers = [channel.subscribe() for _ in range(5)]

        async def tasks() -> list[object]:
            waiting = [asyncio.create_task(r.aget(timeout=LIMIT_SECONDS)) for r in readers]
            await asyncio.sleep(0)
            await channel.apublish("wake up")
            return [message and message.data for message in await asyncio.gather(*waiting)]

        assert run(tasks()) == ["wake up"] * 5
        assert [datas(messages) for messages in gather(threads)] == [["wake up"]] * 5

    def test_a_reader_of_another_channel_is_not_disturbed(self, log: Log, harness: Harness) -> None:
        """A message of one channel is not handed to a reader of another."""
        mine, other = log.channel(harness.new_name()), log.channel(harness.new_name())
        waiting = spawn(mine.subscribe().get, timeout=LIMIT_SECONDS)
        other.publish("not for you")
        mine.publish("for you")
        message = waiting.result(LIMIT_SECONDS)
        assert message is not None and message.data == "for you"

    def test_a_time_out_loses_nothing(self, channel: Channel, face: Face) -> None:
        """``get`` returns ``None`` when time is up; what comes afterwards is still next."""
        reader = channel.subscribe()
        assert face(reader).get(timeout=0) is None
        assert face(reader).get(timeout=0.01) is None
        channel.publish_many("ab")
        assert face(reader).get(timeout=LIMIT_SECONDS).data == "a"
        assert face(reader).get(timeout=0).data == "b"

    def test_time_outs_against_a_writer_lose_nothing(self, channel: Channel, face: Face) -> None:
        """Reads that run out of time while messages come in miss none of them."""

        def write() -> None:
            for number in range(100):
                channel.publish(number)

        reader, seen = channel.subscribe(), list[object]()
        writing = spawn(write)
        while not (writing.done() and len(seen) >= 100):
            message = face(reader).get(timeout=0.0005)
            if message is not None:
                seen.append(message.data)
            elif writing.done():
                seen += datas(take(reader, 100 - len(seen)))
        writing.result()
        assert seen == list(range(100))

    def test_a_cancelled_read_loses_nothing(self, channel: Channel) -> None:
        """A task that is cancelled while it waits leaves its message to the next read, at
        whatever moment the cancellation comes."""

        async def body() -> list[object]:
            reader, seen = channel.subscribe(), []
            for number in range(60):
                task = asyncio.create_task(reader.aget())
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                publishing = asyncio.create_task(channel.apublish(number))
                for _ in range(number % 5):
                    await asyncio.sleep(0)
                task.cancel()
                await publishing
                with suppress(asyncio.CancelledError):
                    message = await task
                    assert message is not None
                    seen.append(message.data)
            while len(seen) < 60:
                message = await reader.aget(timeout=LIMIT_SECONDS)
                assert message is not None
                seen.append(message.data)
            return seen

        assert run(body()) == list(range(60))

    def test_waiting_with_wait_for_loses_nothing(self, channel: Channel) -> None:
        """``asyncio.wait_for`` around ``aget`` is a time-out like any other."""

        async def body() -> list[object]:
            reader, seen = channel.subscribe(), []
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.aget(), 0.02)
            await channel.apublish_many("abc")
            for _ in range(3):
                message = await asyncio.wait_for(reader.aget(), LIMIT_SECONDS)
                seen.append(message and message.data)
            return seen

        assert run(body()) == ["a", "b", "c"]

    def test_a_reader_goes_from_a_thread_to_a_task(self, channel: Channel) -> None:
        """One subscription may be read from a thread and then from a loop, or from two loops."""
        channel.publish_many(range(6))
        reader = channel.subscribe()
        seen = datas(take(reader, 2))
        for _ in range(2):
            message = run(reader.aget(timeout=LIMIT_SECONDS))
            assert message is not None
            seen.append(message.data)
        assert seen + datas(take(reader, 2)) == list(range(6))

    def test_ready_tells_whether_get_would_answer(self, channel: Channel) -> None:
        """``ready`` is false while nothing is there, turns true with a message, and never takes
        one."""
        reader = channel.subscribe()
        assert reader.ready is False
        channel.publish("a")
        until(lambda: reader.ready, "a reader with a message is ready")
        message = reader.get(timeout=0)
        assert message is not None and message.data == "a"
        assert reader.ready is False

    def test_ready_with_a_filter(self, channel: Channel) -> None:
        """With a filter only a message that passes makes a reader ready."""
        reader = channel.subscribe(types={"stop"})
        channel.publish_many(range(50), type="token")
        assert reader.get(timeout=0) is None
        assert reader.ready is False
        channel.publish("now", type="stop")
        until(lambda: reader.ready, "a reader with a message that passes is ready")
        assert datas(take(reader, 1)) == ["now"]

    def test_close_wakes_a_reader(self, channel: Channel, face: Face) -> None:
        """Closing a subscription from another thread ends its waiting with ``HandleClosed``."""
        reader = channel.subscribe()
        waiting = spawn(face(reader).get)
        reader.close()
        with pytest.raises(HandleClosed):
            waiting.result(LIMIT_SECONDS)

    def test_close_ends_a_loop(self, channel: Channel, face: Face) -> None:
        """A loop over a subscription that is closed meanwhile simply ends."""
        channel.publish_many("ab")
        reader, seen = channel.subscribe(), list[Message]()
        walking = spawn(face.walk, reader, seen)
        until(lambda: len(seen) == 2, "the loop has read what is there")
        reader.close()
        assert datas(walking.result(LIMIT_SECONDS)) == ["a", "b"]

    def test_closing_the_log_wakes_a_reader(self, log: Log, channel: Channel, face: Face) -> None:
        """Closing the log ends the waiting of its readers with ``LogClosed``."""
        waiting = spawn(face(channel.subscribe()).get)
        log.close()
        with pytest.raises(LogClosed):
            waiting.result(LIMIT_SECONDS)
        with pytest.raises(LogClosed):
            channel.publish("too late")

    def test_the_end_wakes_a_reader(self, channel: Channel, face: Face) -> None:
        """The end of a channel ends the waiting of its readers with ``EndOfChannel``."""
        waiting = spawn(face(channel.subscribe()).get)
        channel.end()
        with pytest.raises(EndOfChannel):
            waiting.result(LIMIT_SECONDS)

    def test_deletion_wakes_a_reader(self, channel: Channel, face: Face) -> None:
        """The deletion of a channel ends the waiting of its readers with ``ChannelDeleted``."""
        channel.publish("a")
        reader = channel.subscribe()
        take(reader, 1)
        waiting = spawn(face(reader).get)
        channel.delete()
        with pytest.raises(ChannelDeleted):
            waiting.result(LIMIT_SECONDS)

    def test_a_slow_reader_delays_nobody(self, channel: Channel) -> None:
        """A reader that stands still costs the publisher nothing, and finds all when it goes on."""
        slow, fast = channel.subscribe(), channel.subscribe()
        channel.publish(0)
        take(slow, 1)
        for number in range(1, 500):
            channel.publish(number)
        assert len(take(fast, 500)) == 500
        assert datas(take(slow, 499)) == list(range(1, 500))

    def test_a_loop_follows_until_the_end(self, channel: Channel, face: Face) -> None:
        """``for`` and ``async for`` give history, then what comes, and stop when it ends."""
        channel.publish_many("ab")
        walking = spawn(face.walk, channel.subscribe())
        channel.publish_many("cd")
        channel.end()
        assert datas(walking.result(LIMIT_SECONDS)) == ["a", "b", "c", "d"]

    def test_a_blocked_reader_does_not_block_a_loop(self, channel: Channel) -> None:
        """A task that waits lets the others of its loop run."""

        async def body() -> object:
            reading = asyncio.create_task(channel.subscribe().aget(timeout=LIMIT_SECONDS))
            for _ in range(100):
                await asyncio.sleep(0)
            assert not reading.done()
            await channel.apublish("after a hundred turns")
            message = await reading
            return message and message.data

        assert run(body()) == "after a hundred turns"

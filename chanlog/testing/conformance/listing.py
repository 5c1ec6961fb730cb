"""Listing: which channels there are, and that many of them are cheap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ...errors import InvalidName, Unsupported
from ...interface import Channel, Log
from ..harness import Harness
from .base import Scenarios, datas, run

__all__ = ["Listing"]

MANY = 10_000


class Listing(Scenarios):
    """A log says which channels exist, sorted."""

    def test_channels_are_listed_by_prefix(self, log: Log, harness: Harness) -> None:
        """Those whose names begin with it, sorted by their text, ended ones included."""
        name = harness.new_name()
        for suffix in ("/b", "/a", "/a/1", "x", "/\u00e9"):
            log.channel(name + suffix).publish(suffix)
        log.channel(name + "/a").end()
        assert list(log.channels(prefix=name + "/")) == [
            name + suffix for suffix in ("/a", "/a/1", "/b", "/\u00e9")
        ]
        assert list(log.channels(prefix=name + "/nobody")) == []

    def test_channels_are_listed_by_pattern(self, log: Log, harness: Harness) -> None:
        """A shell pattern with ``*``, ``?`` and ``[...]``; what else a pattern of the engine may
        mean, it does not mean here."""
        name = harness.new_name()
        for suffix in ("-1", "-2", "-10", ".1", "-x"):
            log.channel(name + suffix).publish(suffix)
        assert list(log.channels(pattern=name + "-?")) == [name + s for s in ("-1", "-2", "-x")]
        assert list(log.channels(pattern=name + "-[0-9]*")) == [
            name + s for s in ("-1", "-10", "-2")
        ]
        assert list(log.channels(pattern=name + ".?")) == [name + ".1"]
        assert list(log.channels(prefix=name + "-1", pattern="*0")) == [name + "-10"]

    def test_channels_are_listed_in_an_event_loop(self, log: Log, harness: Harness) -> None:
        """``achannels`` gives what ``channels`` gives."""
        name = harness.new_name()
        for suffix in "cab":
            log.channel(name + suffix).publish(suffix)

        async def names() -> list[str]:
            return [found async for found in log.achannels(prefix=name)]

        assert run(names()) == [name + suffix for suffix in "abc"]

    def test_an_address_is_not_a_channel(self, log: Log, harness: Harness) -> None:
        """Opening an address, or waiting on it, creates nothing."""
        channel = log.channel(harness.new_name())
        channel.subscribe().get(timeout=0)
        channel.cursor("worker")
        assert list(log.channels(prefix=channel.name)) == []

    @pytest.mark.parametrize(
        "name", ["", "line\nend", "x" * 513, 7], ids=["empty", "control", "long", "int"]
    )
    def test_names_that_cannot_be(self, log: Log, name: str) -> None:
        """``InvalidName`` for what is empty, too long, no text, or holds control characters."""
        with pytest.raises(InvalidName):
            log.channel(name)

    def test_a_long_name(self, log: Log, harness: Harness) -> None:
        """512 bytes of UTF-8 are a name."""
        name = harness.new_name().ljust(512, "x")
        log.channel(name).publish("a")
        assert datas(log.channel(name).replay()) == ["a"]
        assert list(log.channels(prefix=name)) == [name]

    def test_ten_thousand_small_channels(self, log: Log, harness: Harness) -> None:
        """Ten thousand channels of two messages each are listed, and each has its own."""
        prefix = harness.new_name("many") + "/"

        async def fill(worker: int) -> None:
            for number in range(worker, MANY, 100):
                channel = log.channel(f"{prefix}{number:05}")
                await channel.apublish(number)
                await channel.apublish(-number)

        async def fill_all() -> None:
            await asyncio.gather(*(fill(worker) for worker in range(100)))

        run(fill_all())
        names = list(log.channels(prefix=prefix))
        assert names == [f"{prefix}{number:05}" for number in range(MANY)]
        for number in range(0, MANY, 997):
            assert datas(log.channel(names[number]).replay()) == [number, -number]

    def test_capabilities_are_told(self, log: Log) -> None:
        """A log says what it can do: always the same, and in the words of the interface."""
        capabilities = log.capabilities
        assert capabilities.engine
        assert log.capabilities == capabilities
        assert capabilities.retention <= {"age", "count", "bytes", "ttl", "expires_at"}

    def test_what_it_cannot_do_it_says(self, log: Log, channel: Channel) -> None:
        """What a capability denies raises ``Unsupported``, which names engine and feature, rather
        than to do half of it."""
        channel.publish("a")
        uses: dict[str, Callable[[], object]] = {
            "frames": log.atomic,
            "forks": lambda: channel.fork(channel.name + "-fork"),
            "producers": lambda: channel.producer("agent"),
            "groups": lambda: channel.group("workers"),
        }
        lacking = [name for name in uses if not getattr(log.capabilities, name)]
        for name in lacking:
            with pytest.raises(Unsupported) as caught:
                uses[name]()
            assert (caught.value.engine, caught.value.feature) == (log.capabilities.engine, name)
        if not lacking:
            pytest.skip(f"{log.capabilities.engine} lacks none of {', '.join(uses)}")

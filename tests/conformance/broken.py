"""Backends that are broken on purpose, each with the scenario that finds it.

Wrapped around the embedded log, as a backend of one's own would be. Nobody collects this file;
``test_kit.py`` runs what it wants of it in a process of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import chanlog
from chanlog.testing.conformance import Contract
from chanlog.testing.embedded import DiskHarness, MemoryHarness
from chanlog.testing.harness import Harness

CAUGHT_BY: dict[str, str] = {}


class Wrapped:
    """What it is wrapped around, but for what a subclass breaks."""

    def __init__(self, target: Any, log: Any = None) -> None:
        self.target = target
        self.log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)

    def __enter__(self) -> Any:
        self.target.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self.target.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self.target)

    def __aiter__(self) -> Any:
        return self.target.__aiter__()


class Channel(Wrapped):
    """A channel whose readers, cursors and producers can be broken."""

    Reader: Callable[..., Any] = Wrapped
    Cursor: Callable[..., Any] = Wrapped
    Producer: Callable[..., Any] = Wrapped
    Group: Callable[..., Any] = Wrapped

    def subscribe(self, **options: Any) -> Any:
        return self.Reader(self.target.subscribe(**options), self)

    def cursor(self, name: str) -> Any:
        return self.Cursor(self.target.cursor(name), self)

    def producer(self, name: str, *, epoch: int = 0) -> Any:
        return self.Producer(self.target.producer(name, epoch=epoch), self)

    def group(self, name: str, **options: Any) -> Any:
        return self.Group(self.target.group(name, **options), self)


class Log(Wrapped):
    """A log whose channels and frames can be broken."""

    Channel: type[Channel] = Channel
    Frame: type[Wrapped] | None = None

    def channel(self, name: str, **options: Any) -> Any:
        return self.Channel(self.target.channel(name, **options), self)

    def atomic(self, **options: Any) -> Any:
        if self.Frame is not None:
            return self.Frame(self.target.atomic(**options), self)
        return Frame(self.target.atomic(**options), self)


class Frame(Wrapped):
    """The real one, which knows the real channels only."""

    def publish(self, channel: Any, data: Any, **options: Any) -> None:
        self.target.publish(getattr(channel, "target", channel), data, **options)


class Broken(Contract):
    """The contract, held against ``Broken.Log``."""

    Log: type[Log] = Log
    Harness: type[Any] = MemoryHarness

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[Harness]:
        folder = [tmp_path] if issubclass(self.Harness, DiskHarness) else []
        harness = self.Harness(*folder)
        connect = harness.connect
        harness.connect = lambda **options: self.Log(connect(**options))
        yield harness
        harness.close()


class TestSound(Broken):
    """Broken in nothing: what finds the others passes here."""


class TestSoundOnDisk(Broken):
    """The same on disk."""

    Harness = DiskHarness


def broken(scenario: str, harness: type[Harness] = MemoryHarness, **parts: Any) -> type[Broken]:
    """A test class for a log that is broken in ``parts`` and is found by ``scenario``."""
    assert hasattr(Contract, scenario), scenario
    channel = type("BrokenChannel", (parts.pop("Channel", Channel),), {})
    log = type("BrokenLog", (Log,), {"Channel": channel, "Frame": parts.pop("Frame", None)})
    for name, part in parts.items():
        setattr(channel, name, part)
    return type("TestBroken", (Broken,), {"Log": log, "Harness": harness, "scenario": scenario})


class _LosesACommit(Wrapped):
    def commit(self, message: Any, **options: Any) -> None:
        """As if it had been written down."""


class _CommitsWhenItReads(Wrapped):
    def get(self, timeout: float | None = None) -> Any:
        message = self.target.get(timeout)
        if message is not None:
            self.target.commit(message)
        return message


class _CommitsBackwards(Wrapped):
    def commit(self, message: Any, **options: Any) -> None:
        offset = message if isinstance(message, int) else message.offset
        self.target.seek(offset + 1)


class _Doubles(Wrapped):
    def publish(self, data: Any, *, sequence: Any = None, **options: Any) -> Any:
        return self.target.publish(data, **options)


class _NeverFences(Wrapped):
    def publish(self, data: Any, **options: Any) -> Any:
        try:
            return self.target.publish(data, **options)
        except chanlog.ProducerFenced:
            return self.log.publish(data)


class _Drops(Wrapped):
    """A task of its own reads, and nobody takes what it has when the reader has gone."""

    async def aget(self, timeout: float | None = None) -> Any:
        return await asyncio.shield(asyncio.ensure_future(self.target.aget(timeout)))


class _EndsEarly(Wrapped):
    def get(self, timeout: float | None = None) -> Any:
        if self.log.info().ended:
            raise chanlog.EndOfChannel("over", channel=self.log.name, end_offset=0)
        return self.target.get(timeout)


class _SkipsInSilence(Wrapped):
    def get(self, timeout: float | None = None) -> Any:
        try:
            return self.target.get(timeout)
        except chanlog.OffsetTrimmed as error:
            self.target.seek(error.start_offset)
            return self.target.get(timeout)


class _NeverWaits(Wrapped):
    def get(self, timeout: float | None = None) -> Any:
        return self.target.get(0)


class _ReadyTooEarly(Wrapped):
    @property
    def ready(self) -> bool:
        return True


class _ForgetsHeaders(Channel):
    def publish(self, data: Any, *, headers: Any = None, **options: Any) -> Any:
        return self.target.publish(data, **options)


class _ForgetsTypes(Channel):
    def publish_many(self, items: Any, *, type: Any = None, **options: Any) -> Any:
        return self.target.publish_many(items, **options)


class _Reorders(Channel):
    def publish_many(self, items: Any, **options: Any) -> Any:
        return self.target.publish_many(list(items)[::-1], **options)


class _OneByOne(Channel):
    def publish_many(self, items: Any, **options: Any) -> Any:
        return [self.target.publish(item, **options) for item in items]


class _TextForBytes(Channel):
    def publish(self, data: Any, **options: Any) -> Any:
        data = data.decode("latin-1") if isinstance(data, bytes) else data
        return self.target.publish(data, **options)


class _ExpectsNothing(Channel):
    def publish(self, data: Any, *, expect: Any = None, **options: Any) -> Any:
        return self.target.publish(data, **options)


class _FindsAnother(Channel):
    """It goes by the name, so what was deleted is written to under its name anew."""

    def publish(self, data: Any, **options: Any) -> Any:
        return self.log.target.channel(self.target.name).publish(data, **options)


class _LiveFromTheStart(Channel):
    def subscribe(self, *, live: bool = False, **options: Any) -> Any:
        return self.target.subscribe(**options)


class _Echoes(Channel):
    def subscribe(self, *, echo: bool = True, **options: Any) -> Any:
        return self.target.subscribe(**options)


class _OneTooMany(Channel):
    def subscribe(self, *, after: int | None = None, **options: Any) -> Any:
        after = after - 1 if after else after
        return self.target.subscribe(after=after, **options)


class _Unaware(Wrapped):
    """A group whose deliveries are broken in ``Delivery``."""

    Delivery: type[Wrapped] = Wrapped

    def get(self, timeout: float | None = None) -> Any:
        delivery = self.target.get(timeout)
        return delivery and self.Delivery(delivery)


class _LosesAnAck(_Unaware):
    class Delivery(Wrapped):
        def ack(self) -> None:
            """As if it had been written down."""


class _GivesNothingBack(_Unaware):
    class Delivery(Wrapped):
        def nak(self, delay: float = 0) -> None:
            """The lease will see to it."""


class _CountsNothing(_Unaware):
    class Delivery(Wrapped):
        deliveries = 1


class _IgnoresKeys(Channel):
    def group(self, name: str, *, by_key: bool = False, **options: Any) -> Any:
        return self.target.group(name, **options)


class _SharesNothing(Channel):
    def group(self, name: str, **options: Any) -> Any:
        self.log.count = getattr(self.log, "count", 0) + 1
        return self.target.group(f"{name}-{self.log.count}", **options)


class _GivesNothingUp(Channel):
    def group(self, name: str, *, deliveries_max: Any = None, **options: Any) -> Any:
        return self.target.group(name, **options)


class _AtOnce(Frame):
    def publish(self, channel: Any, data: Any, **options: Any) -> None:
        self.log.channel(getattr(channel, "name", channel)).publish(data, **options)


class _Forgets(DiskHarness):
    def crash(self) -> None:
        self.reset()


class _AcknowledgesTooEarly(DiskHarness):
    def publish_until_crash(self, name: str, count: int) -> list[int]:
        acknowledged = super().publish_until_crash(name, count)
        return [*acknowledged, acknowledged[-1] + 2]


class _KeepsTooLittle(MemoryHarness):
    def retain(self, log: Any) -> None:
        log.compact()
        for name in log.channels():
            channel = log.channel(name)
            channel.trim(channel.info().end_offset - 5)


class _NeverRetains(MemoryHarness):
    def retain(self, log: Any) -> None:
        """As if nothing had to go."""


TestLosesACommit = broken("test_it_resumes_behind_what_was_committed", Cursor=_LosesACommit)
TestCommitsWhenItReads = broken(
    "test_what_was_not_committed_comes_again", Cursor=_CommitsWhenItReads
)
TestCommitsBackwards = broken(
    "test_committing_again_is_fine_and_less_is_not", Cursor=_CommitsBackwards
)
TestDoublesOnRetry = broken("test_a_retry_is_not_doubled", Producer=_Doubles)
TestNeverFences = broken("test_an_older_epoch_is_fenced", Producer=_NeverFences)
TestDropsAtCancel = broken("test_a_cancelled_read_loses_nothing", Reader=_Drops)
TestEndsEarly = broken("test_the_end_comes_behind_the_last_message", Reader=_EndsEarly)
TestSkipsInSilence = broken("test_trim_under_a_reader", Reader=_SkipsInSilence)
TestNeverWaits = broken("test_a_waiting_reader_is_woken", Reader=_NeverWaits)
TestReadyTooEarly = broken("test_ready_tells_whether_get_would_answer", Reader=_ReadyTooEarly)
TestForgetsHeaders = broken("test_a_message_comes_back_whole", Channel=_ForgetsHeaders)
TestForgetsTypes = broken("test_many_share_what_is_given", Channel=_ForgetsTypes)
TestReorders = broken("test_many_are_published_in_order", Channel=_Reorders)
TestOneByOne = broken("test_many_are_all_or_nothing", Channel=_OneByOne)
TestTextForBytes = broken("test_a_value_comes_back_as_it_was", Channel=_TextForBytes)
TestExpectsNothing = broken("test_another_end_is_refused", Channel=_ExpectsNothing)
TestFindsAnother = broken("test_delete_and_recreate", Channel=_FindsAnother)
TestLiveFromTheStart = broken("test_a_live_reader_gets_only_what_comes", Channel=_LiveFromTheStart)
TestEchoes = broken("test_without_an_echo", Channel=_Echoes)
TestOneTooMany = broken("test_a_reader_after_an_offset", Channel=_OneTooMany)
TestLosesAnAck = broken("test_what_is_done_never_comes_again", Group=_LosesAnAck)
TestGivesNothingBack = broken("test_given_back_comes_again", Group=_GivesNothingBack)
TestCountsNothing = broken("test_redelivery_after_the_lease", Group=_CountsNothing)
TestIgnoresKeys = broken("test_a_key_is_handled_in_order", Channel=_IgnoresKeys)
TestSharesNothing = broken("test_consumers_share", Channel=_SharesNothing)
TestGivesNothingUp = broken("test_a_dead_letter", Channel=_GivesNothingUp)
TestFramesAtOnce = broken("test_a_frame_that_raises_writes_nothing", Frame=_AtOnce)
TestForgetsAtACrash = broken("test_a_crash_loses_nothing", _Forgets)
TestAcknowledgesTooEarly = broken("test_a_crash_in_the_middle_of_publishing", _AcknowledgesTooEarly)
TestKeepsTooLittle = broken("test_count_keeps_the_newest", _KeepsTooLittle)
TestNeverRetains = broken("test_bytes_keep_the_newest", _NeverRetains)

BROKEN: dict[str, str] = {
    name: kind.scenario for name, kind in list(globals().items()) if hasattr(kind, "scenario")
}

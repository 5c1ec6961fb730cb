"""Two-way: both sides of a conversation in one channel, each hearing what it asks for."""

from __future__ import annotations

import pytest

from ...errors import EndOfChannel, InvalidOption
from ...interface import Channel, Log
from ..harness import Harness
from .base import LIMIT_SECONDS, Face, Scenarios, datas, drain, spawn, take

__all__ = ["TwoWay"]


class TwoWay(Scenarios):
    """Filters leave out, and change nothing else."""

    def test_types_let_only_these_pass(self, channel: Channel, face: Face) -> None:
        """``types`` gives the messages of these types, in order; those without a type never."""
        channel.publish("untyped")
        for number, type in enumerate(["token", "stop", "token", "steer", "other"]):
            face(channel).publish(number, type=type)
        reader = channel.subscribe(types={"stop", "steer"})
        assert datas(drain(reader)) == [1, 3]
        face(channel).publish("more", type="token")
        face(channel).publish("halt", type="stop")
        assert datas(take(reader, 1)) == ["halt"]

    def test_without_an_echo(self, log: Log, harness: Harness) -> None:
        """``echo=False`` leaves out the messages of this handle's own sender, no others."""
        name = harness.new_name()
        agent, person = log.channel(name, sender="agent"), log.channel(name, sender="person")
        reader = agent.subscribe(echo=False)
        agent.publish("mine")
        person.publish("theirs")
        log.channel(name).publish("nobody's")
        log.channel(name, sender="agent").publish("mine too")
        assert datas(drain(reader)) == ["theirs", "nobody's"]
        assert datas(drain(person.subscribe(echo=False))) == ["mine", "nobody's", "mine too"]

    def test_types_and_no_echo_together(self, log: Log, harness: Harness) -> None:
        """Both filters hold at once."""
        name = harness.new_name()
        agent, person = log.channel(name, sender="agent"), log.channel(name, sender="person")
        reader = agent.subscribe(types={"steer"}, echo=False)
        agent.publish(1, type="steer")
        person.publish(2, type="token")
        person.publish(3, type="steer")
        assert datas(drain(reader)) == [3]

    def test_no_echo_needs_a_sender(self, channel: Channel) -> None:
        """Who has no name cannot leave out what is its own: ``InvalidOption``."""
        with pytest.raises(InvalidOption):
            channel.subscribe(echo=False)

    def test_last_counts_before_the_filter(self, channel: Channel) -> None:
        """``last=n`` rewinds n messages of any type; the filter then takes from these."""
        for number in range(6):
            channel.publish(number, type="even" if number % 2 == 0 else "odd")
        assert datas(drain(channel.subscribe(last=3, types={"even"}))) == [4]

    def test_the_end_passes_every_filter(self, channel: Channel) -> None:
        """A reader to whom nothing passes still learns that the channel has ended."""
        channel.publish("a", type="token")
        reader = channel.subscribe(types={"stop"})
        channel.end()
        with pytest.raises(EndOfChannel):
            reader.get(timeout=LIMIT_SECONDS)

    def test_a_filter_resumes_behind_what_it_saw(self, channel: Channel) -> None:
        """A filtered reader that begins anew behind its last message misses none."""
        for number in range(10):
            channel.publish(number, type="even" if number % 2 == 0 else "odd")
        last = take(channel.subscribe(types={"even"}), 2)[-1]
        again = channel.subscribe(after=last.offset, types={"even"})
        assert datas(drain(again)) == [4, 6, 8]

    def test_an_interrupt_reaches_a_stream(self, log: Log, harness: Harness) -> None:
        """A person says stop in the middle of an agent's stream: the agent hears it between two
        tokens, and the person sees nothing doubled or missing."""
        name = harness.new_name()
        heard: list[str] = []

        def stream() -> int:
            agent = log.channel(name, sender="agent")
            inbox = agent.subscribe(types={"stop"})
            token = 0
            while not inbox.ready:
                agent.publish(token, type="token")
                token += 1
            heard.extend(datas(take(inbox, 1)))
            agent.end()
            return token

        person = log.channel(name, sender="person")
        reader = person.subscribe(echo=False)
        streaming = spawn(stream)
        seen = datas(take(reader, 20))
        person.publish("enough", type="stop")
        seen += datas(reader)
        assert seen == list(range(streaming.result(3 * LIMIT_SECONDS)))
        assert heard == ["enough"]

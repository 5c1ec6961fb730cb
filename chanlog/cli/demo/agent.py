"""The agent: reads a text out, one token after the other, and listens between two of them.

All it knows is in its channel. Started again after a kill, it folds the channel's messages into
the same state that it had, and goes on: which token is next, in which style, and which wishes of
the person it has heard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chanlog import Channel, Message

from .ledger import Payment
from .notes import note_payment
from .source import START, Place, read, styled

__all__ = ["STEERING", "Agent", "State"]

STEERING = frozenset({"interrupt", "steer", "thanks"})


@dataclass(slots=True)
class State:
    """What the channel says about the agent. ``mood`` is ``"streaming"``, ``"interrupted"`` or
    ``"done"``; ``heard`` the offset of the last steering message that it has answered."""

    tokens: int = 0
    place: Place = START
    style: str = "plain"
    mood: str = "streaming"
    heard: int = -1

    @classmethod
    def rebuilt(cls, messages: Iterable[Message]) -> State:
        """The state in which these messages leave the agent."""
        state = cls()
        for message in messages:
            state.fold(message)
        return state

    def fold(self, message: Message) -> None:
        """Take one message into account."""
        if message.type == "token":
            passage, token = message.data["at"]
            self.tokens = message.data["n"] + 1
            self.place = Place(passage, token + 1)
        elif message.type == "status":
            self.mood = message.data["mood"]
            self.style = message.data["style"]
            self.place = Place(*message.data["place"])
            self.heard = max(self.heard, message.data["heard"])


class Agent:
    """One life of the agent in its ``channel``, whose handle has the sender ``"agent"``.

    ``life`` counts its processes and is the epoch of its producer: whoever is left of an earlier
    life is fenced. ``paid`` is a file descriptor opened to append; ``limit`` how many tokens it
    streams at most, over all lives; ``report`` is told each token's offset.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        life: int,
        text: Path,
        paid: int,
        seconds_per_token: float,
        limit: int | None,
        report: Callable[[int], None],
    ) -> None:
        self.channel = channel
        self.life = life
        self.text = text
        self.paid = paid
        self.seconds_per_token = seconds_per_token
        self.limit = limit
        self.report = report
        self.state = State.rebuilt(channel.replay())
        self.producer = channel.producer("agent", epoch=life)
        heard = self.state.heard
        self.inbox = channel.subscribe(
            after=heard if heard >= 0 else None, types=STEERING, echo=False
        )
        self.source: Iterator[tuple[Place, str]] = read(text, self.state.place)

    def run(self) -> None:
        """Stream until the person says thanks, which ends the channel."""
        state = self.state
        while True:
            # Between two tokens: a look that costs nanoseconds. With nothing to say it waits.
            if self.inbox.ready or state.mood != "streaming":
                if not self.listen():
                    return
                continue
            following = next(self.source, None)
            if following is None or (self.limit is not None and state.tokens >= self.limit):
                state.mood = "done"
                self.answer(state.heard)
                continue
            place, token = following
            text = self.generate(token)
            # The sequence is what the channel said when this life began, and counts from there.
            # Were the token there already, nothing would be written.
            offset = self.producer.publish(
                {"n": state.tokens, "text": text, "at": [*place]},
                type="token",
                headers={"life": self.life},
                sequence=state.tokens,
            )
            state.tokens += 1
            state.place = Place(place.passage, place.token + 1)
            self.report(offset)

    def generate(self, token: str) -> str:
        """The expensive thing. It is paid for when it begins, as with any model.

        The payment is noted outside the log, where no replay and no idempotence can hide it.
        """
        note_payment(self.paid, Payment(self.life, self.state.tokens))
        time.sleep(self.seconds_per_token)
        return styled(token, self.state.style)

    def listen(self) -> bool:
        """Heed the next steering message, waiting for it; whether there is more to do."""
        message = self.inbox.get()
        assert message is not None
        state = self.state
        if message.type == "thanks":
            self.channel.end()
            return False
        if message.type == "interrupt":
            state.mood = "interrupted"
        else:
            state.mood = "streaming"
            state.place = Place(message.data["passage"], 0)
            state.style = message.data["style"]
            self.source = read(self.text, state.place)
        self.answer(message.offset)
        return True

    def answer(self, heard: int) -> None:
        """Say what state it is in. Killed before this line, it hears the message once more."""
        self.state.heard = heard
        self.channel.publish(
            {
                "mood": self.state.mood,
                "style": self.state.style,
                "place": [*self.state.place],
                "heard": heard,
            },
            type="status",
            headers={"life": self.life},
        )

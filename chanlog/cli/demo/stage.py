"""Where the story is shown: what a screen has to be able to do, and the plain one."""

from __future__ import annotations

import sys
import textwrap
import time
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["STEPS", "Event", "PlainStage", "Stage", "Who", "clean_text"]

STEPS = ("stream", "tunnel", "interrupt", "kill -9", "ledger")
Who = Literal["agent", "client", "person", "system"]

_WIDTH = 76


def clean_text(text: str) -> str:
    """Text that cannot move the cursor: white space as spaces, other controls as U+FFFD."""
    return "".join(
        c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth a line in the story."""

    seconds: float
    who: Who
    text: str

    def line(self) -> str:
        """The event as one line, with the time since the start."""
        return f"{self.seconds:6.1f}s  {self.who:<7} {self.text}"


@dataclass
class Stage:
    """What is to be seen. The story changes the fields and calls the methods; a screen shows it.

    ``agent`` and ``client`` say in a few words how the two are, ``life`` and ``process`` which
    process the agent is; the booleans whether they are
    there; ``published`` and ``received`` count messages.
    """

    channel: str
    began: float = field(default_factory=time.monotonic)
    step: int = 0
    agent: str = "is started"
    life: int = 0
    process: str = ""
    agent_there: bool = False
    client: str = "is not there yet"
    client_there: bool = False
    steering: bool = False
    published: int = 0
    received: int = 0
    events: list[Event] = field(default_factory=list)

    def open(self) -> None:
        """Take the screen."""

    def close(self) -> None:
        """Give the screen back. Doing it twice is fine."""

    def token(self, text: str, *, live: bool) -> None:
        """The client got a piece of the answer."""

    def tell(self, who: Who, text: str) -> None:
        """Something happened."""
        self.events.append(Event(time.monotonic() - self.began, who, text))

    def draw(self) -> None:
        """Show what has changed; called many times a second."""


class PlainStage(Stage):
    """Plain lines, for a pipe, a file, a dumb terminal. They wrap at 76 columns."""

    _line: str = ""

    def token(self, text: str, *, live: bool) -> None:
        if text.startswith("\n\n"):
            self._finish()
        self._line = (self._line + clean_text(text)).lstrip()
        if len(self._line) >= _WIDTH:
            *whole, self._line = textwrap.wrap(
                self._line, _WIDTH, drop_whitespace=True, break_on_hyphens=False
            ) or [""]
            for line in whole:
                self._print(f"  | {line}")

    def tell(self, who: Who, text: str) -> None:
        super().tell(who, text)
        self._finish()
        self._print(self.events[-1].line())

    def close(self) -> None:
        self._finish()

    def _finish(self) -> None:
        line, self._line = self._line.strip(), ""
        if line:
            self._print(f"  | {line}")

    def _print(self, line: str) -> None:
        print(line)
        sys.stdout.flush()

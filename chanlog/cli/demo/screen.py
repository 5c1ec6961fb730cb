"""The story on a terminal: a picture of who is there, the answer as the client has it, captions.

Nothing but escape sequences. Each frame is written at once, over the one before and never on a
cleared screen, so that nothing flickers; the terminal's size is asked for anew each time.
"""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from collections import deque
from dataclasses import dataclass, field

from .stage import STEPS, Stage, Who, clean_text

__all__ = ["LiveStage", "Transcript", "width"]

_FRAME_SECONDS = 0.04
_RUNS_KEPT = 4000

_STYLES = {
    "agent": "32",
    "client": "33",
    "person": "1;35",
    "system": "1;31",
    "late": "36",
    "dim": "2",
    "bold": "1",
    "here": "1;32",
    "gone": "1;31",
    "step": "1;7",
}
_MARKS = {"agent": "●", "client": "●", "person": "▶"}


def width(text: str) -> int:
    """How many columns a terminal needs for printable text."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _size() -> tuple[int, int]:
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    return columns or 80, rows or 24  # a terminal that does not know says 0


def cut(text: str, columns: int) -> str:
    """``text`` in exactly so many columns: padded, or shortened with an ellipsis."""
    if width(text) > columns:
        while text and width(text) > columns - 1:
            text = text[:-1]
        text += "…"[: max(0, columns)]
    return text + " " * (columns - width(text))


class Transcript:
    """Text in styles, wrapped at words as it grows; a word may come in many pieces."""

    def __init__(self, columns: int) -> None:
        self.runs: deque[tuple[str, str]] = deque(maxlen=_RUNS_KEPT)
        self._begin(columns)

    def _begin(self, columns: int) -> None:
        self.columns = max(8, columns)
        self.lines: deque[list[tuple[str, str]]] = deque(maxlen=1000)
        self._line: list[tuple[str, str]] = []
        self._word: list[tuple[str, str]] = []

    def resize(self, columns: int) -> None:
        """Wrap anew, for another width."""
        if max(8, columns) != self.columns:
            self._begin(columns)
            for style, text in self.runs:
                self._feed(style, text)

    def add(self, style: str, text: str) -> None:
        """Append text; a blank line where it has one, a new line at ``\\f``."""
        self.runs.append((style, text))
        self._feed(style, text)

    def tail(self, count: int) -> list[list[tuple[str, str]]]:
        """The last ``count`` lines, the unfinished one included."""
        last = [*self._line, *self._word]
        lines = [*self.lines]
        if self._width(last) > self.columns:
            lines.append(self._line)
            last = self._word
        if last:
            lines.append(last)
        return lines[-count:] if count > 0 else []

    def _feed(self, style: str, text: str) -> None:
        if text.startswith("\n\n"):
            self._break(blank=True)
        for piece in text.strip("\n").replace("\n", " ").splitlines(keepends=True):
            for character in piece:
                if character == "\f":
                    self._break(blank=False)
                elif character.isspace():
                    self._end_word()
                    if self._line and self._width(self._line) < self.columns:
                        self._line.append((style, " "))
                else:
                    self._grow(style, clean_text(character))

    def _grow(self, style: str, character: str) -> None:
        if self._width(self._word) + width(character) > self.columns:
            self._end_word()
        if self._word and self._word[-1][0] == style:
            self._word[-1] = (style, self._word[-1][1] + character)
        else:
            self._word.append((style, character))

    def _end_word(self) -> None:
        if self._word and self._width(self._line) + self._width(self._word) > self.columns:
            self._end_line()
        self._line += self._word
        self._word = []

    def _end_line(self) -> None:
        if self._line:
            self.lines.append(self._line)
            self._line = []

    def _break(self, *, blank: bool) -> None:
        self._end_word()
        self._end_line()
        if blank and self.lines and self.lines[-1]:
            self.lines.append([])

    @staticmethod
    def _width(runs: list[tuple[str, str]]) -> int:
        return sum(width(text) for _, text in runs)


@dataclass
class LiveStage(Stage):
    """The whole terminal, given back as it was."""

    color: bool = True
    transcript: Transcript = field(default_factory=lambda: Transcript(76))
    _opened: bool = False
    _drawn: float = 0.0

    def open(self) -> None:
        self._opened = True
        self._write("\x1b[?1049h\x1b[?25l\x1b[2J")

    def close(self) -> None:
        if self._opened:
            self._opened = False
            self._write("\x1b[0m\x1b[?25h\x1b[?1049l")

    def token(self, text: str, *, live: bool) -> None:
        self.transcript.add("plain" if live else "late", text)

    def tell(self, who: Who, text: str) -> None:
        super().tell(who, text)
        shown = f"✖ {text}" if who == "system" else f"{_MARKS[who]} {who}: {text}"
        self.transcript.add(who, f"\n\n{clean_text(shown)}")
        self.transcript.add("plain", "\n\n")
        self._drawn = 0.0
        self.draw()

    def draw(self) -> None:
        now = time.monotonic()
        if not self._opened or now - self._drawn < _FRAME_SECONDS:
            return
        self._drawn = now
        columns, rows = _size()
        # The last column stays free: some terminals wrap when it is written.
        self.transcript.resize(columns - 3)
        lines = self._head(columns - 1)
        room = rows - len(lines) - 1
        text = self.transcript.tail(room)
        lines += ["  " + "".join(self._paint(style, run) for style, run in one) for one in text]
        lines += [""] * (rows - len(lines))
        body = "\r\n".join(f"{line}\x1b[K" for line in lines[:rows])
        # The terminal shows a frame that is complete, where it knows how (mode 2026).
        self._write(f"\x1b[?2026h\x1b[H{body}\x1b[?2026l")

    def _head(self, columns: int) -> list[str]:
        clock = f"{time.monotonic() - self.began:.0f} s"
        steps = ""
        used = 0
        for number, step in enumerate(STEPS):
            label = f" {number + 1} {step} "
            used += len(label) + 1
            style = "step" if number == self.step else "dim" if number > self.step else "bold"
            steps += self._paint(style, label) + " "
        if used + len(clock) + 2 > columns:
            label = f" {self.step + 1} {STEPS[self.step]} "
            steps, used = self._paint("step", label), len(label)
        top = [" " + steps + " " * max(1, columns - used - len(clock) - 1) + clock, ""]
        return top + (self._boxes(columns) if columns >= 72 else self._row(columns))

    def _boxes(self, columns: int) -> list[str]:
        link = 7
        inner = (columns - 2 * link) // 3 - 4
        agent = "here" if self.agent_there else "gone"
        client = "here" if self.client_there else "gone"
        cells = [
            (
                f"agent, life {self.life}" if self.life else "agent",
                agent,
                "●" if self.agent_there else "✖",
                self.agent,
                self.process,
            ),
            (
                self.channel,
                "here",
                "●",
                f"{self.published} messages",
                "in a directory",
            ),
            (
                "client",
                client,
                "●" if self.client_there else "✖",
                self.client,
                f"has {self.received} of {self.published}",
            ),
        ]
        rows = ["", "", "", ""]
        arrows = [self._arrow(self.agent_there), self._arrow(self.client_there)]
        for number, (title, style, mark, state, more) in enumerate(cells):
            name = cut(title, min(width(title), inner - 1))
            rule = "─" * (inner - width(name) - 1)
            gap = " " * link
            rows[0] += f"╭─ {self._paint('bold', name)} {rule}╮"
            rows[1] += f"│ {self._paint(style, mark)} {cut(state, inner - 2)} │"
            rows[2] += f"│   {self._paint('dim', cut(more, inner - 2))} │"
            rows[3] += f"╰{'─' * (inner + 2)}╯"
            if number < 2:
                rows[0] += gap
                rows[1] += arrows[number]
                rows[2] += gap
                rows[3] += gap
        return [*rows, ""]

    def _row(self, columns: int) -> list[str]:
        agent = "●" if self.agent_there else "✖"
        client = "●" if self.client_there else "✖"
        text = f" {agent} agent > {self.published} > {client} client has {self.received}"
        return [cut(text, columns), ""]

    def _arrow(self, there: bool) -> str:
        if not there:
            return self._paint("gone", " ╌ ✖ ╌ ")
        if self.steering:
            return self._paint("person", " ◀──── ")
        return self._paint("here", " ────▶ ")

    def _paint(self, style: str, text: str) -> str:
        code = _STYLES.get(style)
        if code is None or not text:
            return text
        if not self.color:
            # Weight and inversion are no colours; they stay.
            code = {"step": "7", "bold": "1", "person": "1", "system": "1"}.get(style)
            if code is None:
                return text
        return f"\x1b[{code}m{text}\x1b[0m"

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

"""The text that the agent reads out: passages, tokens, and what the person may ask for.

Pure reading, in one pass and a bounded piece at a time, so that a file may be of any size. The
same file always gives the same tokens, in every process: an agent that was killed finds its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["START", "Passage", "Place", "Plan", "passages", "plan", "read", "styled", "survey"]

PASSAGE_CHARACTERS_MAX = 8192
_HEADING_WORDS_MAX = 10
_TOKEN = re.compile(r"\s*\w{1,12}|\s*[^\w\s]{1,12}|\s+")


class Place(NamedTuple):
    """Where in the text: the passage, and the token in it."""

    passage: int
    token: int


START = Place(0, 0)


class Passage(NamedTuple):
    """What a survey notes of a passage: its first words and how many tokens it has."""

    opening: str
    heading: bool
    tokens: int


class Plan(NamedTuple):
    """What happens after how many tokens, and where the person wants the agent to go."""

    tunnel_at: int
    interrupt_at: int
    kill_at: int
    passage: int
    wish: str


def passages(path: Path) -> Iterator[str]:
    """The paragraphs of a file, without the blank lines between them.

    What is not UTF-8 becomes U+FFFD; a paragraph without end is cut every 8,192 characters.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines: list[str] = []
        size = 0
        while line := file.readline(PASSAGE_CHARACTERS_MAX):
            blank = line.isspace()
            if not blank:
                lines.append(line)
                size += len(line)
            if lines and (blank or size >= PASSAGE_CHARACTERS_MAX):
                yield "".join(lines).strip()
                lines, size = [], 0
        if lines:
            yield "".join(lines).strip()


def _tokens(number: int, passage: str) -> list[str]:
    # The break before a passage belongs to its first token: joined, tokens are the text.
    return _TOKEN.findall("\n\n" + passage if number else passage)


def read(path: Path, start: Place) -> Iterator[tuple[Place, str]]:
    """The tokens from ``start`` on, each with its place."""
    for number, passage in enumerate(passages(path)):
        if number < start.passage:
            continue
        first = start.token if number == start.passage else 0
        for index, token in enumerate(_tokens(number, passage)):
            if index >= first:
                yield Place(number, index), token


def styled(token: str, style: str) -> str:
    """A token as the person wants it: ``"plain"`` or in ``"capitals"``."""
    return token.upper() if style == "capitals" else token


def survey(path: Path, tokens_max: int) -> list[Passage]:
    """The first passages of the text, up to about ``tokens_max`` tokens."""
    found: list[Passage] = []
    total = 0
    for number, passage in enumerate(passages(path)):
        words = passage.split(maxsplit=_HEADING_WORDS_MAX)
        heading = len(words) <= _HEADING_WORDS_MAX and passage[-1] not in ".,;:!?\"'"
        count = len(_tokens(number, passage))
        found.append(Passage(" ".join(words[:6])[:40], heading, count))
        total += count
        if total >= tokens_max:
            break
    return found


def plan(found: list[Passage], limit: int) -> Plan:
    """When the story's turns come, for a text that was surveyed and ``limit`` tokens to stream.

    The person wants to skip to the next heading, else to the next paragraph, else once more from
    the start. A text that is over before its turn comes is no problem: the turns come anyway.
    """
    total = min(limit, sum(passage.tokens for passage in found))
    tunnel_at = max(1, round(total * 0.12))
    interrupt_at = max(tunnel_at + 1, round(total * 0.42))
    current = _passage_of(found, interrupt_at)
    behind = range(current + 1, len(found))
    headings = [number for number in behind if found[number].heading]
    target = headings[0] if headings else behind[0] if behind else 0
    if target:
        wish = f"Skip to “{found[target].opening}”, and in capitals, please."
    else:
        wish = "Once more from the start, in capitals, please."
    left = min(limit - interrupt_at, sum(passage.tokens for passage in found[target:]))
    return Plan(tunnel_at, interrupt_at, interrupt_at + max(1, round(left * 0.4)), target, wish)


def _passage_of(found: list[Passage], token: int) -> int:
    for number, passage in enumerate(found):
        if token < passage.tokens:
            return number
        token -= passage.tokens
    return len(found) - 1

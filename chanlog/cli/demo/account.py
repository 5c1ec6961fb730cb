"""The demo's books: gathers what three sides noted, has it reckoned, and writes the ledger out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import chanlog
from chanlog import Message

from ..render import duration_text
from .agent import STEERING
from .ledger import Entry, Ledger, Receipt, reckon
from .notes import payments, receipts
from .source import START, Place, read, styled

__all__ = ["Steering", "balance", "lines", "misread", "steering"]

Steering = tuple[str, float, int]


def balance(
    directory: Path,
    channel: str,
    *,
    client: Sequence[Receipt],
    messages: Sequence[Message],
    dashboard: Path,
    paid: Path,
    text: Path,
    kills: int,
) -> tuple[Ledger, list[Steering]]:
    """Open the log once more and compare it with what everybody noted."""
    with chanlog.open(directory, read_only=True) as log:
        published = list(log.channel(channel).replay())
    ledger = reckon(
        map(_entry, published),
        {"client": client, "dashboard": receipts(dashboard)},
        payments(paid),
        kills=kills,
        wrong=misread(messages, text),
    )
    return ledger, steering(published)


def _entry(message: Message) -> Entry:
    if message.type != "token":
        return Entry(message.offset, None, None)
    life = message.headers["life"] if message.headers else None
    return Entry(message.offset, message.data["n"], life)


def misread(messages: Iterable[Message], text: Path) -> int:
    """How many tokens differ from what the text and the person's wishes ask for.

    Reads the text once more and independently of the agent, from the start and from each place
    that the person asked for.
    """
    wrong = 0
    style = "plain"
    source = read(text, START)
    for message in messages:
        if message.type == "steer":
            wish = message.data
        elif message.type == "status" and message.data["mood"] == "streaming":
            style = wish["style"]
            source = read(text, Place(wish["passage"], 0))
        elif message.type == "token":
            _, token = next(source, (None, None))
            wrong += token is None or message.data["text"] != styled(token, style)
    return wrong


def steering(messages: Iterable[Message]) -> list[Steering]:
    """What the person said, the seconds until the agent answered, and the tokens in between."""
    waiting: Message | None = None
    tokens = 0
    found: list[Steering] = []
    for message in messages:
        if message.type in STEERING:
            waiting, tokens = message, 0
        elif waiting is None:
            continue
        elif message.type == "token":
            tokens += 1
        elif message.type == "status" and message.data["heard"] == waiting.offset:
            found.append((waiting.type or "", (message.time_ns - waiting.time_ns) / 1e9, tokens))
            waiting = None
    return found


def lines(ledger: Ledger, answers: Iterable[Steering]) -> Iterator[str]:
    """The ledger in plain lines of at most 79 columns."""
    yield _row("", *(one.client for one in ledger.deliveries))
    # The one looks from outside, again and again; the other is woken by the publish itself.
    yield _row("", "other process", "same process")
    yield _row("tokens published", ledger.tokens, ledger.tokens)
    yield _row("tokens delivered", *(one.tokens for one in ledger.deliveries))
    yield _row("lost", *(one.lost for one in ledger.deliveries))
    yield _row("doubled", *(one.doubled for one in ledger.deliveries))
    yield _row("out of order", *(one.disordered for one in ledger.deliveries))
    yield _row("publish to delivery, p50", *(_time(one.p50) for one in ledger.deliveries))
    yield _row("publish to delivery, p99", *(_time(one.p99) for one in ledger.deliveries))
    yield _row("came late, by catching up", *(one.caught_up for one in ledger.deliveries))
    yield ""
    yield _row("generations paid for", ledger.generated)
    yield _row("generated twice", ledger.generated_twice, "  (again, though in the channel)")
    yield _row("in flight at the kill", ledger.in_flight, "  (paid for, not published yet)")
    for kind, seconds, tokens in answers:
        what = "person to agent" if kind == "steer" else "stop to stopped"
        more = "1 token" if tokens == 1 else f"{tokens} tokens"
        yield _row(what, duration_text(seconds), f"  ({more} in between)")


def _row(title: str, *cells: object) -> str:
    made = f"  {title:<26}"
    for cell in cells:
        text = str(cell)
        made += text if text.startswith("  ") else f"{text:>15}"
    return made.rstrip()


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else duration_text(seconds)

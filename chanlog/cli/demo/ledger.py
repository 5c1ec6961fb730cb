"""The reckoning at the end of the demo: a pure function over what three sides noted.

What was published is read back from the log afterwards; what arrived was noted by each client the
moment it arrived; what was paid for was noted by the agent before it generated, outside the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..render import count_text

__all__ = ["Delivery", "Entry", "Ledger", "Payment", "Receipt", "reckon"]


class Entry(NamedTuple):
    """A message in the log. ``number`` counts tokens from 0, ``None`` for other messages;
    ``life`` is the life of the agent that published it."""

    offset: int
    number: int | None
    life: int | None


class Receipt(NamedTuple):
    """A message that reached a client. ``live``: published while the client was connected."""

    offset: int
    number: int | None
    time_ns: int
    received_ns: int
    live: bool


class Payment(NamedTuple):
    """One generation of one token, begun in one life of the agent."""

    life: int
    number: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the published messages at one client. Times are in seconds, ``None`` if
    nothing arrived live."""

    client: str
    tokens: int
    others: int
    lost: int
    doubled: int
    disordered: int
    strange: int
    caught_up: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """The whole account. ``in_flight`` tokens were paid for and killed before they were
    published: one for each kill is physics, and is shown. ``generated_twice`` were paid for
    although they were in the channel already, which is never excused."""

    tokens: int
    others: int
    skipped: int
    published_twice: int
    deliveries: tuple[Delivery, ...]
    generated: int
    generated_twice: int
    unpaid: int
    in_flight: int
    kills: int
    wrong: int

    def faults(self) -> list[str]:
        """What is not as it must be; empty for a clean ledger."""
        checks = [
            (not self.tokens, "nothing was published"),
            (not self.deliveries, "nobody received anything"),
            (self.skipped, f"{count_text(self.skipped, 'token')} never published"),
            (self.published_twice, f"{count_text(self.published_twice, 'token')} published twice"),
            (self.generated_twice, f"{count_text(self.generated_twice, 'token')} generated twice"),
            (self.unpaid, f"{count_text(self.unpaid, 'token')} published that nobody generated"),
            (
                self.in_flight > self.kills,
                f"{count_text(self.in_flight, 'token')} in flight at "
                f"{count_text(self.kills, 'kill')}",
            ),
            (self.wrong, f"{count_text(self.wrong, 'token')} not that of the text"),
        ]
        for one in self.deliveries:
            checks += [
                (one.lost, f"{one.client}: {count_text(one.lost, 'message')} lost"),
                (one.doubled, f"{one.client}: {count_text(one.doubled, 'message')} doubled"),
                (
                    one.disordered,
                    f"{one.client}: {count_text(one.disordered, 'message')} disordered",
                ),
                (one.strange, f"{one.client}: {count_text(one.strange, 'message')} not of the log"),
            ]
        return [text for wrong, text in checks if wrong]

    @property
    def clean(self) -> bool:
        """Whether everything is as it must be."""
        return not self.faults()


def reckon(
    published: Iterable[Entry],
    received: Mapping[str, Iterable[Receipt]],
    payments: Iterable[Payment],
    *,
    kills: int,
    wrong: int = 0,
) -> Ledger:
    """Compare what was published, what arrived at each client, and what was paid for.

    ``published`` and each client's receipts are in the order in which they were read; ``wrong``
    counts tokens whose text the caller found not to be that of the source.
    """
    numbers: dict[int, int | None] = {}
    author: dict[int, int | None] = {}
    published_twice = 0
    for entry in published:
        numbers[entry.offset] = entry.number
        if entry.number is None:
            continue
        if entry.number in author:
            published_twice += 1
        else:
            author[entry.number] = entry.life
    skipped = max(author, default=-1) + 1 - len(author)
    tokens = len(author) + published_twice

    generated = generated_twice = in_flight = 0
    right: Counter[int] = Counter()
    for payment in payments:
        generated += 1
        by = author.get(payment.number)
        if payment.number not in author or (by is not None and payment.life < by):
            in_flight += 1
        elif payment.life == by and not right[payment.number]:
            right[payment.number] += 1
        else:
            generated_twice += 1

    return Ledger(
        tokens=tokens,
        others=len(numbers) - tokens,
        skipped=skipped,
        published_twice=published_twice,
        deliveries=tuple(_delivery(name, numbers, rows) for name, rows in received.items()),
        generated=generated,
        generated_twice=generated_twice,
        unpaid=sum(1 for number in author if not right[number]),
        in_flight=in_flight,
        kills=kills,
        wrong=wrong,
    )


def _delivery(client: str, numbers: Mapping[int, int | None], rows: Iterable[Receipt]) -> Delivery:
    seen: Counter[int] = Counter()
    disordered = strange = caught_up = 0
    newest = -1
    delays: list[int] = []
    for row in rows:
        seen[row.offset] += 1
        if row.offset < newest:
            disordered += 1
        newest = max(newest, row.offset)
        if row.offset not in numbers or numbers[row.offset] != row.number:
            strange += 1
        if row.live:
            delays.append(row.received_ns - row.time_ns)
        else:
            caught_up += 1
    delays.sort()
    tokens = sum(1 for offset in seen if numbers.get(offset) is not None)
    return Delivery(
        client=client,
        tokens=tokens,
        others=len(seen) - tokens,
        lost=sum(1 for offset in numbers if offset not in seen),
        doubled=sum(count - 1 for count in seen.values()),
        disordered=disordered,
        strange=strange,
        caught_up=caught_up,
        p50=_quantile(delays, 0.50),
        p99=_quantile(delays, 0.99),
    )


def _quantile(sorted_ns: Sequence[int], share: float) -> float | None:
    if not sorted_ns:
        return None
    return sorted_ns[min(len(sorted_ns) - 1, int(len(sorted_ns) * share))] / 1e9

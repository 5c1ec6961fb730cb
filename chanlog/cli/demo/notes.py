"""What is noted outside the log, a line at a time: payments and the dashboard's receipts.

The files are opened to append and each line is one write, so that a kill leaves whole lines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .ledger import Payment, Receipt

__all__ = ["append_only", "note_payment", "note_receipt", "payments", "receipts"]

_NO_NUMBER = -1


def append_only(path: Path) -> int:
    """A descriptor to note with."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note_payment(file: int, payment: Payment) -> None:
    """Note a generation, before it begins."""
    os.write(file, b"%d %d\n" % payment)


def note_receipt(file: int, receipt: Receipt) -> None:
    """Note a message that has arrived."""
    number = _NO_NUMBER if receipt.number is None else receipt.number
    os.write(
        file,
        b"%d %d %d %d %d\n"
        % (receipt.offset, number, receipt.time_ns, receipt.received_ns, receipt.live),
    )


def payments(path: Path) -> Iterator[Payment]:
    """What was paid for, in order; nothing if the file is not there."""
    for life, number in _rows(path):
        yield Payment(life, number)


def receipts(path: Path) -> Iterator[Receipt]:
    """What has arrived, in order; nothing if the file is not there."""
    for offset, number, time_ns, received_ns, live in _rows(path):
        known = None if number == _NO_NUMBER else number
        yield Receipt(offset, known, time_ns, received_ns, bool(live))


def _rows(path: Path) -> Iterator[list[int]]:
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                yield [int(cell) for cell in line.split()]

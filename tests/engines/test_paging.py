"""What is asked for at once fits memory, however large the messages are."""

from __future__ import annotations

import pytest

from ..support import LIMIT

TOTAL = 45
FIRST = 32


@pytest.fixture
def counts(log, monkeypatch):
    """How many messages were asked for, each time."""
    asked = []
    page = log._engine.page

    def counting(session, channel, at, count):
        asked.append(count)
        return page(session, channel, at, count)

    monkeypatch.setattr(log._engine, "page", counting)
    return asked


@pytest.mark.parametrize(("size", "then"), [(10, 1_000), (900_000, 4)], ids=["small", "large"])
def test_a_page_has_as_many_as_fit(log, harness, counts, size, then):
    channel = log.channel(harness.new_name())
    for _ in range(TOTAL):
        channel.publish(b"x" * size)
    reader = channel.subscribe()
    assert all(reader.get(timeout=LIMIT).data == b"x" * size for _ in range(TOTAL))
    assert counts[0] == FIRST
    assert set(counts[1:]) == {then}
    counts.clear()
    assert sum(1 for _ in channel.replay()) == TOTAL
    assert counts[0] == FIRST
    assert counts[1] == min(then, TOTAL - FIRST)
    assert max(counts[1:]) <= then

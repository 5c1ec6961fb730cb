"""A frame, and many at once, show all together, also to readers that take no lock.

The end offsets of its channels moved one after the other, and those of many batches of one channel
batch by batch. Who looked in between saw a part: of 3,000 that were published at once 1,024, or the
bill without what it was for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from .worlds import open_log


def seen_at_each_step(look: Callable[[], Any], work: Callable[[], Any]) -> list[Any]:
    """What another thread could have seen while ``work`` ran: looks before each bytecode that
    chanlog executes, and keeps what differs from before."""
    seen = [look()]

    def trace(frame: Any, event: str, _: Any) -> Any:
        if "chanlog" not in frame.f_globals.get("__name__", ""):
            return None
        frame.f_trace_opcodes = True
        if (now := look()) != seen[-1]:
            seen.append(now)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    if (now := look()) != seen[-1]:
        seen.append(now)
    return seen


@pytest.fixture(params=["os", "always"])
def log(request, tmp_path):
    with open_log(tmp_path / "log", sync=request.param) as log:
        for name in ("a", "b", "c"):
            log.channel(name).publish(0)
        yield log


@pytest.mark.parametrize("order", ["abc", "cba"])
def test_a_frame(log, order):
    states = [log.channel(name).state for name in "abc"]

    def work():
        with log.atomic() as frame:
            for name in order:
                frame.publish(name, "together")
            frame.end("b")

    def look():
        return [(state.end_offset, state.ended) for state in states]

    assert seen_at_each_step(look, work) == [
        [(1, False), (1, False), (1, False)],
        [(2, False), (2, True), (2, False)],
    ]


def test_many_at_once(log):
    """So many that they are several batches."""
    channel = log.channel("a")
    state = channel.state
    seen = seen_at_each_step(
        lambda: state.end_offset,
        lambda: channel.publish_many(range(3000)),
    )
    assert seen == [1, 3001]

"""The process that runs the agent, which the demo kills: ``python -m chanlog.cli.demo.host``.

It owns the log's directory. The agent has the main thread; one thread is the front end that
publishes what the person types (here: lines on stdin); one is a dashboard, a client in the same
process with a durable cursor. What it has to tell the demo goes to stdout, a JSON object a line.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import chanlog
from chanlog import ChanlogError, Log, LogClosed

from .agent import Agent
from .client import received
from .notes import append_only, note_receipt, receipts

__all__ = ["main"]

_REPORT_SECONDS = 0.04


def main(argument: str) -> int:
    """Run one life of the agent. ``argument`` is a JSON object; the demo makes it."""
    setup: dict[str, Any] = json.loads(argument)
    started = time.perf_counter()
    try:
        with chanlog.open(setup["dir"]) as log:
            _live(log, setup, started)
    except LogClosed:
        return 1  # the person's terminal is gone, see _front_end
    except ChanlogError as error:
        _tell(event="error", text=str(error))
        return 1
    return 0


def _live(log: Log, setup: dict[str, Any], started: float) -> None:
    opened = time.perf_counter()
    channel = log.channel(setup["channel"], sender="agent")
    epoch, _ = channel.info().producers.get("agent", (0, 0))
    agent = Agent(
        channel,
        life=epoch + 1,
        text=Path(setup["text"]),
        paid=append_only(Path(setup["paid"])),
        seconds_per_token=setup["seconds_per_token"],
        limit=setup["limit"],
        report=_Reporter(),
    )
    _tell(
        event="up",
        life=agent.life,
        tokens=agent.state.tokens,
        messages=channel.info().end_offset,
        open_seconds=opened - started,
        rebuild_seconds=time.perf_counter() - opened,
    )
    dashboard = threading.Thread(target=_dashboard, args=(log, setup), daemon=True)
    dashboard.start()
    # A daemon: it sits in a read of stdin, which nothing but the other side can end.
    front_end = threading.Thread(
        target=_front_end, args=(log, setup["channel"], agent.life), daemon=True
    )
    front_end.start()
    agent.run()
    dashboard.join()


def _tell(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class _Reporter:
    """Tells how far the channel is, not more often than a screen can show."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, offset: int) -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + _REPORT_SECONDS
            _tell(event="messages", count=offset + 1)


def _front_end(log: Log, name: str, life: int) -> None:
    """Publish what the person says. ``n`` makes a line that is sent again count once."""
    try:
        person = log.channel(name, sender="person").producer("person", epoch=life)
        for line in sys.stdin:
            said = json.loads(line)
            person.publish(said["data"], type=said["type"], sequence=said["n"])
    except ChanlogError as error:
        _tell(event="error", text=f"the front end: {error}")
    # Nobody is there any more, so nobody would end this process either.
    log.close()


def _dashboard(log: Log, setup: dict[str, Any]) -> None:
    """Follow the channel from a durable cursor and note each message with its time."""
    path = Path(setup["receipts"])
    last = max((receipt.offset for receipt in receipts(path)), default=-1)
    file = append_only(path)
    try:
        cursor = log.channel(setup["channel"]).cursor("dashboard")
        # Noting and committing are two steps, and the kill may have come between them. What was
        # noted counts: this is how a consumer becomes exactly-once, by storing its own position.
        if last + 1 > cursor.position():
            cursor.seek(last + 1)
        connected_ns = time.time_ns()
        for message in cursor:
            note_receipt(file, received(message, time.time_ns(), connected_ns))
            cursor.commit(message)
    except LogClosed:
        pass
    except ChanlogError as error:
        _tell(event="error", text=f"the dashboard: {error}")
    finally:
        os.close(file)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))

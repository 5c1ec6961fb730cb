"""``chanlog demo``: the whole idea in one terminal, on a real text, with a real kill."""

from __future__ import annotations

import argparse
import os
import queue
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from types import FrameType
from typing import Any

from ..output import wants_color
from . import account
from .client import Client
from .process import AgentProcess
from .source import Passage, plan, survey
from .stage import PlainStage, Stage
from .story import DemoError, Story

__all__ = ["demo"]

TOKENS_MAX = 600
_TOKENS_PER_SECOND = 26.0
_STDIN_BYTES_MAX = 1 << 20
_TERMINATED = 143


def demo(arguments: argparse.Namespace) -> int:
    """Play the story and reckon; 0 for a clean ledger."""
    with _terminated_like_an_exit(), tempfile.TemporaryDirectory(prefix="chanlog-demo-") as made:
        work = Path(made)
        text = _text(arguments, work)
        limit = None if arguments.all else TOKENS_MAX
        found = survey(text, 4 * TOKENS_MAX)
        if not found:
            raise DemoError(f"{_name(arguments)} has no words: there is nothing to stream")
        return _play(arguments, work=work, text=text, found=found, limit=limit)


def _play(
    arguments: argparse.Namespace,
    *,
    work: Path,
    text: Path,
    found: list[Passage],
    limit: int | None,
) -> int:
    directory = Path(arguments.dir) if arguments.dir is not None else work / "log"
    channel = f"workflow-{secrets.token_hex(3)}"
    stage = _stage(arguments, channel)
    news: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def tell(what: str, fact: Any) -> None:
        news.put((what, fact))

    setup = {
        "dir": str(directory),
        "channel": channel,
        "text": str(text),
        "paid": str(work / "paid"),
        "receipts": str(work / "receipts"),
        "seconds_per_token": 1 / (_TOKENS_PER_SECOND * arguments.speed),
        "limit": limit,
    }
    agent = AgentProcess(setup, tell)
    client = Client(directory, channel, tell)
    story = Story(
        stage,
        plan(found, TOKENS_MAX),
        speed=arguments.speed,
        news=news,
        agent=agent,
        client=client,
    )
    with ExitStack() as afterwards:  # each is done, whatever becomes of the others
        afterwards.callback(client.drop)
        afterwards.callback(agent.stop)
        afterwards.callback(stage.close)
        stage.open()
        story.play()
    ledger, answers = account.balance(
        directory,
        channel,
        client=client.receipts,
        messages=client.messages,
        dashboard=work / "receipts",
        paid=work / "paid",
        text=text,
        kills=agent.kills,
    )
    if not isinstance(stage, PlainStage):
        # What was on the screen is gone with it; the story stays, in lines.
        for event in stage.events:
            print(event.line())
    print()
    for line in account.lines(ledger, answers):
        print(line)
    print()
    if limit is not None and ledger.tokens >= limit:
        print(f"Stopped after {limit} tokens, as the demo does; --all streams the whole text.")
    for fault in ledger.faults():
        print(f"NOT CLEAN: {fault}")
    if ledger.clean:
        print("Clean: nothing lost, nothing doubled, nothing paid for twice.")
    _invite(arguments, channel)
    return 0 if ledger.clean else 1


def _invite(arguments: argparse.Namespace, channel: str) -> None:
    if arguments.dir is None:
        print("Look around yourself: chanlog demo --dir demo-log keeps the log.")
        return
    where = arguments.dir
    print("Look around:")
    for command in (
        f"info {where} {channel}",
        f"tail {where} {channel} --types interrupt,steer,status",
        f"tail {where} {channel} --last 5 --json",
        f"cursors {where}",
        f"verify {where}",
    ):
        print(f"  chanlog {command}")


def _stage(arguments: argparse.Namespace, channel: str) -> Stage:
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and encoding == "utf8":
        from .screen import LiveStage

        return LiveStage(channel, color=wants_color(arguments))
    return PlainStage(channel)


def _name(arguments: argparse.Namespace) -> str:
    if arguments.file == "-":
        return "stdin"
    return str(arguments.file)


def _text(arguments: argparse.Namespace, work: Path) -> Path:
    """A file with the text, which both processes can read from the start more than once."""
    if arguments.file is None:
        copy = work / "text"
        copy.write_bytes(resources.files("chanlog.cli").joinpath("texts/origin.txt").read_bytes())
        return copy
    if arguments.file != "-":
        path = Path(arguments.file).absolute()
        with path.open("rb"):  # say now, and here, if it cannot be read
            return path
    if sys.stdin is None:
        raise DemoError("stdin is closed")
    copy = work / "text"
    left = None if arguments.all else _STDIN_BYTES_MAX
    with copy.open("wb") as file:
        # More than a demo of 600 tokens can use is not read; stdin may have no end.
        while (left is None or left > 0) and (chunk := os.read(sys.stdin.fileno(), 1 << 16)):
            file.write(chunk)
            left = None if left is None else left - len(chunk)
    return copy


@contextmanager
def _terminated_like_an_exit() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind like an exception, so that child and directory are cleaned up."""

    def leave(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(_TERMINATED)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

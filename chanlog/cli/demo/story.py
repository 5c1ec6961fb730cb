"""What happens in the demo, turn by turn: the conductor of the agent, the client and the kill."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

from chanlog import ChanlogError, Message

from ..render import duration_text
from .agent import STEERING
from .client import Client
from .process import AgentProcess
from .source import Plan
from .stage import Stage

__all__ = ["DemoError", "Story"]

_FRAME_SECONDS = 0.04
_STALL_SECONDS = 30.0


class DemoError(ChanlogError):
    """The demo could not be played to its end."""


class Story:
    """Plays the turns on a stage. One thread; what the others have to say comes by a queue."""

    def __init__(
        self,
        stage: Stage,
        plan: Plan,
        *,
        speed: float,
        news: queue.SimpleQueue[tuple[str, Any]],
        agent: AgentProcess,
        client: Client,
    ) -> None:
        self.stage = stage
        self.plan = plan
        self.speed = speed
        self.news = news
        self.agent = agent
        self.client = client
        self.tokens = 0
        self.mood = "streaming"
        self.facts: dict[str, Any] = {}
        self.ended = False
        self.said = 0
        self.said_seen = 0
        self.said_last = -1
        self.heard = -1

    def play(self) -> None:
        """All turns, in order."""
        self.stream()
        self.tunnel()
        self.interrupt()
        self.kill()
        self.finish()

    def stream(self) -> None:
        self.stage.step = 0
        self.start_agent()
        self.client.connect()
        self.stage.client_there, self.stage.client = True, "follows live"
        self.stage.tell("client", "opens the same name, in another process, and follows")
        self.until(lambda: self.tokens >= self.plan.tunnel_at)

    def tunnel(self) -> None:
        stage = self.stage
        stage.step = 1
        self.client.drop()
        self.drain()
        last = self.client.last
        stage.client_there, stage.client = False, "in a tunnel"
        stage.tell("client", f"drops in a tunnel, has up to offset {last}; the agent goes on")
        self.facts.pop("caught_up", None)
        self.pause(3.2)
        stage.tell("client", f"is back: subscribe(after={last})")
        missed = self.client.connect()
        stage.client_there, stage.client = True, "catches up"
        if missed:
            self.until(lambda: "caught_up" in self.facts, mood=None)
            count, seconds = self.facts["caught_up"]
            how = f"{count} messages late, and all here after {duration_text(seconds)}"
            stage.tell("client", f"has missed nothing: {how}")
        stage.client = "follows live"

    def interrupt(self) -> None:
        stage = self.stage
        self.until(lambda: self.tokens >= self.plan.interrupt_at)
        stage.step = 2
        stage.steering = True
        if self.mood == "streaming":
            self.say("interrupt", "Stop!")
            self.until(self.answered, mood=None)
            stage.agent = "has stopped"
            stage.tell("agent", f"stops in mid-answer, behind token {self.tokens - 1}")
            self.pause(1.6)
        self.say("steer", self.plan.wish, passage=self.plan.passage, style="capitals")
        self.until(self.answered, mood=None)
        stage.agent = "streams"
        stage.steering = False

    def kill(self) -> None:
        stage = self.stage
        self.until(lambda: self.tokens >= self.plan.kill_at)
        stage.step = 3
        pid = self.agent.pid
        # Now: in the middle of a generation that is paid for and not published.
        self.agent.kill()
        stage.agent_there, stage.agent = False, "killed"
        stage.tell("system", f"kill -9 {pid}: the agent's process is gone, in mid-token")
        self.pause(2.0)
        self.start_agent()

    def finish(self) -> None:
        stage = self.stage
        self.until(lambda: False)
        stage.agent = "has finished"
        stage.tell("agent", f"is done, with {self.tokens} tokens")
        self.pause(0.8)
        stage.step = 4
        self.say("thanks", "Thank you.")
        self.until(lambda: self.ended, mood=None)
        stage.tell("agent", "ends the channel, for everyone")
        if self.agent.wait(_STALL_SECONDS):
            raise DemoError(f"the agent's process failed: {self.agent.errors()}")
        self.pause(1.2)

    def start_agent(self) -> None:
        self.facts.pop("up", None)
        self.agent.start()
        self.until(lambda: "up" in self.facts, mood=None)
        stage, up, pid = self.stage, self.facts["up"], self.agent.pid
        stage.agent_there = True
        stage.life, stage.process = up["life"], f"pid {pid}"
        stage.agent = "streams" if self.mood == "streaming" else "waits"
        if up["life"] == 1:
            stage.tell("agent", f"starts, pid {pid}, and streams into {stage.channel}")
            return
        took = duration_text(up["open_seconds"])
        stage.tell("agent", f"starts again, pid {pid}, life {up['life']}: log open after {took}")
        took = duration_text(up["rebuild_seconds"])
        known = f"rebuilt from {up['messages']} messages in {took}"
        stage.tell("agent", f"knows where it was, {known}; next is token {up['tokens']}")

    def say(self, kind: str, text: str, **data: Any) -> None:
        """The person says something to the agent."""
        self.stage.tell("person", text)
        self.said += 1
        self.agent.say(kind, {"text": text, **data})

    def answered(self) -> bool:
        """Whether all that the person said is in the channel, and the agent has answered it."""
        return self.said_seen == self.said and self.heard >= self.said_last

    def until(self, happened: Callable[[], bool], *, mood: str | None = "done") -> None:
        """Let the show go on until something happened, or the agent's mood is ``mood``."""
        quiet_since = time.monotonic()
        patience = max(_STALL_SECONDS, 20 * float(self.agent.setup["seconds_per_token"]))
        while not happened() and (mood is None or self.mood != mood):
            if self.follow(_FRAME_SECONDS):
                quiet_since = time.monotonic()
            elif self.agent.dead() and not self.ended:
                while self.follow(_FRAME_SECONDS):
                    pass  # it may have said why
                raise DemoError(f"the agent's process died: {self.agent.errors()}")
            elif time.monotonic() - quiet_since > patience:
                raise DemoError(
                    f"nothing has happened for {patience:.0f} s; last seen: "
                    f"{self.stage.events[-1].text if self.stage.events else 'nothing'}"
                )

    def pause(self, seconds: float) -> None:
        """Let the show go on for so long, at speed 1."""
        end = time.monotonic() + seconds / self.speed
        while (left := end - time.monotonic()) > 0:
            self.follow(min(left, _FRAME_SECONDS))

    def drain(self) -> None:
        """Take in what has already arrived."""
        while not self.news.empty():
            self.follow(0)

    def follow(self, seconds: float) -> bool:
        """Take in the news of so long at most, and draw; whether there were any."""
        try:
            what, fact = self.news.get(timeout=seconds) if seconds else self.news.get_nowait()
        except queue.Empty:
            self.stage.draw()
            return False
        if what == "message":
            self.message(*fact)
        elif what == "agent":
            self.agent_said(fact)
        elif what == "caught_up":
            self.facts["caught_up"] = fact
        elif what == "end":
            self.ended = True
        elif what == "failed":
            raise DemoError(f"the client failed: {fact}")
        self.stage.draw()
        return True

    def message(self, message: Message, live: bool) -> None:
        stage = self.stage
        stage.received = message.offset + 1
        stage.published = max(stage.published, stage.received)
        if message.type == "token":
            self.tokens = message.data["n"] + 1
            stage.token(message.data["text"], live=live)
        elif message.type == "status":
            self.mood = message.data["mood"]
            self.heard = message.data["heard"]
        elif message.type in STEERING:
            self.said_seen += 1
            self.said_last = message.offset

    def agent_said(self, fact: dict[str, Any]) -> None:
        if fact["event"] == "up":
            self.facts["up"] = fact
        elif fact["event"] == "messages":
            self.stage.published = max(self.stage.published, fact["count"])
        elif fact["event"] == "error":
            raise DemoError(fact["text"])

"""Ten thousand agents that stream at once, each with a channel and a follower of its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from functools import partial

from .harness import Case, Claim, Sample, WrongResult, percentiles
from .peers import Peer, absent, opened, peers
from .settings import SHAPES, Settings

__all__ = ["CLAIMS", "cases"]

PACED = "{:,} agents and followers, {:g} tokens a second each"
FLAT_OUT = "{:,} agents and followers, as fast as they can"
OURS, THEIRS = "chanlog disk", "asyncio.Queue"
P99, RATE, CPU, CORES = "p99 us", "tokens/s", "cpu us/token", "cores"
PATIENCE_SECONDS = 300

CLAIMS = (
    Claim(
        text="10,000 agents at 2 tokens a second, cores",
        unit=CORES,
        ours=(PACED.format(10_000, 2), OURS),
        bound=1,
        cost=True,
        limit="the event loop: one step of the agent, one of the follower",
        limit_of=(PACED.format(10_000, 2), THEIRS),
    ),
    Claim(
        text="10,000 agents streaming, speed of in-memory queues",
        unit=RATE,
        ours=(FLAT_OUT.format(10_000), OURS),
        theirs=(FLAT_OUT.format(10_000), THEIRS),
        bound=0.5,
        limit="the event loop: one step of the agent, one of the follower",
        limit_of=(FLAT_OUT.format(10_000), THEIRS),
    ),
    Claim(
        text="10,000 agents at 2 tokens a second, p99",
        unit=P99,
        ours=(PACED.format(10_000, 2), OURS),
        theirs=(PACED.format(10_000, 2), THEIRS),
        bound=2,
        cost=True,
        limit="the event loop",
        limit_of=(PACED.format(10_000, 2), THEIRS),
    ),
)


def cases(settings: Settings) -> Iterator[Case]:
    """All cases of this workload: everything in one thread, which is one core at most."""
    for name, rate in ((PACED, settings.agent_rate), (FLAT_OUT, 0.0)):
        yield Case(
            workload="agents",
            name=name.format(settings.agents, rate),
            shape="B",
            yardstick=THEIRS,
            contestants={
                kind.name: partial(stream, kind, settings, rate)
                for kind in peers("agents", settings)
            },
            absent=absent("agents", settings),
        )


def stream(kind: type[Peer], settings: Settings, rate: float) -> Sample:
    """Each agent publishes its tokens, one every ``1 / rate`` seconds or with nothing but a step
    of the loop between them; its follower takes them. The latency is from the publish to the
    moment the follower has the token."""
    chance = random.Random(42)
    clock = time.perf_counter_ns
    tokens = settings.agent_tokens
    latencies: list[int] = []

    async def agent(peer: Peer, name: str, late: float) -> None:
        publish = peer.signaller(name)
        await asyncio.sleep(late)
        for number in range(tokens):
            publish({"t": "delta", "i": number, "at": clock()})
            await asyncio.sleep(1 / rate if rate else 0)

    async def follower(peer: Peer, name: str) -> None:
        wait = peer.task_waiter(name)
        for number in range(tokens):
            token = await wait()
            latencies.append(clock() - token["at"])
            if token["i"] != number:
                raise WrongResult(f"token {token['i']} of {name} came where {number} was due")

    async def run(peer: Peer) -> float:
        names = [f"workflow-{number}" for number in range(settings.agents)]
        followers = [asyncio.ensure_future(follower(peer, name)) for name in names]
        await asyncio.sleep(0)
        started = time.perf_counter()
        lates = [chance.random() / rate if rate else 0.0 for _ in names]
        async with asyncio.timeout(PATIENCE_SECONDS):
            async with asyncio.TaskGroup() as group:
                for name, late in zip(names, lates, strict=True):
                    group.create_task(agent(peer, name, late))
            await asyncio.gather(*followers)
        return time.perf_counter() - started

    with opened(kind, settings, SHAPES["B"]) as peer:
        cpu = time.process_time()
        seconds = asyncio.run(run(peer))
        cpu = time.process_time() - cpu
    count = settings.agents * tokens
    if len(latencies) != count:
        raise WrongResult(f"{len(latencies)} of {count} tokens were delivered")
    return {
        **percentiles(latencies),
        RATE: count / seconds,
        CPU: cpu / count * 1e6,
        CORES: cpu / seconds,
    }

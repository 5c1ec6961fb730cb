"""A million channels with a few messages each: what a service of finished workflows keeps.

Each stage is a process of its own, since what is asked is how much memory it takes:
``python -m benchmarks.channels STAGE PEER FOLDER COUNT`` prints what it measured as JSON.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from .harness import BEST, Case, Claim, Sample, WrongResult
from .peers import Peer, absent, named, peers
from .settings import SHAPES, Settings, disk_bytes

__all__ = ["CLAIMS", "cases"]

NAME = "workflow-{:07}"
MESSAGE_BYTES = 42
FEW, MORE = 5, 6
"""Messages in every even and in every odd channel: 5.5 in the middle."""
PREFIX = "workflow-00000"
LOOKS = 1_000

CREATE = "{:,} channels of 5.5 messages"
PEERS = "{:,} channels of 5.5 messages, one call a channel"
OURS, AT_ONCE = "chanlog disk, one message a call", "chanlog disk, one channel a call"

MADE, WRITTEN, HELD, DISK = (
    "messages/s",
    "B/channel written",
    "B/channel opened",
    "disk B/message",
)
OPEN, FIRST, LISTED, LOOK = "open ms", "names first us", "names each us", "look us"


def _figure(text: str, unit: str, bound: float, limit: str = "", *, cost: bool = True) -> Claim:
    return Claim(
        text=f"1 M channels: {text}",
        unit=unit,
        ours=(CREATE.format(1_000_000), OURS),
        bound=bound,
        cost=cost,
        limit=limit,
    )


def _over(text: str, unit: str, bound: float, *, cost: bool = True) -> Claim:
    case = PEERS.format(100_000)
    return Claim(
        text=f"100,000 channels: {text}, over the best peer",
        unit=unit,
        ours=(case, AT_ONCE),
        theirs=(case, BEST),
        bound=bound,
        cost=cost,
    )


CLAIMS = (
    _figure("created", MADE, 300_000, cost=False),
    _figure("resident bytes per cold channel", HELD, 120, "the name is 16 bytes of it"),
    _figure("resident bytes per channel, as written", WRITTEN, 120),
    _figure("open", OPEN, 50),
    _figure("channels(prefix=), until the first", FIRST, 1_000),
    _figure("disk bytes per message of 42", DISK, 60, "the payload is 42 of it"),
    _over("created", MADE, 1, cost=False),
    _over("disk bytes per message", DISK, 1),
)


def cases(settings: Settings) -> Iterator[Case]:
    """Both cases: all channels in chanlog, written as they would be; and fewer with the peers."""
    ours = [kind for kind in peers("cold channels", settings) if kind.role == "chanlog"]
    yield Case(
        workload="channels",
        name=CREATE.format(settings.cold_channels),
        shape="42 bytes",
        yardstick=OURS,
        contestants={
            form: partial(stages, kind, settings, settings.cold_channels, stage)
            for kind in ours
            for form, stage in ((OURS, "create"), (AT_ONCE, "create-many"))
        },
    )
    count = settings.cold_channels_peers
    yield Case(
        workload="channels",
        name=PEERS.format(count),
        shape="42 bytes",
        yardstick=AT_ONCE,
        contestants={
            AT_ONCE if kind in ours else kind.name: partial(
                stages, kind, settings, count, "create-many"
            )
            for kind in peers("cold channels", settings)
        },
        absent=absent("cold channels", settings),
    )


def stages(kind: type[Peer], settings: Settings, count: int, stage: str) -> Sample:
    """Create the channels in one process, open them in another."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=settings.folder) as folder:
        found: dict[str, float] = {}
        for step in (stage, "open"):
            found |= _process(step, kind, folder, count)
        found[DISK] = disk_bytes(Path(folder)) / _messages(count)
    return found


def _process(step: str, kind: type[Peer], folder: str, count: int) -> dict[str, float]:
    words = [step, kind.name, folder, str(count)]
    command = [sys.executable, "-m", "benchmarks.channels", *words]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WrongResult(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return dict(json.loads(done.stdout))


def _messages(count: int) -> int:
    return (count + 1) // 2 * FEW + count // 2 * MORE


def _items(number: int) -> list[bytes]:
    """The messages of a channel: what a summary of a step may look like, no two alike."""
    size = MORE if number % 2 else FEW
    return [b'{"step": %2d, "workflow": %7d, "ok": true}' % (i, number) for i in range(size)]


def create(peer: Peer, count: int, at_once: bool) -> Sample:
    """Make the channels, message by message or a channel a call, and let the store settle."""
    before = resident_bytes()
    spent = 0.0
    clock = time.perf_counter
    for number in range(count):
        # What a writer has to make, and its payloads, are not on the store's time.
        items = _items(number)
        started = clock()
        if at_once:
            peer.many_writer(NAME.format(number))(items)
        else:
            write = peer.writer(NAME.format(number))
            for item in items:
                write(item)
        spent += clock() - started
    peer.settle()
    gc.collect()
    return {
        MADE: _messages(count) / spent,
        WRITTEN: max(1.0, resident_bytes() - before) / count,
    }


def open_again(peer: Peer, count: int) -> Sample:
    """Open what is there, list some names, look into some channels; what stays in memory."""
    gc.collect()
    before = resident_bytes()
    opened = _timed(peer.open)
    try:
        if peer.end(NAME.format(count - 1)) != (MORE if (count - 1) % 2 else FEW):
            raise WrongResult("the last channel is not whole")
        names = peer.names(PREFIX)
        first = _timed(lambda: next(names))
        some: list[str] = []
        listed = _timed(lambda: some.extend(islice(names, 99)))
        expected = [NAME.format(n) for n in range(1, min(100, count))]
        if some != expected:
            raise WrongResult(f"names under {PREFIX} are {some[:3]}..., not {expected[:3]}...")
        step = max(1, count // LOOKS)

        def look() -> None:
            for number in range(0, count, step):
                if list(peer.reader(NAME.format(number))) != _items(number):
                    raise WrongResult(f"channel {number} is not what was written")

        looked = _timed(look) / len(range(0, count, step))
        gc.collect()
        held = max(1.0, resident_bytes() - before) / count
    finally:
        peer.close()
    return {
        HELD: held,
        OPEN: opened * 1e3,
        FIRST: first * 1e6,
        LISTED: listed / max(1, len(some)) * 1e6,
        LOOK: looked * 1e6,
    }


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def resident_bytes() -> float:
    """What of this process is in memory and its own; pages of mapped files belong to the disk
    cache, which gives them back when somebody needs the room."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return float(line.split()[1]) * 1024
    raise WrongResult("this system does not say how much memory a process has")


def main(stage: str, peer_name: str, folder: str, count: str) -> None:
    """One stage in a process of its own."""
    peer = named(peer_name)(Path(folder), SHAPES["A"])
    if stage == "open":
        found = open_again(peer, int(count))
    else:
        with peer:
            found = create(peer, int(count), at_once=stage == "create-many")
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

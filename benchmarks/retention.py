"""A store that forgets as much as it gets: the room it takes, and what it writes for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .harness import BEST, Case, Claim, Sample, WrongResult, check
from .peers import Peer, absent, opened, peers
from .settings import MIB, SHAPES, Settings, disk_bytes, payloads

__all__ = ["CLAIMS", "cases"]

STEADY = "{:,} MB kept of {:,} MB written"
CHANNEL = "workflow-{}"
CHANNELS = 10
BATCH = 1_000
LOOKS = 20
OURS, THEIRS = "chanlog disk", "sqlite3 WAL"
SPACE, WORST, WRITTEN = "disk/kept", "disk/kept at most", "written/payload"
RATE = "messages/s"

_FULL = STEADY.format(256, 1_024)
CLAIMS = (
    Claim(
        text="retention, space amplification in steady state",
        unit=SPACE,
        ours=(_FULL, OURS),
        bound=1.5,
        cost=True,
        limit="the disk: 1 is what is kept, and nothing else",
    ),
    Claim(
        text="retention, write amplification",
        unit=WRITTEN,
        ours=(_FULL, OURS),
        bound=3,
        cost=True,
        limit="the disk: 1 is what was published, written once",
    ),
    Claim(
        text="retention, room over the best peer",
        unit=SPACE,
        ours=(_FULL, OURS),
        theirs=(_FULL, BEST),
        bound=1,
        cost=True,
    ),
    Claim(
        text="retention, what is written over the best peer",
        unit=WRITTEN,
        ours=(_FULL, OURS),
        theirs=(_FULL, BEST),
        bound=1,
        cost=True,
    ),
)


def cases(settings: Settings) -> Iterator[Case]:
    """The one case: each channel keeps its newest messages while new ones come."""
    yield Case(
        workload="retention",
        name=STEADY.format(settings.kept_mb, settings.kept_mb * settings.kept_times),
        shape="C",
        yardstick=THEIRS,
        contestants={
            kind.name: partial(steady, kind, settings) for kind in peers("retention", settings)
        },
        absent=absent("retention", settings),
    )


def steady(kind: type[Peer], settings: Settings) -> Sample:
    """Write several times what is kept, and look at the folder every so often in the second half,
    when as much is forgotten as is written. Write amplification is what the kernel says that this
    process has given the disk to write, over what was published."""
    shape = SHAPES["C"]
    items = payloads("C", BATCH)
    kept = max(BATCH, settings.kept_mb * MIB // shape.size_bytes // CHANNELS)
    batches = CHANNELS * kept * settings.kept_times // BATCH
    looks: list[float] = []
    with opened(kind, settings, shape) as store:
        writers = [store.bounded_writer(CHANNEL.format(number), kept) for number in range(CHANNELS)]
        before, started = written_bytes(), time.perf_counter()
        for number in range(batches):
            writers[number % CHANNELS](items)
            half, step = batches // 2, max(1, batches // 2 // LOOKS)
            if number >= half and (number - half) % step == 0:
                looks.append(disk_bytes(store.folder))
        seconds = time.perf_counter() - started
        store.settle()
        looks.append(disk_bytes(store.folder))
        written = written_bytes() - before
        check_kept(store, items, kept, batches)
    payload = shape.size_bytes * BATCH * batches
    room = shape.size_bytes * kept * CHANNELS
    looks.sort()
    return {
        SPACE: looks[len(looks) // 2] / room,
        WORST: looks[-1] / room,
        WRITTEN: written / payload,
        RATE: BATCH * batches / seconds,
    }


def check_kept(store: Peer, items: list[bytes], kept: int, batches: int) -> None:
    """Each channel has its newest messages at least, in order, to the last one."""
    for number in range(CHANNELS):
        found = list(store.reader(CHANNEL.format(number)))
        count = len(range(number, batches, CHANNELS)) * BATCH
        if len(found) < min(kept, count):
            raise WrongResult(f"{len(found)} messages are kept where {kept} were asked for")
        # Which is the first may differ: retention may keep a little more.
        place = (count - len(found)) % BATCH
        check(found, items[place:] + items[:place], len(found))


def written_bytes() -> int:
    """What this process has made the kernel write to disks, or will have made."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise WrongResult("this system does not say how much a process writes")

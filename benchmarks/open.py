"""Opening a store of a given size: after a clean close, and after its owner was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from .harness import BEST, Case, Claim, Sample, WrongResult, check
from .killed import TAIL, fill
from .peers import Peer, absent, opened, peers
from .settings import MIB, SHAPES, Settings, Shape, payloads

__all__ = ["CLAIMS", "cases"]

CLEAN = "open {:,} MB after a clean close"
KILLED = "open {:,} MB after kill -9"
OURS, THEIRS = "chanlog disk", "sqlite3 WAL"

CLAIMS = (
    Claim(
        text="open 1 GB after a clean close",
        unit="ms",
        ours=(CLEAN.format(1024), OURS),
        bound=20,
        cost=True,
        limit="the disk cache: a catalog is mapped, and nothing else is read",
    ),
    Claim(
        text="open 1 GB after kill -9",
        unit="ms",
        ours=(KILLED.format(1024), OURS),
        bound=300,
        cost=True,
        limit="the disk cache: one active segment is read",
    ),
    Claim(
        text="open 1 GB after a clean close, time over the best peer",
        unit="ms",
        ours=(CLEAN.format(1024), OURS),
        theirs=(CLEAN.format(1024), BEST),
        bound=1,
        cost=True,
    ),
)


def cases(settings: Settings) -> Iterator[Case]:
    """All cases of this workload. What counts is the time of ``open`` and one look at the end."""
    shape = SHAPES["C"]
    for size_bytes in settings.open_bytes:
        with ExitStack() as stack:
            clean: dict[str, Callable[[], Sample]] = {}
            killed: dict[str, Callable[[], Sample]] = {}
            for kind in peers("open", settings):
                if size_bytes > kind.open_bytes_max:
                    continue
                store = stack.enter_context(opened(kind, settings, shape))
                fill(store, shape, size_bytes, settings.open_tail)
                clean[kind.name] = partial(open_again, store, settings.open_tail)
                if kind.kill_loses:
                    continue
                victim = Path(stack.enter_context(_folder(settings)))
                kill(kind, victim, shape, size_bytes, settings.open_tail)
                killed[kind.name] = partial(open_copy, kind, settings, shape, victim)
            missing = absent("open", settings)
            lossy = {
                kind.name: kind.kill_loses for kind in peers("open", settings) if kind.kill_loses
            }
            for name, contestants, others in (
                (CLEAN, clean, missing),
                (KILLED, killed, missing | lossy),
            ):
                yield Case(
                    workload="open",
                    name=name.format(size_bytes // MIB),
                    shape=shape.name,
                    yardstick=THEIRS,
                    contestants=contestants,
                    absent=others,
                )


def _folder(settings: Settings) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="benchmark-", dir=settings.folder)


def kill(kind: type[Peer], folder: Path, shape: Shape, size_bytes: int, tail: int) -> None:
    """Have a process fill a store in ``folder`` and die by SIGKILL."""
    arguments = [kind.name, folder, shape.name, size_bytes, tail]
    command = [sys.executable, "-m", "benchmarks.killed", *map(str, arguments)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != -signal.SIGKILL or done.stdout != "filled\n":
        raise WrongResult(f"the writer to be killed ended with {done.returncode}: {done.stderr}")


def open_again(store: Peer, count: int) -> Sample:
    """Close the store and open it."""
    store.close()
    seconds, end = timed_open(store)
    check_tail(store, end, count)
    return {"ms": seconds * 1000}


def open_copy(kind: type[Peer], settings: Settings, shape: Shape, victim: Path) -> Sample:
    """Open a copy of what the killed process left, since opening repairs it."""
    with _folder(settings) as folder:
        # Not shutil: a store may be a file of many gigabytes with next to nothing in it.
        subprocess.run(["cp", "-r", "--sparse=always", f"{victim}/.", folder], check=True)
        store = kind(Path(folder), shape)
        seconds, end = timed_open(store)
        try:
            check_tail(store, end, settings.open_tail)
        finally:
            store.close()
    return {"ms": seconds * 1000}


def timed_open(store: Peer) -> tuple[float, int]:
    """The seconds until the store is open and has told how far one channel reaches; how far."""
    started = time.perf_counter()
    store.open()
    end = store.end(TAIL)
    return time.perf_counter() - started, end


def check_tail(store: Peer, end: int, count: int) -> None:
    """Everything that was acknowledged before the end is there after it."""
    if end != count:
        raise WrongResult(f"{end} messages are there where {count} were written")
    check(store.reader(TAIL), payloads(store.shape.name, count), count)

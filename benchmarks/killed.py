"""A writer that is killed in the middle: ``python -m benchmarks.killed PEER FOLDER SHAPE BYTES
TAIL`` fills a store, prints how many messages it holds, and kills itself."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from .peers import Peer, named
from .settings import SHAPES, Shape, payloads

__all__ = ["BULK", "TAIL", "fill"]

BULK = "bulk-{}"
TAIL = "workflow-42"
BATCH = 1_000
CHANNELS = 100


def fill(peer: Peer, shape: Shape, size_bytes: int, tail: int) -> int:
    """Write about ``size_bytes`` to a hundred channels, a thousand messages a call, and then
    ``tail`` messages one by one to another; return how many those are."""
    items = payloads(shape.name, BATCH)
    writers = [peer.many_writer(BULK.format(number)) for number in range(CHANNELS)]
    for number in range(max(1, size_bytes // (BATCH * shape.size_bytes))):
        writers[number % CHANNELS](items)
    write = peer.writer(TAIL)
    for item in payloads(shape.name, tail):
        write(item)
    return tail


def main(peer_name: str, folder: str, shape_name: str, size_bytes: str, tail: str) -> None:
    """Fill a store and die with it open."""
    peer = named(peer_name)(Path(folder), SHAPES[shape_name])
    peer.open()
    fill(peer, peer.shape, int(size_bytes), int(tail))
    print("filled", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A process that follows the log of a soak from outside: ``python -m ...follower PATH NAME...``.

It tidies its memory up for each line it is sent, and once its standard input is closed it prints
what it found wrong, if anything, and how many messages it has seen.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import chanlog

from .gauge import tidy
from .payload import Checker


def follow(log: chanlog.Log, name: str, stopping: threading.Event, checker: Checker) -> None:
    """Read one channel until told to stop."""
    subscription = log.channel(name).subscribe()
    while not stopping.is_set():
        try:
            message = subscription.get(timeout=0.2)
        except chanlog.OffsetTrimmed as trimmed:
            checker.told(trimmed.start_offset)
            subscription.seek(trimmed.start_offset)
            continue
        if message is not None:
            checker.see(message)


def main(path: Path, names: list[str]) -> None:
    """Follow until the standard input ends."""
    stopping = threading.Event()
    wrong: list[str] = []
    checkers = [Checker(f"the follower of {name}") for name in names]

    def guarded(log: chanlog.Log, name: str, checker: Checker) -> None:
        try:
            follow(log, name, stopping, checker)
        except BaseException as error:
            wrong.append(f"{checker.place}: {error!r}")

    with chanlog.open(path, read_only=True) as log:
        threads = [
            threading.Thread(target=guarded, args=(log, name, checker))
            for name, checker in zip(names, checkers, strict=True)
        ]
        for thread in threads:
            thread.start()
        print("following", flush=True)
        for _ in sys.stdin:
            tidy()
            print("tidied", flush=True)
        stopping.set()
        for thread in threads:
            thread.join()
    for line in wrong:
        print(f"wrong {line}", flush=True)
    print(f"seen {sum(checker.count for checker in checkers)}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

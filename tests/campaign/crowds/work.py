"""What a call costs, in work and not in time: lines executed, calls made, memory left behind."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable
from statistics import median
from types import FrameType
from typing import Any, NamedTuple

__all__ = ["Work", "work_of"]


class Work(NamedTuple):
    """``lines`` has every line of Python that was executed with how often, ``calls`` every
    function of C that was called; ``blocks`` is how many more blocks of memory are in use after
    all of it than before: the median of five times, for other threads allocate too."""

    lines: Counter[tuple[str, int]]
    calls: Counter[str]
    blocks: int


def work_of(call: Callable[[], Any], times: int) -> Work:
    """Do ``call`` so many times in this thread, and count."""
    lines: Counter[tuple[str, int]] = Counter()
    calls: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            lines[frame.f_code.co_filename, frame.f_lineno] += 1
        return trace

    def profile(_: FrameType, event: str, function: Any) -> None:
        if event == "c_call":
            calls[getattr(function, "__qualname__", str(type(function)))] += 1

    gc.collect()
    gc.disable()
    try:
        sys.setprofile(profile)
        sys.settrace(trace)
        for _ in range(times):
            call()
        sys.settrace(None)
        sys.setprofile(None)
        # Untraced, for the counters above take memory themselves.
        blocks = []
        for _ in range(5):
            before = sys.getallocatedblocks()
            for _ in range(times):
                call()
            blocks.append(sys.getallocatedblocks() - before)
    finally:
        sys.settrace(None)
        sys.setprofile(None)
        gc.enable()
    return Work(lines, calls, int(median(blocks)))

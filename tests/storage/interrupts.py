"""KeyboardInterrupt at every place where CPython looks for signals."""

from __future__ import annotations

import dis
import gc
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

# The evaluation loop looks for signals behind these. Behind the call of a function in Python it
# does so only when that function begins.
_LOOKS = frozenset(("RESUME", "CALL", "CALL_KW", "CALL_FUNCTION_EX", "JUMP_BACKWARD", "SEND"))
_FLOORS = (
    "chanlog/storage",
    "chanlog/channels",
    "chanlog/format",
    "chanlog/host",
    "chanlog/log.py",
)
# What is Python too, and counts where chanlog calls it.
_BELOW = ("sortedcontainers", "weakref", "threading.py")


class Interrupter:
    """Counts the places where a signal could arrive, and raises at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0
        self.where = ""
        self._last: dict[FrameType, str] = {}

    def run(self, work: Callable[[], Any]) -> Any:
        before = sys.gettrace()
        # Whatever is collected is collected at another place each time.
        collecting = gc.isenabled()
        gc.disable()
        sys.settrace(self._call)
        try:
            return work()
        finally:
            sys.settrace(before)
            if collecting:
                gc.enable()
            self._last.clear()

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_back is not None:
            self._last.pop(frame.f_back, None)
        called = frame.f_back is not None and frame.f_back.f_trace is not None
        floors = (*_FLOORS, *_BELOW) if called else _FLOORS
        name = frame.f_code.co_filename
        if _is_final(frame.f_code) or not any(floor in name for floor in floors):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._opcode

    def _opcode(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            last = self._last.get(frame, "")
            self._last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            if last in _LOOKS:
                self.count += 1
                if self.count == self.at + 1:
                    self.where = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
                    raise KeyboardInterrupt
        return self._opcode


def _is_final(code: CodeType) -> bool:
    """Whether nobody hears of what is raised there: it runs where something was let go of last."""
    is_callback = "<locals>" in code.co_qualname and "weakref" in code.co_filename
    return code.co_name == "__del__" or is_callback


def everywhere(prepare: Callable[[], Any], work: Callable[[Any], Any], check: Any) -> int:
    """Interrupt ``work(world)`` at each place, each time in a new world, and check it after.

    ``check(world, result, where)``; ``result`` is ``None`` when it was interrupted. Returns the
    number of places.
    """
    at = 0
    while True:
        world = prepare()
        interrupter = Interrupter(at)
        result = None
        interrupted = False
        try:
            result = interrupter.run(lambda world=world: work(world))
        except KeyboardInterrupt:
            interrupted = True
        check(world, result, interrupter.where)
        if not interrupted and not interrupter.where:
            return at
        at += 1

"""Where a thread may be taken off: lines or opcodes that touch what another thread could see."""

from __future__ import annotations

import dis
import itertools
from types import CodeType
from typing import NamedTuple

__all__ = ["Offsets", "Points"]

# What works on the local variables alone is the same before and after another thread has run.
_SHARED = frozenset(
    """
    BEFORE_WITH BINARY_SUBSCR BINARY_SLICE STORE_SLICE CALL CALL_FUNCTION_EX CALL_KW CONTAINS_OP
    DELETE_ATTR DELETE_SUBSCR FOR_ITER LOAD_ATTR LOAD_METHOD STORE_ATTR STORE_SUBSCR
    UNPACK_SEQUENCE YIELD_VALUE SEND WITH_EXCEPT_START
    """.split()  # noqa: SIM905
)
# Behind these the interpreter looks for signals.
LOOKS = frozenset(("RESUME", "CALL", "CALL_KW", "CALL_FUNCTION_EX", "JUMP_BACKWARD", "SEND"))


class Offsets(NamedTuple):
    """Of one code object: before which opcodes to switch, and where a signal may arrive."""

    switching: frozenset[int]
    signals: frozenset[int]


class Points:
    """The points in the files whose path has one of ``parts`` in it, by line or by opcode.

    ``private`` are functions that work on what their thread alone has, by their qualified names;
    there it is as in a line that works on local variables.
    """

    def __init__(
        self, *parts: str, opcodes: bool = False, private: frozenset[str] = frozenset()
    ) -> None:
        self.parts = parts
        self.private = private
        self.opcodes = opcodes
        self._looks: dict[CodeType, bool] = {}
        self._lines: dict[CodeType, frozenset[int]] = {}
        self._offsets: dict[CodeType, Offsets] = {}

    def looks_at(self, code: CodeType) -> bool:
        """Whether ``code`` has points."""
        found = self._looks.get(code)
        if found is None:
            found = self._looks[code] = code.co_qualname not in self.private and any(
                part in code.co_filename for part in self.parts
            )
        return found

    def lines(self, code: CodeType) -> frozenset[int]:
        """The lines of ``code`` before which there is one."""
        found = self._lines.get(code)
        if found is None:
            found = self._lines[code] = _shared_lines(code)
        return found

    def offsets(self, code: CodeType) -> Offsets:
        """The opcodes of ``code`` before which there is one."""
        found = self._offsets.get(code)
        if found is None:
            found = self._offsets[code] = _shared_offsets(code)
        return found


def _shared_lines(code: CodeType) -> frozenset[int]:
    starts = dict(dis.findlinestarts(code))
    found = set()
    line: int | None = None
    for instruction in dis.get_instructions(code):
        line = starts.get(instruction.offset, line)
        if instruction.opname in _SHARED and line is not None:
            found.add(line)
    return frozenset(found)


def _shared_offsets(code: CodeType) -> Offsets:
    instructions = list(dis.get_instructions(code))
    return Offsets(
        frozenset(i.offset for i in instructions if i.opname in _SHARED),
        frozenset(
            after.offset
            for before, after in itertools.pairwise(instructions)
            if before.opname in LOOKS
        ),
    )

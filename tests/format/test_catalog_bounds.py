"""The catalog at its bounds: of its sections, of what a patch takes with it, and of a rewrite."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chanlog.format.catalog import RECORD, Catalog
from chanlog.format.catalog_build import _is_rewrite_cheaper
from chanlog.format.catalog_layout import REMOVED, Sections

from .test_catalog import entry, make


@pytest.mark.parametrize(
    ("changes", "garbage_bytes", "expected"),
    [(0, 0, False), (5, 0, False), (6, 0, True), (0, 500, False), (0, 501, True), (6, 501, True)],
)
def test_when_all_is_written_anew(changes: int, garbage_bytes: int, expected: bool) -> None:
    """Later, a catalog would be twice as large as what it holds, or take longer to patch than to
    write; earlier, every snapshot of a large log would cost as much as the log is large."""
    header = SimpleNamespace(
        slots=10, heap_bytes=1000 - 10 * RECORD.size, garbage_bytes=garbage_bytes
    )
    base: Any = SimpleNamespace(header=header)
    assert _is_rewrite_cheaper(base, changes) == expected


def test_what_is_removed_is_a_change_too() -> None:
    base = Catalog(make(changed=[entry(id, f"c{id}") for id in range(1, 11)]))
    changed = [entry(id, f"c{id}", stop=9) for id in (1, 2, 3)]
    assert Catalog(make(base, changed, [4, 5])).garbage_bytes == 2 * (RECORD.size + 2)
    assert Catalog(make(base, changed, [4, 5, 6])).garbage_bytes == 0


def test_a_removed_record_is_zero_but_for_its_id() -> None:
    """What it referred to is garbage: nobody may follow it, and the format says that it is gone."""
    base = Catalog(make(changed=[entry(id, f"c{id}", extra=b"x") for id in (1, 2, 3, 4, 5)]))
    sections = Sections(make(base, removed=[3]))
    assert sections.record(2) == (3, 0, 0, 0, 0, 0, 0, 0, REMOVED, 0, 0)

"""Which tests hold which module: those that must fail for each of its mutants, quick ones first."""

from __future__ import annotations

__all__ = ["UNITS"]

_RECOVERY = (
    "tests/storage/test_recovering.py",
    "tests/storage/test_scanning.py",
    "tests/storage/test_misplaced.py",
    "tests/storage/test_naming_what_is_gone.py",
    "tests/storage/test_missing.py",
    "tests/storage/test_opening.py",
    "tests/storage/test_gaps.py",
    "tests/storage/test_applying.py",
    "tests/storage/test_clustering.py",
    "tests/storage/test_damage_at_rest.py",
    "tests/storage/test_damage_behind.py",
    "tests/storage/test_damage.py",
    "tests/storage/test_torn.py",
    "tests/storage/test_crash.py",
    "tests/storage/test_verifying.py",
    "tests/storage/test_sweeping.py",
    "tests/storage/test_following.py",
)
_CATALOG = (
    "tests/format/test_catalog_bounds.py",
    "tests/format/test_catalog.py",
    "tests/storage/test_applying.py",
)
_BATCH = (
    "tests/format/test_batch.py",
    "tests/docs/test_format.py",
    "tests/format/test_body.py",
    "tests/format/test_body_bounds.py",
    "tests/format/test_payload.py",
    "tests/format/test_hostile.py",
    "tests/format/test_golden.py",
    "tests/storage/test_appending.py",
    "tests/storage/test_damage.py",
)
_FILES = (
    "tests/format/test_records.py",
    "tests/format/test_segment.py",
    "tests/format/test_hostile.py",
    "tests/format/test_golden.py",
    *_RECOVERY,
)

UNITS: dict[str, tuple[str, ...]] = {
    "chanlog/format/batch.py": _BATCH,
    "chanlog/format/body.py": _BATCH,
    "chanlog/format/payload.py": (*_BATCH, "tests/interface/test_payload_errors.py"),
    "chanlog/format/records.py": _FILES,
    "chanlog/format/names.py": _FILES,
    "chanlog/format/segment.py": _FILES,
    "chanlog/format/catalog.py": _CATALOG,
    "chanlog/format/catalog_build.py": _CATALOG,
    "chanlog/format/catalog_check.py": _CATALOG,
    "chanlog/format/catalog_layout.py": _CATALOG,
    "chanlog/storage/applying.py": (*_RECOVERY, "tests/storage/test_one_step.py"),
    "chanlog/storage/opening.py": (*_RECOVERY, "tests/interface/test_open_errors.py"),
    "chanlog/storage/recovery.py": _RECOVERY,
    "chanlog/storage/scanning.py": _RECOVERY,
    "chanlog/storage/sweeping.py": _RECOVERY,
    "chanlog/storage/snapshot.py": (*_RECOVERY, "tests/storage/test_one_step.py"),
}

"""Damage of every bit, length and sector, at the size of CI; and that the checks can fail."""

from __future__ import annotations

import pytest

import chanlog
from chanlog.host import DiskFolder
from chanlog.storage import reading, recovery
from chanlog.storage.clustered import ClusteredSegment
from chanlog.storage.segment import RawSegment
from chanlog.storage.verifying import verify_folder

from ..storage.worlds import files_of, fixed_host, open_log, tell
from .campaign import passed
from .damage import CAMPAIGNS
from .damage.checking import WAYS, Case
from .damage.damages import bits, sectors, truncations
from .damage.images import Image
from .damage.layouts import LAYOUTS, layout
from .damage.trying import attempt, tries

BY_NAME = {campaign.name: campaign for campaign in CAMPAIGNS}


@pytest.mark.parametrize("name", ["bits", "truncations", "sectors"])
def test_damage(name: str) -> None:
    """No wrong message, no silent loss, none beyond what was damaged, and nothing is changed on
    the disk when it is refused."""
    passed(BY_NAME[name])


def test_a_small_run_looks_at_every_file_in_every_way() -> None:
    for name in ("bits", "truncations", "sectors"):
        seen = {(one.layout, one.file, one.way) for one in tries(name, BY_NAME[name].small, 1)}
        files = {(name, file) for name in LAYOUTS for file in layout(name).files}
        assert seen == {(*file, way) for file in files for way in WAYS}


def test_every_try_is_made_once_when_all_are() -> None:
    made = list(tries("sectors", 1_000_000, 1))
    assert len(made) == len(set(made)) < 1_000_000
    assert set(made) == set(tries("sectors", 1_000_000, 7))


def is_found(kind: str) -> bool:
    """Whether one of some tries fails, of which none does without a fault."""
    return any(map(attempt, tries(kind, BY_NAME[kind].small, 1)))


def test_a_checksum_that_is_not_looked_at_is_found(monkeypatch) -> None:
    monkeypatch.setattr(RawSegment, "is_right", lambda self, position, channel: True)
    assert is_found("bits")


def test_a_batch_in_the_wrong_place_is_found(monkeypatch) -> None:
    """Two sectors of a clustered segment were swapped, and each channel was given the messages
    of the other: their checksums were right."""
    verify = ClusteredSegment.verify
    monkeypatch.setattr(
        ClusteredSegment, "verify", lambda self, position, stop, channel=0: verify(
            self, position, stop
        )
    )  # fmt: skip
    assert is_found("sectors")


def test_a_loss_beyond_the_damage_is_found(monkeypatch) -> None:
    monkeypatch.setattr(reading, "behind", lambda segment, entry, position: entry.stop)
    assert is_found("bits")


def test_a_cut_below_the_durable_mark_is_found(monkeypatch) -> None:
    monkeypatch.setattr(recovery.Recoverer, "_look_ahead", lambda self, place, position: None)
    assert is_found("bits")


def test_a_change_before_the_refusal_is_found(monkeypatch) -> None:
    cut = recovery.Recoverer._damaged

    def cutting(self, segment, start, stop):
        self._store.folder.remove("CHANLOG")
        cut(self, segment, start, stop)

    monkeypatch.setattr(recovery.Recoverer, "_damaged", cutting)
    assert is_found("bits")


def test_damage_in_the_last_sync_group_looks_like_a_torn_write() -> None:
    """What L4 says: a bit that was flipped behind the durable mark, and the same batch half
    written, are told in the same words. One byte earlier, below the mark, it is refused."""
    log = layout("active")
    unsynced = [place for place in log.places if place.position >= Case.of(
        log, bits.make("0000000001.log", log.files["0000000001.log"], 8 * 70)
    ).told]  # fmt: skip
    first = unsynced[0]
    content = log.files[first.name]
    torn = content[: first.stop - 1].ljust(len(content), b"\0")
    flipped = bits.make(first.name, content, 8 * (first.stop - 1)).content
    reports = []
    for damaged in (torn, flipped):
        with Image({**log.files, first.name: damaged}).log() as opened:
            (report,) = opened.recovery.torn
            reports.append((report.path, report.start, opened.recovery.damage))
    assert reports[0] == reports[1]
    before = log.places[log.places.index(first) - 1]
    with pytest.raises(chanlog.CorruptionError):
        Image(
            {**log.files, first.name: bits.make(first.name, content, 8 * before.start).content}
        ).log()


def test_damage_of_the_lock_file(tmp_path) -> None:
    """It says who has the log open, and nothing else: whatever is in it, the log opens, and a
    second owner is refused with the one exception there is for it."""
    path = tmp_path / "log"
    with open_log(path, host=fixed_host()) as log:
        tell(log)
        content = (path / "lock").read_bytes()
        kinds = (bits, truncations, sectors)
        changed = {
            kind.make("lock", content, number).content
            for kind in kinds
            for number in range(kind.count(len(content)))
        }
        for damaged in sorted(changed):
            (path / "lock").write_bytes(damaged)
            with pytest.raises(chanlog.LogLocked):
                open_log(path)
            with open_log(path, read_only=True) as outside:
                assert len(list(outside.channel("agent").replay())) == 15
    for damaged in sorted(changed):
        DiskFolder(path).remove("lock")
        (path / "lock").write_bytes(damaged)
        open_log(path).close()
    assert files_of(path)["lock"] == b""


def undamaged(name: str) -> Case:
    files = layout(name).files
    whole = truncations.make("CHANLOG", files["CHANLOG"], 2 * len(files["CHANLOG"]))
    assert whole.content == files["CHANLOG"]
    return Case.of(layout(name), whole)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "verified"])
def test_an_undamaged_log_passes_every_way(name: str, way: str) -> None:
    WAYS[way](undamaged(name))


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_undamaged_log_has_no_problems(name: str) -> None:
    found = verify_folder(Image(layout(name).files), None)
    assert (found.problems, found.torn) == ([], [])


def test_the_truth_is_what_was_published() -> None:
    """The journal was read from the bytes; this is what was published."""
    log = layout("mixed")
    told = [log.message(9, offset).data for offset in range(3)]
    assert told == ["parent-0", "parent-1", "grandchild-2"]
    assert log.message(14, 899).data == 2

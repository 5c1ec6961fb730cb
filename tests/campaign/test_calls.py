"""Every system call of a scenario fails, or the process dies there: the campaigns at CI size, and
planted faults that their judges must find."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

import chanlog
from chanlog.channels import committing
from chanlog.host.disk import DiskFile, DiskFolder
from chanlog.storage import maintenance, snapshot
from chanlog.storage.store import Store

from ..support import ROOT
from . import calls
from .calls.failed import Point, calls_of, try_point
from .calls.killed import deaths, try_death
from .calls.rooms import room
from .calls.scenarios import SCENARIOS
from .calls.shim import Fault
from .calls.traced import Injection, try_injection
from .campaign import Campaign, passed

CAMPAIGNS: dict[str, Campaign] = {campaign.name: campaign for campaign in calls.CAMPAIGNS}


def test_every_call_fails():
    outcome = passed(CAMPAIGNS["calls-failed"])
    assert outcome.facts["kinds"] > 1500


def test_a_process_dies_at_every_call():
    outcome = passed(CAMPAIGNS["calls-killed"])
    assert outcome.facts["kinds"] > 500


def test_the_system_refuses_and_kills():
    if os.environ.get("CI") and "strace" in (ROOT / ".ci" / "run").read_text():
        assert shutil.which("strace"), "what CI installs is not there"
    outcome = passed(CAMPAIGNS["calls-strace"])
    if outcome.skipped:
        pytest.skip(outcome.skipped)


# What the judge must find: each plants a bug, and tries points of a scenario until it is found.


def problems_of(name: str, call: str, target: str, fault: Fault) -> list[str]:
    """What is wrong at any call of that name on that file of a scenario."""
    (scenario,) = [scenario for scenario in SCENARIOS if scenario.name == name]
    found = []
    with room() as place:
        for at, made in enumerate(calls_of(scenario, place)):
            if made.name == call and target in made.target:
                found += try_point(Point(scenario, at, made, fault), place)
    return found


EIO = Fault("before", errno.EIO)


def test_a_sync_that_is_asked_again_is_found(monkeypatch):
    monkeypatch.setattr(Store, "fail", lambda self, error: chanlog.LogFailed("x", reason=error))
    found = problems_of("durable", "fdatasync", ".log", EIO)
    assert any("was synced again" in problem for problem in found), found


def test_a_sync_of_the_folder_that_is_asked_again_is_found(monkeypatch):
    """A bug that was here: only what synced a segment failed the log."""
    monkeypatch.setattr(snapshot, "sync_folder", lambda store: store.folder.sync())
    found = problems_of("cluster", "fsync", "log", EIO)
    assert any("was synced again" in problem for problem in found), found


def test_an_acknowledgement_before_the_sync_is_found(monkeypatch):
    """The log fails later, and hides what it had promised to keep."""

    def planted(store, drafts, *, durable=False):
        return store.write(drafts, durable=durable)[0]

    monkeypatch.setattr(committing, "submit", planted)
    found = problems_of("durable", "fdatasync", ".log", EIO)
    assert any("hides what was durable" in problem for problem in found), found


def test_a_folder_that_is_not_synced_is_found(monkeypatch):
    monkeypatch.setattr(DiskFolder, "sync", lambda self: None)
    found = problems_of("roll", "pread", "CHANLOG", EIO)
    assert any("is durable without" in problem for problem in found), found


def test_a_write_that_is_short_and_not_gone_on_with_is_found(monkeypatch):
    def write(self, position, content):
        from chanlog.host import disk

        disk.os.pwrite(self._descriptor, content, position)

    monkeypatch.setattr(DiskFile, "write", write)
    assert problems_of("large", "pwrite", ".log", Fault("short"))


def test_a_lock_that_is_kept_is_found(monkeypatch):
    """A bug that was here: a close that could not cut its file kept the directory."""
    unlock = DiskFolder.unlock
    truncate = DiskFile.truncate

    def refused(self, size):
        try:
            truncate(self, size)
        except OSError:
            monkeypatch.setattr(DiskFolder, "unlock", lambda self: None)
            raise

    monkeypatch.setattr(DiskFile, "truncate", refused)
    try:
        found = problems_of("close", "ftruncate", ".log", EIO)
    finally:
        monkeypatch.setattr(DiskFolder, "unlock", unlock)
    assert any("LogLocked" in problem for problem in found), found


def test_a_descriptor_that_is_kept_is_found(monkeypatch):
    kept = []
    read = DiskFile.read

    def planted(self, position, count):
        try:
            return read(self, position, count)
        except OSError:
            kept.append(os.dup(self._descriptor))
            raise

    monkeypatch.setattr(DiskFile, "read", planted)
    found = problems_of("close", "pread", "CHANLOG", EIO)
    for descriptor in kept:
        os.close(descriptor)
    assert any("descriptors are left open" in problem for problem in found), found


def test_a_full_disk_that_fails_the_log_is_found(monkeypatch):
    make_room = Store.make_room

    def planted(self, length):
        try:
            return make_room(self, length)
        except chanlog.DiskFull as error:
            self._fail(error)
            raise

    monkeypatch.setattr(Store, "make_room", planted)
    found = problems_of("grow", "posix_fallocate", ".log", Fault("before", errno.ENOSPC))
    assert any("the log is failed" in problem for problem in found), found


def test_an_error_of_another_kind_is_found(monkeypatch):
    size = DiskFile.size

    def planted(self):
        try:
            return size(self)
        except OSError:
            raise KeyError(self.name) from None

    monkeypatch.setattr(DiskFile, "size", planted)
    found = problems_of("close", "fstat", "catalog", EIO)
    assert any("it raised KeyError" in problem for problem in found), found


def test_a_background_that_raises_is_found(monkeypatch):
    monkeypatch.setattr(
        "chanlog.channels.upkeep.Upkeep._pass", lambda self: maintenance.maintain(self._store)
    )
    found = problems_of("upkeep", "rename", "catalog", EIO)
    assert any("the background has raised" in problem for problem in found), found


def test_files_removed_before_what_replaces_them_is_there_are_found(monkeypatch):
    """A process that dies in between has lost what was in them."""
    rename = DiskFolder.rename

    def planted(self, name, to):
        if to.endswith(".seg"):
            self.remove(f"{to[:10]}.log")
        rename(self, name, to)

    monkeypatch.setattr(DiskFolder, "rename", planted)
    found = []
    with room() as place:
        for death in deaths(place):
            chosen = death.scenario.name, death.call.name, death.moment
            if chosen == ("cluster", "rename", "before"):
                found += try_death(death, place)
    assert any("opened again it shows" in problem for problem in found), found


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_an_error_of_another_kind_is_found_in_a_real_process(monkeypatch):
    size = DiskFile.size

    def planted(self):
        try:
            return size(self)
        except OSError:
            raise KeyError(self.name) from None

    monkeypatch.setattr(DiskFile, "size", planted)
    found = []
    with room() as place:
        for scenario in SCENARIOS:
            if scenario.name == "close":
                call = Injection(scenario, "newfstatat", 2, errno.EIO, False)
                found += try_injection(call, place)
    assert any("it raised KeyError" in problem for problem in found), found

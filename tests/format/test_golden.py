"""Logs of every version of the format stay readable, and say what they said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ..storage.worlds import open_log
from ..support import tree
from .golden.make import KINDS, describe, make

GOLDEN = Path(__file__).parent / "golden"
LOGS = sorted(path for path in GOLDEN.glob("version-*/*") if path.is_dir())


def said(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text())


def test_they_are_there():
    assert [path.name for path in LOGS] == sorted(KINDS)


@pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_says_what_it_said(path, tmp_path):
    copy = tmp_path / "log"
    shutil.copytree(path, copy)
    with open_log(copy) as log:
        assert log.recovery.torn == []
        assert not log.recovery.damage
        assert not log.recovery.catalog_rebuilt or path.name == "active"
        assert describe(log) == said(path)
        log.channel("agent").publish("by today's code")
        log.compact()
    with open_log(copy) as log:
        found = describe(log)
        assert found["agent"]["messages"][-1][2] == "by today's code"
        assert {**found, "agent": 0} == {**said(path), "agent": 0}


@pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_can_be_read_from_outside(path, tmp_path):
    copy = tmp_path / "log"
    shutil.copytree(path, copy)
    before = tree(copy)
    with open_log(copy, read_only=True) as log:
        assert describe(log) == said(path)
    assert tree(copy) == before


@pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_can_be_read_without_its_catalog(path, tmp_path):
    copy = tmp_path / "log"
    shutil.copytree(path, copy)
    (copy / "catalog").unlink(missing_ok=True)
    with open_log(copy) as log:
        assert describe(log) == said(path)


@pytest.mark.parametrize("kind", KINDS)
def test_they_can_be_made(kind, tmp_path):
    make(tmp_path, kind)
    assert said(tmp_path / kind).keys() == said(GOLDEN / "version-1" / kind).keys()

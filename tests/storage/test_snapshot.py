"""The moments of writing a catalog or a clustered segment: what is published in between, and what
a power cut then leaves."""

from __future__ import annotations

import shutil

import pytest

from chanlog.host import DiskFolder
from chanlog.storage import maintenance, snapshot

from ..support import LIMIT, spawn, until
from .test_syncing import Disk
from .worlds import fixed_host, open_log


def data(log, name="a"):
    return [message.data for message in log.channel(name).replay()]


def test_what_is_published_while_the_states_are_collected(tmp_path, monkeypatch):
    """It is in none of them, so the catalog must not say that it goes so far."""
    path, dead = tmp_path / "log", tmp_path / "dead"
    log = open_log(path)
    channel = log.channel("a")
    channel.publish("before")
    positions = snapshot._positions

    def meanwhile(segment, tail):
        channel.publish("meanwhile")
        log.channel("new").publish("meanwhile")
        return positions(segment, tail)

    monkeypatch.setattr(snapshot, "_positions", meanwhile)
    snapshot.write_catalog(log._store)
    monkeypatch.undo()
    assert channel.info().durable_offset >= 1
    shutil.copytree(path, dead)
    log.close()
    with open_log(dead) as log:
        assert data(log) == ["before", "meanwhile"]
        assert data(log, "new") == ["meanwhile"]
        assert log.channel("a").publish("after") == 2


def test_offsets_that_were_given_out_and_not_shown(tmp_path):
    """Under the policy always a message has its offset before readers see it. A catalog that is
    written just then must know of it, for nobody looks at that part of the log again."""
    path, dead = tmp_path / "log", tmp_path / "dead"
    disk = Disk()
    log = open_log(path, host=disk.host(), sync="always")
    channel = log.channel("a")
    channel.publish("first")
    disk.hold()
    publishing = spawn(channel.publish, "second")
    assert disk.held.wait(LIMIT)
    writing = spawn(snapshot.write_catalog, log._store)
    until(lambda: log._store.row)
    disk.go.set()
    assert publishing.result(LIMIT) == 1
    writing.result(LIMIT)
    shutil.copytree(path, dead)
    log.close()
    with open_log(dead) as log:
        assert log.channel("a").info().end_offset == 2
        assert data(log) == ["first", "second"]
        assert log.channel("a").publish("third") == 2


class NamingFolder(DiskFolder):
    """Tells of each file that gets its name."""

    def __init__(self, path, told):
        super().__init__(path)
        self.told = told

    def rename(self, name, to):
        self.told(to)
        super().rename(name, to)


@pytest.mark.parametrize("how", ["compact", "close"])
def test_a_catalog_tells_only_of_what_is_durable(tmp_path, how):
    ahead = []

    def told(name):
        if name == "catalog":
            ahead.append(log._store.end_position - log._store.durable)

    host = fixed_host(disk=lambda path: NamingFolder(path, told))
    log = open_log(tmp_path / "log", host=host)
    log.channel("a").publish("not synced")
    log.channel("a").producer("p", epoch=1).publish("nor this")
    if how == "compact":
        log.compact()
    log.close()
    # Behind what it tells of there may be the header of a segment that was begun since.
    assert ahead
    assert max(ahead) <= 64


def test_a_clustered_segment_tells_only_of_what_is_durable(tmp_path, monkeypatch):
    """It has the producers as they are now, ahead of the segments it was made from."""
    ahead = []

    def told(name):
        if name.endswith(".seg"):
            ahead.append(log._store.end_position - log._store.durable)

    host = fixed_host(disk=lambda path: NamingFolder(path, told))
    with open_log(tmp_path / "log", host=host) as log:
        producer = log.channel("a").producer("p", epoch=1)
        producer.publish("before")
        cluster = maintenance.cluster

        def meanwhile(store, segments):
            producer.publish("meanwhile")
            cluster(store, segments)

        monkeypatch.setattr(maintenance, "cluster", meanwhile)
        log.compact()
        assert ahead == [0]
        assert data(log) == ["before", "meanwhile"]

"""What damage, deletes and crashes leave: nothing more is forgotten, and nothing comes back."""

from __future__ import annotations

import shutil

from chanlog.host.disk import DiskFolder

from ..support import datas, drain, finish, python


def test_a_gap_hides_nothing_from_since(disk):
    """A gap in the middle passed for old, and so did all that lay before it."""
    log = disk.open(sync="os")
    channel = log.channel("w")
    for number in range(9):
        channel.publish(f"message-{number}")
    start_ns = next(iter(channel.replay())).time_ns
    log.close()
    path = next(disk.path.glob("*.log"))
    content = bytearray(path.read_bytes())
    content[content.index(b"message-4") + 8] ^= 1
    path.write_bytes(content)
    channel = disk.open(sync="os", on_corruption="gap").channel("w")
    found = drain(channel.subscribe(since=start_ns))
    assert [message.offset for message in found] == list(range(9))


def test_a_deleted_channel_stays_deleted(disk, tmp_path):
    """The record of its delete went with the messages while the catalog still had the channel."""
    options = {"sync": "os", "segment_bytes": 64 * 1024}
    log = disk.open(**options)
    for number in range(3000):
        log.channel(f"{number:04}" + "x" * 200).publish(1)
    log.compact()
    log.close()
    log = disk.open(**options)
    log.channel("gone").publish_many([b"v" * 6000] * 10)
    log.close()
    log = disk.open(**options)
    log.compact()
    log.channel("gone").delete()
    for _ in range(8):
        log.channel("other").publish("y" * 3000)
        log.compact()
    killed = tmp_path / "killed"
    shutil.copytree(disk.path, killed)
    log.close()
    disk.path = killed
    assert not disk.open().channel("gone").info().exists


def test_opening_after_a_kill_syncs_the_names_too(disk, monkeypatch):
    """All was said to be durable, and the file of it had a name that was not."""
    source = "import chanlog, os, sys\n" + (
        "chanlog.open(sys.argv[1]).channel('w').publish(1)\nos._exit(0)"
    )
    finish(python(source, disk.path))
    synced = []
    honest = DiskFolder.sync
    monkeypatch.setattr(DiskFolder, "sync", lambda folder: (synced.append(1), honest(folder)))
    log = disk.open(sync="os")
    assert synced
    assert datas(log.channel("w").replay()) == [1]

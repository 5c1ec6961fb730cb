"""Directories that cannot be opened, or cannot take more."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import chanlog

from ..support import LIMIT, finish, python, replayed, stop, tree

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount and change user")


def test_a_second_owner_in_this_process(disk):
    log = disk.open()
    log.channel("w").publish(1)
    with pytest.raises(chanlog.LogLocked) as caught:
        chanlog.open(disk.path)
    assert caught.value.pid == os.getpid()
    assert str(os.getpid()) in str(caught.value)
    assert Path(caught.value.path) == disk.path
    log.channel("w").publish(2)
    assert replayed(log.channel("w")) == [1, 2]


HOLD = """
import sys, chanlog
with chanlog.open(sys.argv[1]) as log:
    log.channel("w").publish("theirs")
    print("open")
    sys.stdin.readline()
"""


def test_a_second_owner_in_another_process(tmp_path):
    holder = python(HOLD, tmp_path / "log")
    try:
        assert holder.stdout.readline() == "open\n"
        before = tree(tmp_path / "log")
        with pytest.raises(chanlog.LogLocked) as caught:
            chanlog.open(tmp_path / "log")
        assert caught.value.pid == holder.pid
        assert str(holder.pid) in str(caught.value)
        assert tree(tmp_path / "log") == before
        finish(holder, "\n")
    finally:
        stop(holder)
    with chanlog.open(tmp_path / "log") as log:
        assert replayed(log.channel("w")) == ["theirs"]


def test_the_lock_of_the_dead_is_free(tmp_path):
    holder = python(HOLD, tmp_path / "log")
    try:
        assert holder.stdout.readline() == "open\n"
    finally:
        stop(holder)
    with chanlog.open(tmp_path / "log") as log:
        assert replayed(log.channel("w")) == ["theirs"]


def test_it_may_not_be_created(tmp_path):
    with pytest.raises(chanlog.LogNotFound) as caught:
        chanlog.open(tmp_path / "nothing", create=False)
    assert Path(caught.value.path) == tmp_path / "nothing"
    assert isinstance(caught.value, FileNotFoundError)
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(chanlog.LogNotFound):
        chanlog.open(tmp_path / "empty", create=False)
    with pytest.raises(chanlog.LogNotFound):
        chanlog.open(tmp_path / "nothing", read_only=True)
    assert tree(tmp_path) == {}


def test_folders_above_are_made(tmp_path):
    with chanlog.open(tmp_path / "a" / "b" / "log") as log:
        log.channel("w").publish(1)
    with chanlog.open(str(tmp_path / "a" / "b" / "log")) as log:
        assert replayed(log.channel("w")) == [1]


def test_an_empty_directory_becomes_a_log(tmp_path):
    with chanlog.open(tmp_path) as log:
        log.channel("w").publish(1)
    with chanlog.open(tmp_path, create=False) as log:
        assert replayed(log.channel("w")) == [1]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_directory_that_is_not_a_log(tmp_path, read_only):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("print()")
    with pytest.raises(chanlog.NotALog) as caught:
        chanlog.open(tmp_path, read_only=read_only)
    assert Path(caught.value.path) == tmp_path
    assert tree(tmp_path) == {"notes.txt": b"mine", "src/main.py": b"print()"}


def test_a_file_is_not_a_log(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(chanlog.NotALog):
        chanlog.open(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_options_are_checked_before_anything_happens(tmp_path):
    for option, wrong in [
        ("segment_bytes", 1000),
        ("segment_bytes", 2**40),
        ("segment_bytes", 1e6),
        ("message_bytes_max", 0),
        ("log_bytes_max", -1),
        ("sync_interval", 0),
        ("on_corruption", "ignore"),
        ("retention", {"count": 1}),
    ]:
        with pytest.raises(chanlog.InvalidOption) as caught:
            chanlog.open(tmp_path / "log", **{option: wrong})
        assert caught.value.option == option
    assert not (tmp_path / "log").exists()


AS_NOBODY = """
import os, sys, chanlog
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    with chanlog.open(sys.argv[1], read_only=sys.argv[2] == "True"):
        print("opened")
except chanlog.LogPermission as error:
    print("refused", error.path, isinstance(error, PermissionError))
"""


@root
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("what", ["log", "folder above"])
def test_a_folder_without_permission(what, read_only):
    base = Path("/tmp") / f"chanlog-permission-{os.getpid()}"
    base.mkdir(mode=0o755)
    try:
        path = base / "log"
        if what == "log":
            with chanlog.open(path) as log:
                log.channel("w").publish(1)
            path.chmod(0o700)
        else:
            base.chmod(0o700)
        before = tree(base)
        printed = finish(python(AS_NOBODY, path, read_only))
        assert printed == f"refused {path} True\n"
        assert tree(base) == before
        if what == "log":
            with chanlog.open(path) as log:
                assert replayed(log.channel("w")) == [1]
    finally:
        shutil.rmtree(base)


@pytest.fixture
def small(tmp_path):
    """A file system of one MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    path = tmp_path / "small"
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)],
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode:
        pytest.skip("this machine does not let root mount: " + done.stderr.decode())
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True, timeout=LIMIT)


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("many", [False, True])
def test_a_full_disk(small, durable, many):
    """What was acknowledged stays, what was refused is not there, and with room it goes on."""
    written = []
    with chanlog.open(small / "log", segment_bytes=64 * 1024, background=False) as log:
        channel = log.channel("w")
        with pytest.raises(chanlog.DiskFull) as caught:
            for n in range(3000):
                if many:
                    channel.publish_many([[n, "x" * 500], [n, "y" * 500]], durable=durable)
                    written += [[n, "x" * 500], [n, "y" * 500]]
                else:
                    channel.publish([n, "x" * 1000], durable=durable)
                    written.append([n, "x" * 1000])
        assert isinstance(caught.value, OSError)
        assert str(small) in str(caught.value.path)
        assert len(written) > 100
        assert replayed(channel) == written
        assert channel.info().end_offset == len(written)
        with pytest.raises(chanlog.DiskFull):
            for _ in range(100):
                channel.publish("x" * 10_000, durable=durable)
                written.append("x" * 10_000)
        assert replayed(channel) == written
        subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True, timeout=LIMIT)
        for n in range(500):
            channel.publish([n, "z" * 1000])
            written.append([n, "z" * 1000])
        assert replayed(channel) == written
    with chanlog.open(small / "log", segment_bytes=64 * 1024) as log:
        assert replayed(log.channel("w")) == written


def test_a_full_disk_refuses_a_new_log(small):
    (small / "ballast").write_bytes(b"x" * (1024 * 1024 - 4096))
    with pytest.raises(chanlog.DiskFull):
        with chanlog.open(small / "log") as log:
            log.channel("w").publish("x" * 100_000)


def test_a_full_disk_can_still_be_read(small):
    with chanlog.open(small / "log") as log:
        log.channel("w").publish_many(range(100))
    room = os.statvfs(small)
    (small / "ballast").write_bytes(b"x" * (room.f_bavail * room.f_frsize))
    with chanlog.open(small / "log", read_only=True) as log:
        assert replayed(log.channel("w")) == list(range(100))

"""What the floors above ask of a folder, and what both hosts must give."""

from __future__ import annotations

import errno
import mmap
import resource

import pytest

from chanlog.errors import LogLocked
from chanlog.host import DiskFolder, Folder, MemoryFolder


@pytest.fixture(params=["disk", "memory"])
def folder(request, tmp_path) -> Folder:
    folder = DiskFolder(tmp_path / "a" / "b") if request.param == "disk" else MemoryFolder()
    folder.make()
    yield folder
    folder.unlock()


def content_of(folder: Folder, name: str) -> bytes:
    file = folder.open(name, writable=False)
    try:
        return file.read(0, 1 << 20)
    finally:
        file.close()


def create(folder: Folder, name: str, content: bytes) -> None:
    file = folder.create(name)
    file.write(0, content)
    file.close()


def test_a_new_folder_is_empty(folder):
    assert folder.names() == []
    folder.make()


def test_files_come_and_go(folder):
    create(folder, "one", b"1")
    create(folder, "two", b"2")
    assert sorted(folder.names()) == ["one", "two"]
    with pytest.raises(FileExistsError):
        folder.create("one")
    folder.rename("one", "two")
    assert folder.names() == ["two"]
    assert content_of(folder, "two") == b"1"
    folder.remove("two")
    folder.remove("two")
    assert folder.names() == []
    with pytest.raises(FileNotFoundError):
        folder.open("two", writable=True)
    folder.sync()


def test_reading_and_writing(folder):
    file = folder.create("f")
    assert file.size() == 0
    assert file.read(0, 10) == b""
    file.write(3, b"abc")
    file.write(5, memoryview(b"CDE"))
    assert file.size() == 8
    assert file.read(0, 100) == b"\0\0\0abCDE"
    assert file.read(4, 2) == b"bC"
    assert file.read(8, 2) == b""
    file.sync()
    file.close()
    file.close()


def test_cutting_and_growing_leaves_zeros(folder):
    """In memory what had been cut came back when the file grew again."""
    file = folder.create("f")
    file.write(0, b"x" * 100)
    file.truncate(10)
    assert file.size() == 10
    assert file.read(0, 100) == b"x" * 10
    file.truncate(50)
    assert file.read(0, 100) == b"x" * 10 + bytes(40)
    file.truncate(20_000)
    assert file.size() == 20_000
    assert file.read(9, 100) == b"x" + bytes(99)
    file.close()


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 12_287, 12_288, 19_999])
def test_a_map_shows_what_was_cut_as_zeros(folder, size):
    file = folder.create("f")
    file.write(0, b"x" * 20_000)
    writable = file.map(20_000, writable=True)
    file.truncate(size)
    file.truncate(20_000)
    assert writable[:20_000] == b"x" * size + bytes(20_000 - size)
    file.close()


def test_what_is_cut_of_memory_costs_nothing():
    """To write zeros there touched 64 MiB, each time that a log was closed."""
    folder = MemoryFolder()
    file = folder.create("f")
    file.truncate(1 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file.truncate(1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_memory_whose_pages_cannot_be_given_back(monkeypatch):
    class Map(mmap.mmap):
        def madvise(self, *_):
            raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr("chanlog.host.memory.mmap", Map)
    file = MemoryFolder().create("f")
    file.write(0, b"x" * 20_000)
    file.truncate(5_000)
    file.truncate(20_000)
    assert file.read(0, 20_000) == b"x" * 5_000 + bytes(15_000)


def test_room_is_zeros(folder):
    file = folder.create("f")
    file.truncate(10_000)
    file.allocate(0, 8_192)
    assert file.size() == 10_000
    assert file.read(0, 10_000) == bytes(10_000)
    file.allocate(8_192, 12_000)
    assert file.size() == 12_000
    file.close()


def test_a_map_is_the_file(folder):
    file = folder.create("f")
    file.truncate(8_192)
    writable = file.map(8_192, writable=True)
    writable[5:8] = b"map"
    assert file.read(5, 3) == b"map"
    file.write(6, b"ile")
    assert writable[5:9] == b"mile"
    readable = file.map(8_192, writable=False)
    assert readable[5:9] == b"mile"
    file.close()
    folder.remove("f")
    # It outlives the file, its name and its descriptor.
    assert writable[5:9] == readable[5:9] == b"mile"


def test_one_owner(folder):
    folder.lock("lock")
    other = DiskFolder(folder.path) if folder.path is not None else folder
    with pytest.raises(LogLocked):
        other.lock("lock")
    folder.unlock()
    other.lock("lock")
    other.unlock()
    other.unlock()


def test_what_it_takes(folder):
    create(folder, "f", b"x" * 100_000)
    assert folder.disk_bytes() >= (100_000 if folder.durable else 0)

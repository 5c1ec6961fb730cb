"""The simulated disk itself: what was synced is in every state, and all else in some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from random import Random
from typing import Any

import pytest

from chanlog.errors import LogLocked

from .power import PAGE_BYTES, SECTOR_BYTES, Content, Cut, Moment
from .simulated import SimulatedDisk, SimulatedFolder

PAGE = b"n" * PAGE_BYTES
OLD = b"o" * PAGE_BYTES
ZERO = bytes(PAGE_BYTES)


def last(disk: SimulatedDisk) -> Moment:
    disk.observe()
    *_, moment = disk.moments()
    return moment


def some_cuts(moment: Moment) -> Iterator[Cut]:
    """What a campaign tries: everything systematic, and something random."""
    yield from moment.systematic()
    random = Random(1)
    for _ in range(300):
        yield moment.random(random)


def states(moment: Moment) -> list[dict[str, bytes]]:
    return [
        {name: content.whole for name, content in moment.files(cut).items()}
        for cut in some_cuts(moment)
    ]


def synced_file(name: str, content: bytes) -> tuple[SimulatedDisk, SimulatedFolder]:
    disk = SimulatedDisk()
    folder = disk.folder()
    file = folder.create(name)
    file.write(0, content)
    file.sync()
    folder.sync()
    return disk, folder


def test_what_was_synced_is_in_every_state():
    disk, folder = synced_file("a", OLD + PAGE)
    folder.create("b").write(0, PAGE)
    folder.open("a", writable=True).write(2 * PAGE_BYTES, PAGE)
    found = states(last(disk))
    assert all(state["a"][: 2 * PAGE_BYTES] == OLD + PAGE for state in found)
    assert {len(state["a"]) for state in found} >= {2 * PAGE_BYTES, 3 * PAGE_BYTES}


def test_what_was_not_is_in_some_and_not_in_others():
    disk, folder = synced_file("a", OLD)
    folder.open("a", writable=True).write(0, PAGE)
    assert {OLD, PAGE} <= {state["a"] for state in states(last(disk))}


def test_the_versions_in_between_may_be_what_is_left():
    disk, folder = synced_file("a", OLD)
    file = folder.open("a", writable=True)
    file.write(0, b"1")
    file.write(0, b"2")
    file.write(0, b"3")
    heads = {state["a"][:1] for state in states(last(disk))}
    assert heads == {b"o", b"1", b"2", b"3"}


def test_a_store_into_a_map_is_noticed_when_it_happens():
    disk, folder = synced_file("a", OLD + OLD)
    mapped = folder.open("a", writable=True).map(2 * PAGE_BYTES, writable=True)
    step = disk.step
    mapped[PAGE_BYTES : PAGE_BYTES + 3] = b"new"
    assert disk.step == step + 1
    assert disk.steps[-1].changes[0][2:] == (1, b"new" + OLD[3:])
    heads = {state["a"][PAGE_BYTES : PAGE_BYTES + 3] for state in states(last(disk))}
    assert {b"new", b"ooo"} <= heads


def test_a_store_that_nobody_told_of_is_noticed_at_the_next_call():
    """Whatever bypasses the map's own methods: the memory is compared."""
    disk, folder = synced_file("a", OLD)
    mapped = folder.open("a", writable=True).map(PAGE_BYTES, writable=True)
    memoryview(mapped)[:3] = b"new"
    folder.create("b")
    assert [step.what for step in disk.steps[-2:]] == ["stores", "create b"]
    memoryview(mapped)[:3] = b"by "
    disk.observe("between two operations")
    assert disk.steps[-1].what == "between two operations"
    disk.observe()
    assert disk.steps[-1].what == "between two operations"


def test_a_sync_covers_what_was_stored_before_it():
    disk, folder = synced_file("a", OLD)
    file = folder.open("a", writable=True)
    mapped = file.map(PAGE_BYTES, writable=True)
    memoryview(mapped)[:PAGE_BYTES] = PAGE
    file.sync()
    assert {state["a"] for state in states(last(disk))} == {PAGE}


def test_each_page_is_lost_by_itself():
    disk, folder = synced_file("a", OLD * 3)
    folder.open("a", writable=True).write(0, PAGE * 3)
    found = {state["a"] for state in states(last(disk))}
    for lost in range(3):
        pages = [PAGE] * 3
        pages[lost] = OLD
        assert b"".join(pages) in found
        pages = [OLD] * 3
        pages[lost] = PAGE
        assert b"".join(pages) in found


def test_each_page_is_torn_at_each_sector():
    disk, folder = synced_file("a", OLD * 2)
    folder.open("a", writable=True).write(0, PAGE * 2)
    found = {b"".join(_pages(state["a"])) for state in states(last(disk))}
    for at in range(SECTOR_BYTES, PAGE_BYTES, SECTOR_BYTES):
        for page in (PAGE[:at] + OLD[at:], OLD[:at] + PAGE[at:]):
            assert page + PAGE in found
            assert PAGE + page in found


def _pages(content: bytes) -> list[bytes]:
    return [content[at : at + PAGE_BYTES] for at in range(0, len(content), PAGE_BYTES)]


def test_pages_are_torn_at_bytes_too():
    disk, folder = synced_file("a", OLD)
    folder.open("a", writable=True).write(0, PAGE)
    found = {state["a"].count(b"n") % SECTOR_BYTES for state in states(last(disk))}
    assert len(found) > 20


def test_a_created_file_may_be_missing_empty_or_there():
    """A sync of the file promises nothing about its name; one of the folder nothing else."""
    disk, folder = synced_file("other", OLD)
    file = folder.create("a")
    file.write(0, PAGE)
    found = states(last(disk))
    assert {None, b"", PAGE, ZERO} <= {state.get("a") for state in found}
    file.sync()
    assert {state.get("a") for state in states(last(disk))} == {None, PAGE}
    folder.sync()
    assert {state.get("a") for state in states(last(disk))} == {PAGE}


def test_a_synced_name_says_nothing_of_the_content():
    disk, folder = synced_file("other", OLD)
    folder.create("a").write(0, PAGE)
    folder.sync()
    assert {b"", PAGE, ZERO} <= {state.get("a") for state in states(last(disk))}


def test_a_rename_may_be_undone_and_is_never_half_done():
    disk, folder = synced_file("a", OLD)
    new = folder.create("a.tmp")
    new.write(0, PAGE)
    new.sync()
    folder.sync()
    folder.rename("a.tmp", "a")
    found = states(last(disk))
    undone = {"a": OLD, "a.tmp": PAGE}
    done = {"a": PAGE}
    assert all(state in (undone, done) for state in found)
    assert undone in found
    assert done in found
    folder.sync()
    assert all(state == done for state in states(last(disk)))


def test_a_removed_name_may_be_back():
    disk, folder = synced_file("a", OLD)
    folder.remove("a")
    found = states(last(disk))
    assert {} in found
    assert {"a": OLD} in found
    folder.sync()
    assert all(state == {} for state in states(last(disk)))


def test_each_name_is_lost_by_itself():
    disk = SimulatedDisk()
    folder = disk.folder()
    for name in ("a", "b", "c"):
        folder.create(name)
    found = [sorted(state) for state in states(last(disk))]
    assert [] in found
    for name in ("a", "b", "c"):
        assert sorted({"a", "b", "c"} - {name}) in found
        assert [name] in found


@pytest.mark.parametrize("size", [0, 100, PAGE_BYTES, PAGE_BYTES + 100])
def test_a_length_may_be_any_that_it_had(size):
    disk, folder = synced_file("a", OLD * 2)
    file = folder.open("a", writable=True)
    file.truncate(size)
    file.truncate(2 * PAGE_BYTES)
    found = {state["a"] for state in states(last(disk))}
    cut = (OLD * 2)[:size] + bytes(2 * PAGE_BYTES - size)
    assert {OLD * 2, cut, (OLD * 2)[:size]} <= found
    assert all(len(content) >= size for content in found)
    assert all(content[:size] == (OLD * 2)[:size] for content in found)


def test_allocation_adds_zeros_or_nothing():
    disk, folder = synced_file("a", b"abc")
    folder.open("a", writable=True).allocate(0, 10)
    assert {b"abc", b"abc" + bytes(7)} <= {state["a"] for state in states(last(disk))}


def test_each_moment_is_one():
    """A cut between two steps knows nothing of what comes after."""
    disk, folder = synced_file("a", b"old")
    file = folder.open("a", writable=True)
    before = disk.step
    file.write(0, b"new")
    file.sync()
    contents = [
        {state["a"] for state in states(disk.moment(step))} for step in range(before, disk.step + 1)
    ]
    assert contents[0] == {b"old"}
    assert contents[1] >= {b"old", b"new"}
    assert contents[2] == {b"new"}


def test_what_a_failed_sync_left_behind_stays_behind():
    """The kernel has reported the failure, once, and takes the pages for clean."""

    def fail(what: str) -> None:
        if what == "sync a":
            raise OSError(5, "planted")

    disk, folder = synced_file("a", OLD * 2)
    file = folder.open("a", writable=True)
    file.write(0, PAGE)
    disk.before = fail
    with pytest.raises(OSError, match="planted"):
        file.sync()
    disk.before = lambda what: None
    file.write(PAGE_BYTES, PAGE)
    file.sync()
    assert {OLD + PAGE, PAGE + PAGE} <= {state["a"] for state in states(last(disk))}
    file.write(0, b"again")
    file.sync()
    assert {state["a"][:5] for state in states(last(disk))} == {b"again"}


def test_a_state_is_a_disk_of_its_own():
    _, folder = synced_file("a", OLD)
    files = {"a": Content.of(PAGE)}
    for recording in (False, True):
        other = SimulatedDisk(files, recording=recording)
        file = other.folder().open("a", writable=True)
        assert file.read(0, 10 * PAGE_BYTES) == PAGE
        file.write(5, b"changed")
        assert file.map(PAGE_BYTES, writable=False)[5:12] == b"changed"
        assert other.files()["a"].whole[5:12] == b"changed"
        assert bool(other.step) == recording
    assert files["a"].whole == PAGE
    assert folder.open("a", writable=False).read(0, 3) == b"ooo"


def test_it_behaves_like_a_folder():
    _, folder = synced_file("a", b"abc")
    with pytest.raises(FileExistsError):
        folder.create("a")
    with pytest.raises(FileNotFoundError):
        folder.open("b", writable=False)
    folder.remove("b")
    with pytest.raises(ValueError, match="longer"):
        folder.open("a", writable=False).map(4, writable=False)
    folder.lock("lock")
    with pytest.raises(LogLocked):
        folder.lock("lock")
    folder.unlock()
    folder.lock("lock")
    assert sorted(folder.names()) == ["a", "lock"]


@pytest.mark.parametrize("choose", [Moment.systematic, lambda m: (m.random(Random(7)),)])
def test_the_same_seed_cuts_the_same(choose: Callable[[Moment], Any]):
    disk, folder = synced_file("a", OLD * 4)
    folder.open("a", writable=True).write(100, PAGE * 3)
    folder.create("b").write(0, PAGE)
    moment = last(disk)
    assert [c.key for c in islice(choose(moment), 50)] == [
        c.key for c in islice(choose(moment), 50)
    ]

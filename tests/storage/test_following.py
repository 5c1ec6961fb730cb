"""Looking at a log that somebody else writes, while its files come and go."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

import chanlog
from chanlog.channels import following as channels_following
from chanlog.channels.waking import ThreadWaiter
from chanlog.host import DiskFolder
from chanlog.storage.following import follow, relist

from ..support import LIMIT, datas, drain, spawn, until, until_waiting
from .worlds import contents, fixed_host, open_log, telling


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log"


def look(path, **options: Any) -> Any:
    return open_log(path, read_only=True, **options)


def test_everything_as_it_happens(path):
    """After each batch the follower says the same as the owner."""
    with open_log(path) as log:
        log.channel("agent").publish("before")
        with look(path) as outside:
            for count, _ in enumerate(telling(log)):
                if count % 7 == 3:
                    log._store.roll()
                if count % 11 == 5:
                    log.compact()
                assert contents(outside) == contents(log), count


def test_across_close_and_reopen_of_the_owner(path):
    log = open_log(path)
    log.channel("a").publish(0)
    with look(path) as outside:
        subscription = outside.channel("a").subscribe()
        heard = datas(drain(subscription))
        for number in range(1, 6):
            log.close()
            log = open_log(path)
            log.channel("a").publish(number)
            if number == 3:
                log.compact()
            heard += datas(drain(subscription))
        assert heard == list(range(6))
        log.channel("a").end()
        assert outside.channel("a").info().ended
    log.close()


def test_segments_that_are_joined_behind_its_back(path):
    """The owner had joined the segments that a follower knew by name and had not mapped yet: what
    they held was neither there nor missing."""
    with open_log(path, segment_bytes=1 << 20) as log:
        for number in range(4):
            log.channel("a").publish_many([number] * 10)
            log.channel(f"b-{number}").publish(b"x" * 1000)
            if number < 3:
                log.compact()
        with look(path) as outside:
            known = [segment.name for segment in outside._store.segments]
            for number in range(4):
                log.channel(f"b-{number}").delete()
            log.compact()
            assert not (path / known[0]).exists()
            assert datas(outside.channel("a").replay()) == datas(log.channel("a").replay())
            log.channel("a").publish("more")
            assert datas(outside.channel("a").replay(40)) == ["more"]


def test_a_reader_that_does_not_look_again_before_it_reads(path):
    """A replay was asked for before the files were joined, and is read after."""
    with open_log(path, segment_bytes=1 << 20) as log:
        for number in range(4):
            log.channel("a").publish_many([number] * 10)
            log.channel(f"b-{number}").publish(b"x" * 1000)
            if number < 3:
                log.compact()
        with look(path) as outside:
            known = [segment.name for segment in outside._store.segments]
            replay = outside.channel("a").replay()
            for number in range(4):
                log.channel(f"b-{number}").delete()
            log.compact()
            assert not (path / known[0]).exists()
            assert datas(replay) == datas(log.channel("a").replay())


def test_a_batch_that_is_half_there(path):
    """The owner has stored its header and a part of its body when somebody looks."""
    with open_log(path) as log:
        channel = log.channel("a")
        channel.publish("first")
        with look(path) as outside:
            subscription = outside.channel("a").subscribe()
            assert datas(drain(subscription)) == ["first"]
            active = log._store.active
            start = active.tail
            channel.publish("x" * 500)
            whole = active.map[start : active.tail]
            active.map[start : active.tail] = whole[:300] + bytes(len(whole) - 300)
            assert datas(drain(subscription)) == []
            active.map[start : active.tail] = whole
            assert datas(drain(subscription)) == ["x" * 500]


def test_segments_that_are_gone_altogether(path):
    with open_log(path) as log:
        log.channel("gone").publish_many(range(50))
        log.compact()
        log.channel("a").publish("here")
        log.compact()
        with look(path) as outside:
            log.channel("gone").delete()
            log.compact()
            assert list(outside.channels()) == ["a"]
            assert datas(outside.channel("a").replay()) == ["here"]


def test_a_waiter_is_woken_by_what_was_clustered_before_it_was_seen(path):
    """The owner had clustered the next segment before the follower came to it. The follower took
    in what it said, woke nobody, and let those who wanted one type skip what was there."""
    with open_log(path) as log:
        log.channel("a").publish("first")
        with look(path) as outside:
            outside._store.on_wait = lambda: None
            subscription = outside.channel("a").subscribe(after=0)
            waiter = ThreadWaiter(None)
            assert subscription._register(waiter)
            typed = outside.channel("a").subscribe(types={"t"})
            assert typed.get(timeout=0) is None
            log._store.roll()
            log.channel("a").publish("second", type="t")
            log.compact()
            for _ in range(3):
                follow(outside._store)
            assert waiter.woken
            assert datas(drain(subscription)) == ["second"]
            assert datas(drain(typed)) == ["second"]


class Rest(threading.Event):
    """Says when the follower waits until it is needed."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.begun.set()
        return super().wait(timeout)


def test_it_looks_only_while_somebody_waits(path, monkeypatch):
    """A reader of somebody else's log that nobody waits on costs nothing, and looks again for
    whoever comes next."""
    looks = []
    monkeypatch.setattr(
        channels_following, "follow", lambda store: looks.append(1) or follow(store)
    )
    with open_log(path) as log, look(path) as outside:
        channel = log.channel("a")
        rest = outside._follower._needed = Rest()
        reader = outside.channel("a").subscribe()
        for number in range(3):
            waiting = spawn(reader.get, LIMIT)
            until_waiting(outside)
            until(lambda: looks)
            rest.begun.clear()
            channel.publish(number)
            assert waiting.result(LIMIT).data == number
            assert rest.begun.wait(LIMIT)
            looks.clear()
        assert not looks
    assert not any(thread.name == "chanlog-follow" for thread in threading.enumerate())


def test_a_folder_that_cannot_be_looked_at_any_more(path, monkeypatch):
    """Whoever waits is told, and does not wait for ever on a thread that has died."""

    def gone(store: Any) -> bool:
        raise OSError(5, "planted")

    with open_log(path) as log:
        log.channel("a").publish("first")
        with look(path) as outside:
            reader = outside.channel("a").subscribe(after=0)
            monkeypatch.setattr(channels_following, "follow", gone)
            with pytest.raises(chanlog.LogFailed) as caught:
                reader.get(timeout=LIMIT)
            assert caught.value.reason.errno == 5


def test_ready_looks_for_what_the_owner_has_written(path):
    with open_log(path) as log:
        log.channel("a").publish("first")
        with look(path) as outside:
            reader = outside.channel("a").subscribe(after=0)
            assert not reader.ready
            log.channel("a").publish("second")
            assert reader.ready
            assert reader.get(timeout=0).data == "second"


def test_nothing_is_looked_for_in_a_closed_log(path):
    with open_log(path) as log:
        outside = look(path)
        outside.close()
        log.channel("a").publish("x")
        assert follow(outside._store) is False


def test_what_the_owner_has_rewritten_is_let_go(path):
    """A follower kept every raw segment it had ever followed, and the clustered ones as they once
    were: a descriptor and the room on the disk for each, long after the owner had removed them."""
    with open_log(path) as log:
        with look(path) as outside:
            subscription = outside.channel("a").subscribe()
            kept: list[Any] = []
            for number in range(12):
                log.channel("a").publish_many([b"x" * 100] * 50)
                log.channel(f"gone-{number}").publish(number)
                assert len(drain(subscription)) == 50
                assert datas(outside.channel("a").replay())
                kept += map(weakref.ref, outside._store.segments)
                log.channel("a").trim(before=50 * number)
                log.channel(f"gone-{number}").delete()
                log.compact()
            log.channel("a").publish(b"last")
            assert datas(drain(subscription)) == [b"last"]
            gc.collect()
            here = [segment for ref in kept if (segment := ref()) is not None]
            assert set(here) <= set(outside._store.segments)
            assert len(here) < 12
            assert outside._store.table.removed == outside._store.table.gone == set()


def test_a_segment_that_is_being_created(path):
    """The owner has made the file and not written its header yet: the reader stays where it is,
    and goes on when the header is there."""
    with open_log(path) as log:
        log.channel("a").publish("first")
        with look(path) as outside:
            replay = outside.channel("a").replay
            assert datas(replay()) == ["first"]
            log._store.roll()
            log.channel("a").publish("second")
            second = path / "0000000002.log"
            content = second.read_bytes()
            second.write_bytes(bytes(len(content)))
            assert datas(replay()) == ["first"]
            second.write_bytes(content)
            assert datas(replay()) == ["first", "second"]


class Vanishing(DiskFolder):
    """A folder in which the owner clusters a segment after its name was read and before it is
    opened."""

    __slots__ = ("work",)

    def open(self, name: str, *, writable: bool) -> Any:
        if name == "0000000002.log" and self.work is not None:
            work, self.work = self.work, None
            work()
        return super().open(name, writable=writable)


def test_a_segment_that_is_clustered_before_it_is_opened(path):
    with open_log(path) as log:
        log.channel("a").publish("first")

        def folder(path: Any) -> Vanishing:
            found = Vanishing(path)
            found.work = None
            return found

        with look(path, host=fixed_host(disk=folder)) as outside:
            log._store.roll()
            log.channel("a").publish("second")
            outside._store.folder.work = log.compact
            assert datas(outside.channel("a").replay()) == ["first", "second"]
            assert outside._store.folder.work is None


def test_segments_that_are_joined_with_the_one_it_is_in(path):
    """The follower stood in a segment, and the next thing it saw was one file that covers it and
    all that came later."""
    with open_log(path, segment_bytes=1 << 20) as log:
        log.channel("a").publish(0)
        log.channel("b").publish("forgotten")
        with look(path) as outside:
            reader = outside.channel("a").subscribe()
            assert reader.get(timeout=0).data == 0
            for number in range(1, 5):
                log._store.roll()
                log.channel("a").publish(number)
            log.compact()
            assert list(path.glob("0000000001-*.seg"))
            assert datas(drain(reader)) == [1, 2, 3, 4]
            assert datas(outside.channel("a").replay()) == [0, 1, 2, 3, 4]
            names = [segment.name for segment in outside._store.segments]
            assert names[0] == "0000000001-0000000005.seg"


def test_listing_the_segments_anew_keeps_what_is_still_read(path):
    """A file was gone, so the list is made anew: what the follower has not come to is left for
    later, what it has and nobody covers stays."""
    with open_log(path, segment_bytes=1 << 20) as log:
        log.channel("a").publish(0)
        log.compact()
        log.channel("a").publish(1)
        with look(path) as outside:
            before = outside._store.segments
            relist(outside._store)
            assert outside._store.segments == before
            log.compact()
            log.channel("a").publish(2)
            log.compact()
            relist(outside._store)
            names = [segment.name for segment in outside._store.segments]
            assert names == ["0000000001-0000000001.seg", "0000000002-0000000002.seg"]
            assert before[1].retired
            assert datas(outside.channel("a").replay()) == [0, 1, 2]

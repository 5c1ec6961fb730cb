"""Reading what is stored: one channel at full length, and one among many that lie mixed."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import Any

from .harness import BEST, Case, Claim, Sample, WrongResult, busy, check
from .peers import (
    Bare,
    ChanlogDisk,
    ChanlogMemory,
    Decoder,
    JetStream,
    NotCompacted,
    OneSegment,
    Peer,
    Redis,
    absent,
    opened,
    peers,
)
from .settings import SHAPES, Settings, Shape, payloads

__all__ = ["CLAIMS", "cases"]

CHANNEL = "workflow-42"
RATE = "messages/s"
CPU = "cpu ns"

FIRST = "data, first pass"
AGAIN = "data, later passes"
BUSY = "data, busy thread beside"
MESSAGES = "messages"
MIXED = "data of one channel among many"

AS_ONES = "chanlog disk, as written one by one"
AS_MANY = "chanlog disk, as written by 1,000"
COMPACTED = "chanlog disk, compacted"
IN_MEMORY = "chanlog memory"
ACTIVE = "chanlog disk, active"
SEALED = "chanlog disk, sealed"
APART = "chanlog disk, sealed, not interleaved"
CHECKED = "decoder and checksum"

SQLITE = "sqlite3 WAL"


_LIMITS = {FIRST: CHECKED, AGAIN: Decoder.name, MIXED: Decoder.name}
_DECODER = "the decoder"
_CHECKSUM = "the decoder, and a checksum in bulk"


def _speed(
    text: str,
    case: str,
    ours: str,
    theirs: str,
    bound: float,
    *,
    shapes: str = "",
    limit: str = "",
    limit_of: str = "",
) -> Claim:
    return Claim(
        text=text,
        unit=RATE,
        ours=(case, ours),
        theirs=(case, theirs),
        bound=bound,
        shapes=shapes,
        limit=limit,
        limit_of=(case, limit_of or _LIMITS[case]) if limit else None,
    )


CLAIMS = (
    _speed("replay, first pass, of the bare decoder", FIRST, COMPACTED, CHECKED, 0.85),
    _speed("replay, later passes, of the bare decoder", AGAIN, COMPACTED, Decoder.name, 0.85),
    _speed(
        "replay, over the best peer",
        AGAIN,
        COMPACTED,
        BEST,
        3.5,
        shapes="ACD",
        limit=_DECODER,
    ),
    _speed("replay, over the best peer", AGAIN, COMPACTED, BEST, 2.5, shapes="B", limit=_DECODER),
    _speed(
        "replay, first pass, over the best peer",
        FIRST,
        COMPACTED,
        BEST,
        2.5,
        limit=_CHECKSUM,
    ),
    Claim(
        text="replay beside a busy thread, of its idle rate",
        unit=RATE,
        ours=(BUSY, COMPACTED),
        theirs=(AGAIN, COMPACTED),
        bound=0.35,
        limit="the interpreter, which two threads share",
        limit_of=(BUSY, Decoder.name),
    ),
    _speed("replay beside a busy thread, over SQLite", BUSY, COMPACTED, SQLITE, 100),
    _speed("messages, of the same made by map", MESSAGES, COMPACTED, Decoder.name, 0.6),
    _speed(
        "one of 1,000 channels, active, over the best peer",
        MIXED,
        ACTIVE,
        BEST,
        1,
        limit="the decoder, a message at a time",
        limit_of=Bare.name,
    ),
    _speed(
        "one of 1,000 channels, sealed, over the best peer",
        MIXED,
        SEALED,
        BEST,
        2.5,
        limit=_DECODER,
    ),
    Claim(
        text="one of 1,000 channels, sealed, of not interleaved",
        unit=RATE,
        ours=(MIXED, SEALED),
        theirs=(MIXED, APART),
        bound=0.9,
    ),
)


def cases(settings: Settings) -> Iterator[Case]:
    """All cases of this workload; the stores are made anew for each shape."""
    for shape in map(SHAPES.__getitem__, settings.shapes):
        with ExitStack() as stack:
            yield from one_channel(settings, shape, stack)
        with ExitStack() as stack:
            yield mixed(settings, shape, stack)


def one_channel(settings: Settings, shape: Shape, stack: ExitStack) -> Iterator[Case]:
    """One channel with everything in it."""
    count = settings.replay_messages(shape)
    items = payloads(shape.name, count)

    def case(name: str, yardstick: str, contestants: dict[str, Callable[[], Sample]]) -> Case:
        return Case(
            workload="replay",
            name=name,
            shape=shape.name,
            yardstick=yardstick,
            contestants=contestants,
            absent=absent("messages" if name == MESSAGES else "replay", settings),
        )

    def held(store: Peer) -> list[Any]:
        """What a store is given: fewer where reading all of it takes a minute."""
        return items[: max(1, round(count * store.replay_share))]

    stores: dict[str, Peer] = {}
    for kind in peers("replay", settings):
        if kind is ChanlogDisk:
            ones, many, compacted = (
                stack.enter_context(opened(kind, settings, shape))
                for kind in (NotCompacted, NotCompacted, ChanlogDisk)
            )
            load_ones(ones, items)
            load(many, items)
            load_ones(compacted, items)
            assert isinstance(compacted, ChanlogDisk)
            compacted.seal()
            stores |= {AS_ONES: ones, AS_MANY: many, COMPACTED: compacted}
        else:
            stores[kind.name] = stack.enter_context(opened(kind, settings, shape))
            load(stores[kind.name], held(stores[kind.name]))
    for store in stores.values():
        check(store.reader(CHANNEL), items, len(held(store)))

    def data(store: Peer) -> Sample:
        some = held(store)
        return drained(partial(store.reader, CHANNEL), len(some), some[-1])

    def data_anew(store: Peer) -> Sample:
        store.close()
        store.open()
        return data(store)

    def checked_data(store: Decoder) -> Sample:
        return drained(partial(store.checked_reader, CHANNEL), count, items[-1])

    def messages(store: Peer) -> Sample:
        return drained(
            partial(store.message_reader, CHANNEL), count, (count - 1, items[-1]), _named
        )

    def beside(store: Peer) -> Sample:
        with busy():
            return drained_for(store.reader(CHANNEL), held(store), settings.seconds)

    decoder = stores.get(Decoder.name)
    first: dict[str, Callable[[], Sample]] = {}
    if isinstance(decoder, Decoder):
        first[CHECKED] = partial(checked_data, decoder)
    for name, store in stores.items():
        # Opening a server again is not reading, and takes it seconds.
        if not isinstance(store, Decoder | ChanlogMemory | JetStream | Redis):
            first[name] = partial(data_anew, store)
    yield case(FIRST, CHECKED, first)
    yield case(AGAIN, Decoder.name, {name: partial(data, s) for name, s in stores.items()})
    yield case(BUSY, Decoder.name, {name: partial(beside, s) for name, s in stores.items()})
    yield case(
        MESSAGES,
        Decoder.name,
        {
            name: partial(messages, store)
            for name, store in stores.items()
            if "messages" in store.can
        },
    )


def mixed(settings: Settings, shape: Shape, stack: ExitStack) -> Case:
    """Channels that were written round by round, one message of each at a time, and read whole."""
    names = [f"workflow-{number}" for number in range(settings.interleaved_channels(shape))]
    items = payloads(shape.name, settings.messages_each(shape))
    stores: dict[str, Peer] = {}
    for kind in peers("interleaved", settings):
        if kind is ChanlogDisk:
            active, sealed, apart = (
                stack.enter_context(opened(kind, settings, shape))
                for kind in (OneSegment, ChanlogDisk, ChanlogDisk)
            )
            active.interleave(names, items)
            sealed.interleave(names, items)
            for name in names:
                apart.many_writer(name)(items)
            for store in (sealed, apart):
                assert isinstance(store, ChanlogDisk)
                store.seal()
            stores |= {ACTIVE: active, SEALED: sealed, APART: apart}
        else:
            stores[kind.name] = stack.enter_context(opened(kind, settings, shape))
            stores[kind.name].interleave(names, items)
    read = names[:: max(1, len(names) // settings.channels_read)]
    for store in stores.values():
        for name in read:
            check(store.reader(name), items, len(items))

    def data(store: Peer) -> Sample:
        samples = [drained(partial(store.reader, name), len(items), items[-1]) for name in read]
        return {
            RATE: statistics.harmonic_mean(sample[RATE] for sample in samples),
            CPU: statistics.mean(sample[CPU] for sample in samples),
        }

    return Case(
        workload="replay",
        name=MIXED,
        shape=shape.name,
        yardstick=Decoder.name,
        contestants={name: partial(data, store) for name, store in stores.items()},
        absent=absent("interleaved", settings),
    )


def load(peer: Peer, items: list[Any]) -> None:
    """Write all items, many at a time."""
    write, size = peer.many_writer(CHANNEL), peer.shape.batch
    for start in range(0, len(items), size):
        write(items[start : start + size])


def load_ones(peer: Peer, items: list[Any]) -> None:
    """Write all items, one at a time."""
    write = peer.writer(CHANNEL)
    for item in items:
        write(item)


def drained(
    read: Callable[[], Iterable[Any]],
    count: int,
    expected: Any,
    key: Callable[[Any], Any] | None = None,
) -> Sample:
    """Start to read and read to the end in C; make sure that the last is the last one written."""
    started, cpu_ns = time.perf_counter(), time.thread_time_ns()
    last = deque(read(), maxlen=1)
    seconds, cpu_ns = time.perf_counter() - started, time.thread_time_ns() - cpu_ns
    got = key(last[0]) if key else last[0]
    if got != expected:
        raise WrongResult(f"the last of {count} messages is {got!r}, not {expected!r}")
    return {RATE: count / seconds, CPU: cpu_ns / count}


def drained_for(found: Iterator[Any], items: list[Any], seconds: float) -> Sample:
    """Read for some time or to the end, in runs that grow: a slow reader would take hours."""
    clock = time.perf_counter
    done, step = 0, 1
    last: deque[Any] = deque(maxlen=1)
    started = now = clock()
    while now - started < seconds and done < len(items):
        step = min(step * 2, len(items) - done)
        last.extend(islice(found, step))
        done += step
        now = clock()
    if last[0] != items[done - 1]:
        raise WrongResult(f"message {done - 1} is {last[0]!r}, not {items[done - 1]!r}")
    return {RATE: done / (now - started)}


def _named(message: Any) -> tuple[int, Any]:
    """Offset and data, of a ``Message`` or of a row that begins like one."""
    return message[0], message[2]

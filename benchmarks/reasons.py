"""Why a target is missed, by the text of its claim: what docs/benchmarks.md says beside it.

A reason is about the cause and has no figures of a run in it, so that it stays true with the next.
``LARGE`` has those for payloads of 64 KiB (D), where the cause is often another.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["LARGE", "REASONS", "reason"]

_STEPS = (
    "a publish is some dozens of steps of Python above the bare ones (a checksum of the header, "
    "the channel's end and the listeners in the order that readers rely on, what an interrupt must "
    "not tear), where the other is one call into C. "
)
_COPY = (
    "At 64 KiB what counts is the memory that moves: each store has the same copy to make, and "
    "chanlog a checksum of it as well, so that none is several times as fast as another."
)
_PAGES = (
    "At 64 KiB each message is stored into pages that have to be faulted in, and checked in pieces "
    "that keep the interpreter; the busy thread is let in wherever room is reserved."
)
_MEMORY = (
    "At 64 KiB the decoder does nothing but copy, out of memory that is the process's own; chanlog "
    "copies out of the pages of mapped files."
)
_SMALL_READ = (
    "a channel of a thousand messages is read in less time than it takes to begin: finding the "
    "channel and its batches, and a generator to read them, are Python, and a peer begins with one "
    "call into C. "
)
_FAULTS = (
    "a first pass checks each batch in pieces of 5 KiB, since a larger one lets go of the "
    "interpreter lock, and faults in the pages of files that were not mapped yet; the decoder's "
    "bytes lie in memory and are checked in one piece. "
)
_LOOP = (
    "the loop runs one step of a task for each message, whatever sends it; what chanlog adds is "
    "writing the message to the log and making it anew from there. "
)
_ONE_LOCK = (
    "the threads or tasks share one interpreter: each hands its message over and is woken one by "
    "one, and that takes longer than the sync which they share. "
)
_LATE = (
    "the slowest hundredth is where the system was late to run the thread, and differs from run to "
    "run. "
)
_UNNOTICED = "Polling does not notice that in its ten milliseconds."
_IN_C = "the queue hands an object over without writing, packing or unpacking it. "

_CREATED = (
    "a new channel is a record of its own in the log, with its name, besides its messages, and "
    "state in Python until it goes cold; a store of keys puts a name like any other key. "
)
_COLD = (
    "what was written last is still warm: channels go cold when a catalog is written, a few at a "
    "time, between the calls of whoever writes."
)
_ROOM = (
    "each channel has a record that says that it was created, an entry in the catalog and one in "
    "the index of its segment, which five short messages do not outweigh. "
)
_MAPS = (
    "a batch is checked whole the first time that a process reads in it, and those of this log are "
    "a mebibyte: in a small log most looks find one that was read before, in a large one hardly "
    "any, and the first look costs several times the next. Above 256 segments one that is not kept "
    "mapped is mapped anew as well."
)
_BACKGROUND = "compaction runs in the same interpreter, and takes turns with the writer. "
_REWRITTEN = (
    "each segment is written once as it comes and once as it is clustered, and again when much of "
    "it is dead."
)

REASONS: dict[str, str] = {
    "publish, over RocksDB": _STEPS,
    "publish, over LMDB": (
        "with `writemap` and `map_async` it copies into a map too, in C, and keeps no checksum and "
        "no time; what chanlog does beside is in the line on RocksDB or on the best peer."
    ),
    "publish, over SQLite": _STEPS,
    "publish, over the best peer": _STEPS,
    "publish, time over the bare steps": (
        "the bare steps are ten lines with nothing around them; what chanlog does above them is "
        "there for docs/guarantees.md, and is Python."
    ),
    "publish, processor time over the bare steps": (
        "as for the time: each of those steps takes the processor."
    ),
    "publish beside a busy thread, of its idle rate": (
        "two threads share one interpreter, so half is the most there is; what is missing is lost "
        "where room is reserved, a system call that lets the other thread in."
    ),
    "publish beside a busy thread, over SQLite": (
        "how much SQLite loses depends on how soon the other thread wakes up on another core and "
        "takes the interpreter that each statement lets go: nearly every time on a quiet machine, "
        "seldom when both cores are taken."
    ),
    "publish beside a busy thread, over a bare os.write": (
        "as with SQLite: a write of a few bytes is over before the other thread has woken up, if "
        "that is slow to be scheduled, and then costs it nothing."
    ),
    "publish_many, over the best peer": (
        "with a thousand messages a call all stores work in C, and what is left is packing, a "
        "checksum and copying."
    ),
    "durable, one thread, of a bare write and fdatasync": (
        "the sync is the disk's and the same for both; what chanlog does before and after it is "
        "the rest, and shows the more the faster the disk is."
    ),
    "durable, 64 threads, over one bare": _ONE_LOCK,
    "durable, 1,000 tasks, over one bare": (
        _ONE_LOCK + "With a disk that syncs in a tenth of a millisecond, a hundred times one bare "
        "loop would leave a task less time than one step of the event loop takes."
    ),
    "replay, first pass, of the bare decoder": _FAULTS,
    "replay, later passes, of the bare decoder": (
        "at 100 bytes the decoder takes tens of nanoseconds a message, and going from batch to "
        "batch shows beside that."
    ),
    "replay, over the best peer": (
        "LMDB reads out of a map as well and checks nothing. For token events both end in the same "
        "decoder, which is most of the time."
    ),
    "replay, first pass, over the best peer": _FAULTS + "LMDB checks nothing at all.",
    "replay beside a busy thread, of its idle rate": (
        "two threads share one interpreter, so half is the most there is."
    ),
    "replay beside a busy thread, over SQLite": (
        "as for publishing: SQLite loses only what the other thread is awake to take."
    ),
    "messages, of the same made by map": (
        "a `Message` has the time and the meta of its batch besides its data, which are taken out "
        "of columns; for `bytes`, where the decoder has next to nothing to do, this is most of it."
    ),
    "one of 1,000 channels, active, over the best peer": (
        "in the active segment each message is a batch of its own, with a header to be read and a "
        "checksum to be verified; where it was verified before, " + _SMALL_READ
    ),
    "one of 1,000 channels, sealed, over the best peer": _SMALL_READ,
    "one of 1,000 channels, sealed, of not interleaved": (
        "compaction merges up to batches of 32 KiB, a publisher of a thousand messages at once "
        "makes larger ones; there are more of them to go through, and each is a step of Python."
    ),
    "wake thread to thread, p50 over queue.Queue": _IN_C,
    "wake thread to thread, p99 over queue.Queue": _IN_C + _LATE.capitalize(),
    "wake thread to task, p50 over call_soon_threadsafe": (
        "the future of the yardstick carries the object itself; chanlog writes the message, wakes "
        "the loop, and reads it there. "
    ),
    "wake thread to task, p99 over call_soon_threadsafe": (
        "the future carries the object itself, as at the median; " + _LATE
    ),
    "wake task to task, p50 over asyncio.Queue": (
        "nothing sleeps here, so nothing is waited for: this is the work of a publish and a read "
        "beside that of handing over an object in one loop. "
    ),
    "wake task to task, p99 over asyncio.Queue": "more steps, as at the median; " + _LATE,
    "wake beside a busy thread, p99 over queue.Queue": (
        "every wake-up waits for the switch interval of the interpreter; who gets it, and how "
        "often in a row, is the system's choice, and differs from run to run."
    ),
    "publisher that never rests, p99 over queue.Queue": (
        "the reader has to get the interpreter from the publisher, which takes it a switch "
        "interval at least, whatever wakes it."
    ),
    "wake thread to thread, p50, over SQLite + Condition": (
        "waking a thread is the same system call for both, and most of the time of both."
    ),
    "wake thread to thread, p99, over SQLite + Condition": (
        "waking a thread is the same for both, as at the median; " + _LATE
    ),
    "wake thread to thread, p99, over polling": _LATE + _UNNOTICED,
    "wake thread to task, p50, over polling": (
        "polling waits five to ten milliseconds and no longer; a hundredth of that is what waking "
        "another thread's loop takes on this machine."
    ),
    "wake thread to task, p99, over polling": _LATE + _UNNOTICED,
    "wake task to task, p99, over polling": _LATE + _UNNOTICED,
    "fan-out to 1,000 tasks, over asyncio.Queue": _LOOP,
    "fan-out to 1,000 tasks in bursts of 100, over asyncio.Queue": (
        _LOOP + "In a burst a queue gives its reader all hundred in one step; each object is the "
        "publisher's own and is shared by all, where each reader of chanlog gets its own."
    ),
    "fan-out to 100 threads, over a queue.Queue each": (
        "each reader of chanlog decodes what it gets, a hundred times in one interpreter; a queue "
        "gives all of them the same object."
    ),
    "10,000 agents streaming, speed of in-memory queues": _LOOP,
    "10,000 agents at 2 tokens a second, p99": (
        "a loop that is busier is later: the steps of the agents that are due together queue up, "
        "and each takes longer by the publish. "
    ),
    "1 M channels: created": _CREATED,
    "1 M channels: resident bytes per channel, as written": _COLD,
    "1 M channels: disk bytes per message of 42": _ROOM,
    "100,000 channels: created, over the best peer": _CREATED,
    "100,000 channels: disk bytes per message, over the best peer": (
        _ROOM + "RocksDB compresses what it writes; chanlog does not."
    ),
    "open 1 GB after a clean close": (
        "the catalog is mapped and the newest segments are opened: system calls, each with its "
        "share of Python, and pages that are not in memory yet."
    ),
    "open 1 GB after kill -9": (
        "what was not known to be durable is walked batch by batch in Python with its checksums, "
        "and then written over itself and synced before anybody relies on it (docs/design.md, "
        "Syncing), which is the disk's time."
    ),
    "open 1 GB after a clean close, time over the best peer": (
        "LMDB maps its file and reads the newer of two pages of it: there is no less to be done."
    ),
    "publish, at 10 GB over at 1 MB": (
        "the kernel is still writing back what the log was grown by, and the publisher waits for "
        "pages of the map behind it."
    ),
    "attach at the tail, at 10 GB over at 1 MB": _MAPS,
    "read by offset, at 10 GB over at 1 MB": _MAPS,
    "time of a writer beside compaction, over without": _BACKGROUND,
    "p99 of a publish beside compaction, over without": _BACKGROUND,
    "retention, space amplification in steady state": (
        "the background clusters beside a writer that never rests: what dies during a pass is "
        "given back by the next one. Slowed to 200, 100 and 50 MB/s the same workload takes 2.38, "
        "1.35 and 1.13 times what is kept, so the bound holds up to about 100 MB/s of writing."
    ),
    "retention, write amplification": _REWRITTEN,
    "retention, room over the best peer": (
        "a store of pages or keys takes back room piece by piece, with each call that deletes; "
        "chanlog a segment at a time, later, in the background."
    ),
    "retention, what is written over the best peer": _REWRITTEN,
}

LARGE: dict[str, str] = {
    "publish, over RocksDB": _COPY,
    "publish, over LMDB": _COPY,
    "publish, over SQLite": _COPY,
    "publish, over the best peer": _COPY,
    "publish beside a busy thread, of its idle rate": _PAGES,
    "publish beside a busy thread, over SQLite": _PAGES,
    "publish beside a busy thread, over a bare os.write": _PAGES,
    "publish_many, over the best peer": _COPY,
    "replay, first pass, of the bare decoder": _FAULTS,
    "replay, later passes, of the bare decoder": _MEMORY,
    "replay, over the best peer": _COPY,
    "replay, first pass, over the best peer": _COPY,
    "messages, of the same made by map": _MEMORY,
    "one of 1,000 channels, active, over the best peer": _COPY,
    "one of 1,000 channels, sealed, over the best peer": _COPY,
    "one of 1,000 channels, sealed, of not interleaved": _MEMORY,
}


def reason(text: str, shapes: Iterable[str]) -> str:
    """Why the target of that text is missed with payloads of these shapes; empty if not known."""
    found = []
    if set(shapes) - {"D"} or text not in LARGE:
        found.append(REASONS.get(text, ""))
    if "D" in shapes:
        found.append(LARGE.get(text, ""))
    whole = [text[:1].upper() + text[1:] for text in map(str.strip, dict.fromkeys(found))]
    return " ".join(filter(None, whole))

"""An exception out of a signal handler, at every place inside an operation.

CPython runs signal handlers behind calls, at the start of functions and when a loop goes round. A
trace function raises at the n-th such place, for every n in turn, so that this is as deterministic
as anything: the operation has happened or it has not, and afterwards everything works.
"""

from __future__ import annotations

import dis
import functools
import itertools
import shutil
import sys
from pathlib import Path
from types import CodeType

import pytest

import chanlog
from chanlog.channels.waking import Filter

from ..support import LIMIT, datas, drain, replayed, spawn, take, until_waiting

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="traces single opcodes the way Python 3.11 does"
)

PACKAGE = str(Path(chanlog.__file__).parent)
PLACES = {"CALL", "CALL_KW", "CALL_FUNCTION_EX", "RESUME", "JUMP_BACKWARD"}


class Interrupt(BaseException):
    """What the signal handler raises."""


@functools.cache
def places(code: CodeType) -> set[int]:
    """Where in ``code`` the interpreter has just looked for signals."""
    instructions = list(dis.get_instructions(code))
    return {
        after.offset
        for before, after in itertools.pairwise(instructions)
        if before.opname in PLACES
    }


def interrupted(work, at):
    """Run ``work`` and raise at the ``at``-th place inside chanlog; whether it came so far."""
    left = at

    def trace(frame, event, argument):
        nonlocal left
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode" and frame.f_lasti in places(frame.f_code):
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return left <= 0


def frame(log):
    with log.atomic() as frame:
        frame.publish("w", "x")
        frame.publish("other", "x")


OPERATIONS = {
    "publish": lambda log, it: it.publish("x"),
    "publish durable": lambda log, it: it.publish("x", durable=True),
    "publish many": lambda log, it: it.publish_many(["x", "x"]),
    "produce": lambda log, it: it.producer("p").publish("x"),
    "frame": lambda log, it: frame(log),
    "commit": lambda log, it: it.cursor("c").commit(0),
    "trim": lambda log, it: it.trim(before=1),
    "end": lambda log, it: it.fork("x").end(),
    "delete": lambda log, it: log.channel("gone").delete(),
    "new channel": lambda log, it: log.channel("new").publish("x"),
    "get": lambda log, it: it.subscribe().get(timeout=0),
    "replay": lambda log, it: list(it.replay()),
    "subscribe to types": lambda log, it: it.subscribe(types={"t"}, last=2).get(timeout=0),
    "wait": lambda log, it: it.subscribe(live=True).get(timeout=1e-4),
    "sync": lambda log, it: log.sync(),
    "list": lambda log, it: list(log.channels()),
}


def check(log, channel):
    """Whatever was interrupted, the log is whole and goes on."""
    start = channel.info().start_offset
    found = replayed(channel)
    assert found in (["a", "b", *x][start:] for x in ([], ["x"], ["x", "x"]))
    assert start in (0, 1)
    other = replayed(log.channel("other"))
    assert other in ([], ["x"])
    offset = channel.publish("after")
    assert offset == start + len(found)
    assert replayed(channel) == [*found, "after"]
    with channel.subscribe() as reader:
        assert datas(drain(reader)) == [*found, "after"]
    return [*found, "after"]


def one_round(log, name, at, copy):
    """Interrupt one operation at one place, and look at everything afterwards."""
    channel = log.channel("w")
    channel.publish_many(["a", "b"])
    log.channel("gone").publish("g")
    with channel.subscribe(live=True) as reader:
        waiting = spawn(reader.get, timeout=LIMIT)
        until_waiting(log)
        came = interrupted(lambda: OPERATIONS[name](log, channel), at)
        expected = check(log, channel)
        start = channel.info().start_offset
        assert waiting.result(LIMIT).data == expected[2 - start]
        rest = expected[3 - start :]
        assert datas(take(reader, len(rest))) == rest
    if copy is not None:
        with chanlog.open(copy(), background=False) as again:
            assert replayed(again.channel("w")) == expected
            assert list(again.channels()) == list(log.channels())
            assert again.channel("w").info().cursors == channel.info().cursors
    log.close()
    return came


@pytest.mark.parametrize("name", OPERATIONS)
def test_interrupted_anywhere(store, tmp_path, name):
    # A round on disk is dear, so there only some of the places have their turn.
    at, step = 0, 1 if store.path is None else 9
    came = True
    while came:
        at += step
        copy = None
        if store.path is not None:
            store.path = tmp_path / str(at)
            copy = functools.partial(shutil.copytree, store.path, tmp_path / f"copy-{at}")
        log = store.open(sync="os", segment_bytes=64 * 1024)
        try:
            came = spawn(one_round, log, name, at, copy).result(LIMIT)
        except BaseException:
            store.abandon()
            raise
    assert at > 3


def test_an_interrupt_while_a_message_is_held_to_a_filter(channel, monkeypatch):
    """Whoever keeps up reads its one message by a way of its own, and stood behind it already when
    it was held to the types that were asked for: an interrupt there lost it."""
    reader = channel.subscribe(live=True, types={"t"})
    channel.publish("x", type="t")

    def interrupt(*_):
        raise Interrupt

    with monkeypatch.context() as patch:
        patch.setattr(Filter, "passes", interrupt)
        with pytest.raises(Interrupt):
            reader.get(timeout=0)
    assert datas(drain(reader)) == ["x"]

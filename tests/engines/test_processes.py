"""Two processes share the work of a channel; one of them is killed, and so is the server."""

from __future__ import annotations

from collections import Counter

import pytest

from ..support import finish, python, stop

COUNT = 200
HELD = 10
LEASE_SECONDS = 2.0

# Says what it is handed and what it is done with, and keeps one message when told to. Who has no
# work to do at all can be faster than others on NATS for as long as there is something.
CONSUMER = """
import sys, time, chanlog
url, name, lease, held = sys.argv[1:]
with chanlog.connect(url) as log:
    print("ready")
    sys.stdin.readline()
    for count, delivery in enumerate(log.channel(name).group("g", lease=float(lease))):
        print("got", delivery.message.data)
        time.sleep(0.005)
        if count == int(held):
            sys.stdin.readline()
        try:
            delivery.ack()
        except chanlog.LeaseLost:
            # It took too long, and another one has it.
            continue
        print("done", delivery.message.data)
"""


def consumer(harness, channel, held):
    return python(CONSUMER, harness.server.url, channel.name, LEASE_SECONDS, held)


def go(*consumers):
    for process in consumers:
        assert process.stdout.readline() == "ready\n"
    for process in consumers:
        process.stdin.write("go\n")
        process.stdin.flush()


def said(lines):
    """What was handed out, and what was done with, how often."""
    counts = {"got": Counter(), "done": Counter()}
    for line in lines:
        what, number = line.split()
        counts[what][int(number)] += 1
    return counts["got"], counts["done"]


@pytest.mark.parametrize("server_dies", [False, True], ids=["it-lives", "the-server-dies-too"])
def test_one_of_two_consumers_is_killed(log, harness, server_dies):
    """Nothing is lost, and nothing that was done with is handed out again."""
    channel = log.channel(harness.new_name())
    channel.publish_many(range(COUNT))
    channel.end()
    one, other = consumer(harness, channel, HELD), consumer(harness, channel, -1)
    try:
        go(one, other)
        given, finished = said([one.stdout.readline() for _ in range(2 * HELD + 1)])
        if server_dies:
            harness.crash()
        one.kill()
        got, done = said(finish(other).splitlines())
    finally:
        stop(one)
        stop(other)

    (held,) = given - finished
    assert set(finished + done) == set(range(COUNT))
    assert set((finished + done).values()) == {1}
    assert held in got
    assert not set(got) & set(finished)
    assert channel.group("g").info().pending == 0

"""A replica takes over from a Redis server that dies, under the same address."""

from __future__ import annotations

from contextlib import closing, contextmanager

import pytest

import chanlog
from chanlog.testing.conformance.base import until
from chanlog.testing.presence import present
from chanlog.testing.proxy import Proxy
from chanlog.testing.servers import RedisServer

from ..support import LIMIT, datas, spawn


class Pair:
    """A server, its replica, and an address that leads to whichever leads."""

    def __init__(self, folder):
        self.first = RedisServer(folder / "first")
        self.second = RedisServer(folder / "second")
        self.leader = self.first
        self.proxy = Proxy(self.reach)
        self.url = f"redis://127.0.0.1:{self.proxy.port}/0"
        with asked(self.second) as second:
            second.execute_command("REPLICAOF", "127.0.0.1", self.first.port)
        until(self.has_caught_up, "the replica has what the other has")

    def reach(self):
        return self.leader._reach()

    def has_caught_up(self):
        with asked(self.first) as first, asked(self.second) as second:
            there = second.info("replication")
            return (
                there.get("master_link_status") == "up"
                and there["slave_repl_offset"] == first.info("replication")["master_repl_offset"]
            )

    def part(self):
        """The replica hears nothing more."""
        with asked(self.second) as second:
            second.execute_command("REPLICAOF", "NO", "ONE")

    def fail_over(self):
        self.leader = self.second
        self.first.kill()
        self.part()
        # Whoever is connected to the one that is dead looks again.
        with self.proxy.cut():
            pass

    def close(self):
        self.proxy.close()
        self.first.close()
        self.second.close()


@contextmanager
def asked(server):
    import redis

    with redis.Redis(port=server.port) as client:
        yield client


@pytest.fixture
def pair(tmp_path):
    with closing(present(lambda: Pair(tmp_path))) as pair:
        yield pair


def test_what_the_replica_has_is_all_there(pair):
    """The handles go on, and know what was done before."""
    with chanlog.connect(pair.url) as log:
        channel = log.channel("a")
        producer = channel.producer("p")
        for number in range(50):
            producer.publish(number, sequence=number)
        reader, cursor, group = channel.subscribe(), channel.cursor("c"), channel.group("g")
        assert datas(reader.get(timeout=LIMIT) for _ in range(20)) == list(range(20))
        cursor.commit(cursor.get(timeout=LIMIT))
        deliveries = [group.get(timeout=LIMIT) for _ in range(2)]
        deliveries[0].ack()
        waiting = spawn(channel.subscribe(live=True).get, LIMIT)
        until(pair.has_caught_up, "the replica has what the other has")
        pair.fail_over()

        assert producer.publish("again", sequence=49) == 49
        assert producer.publish(50) == 50
        assert waiting.result(LIMIT).data == 50
        assert datas(reader.get(timeout=LIMIT) for _ in range(31)) == list(range(20, 51))
        assert channel.cursor("c").position() == 1
        deliveries[1].ack()
        assert group.get(timeout=LIMIT).message.data == 2
        assert list(channel.replay().data()) == list(range(51))


@pytest.mark.parametrize("waits", [False, True], ids=["it-looks-later", "it-waits"])
def test_what_the_replica_never_got_is_told(pair, waits):
    """A reader that has seen more than there is now is told so, instead of waiting in silence until
    others have taken those offsets."""
    with chanlog.connect(pair.url) as log:
        channel = log.channel("a")
        channel.publish_many("ab")
        reader = channel.subscribe()
        until(pair.has_caught_up, "the replica has what the other has")
        pair.part()
        channel.publish("lost")
        assert datas(reader.get(timeout=LIMIT) for _ in range(3)) == ["a", "b", "lost"]
        if waits:
            waiting = spawn(reader.get, LIMIT)
            until(lambda: reader._waiting is not None, "the reader waits")
        pair.fail_over()
        if not waits:
            waiting = spawn(reader.get, LIMIT)
        with pytest.raises(chanlog.UnknownOffset) as raised:
            waiting.result(LIMIT)
        assert raised.value.end_offset == 2
        assert channel.publish("new") == 2
        reader.seek(2)
        assert reader.get(timeout=LIMIT).data == "new"

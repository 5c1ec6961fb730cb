"""What is done to a log while the power may go: a dozen short lives of a log."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from chanlog import Retention

from .author import Author
from .history import ChannelModel
from .power import Moment

__all__ = ["LIVES", "SCENARIOS", "World"]


def singles(author: Author) -> None:
    """One message after another, to a few channels, small ones and some of a page."""
    for number in range(30):
        name = f"c{author.random.randrange(4)}"
        size = author.random.choice((0, 0, 40, 900, 4000))
        author.publish(name, author.payload(size), type=author.random.choice((None, "token")))
        if number % 11 == 10:
            author.sync()


def many(author: Author) -> None:
    """Many at once, of several sizes."""
    for number in range(12):
        author.many(f"c{number % 3}", author.random.randrange(2, 60), author.random.choice((0, 90)))
        author.publish("between", key="k", headers={"n": number})
    author.sync()
    author.many("c0", 40, 700)


def large(author: Author) -> None:
    """Messages that go through the file, and some that need a segment of their own size."""
    for size in (33_000, 100, 40_000, 50, 90_000, 20, 36_000):
        author.publish("large", author.payload(size), durable=size > 1000 or None)
        author.publish("small")
    author.many("large", 4, 12_000, durable=True)
    author.publish("small")


def frames(author: Author) -> None:
    """Frames across channels with cursors and ends."""
    author.many("a", 5)
    author.commit("a", "reader", 2)
    for number in range(8):
        author.frame(["a", "b", "a", f"new-{number}"], cursors={("a", "reader"): number + 3})
        if number == 4:
            author.sync()
        if number % 2:
            author.frame(["last"], ends=(f"new-{number}",))
    author.seek("a", "reader", 1)
    author.commit("a", "other", 4)
    author.forget("a", "other")


def producers(author: Author) -> None:
    """Producers, their retries and their successors."""
    for epoch in range(3):
        author.produce("p", "writer", epoch, 3)
        author.retry("p", "writer")
        author.publish("p")
        author.produce("p", "second", epoch // 2, 2)
        author.produce("q", "writer", epoch, author.random.randrange(4))
        if epoch == 1:
            author.retry("p", "second", durable=True)
    author.compact()
    author.produce("p", "writer", 2, 2)
    author.retry("p", "writer")


def rolling(author: Author) -> None:
    """Several segments, one after the other."""
    for number in range(22):
        author.publish(f"c{number % 3}", author.payload(author.random.randrange(6000, 16_000)))
        author.publish("small")
        if number in (7, 13):
            author.sync()


def compacting(author: Author) -> None:
    """Clustering, while others go on."""
    for number in range(3):
        for name in ("a", "b", "c"):
            author.many(name, 3, 2000)
            author.publish(name)
        author.publish(f"once-{number}")
        author.compact()
    author.trim("a", 6)
    author.publish("a")
    author.compact()


def joining(author: Author) -> None:
    """Small clustered segments that are joined, and some that are dropped as a whole."""
    for number in range(5):
        author.many("a", 2, 500)
        author.publish(f"c{number}")
        author.compact()
    author.trim("a", 8)
    author.delete("c1")
    author.compact()
    author.trim("a", 10)
    author.publish("c1")
    author.compact()


def ending(author: Author) -> None:
    """Trims, ends, deletes, and names that are used again."""
    for name in ("a", "b", "c"):
        author.many(name, 6, 100)
    author.trim("a", 4)
    author.end("b")
    author.publish("c")
    author.delete("c")
    author.publish("c")
    author.trim("a", 6)
    author.compact()
    author.publish("a")
    author.end("c")
    author.delete("b")
    author.many("b", 2)
    author.trim("c", 1)


def forking(author: Author) -> None:
    """Forks, and forks of forks, that outlive what they were made from."""
    author.many("a", 6, 100)
    author.fork("a", "f", 4)
    author.publish("f")
    author.publish("a")
    author.fork("f", "g", 5)
    author.trim("f", 2)
    author.publish("g")
    author.delete("a")
    author.compact()
    author.publish("f")
    author.delete("f")
    author.publish("a")
    author.compact()
    author.publish("g")


def retaining(author: Author) -> None:
    """Channels with a retention."""
    author.configure("three", Retention(count=3))
    author.configure("brief", Retention(ttl=60))
    for number in range(4):
        author.many("three", 2, 50)
        author.publish("brief")
        author.publish("kept")
        if number == 1:
            author.compact()
        if number == 2:
            author.age(120)
            author.compact()
    author.configure("three", None)
    author.compact()


def reopening(author: Author) -> None:
    """Closed and opened, again and again."""
    for number in range(4):
        author.publish("a")
        author.many("b", 4, 1500)
        author.reopen()
        if number == 2:
            author.compact()
            author.reopen()
        author.commit("b", "reader", number * 4 + 1)
    author.publish("a", author.payload(60_000))
    author.close()


def anything(author: Author) -> None:
    """All of it, in any order."""
    random = author.random
    author.many("a", 3)
    for _ in range(45):
        what = random.randrange(20)
        live = [m for m in author.history.models.values() if not m.deleted]
        model = random.choice(live) if live else ChannelModel("a")
        name, end = model.name, len(model.messages)
        if what < 7 and not model.ended:
            author.publish(name, author.payload(random.choice((0, 0, 200, 9000))))
        elif what < 9 and not model.ended:
            author.many(name, random.randrange(1, 20), random.choice((0, 600)))
        elif what == 9:
            author.publish(f"new-{random.randrange(6)}-{author.disk.step}")
        elif what == 10 and end > model.start:
            author.trim(name, random.randint(model.start, end))
        elif what == 11 and end > model.start + 1:
            author.fork(name, f"fork-{author.disk.step}", random.randint(model.start, end))
        elif what == 12 and random.random() < 0.5:
            author.delete(name)
        elif what == 13 and random.random() < 0.5:
            author.end(name)
        elif what == 14 and end:
            author.seek(name, "reader", random.randint(model.start, end))
        elif what == 15 and not model.ended:
            author.produce(name, "writer", model.producers.get("writer", (0,))[0], 2)
        elif what == 16:
            author.compact()
        elif what == 17:
            author.sync()
        elif what == 18 and random.random() < 0.4:
            author.reopen()
        elif what == 19 and not model.ended:
            author.frame([name, f"framed-{author.disk.step}", name])


SCENARIOS: tuple[Callable[[Author], None], ...] = (
    singles, many, large, frames, producers, rolling, compacting, joining, ending, forking,
    retaining, reopening, anything,
)  # fmt: skip
_POLICIES = (("always", 0.0), ("interval", 0.0), ("os", 0.0), ("os", 0.25))
LIVES = len(SCENARIOS) * len(_POLICIES)


class World:
    """One life of a log, lived: the author with its disk and its history. There are ``LIVES``
    kinds of life; ``number`` goes on through them."""

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        self.seed = seed
        play = SCENARIOS[number // len(_POLICIES) % len(SCENARIOS)]
        policy, durable = _POLICIES[number % len(_POLICIES)]
        self.name = f"{play.__name__}, {policy}{', durable' if durable else ''}"
        self.author = Author(policy, Random(f"{seed} {number}"), durable=durable)
        try:
            play(self.author)
        finally:
            self.author.die()

    def seed_of(self, moment: Moment) -> str:
        """For what is random at a moment."""
        return f"{self.seed} {self.number} {moment.step}"

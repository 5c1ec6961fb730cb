"""The Redis engine.

A channel ``c`` is the stream ``P:s:c`` with the messages, the hash ``P:m:c`` with its state, and,
where there are any, the hashes ``P:c:c``, ``P:p:c`` and ``P:g:c`` with cursors, producers and
groups (``P`` is the prefix). ``P:names`` has all names, sorted. The message at offset ``n`` has the
id ``n+1-0``: offsets are as dense as on the embedded log. Changes are one script, so that each is
whole or not at all, and a stream is what readers wait on, by ``XREAD BLOCK``.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from hashlib import sha1
from importlib.resources import files
from itertools import chain, count
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgpack
import redis

from ...capabilities import REDIS
from ...errors import DiskFull, InvalidOption
from ...host import monotonic
from ..engine import Engine, Operation, Page, State, Watch
from ..log import EngineLog
from ..refusals import refuse
from ..trying import Trying
from .session import LOST, BlockingSession, Command, LoopSession, RedisSession, Unreached

__all__ = ["RedisEngine", "connect"]

_FIELDS = ("life", "start", "end", "ended")
_BLOCK_MS = 5000
# Who waits is behind by a few messages, if at all; what is more comes by pages, which fit memory.
_WAIT_COUNT = 32
_ATTEMPTS_SECONDS = 600
_PLAIN_MAX = 1000
# ``DiskFull`` is an ``OSError`` too, and says what was done.
_MAY_BE_DONE = (redis.ConnectionError, redis.TimeoutError)
_BODY_BYTES_MAX = 16 * 1024 * 1024


def connect(
    url: str,
    *,
    prefix: str = "chanlog",
    timeout: float = 10.0,
    message_bytes_max: int = _BODY_BYTES_MAX,
    **options: Any,
) -> EngineLog:
    """A log on the Redis server at ``url``: ``redis://``, ``rediss://`` or ``unix://``, as redis-py
    takes it. ``prefix`` begins all its keys. A call that finds no server tries again for
    ``timeout`` seconds, and raises ``Disconnected`` then. ``options`` go to redis-py's connections,
    whose ``socket_timeout`` follows from ``timeout``.

    Needs one server of version 6.2 or newer, or one with replicas; not a cluster, for a frame has
    many keys. Blocks until the server has answered.
    """
    if not isinstance(prefix, str) or not prefix:
        raise InvalidOption(f"prefix is a str, not {prefix!r}", option="prefix")
    return EngineLog(RedisEngine(url, prefix, timeout, message_bytes_max, options))


def _address(url: str) -> str:
    """Where the server is, without what nobody should read in an error."""
    where = urlsplit(url)
    return f"{where.hostname}:{where.port or 6379}" if where.hostname else where.path


class _Script:
    """A script, by its name, and how the server knows it."""

    def __init__(self, name: str) -> None:
        self.source = (files(__package__) / name).read_text(encoding="utf-8")
        self.digest = sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class RedisEngine(Engine):
    """What an engine does, on Redis. From any thread."""

    capabilities = REDIS

    def __init__(
        self, url: str, prefix: str, timeout: float, bytes_max: int, options: dict[str, Any]
    ) -> None:
        self._url = url
        self._prefix = prefix
        self._timeout = timeout
        self._options = options
        self._apply = _Script("apply.lua")
        self._publish = _Script("publish.lua")
        self._since = _Script("since.lua")
        self.message_bytes_max = bytes_max
        # Which attempts are this caller's, and which slot and number each call has.
        self._attempts = f"{prefix}:a:{secrets.token_hex(8)}"
        self._calls = count(1)
        self._slots: list[int] = []
        self._slots_made = count()
        self._trying = Trying("redis", _address(url), timeout, LOST, (Unreached,))

    async def prepare(self, session: RedisSession) -> None:
        commands: list[Command] = [
            ("CONFIG", "GET", name) for name in ("appendonly", "appendfsync")
        ]
        replies = await self._ask(session, commands, refuse=False)
        # Managed servers refuse CONFIG; then nobody can say.
        if [reply[1:] for reply in replies if isinstance(reply, list)] == [[b"yes"], [b"always"]]:
            self.capabilities = replace(REDIS, durable=True)

    def blocking(self) -> RedisSession:
        return BlockingSession(self._url, self._timeout, self._options)

    async def session(self) -> RedisSession:
        return LoopSession(self._url, self._timeout, self._options)

    async def _evaluate(
        self, session: RedisSession, script: _Script, arguments: tuple[Any, ...]
    ) -> Any:
        replies = await session.call([("EVALSHA", script.digest, *arguments)], self._timeout)
        if isinstance(replies[0], redis.exceptions.NoScriptError):
            replies = await session.call([("EVAL", script.source, *arguments)], self._timeout)
        if isinstance(replies[0], redis.ResponseError):
            _refused(replies[0])
        return replies[0]

    # Changing.

    async def apply(self, session: RedisSession, operations: list[Operation]) -> list[Any]:
        try:
            slot = self._slots.pop()
        except IndexError:
            slot = next(self._slots_made)
        call, began, is_sent = next(self._calls), monotonic(), False
        try:
            if len(operations) == 1 and _is_plain(operations[0]):
                try:
                    offset = await self._publish_plain(session, operations[0], slot, call)
                except Unreached:
                    offset = None
                except _MAY_BE_DONE:
                    offset, is_sent = None, True
                if offset is not None:
                    return [(operations[0].life, offset)]
            # The server's decoder is of the time before msgpack had a type for bytes.
            packed = msgpack.packb(
                [_plain(operation) for operation in operations], use_bin_type=False
            )
            arguments = (0, self._prefix, self._attempts, slot, call, packed, _ATTEMPTS_SECONDS)
            answer = await self._trying.attempt(
                lambda: self._evaluate(session, self._apply, arguments),
                session.sleep,
                certain=False,
                over=lambda: session.closed,
                is_sent=is_sent,
                began=began,
            )
        finally:
            # What is lost on its way may still come, and finds that a later call had its slot.
            self._slots.append(slot)
        word, *facts = msgpack.unpackb(answer, raw=False, strict_map_key=False)
        if word != "ok":
            refuse(word, facts)
        results: list[Any] = [(life, value) for life, value in facts[0]]
        return results

    async def _publish_plain(
        self, session: RedisSession, operation: Operation, slot: int, call: int
    ) -> int | None:
        """Publish the short way; ``None`` if that cannot be. When nobody knows whether it was done,
        the general way finds out, as the same call."""
        keys = (self._key("s", operation.channel), self._key("m", operation.channel))
        expect = "" if operation.expect is None else operation.expect
        halves = chain.from_iterable((body[:1], body[1:]) for body in operation.bodies)
        arguments = (
            3, *keys, self._attempts, operation.life, expect, slot, call, _ATTEMPTS_SECONDS, *halves
        )  # fmt: skip
        offset: int | None = await self._evaluate(session, self._publish, arguments)
        return offset

    # Looking.

    async def _ask(
        self,
        session: RedisSession,
        commands: list[Command],
        seconds: float = 0.0,
        *,
        refuse: bool = True,
    ) -> list[Any]:
        """The replies to ``commands``, which change nothing, and may take ``seconds`` more than
        others. A refusal is raised, or with ``refuse=False`` is among the replies."""
        replies = await self._trying.attempt(
            lambda: session.call(commands, self._timeout + seconds),
            session.sleep,
            certain=True,
            over=lambda: session.closed,
        )
        for reply in replies if refuse else ():
            if isinstance(reply, redis.ResponseError):
                _refused(reply)
        return replies

    async def page(self, session: RedisSession, channel: str, at: int, count: int) -> Page:
        commands = [
            ("XRANGE", self._key("s", channel), f"{at + 1}-0", "+", "COUNT", count),
            ("HMGET", self._key("m", channel), *_FIELDS),
        ]
        entries, meta = await self._ask(session, commands)
        return _page(at, entries, meta)

    async def wait(
        self, session: RedisSession, channel: str, at: int, life: str, group: Watch | None = None
    ) -> Page | None:
        while True:
            # At the end of an ended channel stands an entry that says so. Whoever knows waits
            # behind it.
            has_ended = group is not None and group.ended
            ids = {self._key("s", channel): f"{at + has_ended}-0"}
            if group is not None:
                ids[self._key("n", f"{channel}\0{group.name}")] = f"{group.revision}-0"
            page, told = await self._look_or_wait(session, channel, at, ids)
            if page.is_news(at, life, has_ended):
                return page
            if len(told) > 1 or self._key("s", channel) not in told:
                # Told of the group; or by nobody, and then it is looked at anew.
                if told:
                    return None
                continue
            # The tombstone of a channel whose next life is waited for: it says where to listen.
            ((tombstone, (_, buried)),) = told[self._key("s", channel)][-1:]
            ids = {self._key("s", channel): tombstone, self._key("n", channel): buried}
            page, _ = await self._look_or_wait(session, channel, at, ids)
            if page.life:
                return page

    async def _look_or_wait(
        self, session: RedisSession, channel: str, at: int, ids: dict[str, Any]
    ) -> tuple[Page, dict[str, Any]]:
        """What is behind some ids of some streams, or comes within a few seconds: the page of the
        channel, and the entries of each stream."""
        commands: list[Command] = [
            ("XREAD", "COUNT", _WAIT_COUNT, "BLOCK", _BLOCK_MS, "STREAMS", *ids, *ids.values()),
            ("HMGET", self._key("m", channel), *_FIELDS),
        ]
        found, meta = await self._ask(session, commands, _BLOCK_MS / 1000)
        told = {key.decode(): entries for key, entries in found or ()}
        return _page(at, told.get(self._key("s", channel), []), meta), told

    async def state(self, session: RedisSession, channel: str, group: str | None = None) -> State:
        fields = (*_FIELDS, "created", "time", "retention")
        commands: list[Command] = [("HMGET", self._key("m", channel), *fields)]
        if group is None:
            commands += [("HGETALL", self._key(kind, channel)) for kind in "cpg"]
        else:
            commands.append(("HGET", self._key("g", channel), group))
        # As one, so that what is told of cursors and of messages is of the same moment.
        (*_, replies) = await self._ask(session, [("MULTI",), *commands, ("EXEC",)])
        (life, start, end, ended, created, time, retention), *others = replies
        if group is None:
            cursors, producers, groups = others
        else:
            cursors, producers = [], []
            groups = [] if others[0] is None else [group.encode(), others[0]]
        return State(
            life=(life or b"").decode(),
            start=int(start or 0),
            end=int(end or 0),
            ended=ended == b"1",
            created_us=int(created or 0),
            time_us=int(time or 0),
            retention=retention or b"",
            cursors={name.decode(): int(position) for name, position in _pairs(cursors)},
            producers={
                name.decode(): _producer(msgpack.unpackb(packed))
                for name, packed in _pairs(producers)
            },
            groups={
                name.decode(): (int(revision), value)
                for name, kept in _pairs(groups)
                for revision, _, value in [kept.partition(b":")]
            },
        )

    async def since(self, session: RedisSession, channel: str, time_us: int) -> int:
        answer = await self._trying.attempt(
            lambda: self._evaluate(session, self._since, (0, self._prefix, channel, time_us)),
            session.sleep,
            certain=True,
            over=lambda: session.closed,
        )
        return int(answer)

    async def names(self, session: RedisSession, prefix: str, after: str, count: int) -> list[str]:
        first = f"({after}" if after else f"[{prefix}"
        last = b"[" + prefix.encode() + b"\xff" if prefix else "+"
        command = ("ZRANGEBYLEX", f"{self._prefix}:names", first, last, "LIMIT", 0, count)
        (names,) = await self._ask(session, [command])
        return [name.decode() for name in names]

    async def retain(self, session: RedisSession) -> None:
        after = ""
        while names := await self.names(session, "", after, 1000):
            after = names[-1]
            commands = [("HGET", self._key("m", name), "retention") for name in names]
            for name, retention in zip(names, await self._ask(session, commands), strict=True):
                if retention:
                    again = Operation(kind="configure", channel=name, value=retention)
                    await self.apply(session, [again])

    def _key(self, kind: str, channel: str) -> str:
        return f"{self._prefix}:{kind}:{channel}"


def _is_plain(operation: Operation) -> bool:
    return (
        operation.kind == "publish"
        and operation.producer is None
        and len(operation.bodies) <= _PLAIN_MAX
        and bool(operation.life)
    )


def _plain(operation: Operation) -> dict[str, Any]:
    """As the script takes it: what says nothing is left out."""
    return {
        name: value
        for name in operation.__slots__
        if (value := getattr(operation, name)) is not None
    }


def _page(at: int, entries: list[Any], meta: list[Any]) -> Page:
    life, start, end, ended = meta
    bodies = [fields[1] for _, fields in entries if fields[0] == b"m"]
    first = int(entries[0][0].partition(b"-")[0]) - 1 if bodies else at
    return Page(
        (life or b"").decode(), int(start or 0), int(end or 0), ended == b"1", first, bodies
    )


def _producer(found: dict[str, Any]) -> tuple[int, int]:
    return found["epoch"], found["next"]


def _pairs(flat: list[Any]) -> Any:
    return zip(flat[::2], flat[1::2], strict=True)


def _refused(error: redis.ResponseError) -> NoReturn:
    """The server has refused: it has no room, or this is not what it can do."""
    if str(error).startswith(("OOM", "MISCONF")) or isinstance(
        error, redis.exceptions.OutOfMemoryError
    ):
        raise DiskFull(
            f"the Redis server has no room: {error}. Nothing was written; try again when it has"
        ) from error
    raise error

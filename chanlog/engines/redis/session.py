"""Connections to Redis: pools whose calls block, and pools of one event loop, used the same way."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import suppress
from time import sleep
from typing import Any

import redis
import redis.asyncio

from ..engine import Session

__all__ = ["LOST", "BlockingSession", "LoopSession", "RedisSession", "Unreached"]

Command = tuple[Any, ...]

# What happens to a call when the server, or the way to it, is gone.
LOST = (redis.ConnectionError, redis.TimeoutError, OSError)
_ANOTHER_LEADS = ("MASTERDOWN", "NOREPLICAS", "READONLY", "UNBLOCKED")
_NOT_LEADING = (redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError)


class Unreached(redis.ConnectionError):
    """There was no connection to send anything on."""


def _reply(error: redis.ResponseError) -> redis.ResponseError:
    """The error as a reply, unless it says that this server leads no more, or not yet: then nothing
    was done, and another connection may lead to the one that does. Raises ``Unreached``."""
    said = str(error)
    # Redis 6.2 wraps what a script has met.
    wrapped = "running script" in said and any(f"-{word} " in said for word in _ANOTHER_LEADS)
    if wrapped or isinstance(error, _NOT_LEADING) or said.startswith(_ANOTHER_LEADS):
        raise Unreached(said) from error
    return error


class RedisSession(Session):
    """What both kinds can do."""

    closed = False

    @abstractmethod
    async def call(self, commands: list[Command], seconds: float) -> list[Any]:
        """Send the commands on one connection and return their replies, errors among them, raw.
        Raises ``redis.ConnectionError``, and ``redis.TimeoutError`` when no answer has come for
        ``seconds``."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait."""


class BlockingSession(RedisSession):
    """For every thread: nothing here ever suspends."""

    def __init__(self, url: str, seconds: float, options: dict[str, Any]) -> None:
        self._kind, self._settings = _parsed(redis.ConnectionPool, url, seconds, options)
        self._settings["socket_timeout"] = seconds
        # The one that was used last is used next. Each thread takes what is there, so there are as
        # many as were ever in a call at once.
        self._free: list[Any] = []

    async def call(self, commands: list[Command], seconds: float) -> list[Any]:
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._new()
        replies: list[Any] = []
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except redis.ResponseError as error:
                    replies.append(_reply(error))
        except BaseException:
            # Nobody knows which replies are still to come on it, and what one server has said of
            # its end the others will say too.
            connection.disconnect()
            self._forget()
            raise
        self._free.append(connection)
        if self.closed:
            self._forget()
        return replies

    def _new(self) -> Any:
        if self.closed:
            raise Unreached("this log is closed")
        connection = self._kind(**self._settings)
        try:
            connection.connect()
        except LOST as error:
            raise Unreached(str(error)) from error
        return connection

    def _forget(self) -> None:
        with suppress(IndexError):
            while True:
                self._free.pop().disconnect()

    async def sleep(self, seconds: float) -> None:
        sleep(seconds)

    async def close(self) -> None:
        self.closed = True
        self._forget()


class LoopSession(RedisSession):
    """For the tasks of one event loop."""

    def __init__(self, url: str, seconds: float, options: dict[str, Any]) -> None:
        self._kind, self._settings = _parsed(redis.asyncio.ConnectionPool, url, seconds, options)
        # Whoever waits has no answer for long, and ``call`` keeps the time. With a time-out of its
        # own redis-py would send with ``asyncio.wait_for``, which in Python 3.11 may lose that the
        # task was cancelled.
        self._settings["socket_timeout"] = None
        self._seconds = seconds
        self._free: list[Any] = []
        # All of them, for a call may be in the middle when the loop comes to its end.
        self._made: set[Any] = set()

    async def call(self, commands: list[Command], seconds: float) -> list[Any]:
        connection = self._free.pop() if self._free else await self._new()
        replies: list[Any] = []
        try:
            async with asyncio.timeout(seconds):
                await connection.send_packed_command(connection.pack_commands(commands))
                for _ in commands:
                    try:
                        replies.append(await connection.read_response())
                    except redis.ResponseError as error:
                        replies.append(_reply(error))
        except TimeoutError:
            await self._forget(connection, *self._free)
            raise redis.TimeoutError(f"no answer within {seconds} seconds") from None
        except LOST:
            # What one has met the others will meet too.
            await self._forget(connection, *self._free)
            raise
        except BaseException:
            await self._forget(connection)
            raise
        self._free.append(connection)
        if self.closed:
            await self._forget(connection)
        return replies

    async def _new(self) -> Any:
        connection = self._kind(**self._settings)
        self._made.add(connection)
        try:
            async with asyncio.timeout(self._seconds):
                await connection.connect()
        except LOST as error:
            await self._forget(connection)
            raise Unreached(str(error)) from error
        except BaseException:
            await self._forget(connection)
            raise
        if self.closed:
            await self._forget(connection)
            raise Unreached("this log is closed")
        return connection

    async def _forget(self, *connections: Any) -> None:
        for connection in connections:
            self._made.discard(connection)
            if connection in self._free:
                self._free.remove(connection)
        for connection in connections:
            await connection.disconnect(nowait=True)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        self.closed = True
        made = list(self._made)
        try:
            # Until it is done: the loop may turn no more after this.
            for connection in made:
                await connection.disconnect()
        finally:
            for connection in made:
                await connection.disconnect(nowait=True)

    def drop(self) -> bool:
        self.closed = True
        for connection in self._made:
            # Outside of a task it only closes, and waits for nothing.
            with suppress(StopIteration, RuntimeError):
                connection.disconnect(nowait=True).send(None)
        return True


def _parsed(
    kind: Any, url: str, seconds: float, options: dict[str, Any]
) -> tuple[type[Any], dict[str, Any]]:
    """The kind of connection that ``url`` and ``options`` ask for, and how to make one."""
    pool = kind.from_url(url, protocol=2, **options)
    settings = dict(pool.connection_kwargs)
    settings.setdefault("socket_connect_timeout", seconds)
    return pool.connection_class, settings

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


class Unreached(redis.ConnectionError):
    """There was no connection to send anything on."""


class RedisSession(Session):
    """What both kinds can do."""

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
        self._pool = redis.ConnectionPool.from_url(url, protocol=2, **options)
        settings = self._pool.connection_kwargs
        settings["socket_timeout"] = seconds
        settings.setdefault("socket_connect_timeout", seconds)

    async def call(self, commands: list[Command], seconds: float) -> list[Any]:
        try:
            connection = self._pool.get_connection()
        except LOST as error:
            raise Unreached(str(error)) from error
        try:
            connection.send_packed_command(connection.pack_commands(commands))  # type: ignore[no-untyped-call]
            replies: list[Any] = []
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except redis.ResponseError as error:
                    replies.append(error)
        except BaseException:
            # Nobody knows which replies are still to come on it.
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise
        finally:
            self._pool.release(connection)
        return replies

    async def sleep(self, seconds: float) -> None:
        sleep(seconds)

    async def close(self) -> None:
        self._pool.disconnect(inuse_connections=False)


class LoopSession(RedisSession):
    """For the tasks of one event loop. It knows every connection that it has made: a pool forgets
    one whose user is cancelled in the wrong moment, and nobody would close it."""

    def __init__(self, url: str, seconds: float, options: dict[str, Any]) -> None:
        self._made: list[Any] = []
        pool = redis.asyncio.ConnectionPool.from_url(url, protocol=2, **options)
        settings = pool.connection_kwargs
        # Whoever waits has no answer for long, and ``call`` keeps the time. With a time-out of its
        # own redis-py would send with ``asyncio.wait_for``, which in Python 3.11 may lose that the
        # task was cancelled.
        settings["socket_timeout"] = None
        settings.setdefault("socket_connect_timeout", seconds)
        make: Any = pool.make_connection

        def making() -> Any:
            connection = make()
            self._made.append(connection)
            return connection

        pool.make_connection = making  # type: ignore[method-assign]
        self._pool = pool

    async def call(self, commands: list[Command], seconds: float) -> list[Any]:
        try:
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        except LOST as error:
            raise Unreached(str(error)) from error
        replies: list[Any] = []
        try:
            async with asyncio.timeout(seconds):
                await connection.send_packed_command(connection.pack_commands(commands))
                for _ in commands:
                    try:
                        replies.append(await connection.read_response())
                    except redis.ResponseError as error:
                        replies.append(error)
        except TimeoutError:
            await connection.disconnect(nowait=True)
            raise redis.TimeoutError(f"no answer within {seconds} seconds") from None
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)
        return replies

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        try:
            await self._pool.disconnect()
        finally:
            # Also when the loop comes to its end, and has cancelled whatever runs.
            for connection in self._made:
                await connection.disconnect(nowait=True)

    def drop(self) -> bool:
        for connection in self._made:
            # Outside of a task it only closes, and waits for nothing.
            with suppress(StopIteration, RuntimeError):
                connection.disconnect(nowait=True).send(None)
        return True

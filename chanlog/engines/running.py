"""Running the coroutines of an engine: for a thread, for a task of any event loop, and in a thread
of the log's own, where whatever waits for messages waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

from ..errors import ForkedProcess, LogClosed
from ..host.process import after_fork_in_child
from .engine import Engine, Session

__all__ = ["Result", "Runner", "Work", "heeding"]

Result = TypeVar("Result")
# What is run: an engine's method, given the session it runs on.
Work = Callable[[Any], Coroutine[Any, Any, Result]]

_forks = 0


def _forked() -> None:
    global _forks
    _forks += 1


after_fork_in_child(_forked)


async def heeding(work: Awaitable[Result]) -> Result:
    """What ``work`` gives, unless this task was cancelled meanwhile: clients lose that when it
    comes in the moment of an answer, or while they write."""
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        result = await work
    except Exception:
        if task.cancelling() > before:
            raise asyncio.CancelledError from None
        raise
    if task.cancelling() > before:
        raise asyncio.CancelledError
    return result


class Runner:
    """Runs coroutines of one engine, on sessions that it opens when they are needed.

    Threads share one blocking session, or ask the log's own loop if the engine has none. Each event
    loop has its session. ``begin`` runs in the log's own loop. From any thread.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Reentrant: the collector may find the log, and close it, under whoever holds it.
        self._lock = threading.RLock()
        self._closed = False
        self._forks = _forks
        self._blocking = engine.blocking()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # Sessions that are being given back, for a loop keeps no task by itself.
        self._ending: set[asyncio.Task[None]] = set()
        # Each forgotten when its loop ends: a session keeps its loop, so it cannot be held weakly.
        self._sessions: dict[asyncio.AbstractEventLoop, _Living] = {}

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def forked(self) -> bool:
        """Whether this is a child of the process that made it."""
        return self._forks != _forks

    def check(self) -> None:
        """Raise ``LogClosed`` or ``ForkedProcess``."""
        if self.forked:
            raise ForkedProcess(
                "this log was connected before os.fork() and is used in the child; "
                "connect after the fork"
            )
        if self._closed:
            raise LogClosed("this log is closed; connect again")

    def run(self, work: Work[Result]) -> Result:
        """Run ``work``, blocking this thread."""
        self.check()
        if self._blocking is None:
            try:
                return self.begin(work).result()
            except CancelledError:
                self.check()
                raise
        coroutine = work(self._blocking)
        try:
            coroutine.send(None)
        except StopIteration as done:
            result: Result = done.value
            return result
        except Exception:
            # Somebody may have closed the log, and its connections with it.
            self.check()
            raise
        raise AssertionError("a blocking session has suspended")

    async def arun(self, work: Work[Result]) -> Result:
        """Run ``work`` in the running loop."""
        self.check()
        try:
            return await heeding(work(await self._session()))
        except Exception:
            self.check()
            raise

    def begin(self, work: Work[Result]) -> Future[Result]:
        """Run ``work`` in the log's own loop; cancelling the future ends it."""

        async def body() -> Result:
            return await heeding(work(await self._session()))

        # In a child of a fork the lock may be held by a thread that is not there.
        self.check()
        # What is begun before a close is there when that ends everything.
        with self._lock:
            self.check()
            return asyncio.run_coroutine_threadsafe(body(), self._own_loop())

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=loop.run_forever, name="chanlog engine", daemon=True
            )
            self._thread.start()
            self._loop = loop
        return self._loop

    async def _session(self) -> Session:
        loop = asyncio.get_running_loop()
        living = self._sessions.get(loop)
        if living is None or living.failed:
            for other in list(self._sessions):
                # It was closed without being brought to its end.
                if other.is_closed():
                    self._sessions.pop(other, None)
            living = self._sessions[loop] = _Living(self._engine, self._sessions)
        return await asyncio.shield(living.session)

    def close(self) -> None:
        """End everything that waits, and give the sessions back. From any thread."""
        if self.forked:
            self._closed = True
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            own, thread = self._loop, self._thread
        for loop in list(self._sessions):
            if loop is not own and not loop.is_closed():
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._close_session, loop)
        if own is not None and thread is not None:
            ending = asyncio.run_coroutine_threadsafe(self._end(), own)
            if threading.current_thread() is thread:
                # The collector has found the log in that very thread, which cannot wait for itself.
                ending.add_done_callback(lambda _: own.stop())
            else:
                ending.result()
                own.call_soon_threadsafe(own.stop)
                thread.join()
                own.close()
        if self._blocking is not None:
            with suppress(StopIteration):
                self._blocking.close().send(None)

    async def aclose(self) -> None:
        """The same, and wait for the session of the running loop."""
        living = self._sessions.pop(asyncio.get_running_loop(), None)
        await asyncio.to_thread(self.close)
        if living is not None:
            await living.close()

    def _close_session(self, loop: asyncio.AbstractEventLoop) -> None:
        living = self._sessions.pop(loop, None)
        if living is not None and not living.dropped():
            task = loop.create_task(living.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _end(self) -> None:
        """In the log's own loop: end all that waits there."""
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        living = self._sessions.pop(asyncio.get_running_loop(), None)
        if living is not None:
            await living.close()


class _Living:
    """The session of one loop, which two tasks that begin at once share.

    It hangs on an asynchronous generator, because a loop that comes to its end ends those: so a
    session is given back with its loop, though its log goes on in others.
    """

    def __init__(self, engine: Engine, sessions: dict[asyncio.AbstractEventLoop, _Living]) -> None:
        self._generator = self._live(engine, sessions)
        self.session: asyncio.Future[Session] = asyncio.ensure_future(anext(self._generator))

    @staticmethod
    async def _live(
        engine: Engine, sessions: dict[asyncio.AbstractEventLoop, _Living]
    ) -> AsyncGenerator[Session, None]:
        session = await engine.session()
        try:
            yield session
        finally:
            sessions.pop(asyncio.get_running_loop(), None)
            await session.close()

    @property
    def failed(self) -> bool:
        """Whether there will be no session."""
        session = self.session
        return session.done() and (session.cancelled() or session.exception() is not None)

    def dropped(self) -> bool:
        """Give the session back at once, if that can be."""
        session = self.session
        if not session.done() or self.failed:
            return False
        return session.result().drop()

    async def close(self) -> None:
        """Give the session back."""
        with suppress(Exception, asyncio.CancelledError):
            await self.session
        with suppress(Exception):
            await self._generator.aclose()

"""What every client of a server is: the same few verbs, for a thread or for the tasks of a loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, ClassVar

__all__ = ["Client", "TaskClient", "ThreadClient"]


class Client(ABC):
    """One client of a server at ``url``, used as its own documentation advises for speed.

    Methods that return a callable may prepare all they like; only the calls are timed. Payloads
    are packed and unpacked by whoever carries bytes alone, and that is timed.
    """

    name: ClassVar[str]

    def __init__(self, url: str) -> None:
        self.url = url


class ThreadClient(Client):
    """For one thread. Opened and closed as a context."""

    @abstractmethod
    def __enter__(self) -> ThreadClient: ...

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...

    @abstractmethod
    def writer(self, channel: str) -> Callable[[Any], object]:
        """A call that publishes one message and returns when the server has it."""

    @abstractmethod
    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], object]:
        """A call that publishes a list of messages."""

    @abstractmethod
    def reader(self, channel: str) -> Iterator[Any]:
        """All messages of a channel in order: objects or tuples whose third item is the payload."""

    @abstractmethod
    def waiter(self, channel: str) -> Callable[[], Any]:
        """A call that blocks its thread until there is a message, and returns its payload."""


class TaskClient(Client):
    """For the tasks of one loop. Opened and closed as an asynchronous context."""

    @abstractmethod
    async def __aenter__(self) -> TaskClient: ...

    @abstractmethod
    async def __aexit__(self, *_: object) -> None: ...

    @abstractmethod
    def writer(self, channel: str) -> Callable[[Any], Awaitable[object]]:
        """A call that publishes one message and returns when the server has it."""

    @abstractmethod
    def many_writer(self, channel: str) -> Callable[[Sequence[Any]], Awaitable[object]]:
        """A call that publishes a list of messages."""

    @abstractmethod
    def reader(self, channel: str) -> AsyncIterator[Any]:
        """All messages of a channel in order: objects or tuples whose third item is the payload."""

    @abstractmethod
    async def waiter(self, channel: str) -> Callable[[], Awaitable[Any]]:
        """A call that parks its task until there is a message, and returns its payload."""

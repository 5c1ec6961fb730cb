"""Connecting to an engine across a network, by the scheme of its address."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from .errors import InvalidOption
from .interface import Log

__all__ = ["aconnect", "connect"]

# By name, because an engine stands above all this, and brings a library that not everybody has.
_ENGINES = {
    "redis": ("chanlog.engines.redis", "redis"),
    "rediss": ("chanlog.engines.redis", "redis"),
    "unix": ("chanlog.engines.redis", "redis"),
    "nats": ("chanlog.engines.nats", "nats"),
    "tls": ("chanlog.engines.nats", "nats"),
}


def connect(url: str, **options: Any) -> Log:
    """A log on the engine at ``url``, with the interface of the embedded one: ``redis://`` (also
    ``rediss://``, ``unix://``) for Redis Streams, ``nats://`` (also ``tls://``) for JetStream.

    ``log.capabilities`` says what the engine can do. The options that all engines take:
    ``prefix`` begins every name on the server, so that several logs can share it; ``timeout`` is
    how many seconds a call looks for a server that is away before it raises ``Disconnected``;
    ``message_bytes_max`` limits a message. Others go to the engine's own client library.

    Raises ``InvalidOption`` for another address, ``Disconnected``, and ``ImportError`` if the
    engine's extra is not installed (``pip install 'chanlog[redis]'``, ``'chanlog[nats]'``). Blocks
    until the server has answered.
    """
    scheme = url.partition("://")[0] if isinstance(url, str) else ""
    if scheme not in _ENGINES:
        raise InvalidOption(
            f"url begins with redis://, rediss://, unix://, nats:// or tls://, not {url!r}; "
            "chanlog.open() is for a log on this machine",
            option="url",
        )
    module, extra = _ENGINES[scheme]
    try:
        engine = import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{scheme}:// needs {error.name!r}; install it with: pip install 'chanlog[{extra}]'"
        ) from error
    log: Log = engine.connect(url, **options)
    return log


async def aconnect(url: str, **options: Any) -> Log:
    """``connect`` without blocking the event loop. Takes the same arguments."""
    return await asyncio.to_thread(connect, url, **options)

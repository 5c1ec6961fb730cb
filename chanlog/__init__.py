"""Durable, named, two-way channels for long-running processes: an embedded log, no server."""

from .capabilities import Capabilities
from .connecting import aconnect, connect
from .errors import *  # noqa: F403
from .errors import __all__ as _errors
from .group import Delivery, Group, GroupInfo
from .interface import (
    Channel,
    ChannelInfo,
    Cursor,
    Frame,
    Log,
    Producer,
    Replay,
    Statistics,
    Subscription,
)
from .log import aopen, averify, open, verify
from .message import Gap, Message
from .options import Retention

__version__ = "0.1.0"

__all__ = [
    "Capabilities",
    "Channel",
    "ChannelInfo",
    "Cursor",
    "Delivery",
    "Frame",
    "Gap",
    "Group",
    "GroupInfo",
    "Log",
    "Message",
    "Producer",
    "Replay",
    "Retention",
    "Statistics",
    "Subscription",
    "aconnect",
    "aopen",
    "averify",
    "connect",
    "open",
    "verify",
    *_errors,
]

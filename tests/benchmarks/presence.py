"""Peers that need a package or a server: a visible skip where one is missing, and a failure where
all were asked for, as CI does."""

from __future__ import annotations

import os

import pytest

from benchmarks.peers import Peer

__all__ = ["want"]


def want(kind: type[Peer]) -> None:
    """Go on only if the peer can take part."""
    if missing := kind.missing():
        refuse = pytest.fail if os.environ.get("CHANLOG_ALL_PEERS") else pytest.skip
        refuse(f"{kind.name}: {missing}")

"""A server that is away: how long it is looked for, and what is said of it then."""

from __future__ import annotations

import socket
import time

import pytest

import chanlog

SCHEMES = ["redis", "nats"]
SECONDS = 0.4


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nobody_listens(scheme):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(chanlog.Disconnected, match=f"127.0.0.1:{port}") as raised:
        chanlog.connect(f"{scheme}://127.0.0.1:{port}", timeout=SECONDS)
    assert raised.value.engine == scheme
    assert raised.value.happened is False


@pytest.mark.parametrize("scheme", SCHEMES)
def test_somebody_listens_and_never_answers(scheme):
    """Time went by in each attempt and only the pauses in between were counted: instead of ten
    seconds it took minutes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(chanlog.Disconnected):
            chanlog.connect(f"{scheme}://127.0.0.1:{port}", timeout=SECONDS)
        assert time.monotonic() - began < 10 * SECONDS


def test_what_was_never_sent_has_not_happened(harness):
    """Whether a retry may double is what a caller has to know."""
    with harness.connect(timeout=SECONDS) as log:
        channel = log.channel(harness.new_name())
        channel.publish("a")
        with harness.cut_network(), pytest.raises(chanlog.Disconnected) as raised:
            channel.publish("b")
        expected = {"redis": (False, None), "nats": (None,)}
        assert raised.value.happened in expected[log.capabilities.engine]
        channel.publish("c")
        assert [data for data in channel.replay().data() if data != "b"] == ["a", "c"]


def test_a_password_is_not_told():
    with pytest.raises(chanlog.Disconnected) as raised:
        chanlog.connect("redis://user:secret@127.0.0.1:1/0", timeout=0.1)
    assert "secret" not in str(raised.value)


def test_another_address_is_refused():
    with pytest.raises(chanlog.InvalidOption, match="redis://"):
        chanlog.connect("http://127.0.0.1")

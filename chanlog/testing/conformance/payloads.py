"""Payloads: what a publisher puts in is what a reader gets."""

from __future__ import annotations

from typing import Any

import pytest

from ...errors import InvalidOption, PayloadError
from ...interface import Channel, Log
from ..harness import Harness
from .base import Face, Scenarios, datas, needs, take

__all__ = ["Payloads"]

VALUES: dict[str, Any] = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "minus one": -1,
    "largest int": 2**64 - 1,
    "smallest int": -(2**63),
    "float": 0.1,
    "infinity": float("inf"),
    "empty text": "",
    "empty bytes": b"",
    "empty list": [],
    "empty dict": {},
    "text that looks like a number": "17",
    "bytes that look like text": b"text",
    "every byte": bytes(range(256)),
    "line ends": b"\r\n\r\n\0$-1\r\n",
    "unicode": "Привет, 世界 \U0001f680 e\u0301 \0 \u2028",
    "nested": {"steps": [{"n": 1, "of": [None, True, [b"x"]]}], "text": {"de": "ü"}},
    "int keys": {1: "one", -2: "minus two"},
}


class Payloads(Scenarios):
    """Payloads and what is written beside them come back whole."""

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
    def test_a_value_comes_back_as_it_was(self, channel: Channel, value: Any) -> None:
        """Whatever msgpack carries comes back equal, and of the same type."""
        channel.publish(value)
        channel.publish_many([value, [value]])
        found = datas(channel.replay())
        assert found == [value, value, [value]]
        assert type(found[0]) is type(value)

    def test_a_message_comes_back_whole(self, log: Log, harness: Harness, face: Face) -> None:
        """Payload, type, key, headers and sender of a message are what was given."""
        channel = log.channel(harness.new_name(), sender="agent")
        headers = {"trace": "4bf9", "attempt": 2, "raw": b"\0\xff", "list": [1, None]}
        offset = face(channel).publish({"n": 1}, type="token", key="k-1", headers=headers)
        (message,) = take(channel.subscribe(), 1)
        assert message.offset == offset
        assert message.data == {"n": 1}
        assert (message.type, message.key, message.sender) == ("token", "k-1", "agent")
        assert dict(message.headers or {}) == headers

    def test_what_was_not_given_is_none(self, channel: Channel) -> None:
        """A message without type, key, headers and sender says so, and not with empty text."""
        channel.publish("bare")
        (message,) = channel.replay()
        assert (message.type, message.key, message.sender) == (None, None, None)
        assert not message.headers

    def test_many_share_what_is_given(self, channel: Channel, face: Face) -> None:
        """Type, key and headers of ``publish_many`` hold for each of its messages."""
        face(channel).publish_many("abc", type="letter", key="k", headers={"h": 1})
        for message in channel.replay():
            assert (message.type, message.key, message.headers) == ("letter", "k", {"h": 1})

    def test_unicode_outside_of_the_payload(self, log: Log, harness: Harness) -> None:
        """Names of channels and senders, types, keys and headers are any printable text."""
        name = harness.new_name("Прогон 世界/ü:*?[x].>{y}")
        channel = log.channel(name, sender="агент \U0001f680")
        channel.publish("x", type="тип", key="ключ *", headers={"заголовок": "значение"})
        (message,) = log.channel(name).replay()
        assert (message.type, message.key, message.sender) == ("тип", "ключ *", "агент \U0001f680")
        assert message.headers == {"заголовок": "значение"}
        assert name in list(log.channels())

    def test_one_megabyte(self, channel: Channel, face: Face) -> None:
        """A message of one megabyte, bytes or text, comes back whole, among small ones."""
        large = bytes(range(256)) * 4096
        face(channel).publish(large)
        face(channel).publish("small")
        face(channel).publish_many([large, "small", "x" * len(large)])
        assert datas(channel.replay()) == [large, "small", large, "small", "x" * len(large)]

    def test_tuples_come_back_as_lists(self, channel: Channel) -> None:
        """A tuple is carried as a list, at any depth."""
        channel.publish((1, {"pair": (2, 3)}))
        assert datas(channel.replay()) == [[1, {"pair": [2, 3]}]]

    @pytest.mark.parametrize(
        "data",
        [object(), {"steps": [1, {2}]}, 2**64],
        ids=["object", "set inside", "too large an int"],
    )
    def test_what_cannot_be_carried_is_refused(self, channel: Channel, data: Any) -> None:
        """A payload that msgpack cannot carry raises ``PayloadError`` and writes nothing."""
        channel.publish("before")
        with pytest.raises(PayloadError):
            channel.publish(data)
        assert datas(channel.replay()) == ["before"]

    def test_wrong_arguments_are_refused(self, channel: Channel) -> None:
        """A type or key that is no text raises ``InvalidOption`` and writes nothing."""
        wrong: Any = 7
        with pytest.raises(InvalidOption):
            channel.publish("x", type=wrong)
        with pytest.raises(InvalidOption):
            channel.publish("x", key=wrong)
        assert list(channel.replay()) == []

    def test_a_reader_has_its_own_object(self, channel: Channel) -> None:
        """Neither the writer's object nor another reader's is what a reader gets."""
        data = {"list": [1]}
        channel.publish(data)
        data["list"].append(2)
        (one,), (other,) = channel.replay(), channel.replay()
        one.data["list"].append(3)
        assert other.data == {"list": [1]}

    @needs("durable")
    def test_durable_returns_what_a_publish_returns(self, channel: Channel, face: Face) -> None:
        """``durable=True`` waits for stable storage, and is a publish like any other."""
        offset = face(channel).publish("a", durable=True)
        offsets = face(channel).publish_many("bc", durable=True)
        assert [message.offset for message in channel.replay()] == [offset, *offsets]
        assert datas(channel.replay()) == ["a", "b", "c"]

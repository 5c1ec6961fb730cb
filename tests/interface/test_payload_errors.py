"""Messages that cannot be carried: the error names the place, and nothing is written."""

from __future__ import annotations

import datetime
import decimal

import pytest

import chanlog

from ..support import replayed

LOOP: list = []
LOOP.append(LOOP)
DEEP: list = []
for _ in range(5000):
    DEEP = [DEEP]

CASES = [
    (object(), "data", object),
    ({1, 2}, "data", set),
    (decimal.Decimal(1), "data", decimal.Decimal),
    (datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), "data", datetime.datetime),
    (1 + 2j, "data", complex),
    ([1, 2, object()], "data[2]", object),
    ((1, {1, 2}), "data[1]", set),
    ({"steps": [1, 2, {3}]}, 'data["steps"][2]', set),
    ({"a": {"b": {"c": object}}}, 'data["a"]["b"]["c"]', type),
    ({"n": [0, 2**64]}, 'data["n"][1]', int),
    ({"n": -(2**63) - 1}, 'data["n"]', int),
    ({"text": ["ok", "\ud800"]}, 'data["text"][1]', str),
    ({7: object()}, "data[7]", object),
]


@pytest.mark.parametrize(
    "data, where, kind", CASES, ids=[case[1] + case[2].__name__ for case in CASES]
)
def test_the_error_names_type_and_place(channel, face, data, where, kind):
    channel.publish("before")
    with pytest.raises(chanlog.PayloadError) as caught:
        face(channel).publish(data)
    assert caught.value.where == where
    assert caught.value.kind is kind
    assert where in str(caught.value)
    assert kind.__name__ in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert channel.publish("after") == 1
    assert replayed(channel) == ["before", "after"]


@pytest.mark.parametrize(
    "data, where, kind", CASES[:8], ids=[case[1] + case[2].__name__ for case in CASES[:8]]
)
def test_one_of_many(channel, face, data, where, kind):
    with pytest.raises(chanlog.PayloadError) as caught:
        face(channel).publish_many(["fine", "fine", data, "fine"])
    assert caught.value.kind is kind
    assert "2" in caught.value.where
    assert channel.info().end_offset == 0


@pytest.mark.parametrize("data", [LOOP, DEEP, {"a": LOOP}], ids=["loop", "deep", "loop inside"])
def test_nesting_without_end(channel, data):
    with pytest.raises(chanlog.PayloadError):
        channel.publish(data)
    with pytest.raises(chanlog.PayloadError):
        channel.publish_many([data])
    assert channel.info().end_offset == 0


@pytest.mark.parametrize("depth", [200, 400, 490, 500, 505, 510, 511, 512, 600, 1020, 1024, 1030])
def test_what_is_accepted_can_be_read(channel, depth):
    """At whichever depth the codec stops, it stops the writer and not the readers."""
    data: list = []
    for _ in range(depth):
        data = [data]
    accepted = 0
    for attempt in (
        lambda: channel.publish(data),
        lambda: channel.publish_many([data, data]),
        lambda: channel.publish(1, headers={"h": data}),
    ):
        before = channel.info().end_offset
        try:
            attempt()
        except chanlog.PayloadError:
            assert channel.info().end_offset == before
        accepted += channel.info().end_offset - before
    assert len(list(channel.replay())) == accepted
    assert len(list(channel.replay().data())) == accepted


@pytest.mark.parametrize("key", [(1, 2), frozenset({1}), object()], ids=["tuple", "set", "object"])
def test_a_key_that_cannot_come_back(channel, key):
    """msgpack would write a tuple as a key, and then nobody could read the message."""
    try:
        channel.publish({"a": {key: 1}})
    except chanlog.PayloadError as error:
        assert error.where.startswith("data")
    assert len(replayed(channel)) == channel.info().end_offset


@pytest.mark.parametrize(
    "headers, where", [({"h": object()}, 'headers["h"]'), ({"h": [{1}]}, 'headers["h"][0]')]
)
def test_headers_are_named_too(channel, face, headers, where):
    with pytest.raises(chanlog.PayloadError) as caught:
        face(channel).publish(1, headers=headers)
    assert caught.value.where == where
    with pytest.raises(chanlog.PayloadError):
        face(channel).publish_many([1, 2], headers=headers)
    assert channel.info().end_offset == 0


@pytest.mark.parametrize(
    "field, wrong",
    [("type", 5), ("type", b"x"), ("key", 5), ("key", ["k"]), ("headers", 5), ("headers", [1])],
)
def test_fields_of_another_type(channel, face, field, wrong):
    for attempt in (
        lambda: face(channel).publish(1, **{field: wrong}),
        lambda: face(channel).publish_many([1], **{field: wrong}),
    ):
        with pytest.raises(chanlog.ChanlogError) as caught:
            attempt()
        assert isinstance(caught.value, TypeError | ValueError)
        assert field in str(caught.value)
    assert channel.info().end_offset == 0


@pytest.mark.parametrize("sender", [5, b"x", ["a"]], ids=repr)
def test_a_sender_of_another_type(log, sender):
    with pytest.raises((chanlog.InvalidOption, chanlog.InvalidName)):
        log.channel("w", sender=sender)


def test_a_message_over_the_limit(store, face):
    log = store.open(message_bytes_max=10_000)
    channel = log.channel("w")
    channel.publish(b"x" * 9_000)
    for attempt in (
        lambda: face(channel).publish(b"x" * 10_001),
        lambda: face(channel).publish_many([b"small", b"x" * 10_001]),
        lambda: face(channel).publish("x", headers={"h": "y" * 10_001}),
        lambda: face(channel.producer("p")).publish(b"x" * 10_001),
    ):
        with pytest.raises(chanlog.MessageTooLarge) as caught:
            attempt()
        assert caught.value.bytes_max == 10_000
        assert caught.value.size_bytes > 10_000
        assert "10" in str(caught.value)
        assert isinstance(caught.value, ValueError)
    assert channel.info().end_offset == 1
    assert channel.producer("p").sequence() == 0
    face(channel).publish_many([b"x" * 9_000] * 5)
    assert channel.info().end_offset == 6


def test_a_message_over_the_limit_spoils_its_frame(store):
    log = store.open(message_bytes_max=10_000)
    with pytest.raises(chanlog.MessageTooLarge), log.atomic() as frame:
        frame.publish("a", "small")
        frame.publish("b", b"x" * 10_001)
    assert list(log.channels()) == []


def test_the_default_limit(channel):
    channel.publish(b"x" * (15 * 1024 * 1024))
    with pytest.raises(chanlog.MessageTooLarge) as caught:
        channel.publish(b"x" * (17 * 1024 * 1024))
    assert caught.value.bytes_max == 16 * 1024 * 1024
    assert len(replayed(channel)[0]) == 15 * 1024 * 1024

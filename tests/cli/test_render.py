"""Messages and facts as text and JSON, as pure functions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanlog import Gap, Message
from chanlog.cli import render

PAYLOADS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text().filter(lambda k: k[:1] != "$"), inner)
    ),
)


@given(PAYLOADS)
def test_json_goes_there_and_back(data):
    shown = render.to_json(data)
    assert shown.isprintable()
    assert render.from_json(shown) == data
    assert render.from_json(render.to_json(data, ascii_only=True)) == data


@given(PAYLOADS)
def test_text_for_people_is_one_printable_line(data):
    assert render.data_text(data).isprintable()


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("plain text", "plain text"),
        ("", ""),
        ("two\nlines", '"two\\nlines"'),
        ("\x1b[2J", '"\\u001b[2J"'),
        ("\x7f", '"\\u007f"'),
        ("\x9b2J", '"\\u009b2J"'),
        (b"utf-8 \xc3\xbc", "utf-8 ü"),
        (b"\xff\x00", "base64:/wA="),
        ({"a": [1, b"x"]}, '{"a": [1, {"$bytes": "eA=="}]}'),
        (float("inf"), '{"$float": "inf"}'),
        ({1: 2}, '{"1": 2}'),
        (msgpack.ExtType(5, b"x"), '{"$ext": 5, "data": "eA=="}'),
        (datetime(2026, 1, 2, tzinfo=UTC), '{"$time": "2026-01-02T00:00:00+00:00"}'),
        (None, "null"),
    ],
)
def test_text_for_people(data, shown):
    assert render.data_text(data) == shown


@pytest.mark.parametrize("text", ["", "{", "NaN", "[1,]", '{"$bytes": "%"}', "[" * 100_000])
def test_what_is_not_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        render.from_json(text)


def test_a_deeply_nested_payload_can_be_shown():
    deep: list = []
    for _ in range(1022):
        deep = [deep]
    assert render.data_text(deep) == "[" * 1023 + "]" * 1023


def test_a_message_as_json_leaves_out_what_was_not_given():
    bare = render.message_json(Message(3, 5, None))
    assert bare == {"offset": 3, "time_ns": 5, "data": None}
    full = render.message_json(Message(3, 5, 1, "t", "k", {"h": 2}, "s"))
    assert list(full) == ["offset", "time_ns", "type", "key", "headers", "sender", "data"]


def test_a_gap_is_not_taken_for_a_message():
    gap = Gap(7, 0, 3)
    assert render.message_json(gap) == {"offset": 7, "time_ns": 0, "gap": 3}
    assert "3 messages lost to damage, next is 10" in render.line(gap)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.000 ms"),
        (0.000_087, "0.087 ms"),
        (0.004_21, "4.21 ms"),
        (0.0421, "42.1 ms"),
        (0.138, "138 ms"),
        (1.34, "1.3 s"),
        (140, "140 s"),
    ],
)
def test_durations(seconds, text):
    assert render.duration_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1 << 30, "1.0 GiB"),
        (1 << 50, "1024.0 TiB"),
    ],
)
def test_sizes(count, text):
    assert render.bytes_text(count) == text


def test_times_are_utc_with_milliseconds():
    time = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    assert render.time_text(time) == "2026-01-02T03:04:05.678Z"
    assert json.loads(render.to_json({"t": render.time_text(None)})) == {"t": "-"}
    assert time - timedelta(0) == time

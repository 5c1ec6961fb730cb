"""The transcript on the screen: wrapped at words, whatever pieces they come in."""

from __future__ import annotations

import textwrap
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanlog.cli.demo.screen import LiveStage, Transcript, cut, width
from chanlog.cli.demo.stage import PlainStage


def shown(transcript: Transcript) -> list[str]:
    return ["".join(text for _, text in line).rstrip() for line in transcript.tail(10_000)]


@given(
    text=st.text(alphabet="ab \n", max_size=200),
    cuts=st.lists(st.integers(0, 200)),
    columns=st.integers(8, 40),
)
def test_the_pieces_make_no_difference(text, cuts, columns):
    # A paragraph break is a token's beginning, as the source makes it; elsewhere it is a space.
    text = text.replace("\n", " ")
    whole, pieces = Transcript(columns), Transcript(columns)
    whole.add("plain", text)
    places = sorted({0, *[cut for cut in cuts if cut <= len(text)], len(text)})
    for start, stop in pairwise(places):
        pieces.add("plain", text[start:stop])
    assert shown(pieces) == shown(whole)


@given(
    words=st.lists(st.text("abc", min_size=1, max_size=8), max_size=60), columns=st.integers(8, 50)
)
def test_it_wraps_like_textwrap(words, columns):
    transcript = Transcript(columns)
    transcript.add("plain", " ".join(words))
    assert shown(transcript) == textwrap.wrap(" ".join(words), columns)


@given(text=st.text(max_size=200), columns=st.integers(8, 30), narrower=st.integers(8, 30))
def test_no_line_is_too_wide_and_all_is_printable(text, columns, narrower):
    transcript = Transcript(columns)
    for start in range(0, len(text), 3):
        transcript.add("plain", text[start : start + 3])
    transcript.resize(narrower)
    for line in shown(transcript):
        assert width(line) <= narrower
        assert line.isprintable()


@given(text=st.text(max_size=40).filter(str.isprintable), columns=st.integers(1, 30))
def test_cut_fills_exactly_so_many_columns(text, columns):
    assert width(cut(text, columns)) == columns


@pytest.mark.parametrize("columns", [20, 40, 72, 80, 120, 200])
@pytest.mark.parametrize("color", [True, False])
def test_the_head_fits(columns, color):
    import re

    stage = LiveStage("workflow-" + "x" * 40, color=color)
    stage.life, stage.process, stage.agent_there = 12, "pid 4194304", True
    for stage.step in range(5):
        for line in stage._head(columns):
            plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
            assert width(plain) <= columns, plain
            assert color or not re.search(r"\x1b\[[0-9;]*3\d", line)


@given(tokens=st.lists(st.text(max_size=12), max_size=80))
def test_plain_lines_are_printable_and_short(tokens):
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        stage = PlainStage("w")
        for token in tokens:
            stage.token(token, live=True)
        stage.close()
    for line in out.getvalue().split("\n"):
        assert line.isprintable()
        assert len(line) <= 80

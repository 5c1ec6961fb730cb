"""The text as tokens: the same in every process, from any place, whatever the file holds."""

from __future__ import annotations

from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanlog.cli.demo.agent import State
from chanlog.cli.demo.source import START, Passage, Place, passages, plan, read, survey


def texts_of(path) -> str:
    return "".join(token for _, token in read(path, START))


@given(text=st.text())
def test_tokens_joined_are_the_text(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("t") / "text"
    path.write_text(text, encoding="utf-8", errors="replace", newline="")
    assert texts_of(path) == "\n\n".join(passages(path))


@given(content=st.binary(max_size=300))
def test_reading_goes_on_from_any_place(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("t") / "text"
    path.write_bytes(content)
    everything = list(read(path, START))
    for number, (place, _) in enumerate(everything):
        assert list(read(path, place)) == everything[number:]
        behind = Place(place.passage, place.token + 1)
        assert list(read(path, behind)) == everything[number + 1 :]


def test_a_file_without_any_line_end_is_read_in_pieces(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"x" * 100_000)
    assert all(len(passage) <= 8192 for passage in passages(path))
    assert texts_of(path).replace("\n", "") == "x" * 100_000


@pytest.mark.parametrize("content", [b"", b"\n\n \n", b"\xef\xbb\xbf"])
def test_a_file_without_words_has_no_passages(content, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(content)
    assert survey(path, 100) == []


def test_the_text_that_ships_has_a_last_heading_to_skip_to():
    with resources.as_file(resources.files("chanlog.cli") / "texts/origin.txt") as path:
        found = survey(path, 2400)
    made = plan(found, 600)
    assert found[made.passage].heading and made.passage == len(found) - 2
    assert "THE LAST PARAGRAPH" in made.wish
    assert 500 <= sum(len(p.split()) for p in passages(path)) <= 1500


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=20),
    headings=st.sets(st.integers(0, 19)),
    limit=st.integers(1, 600),
)
def test_the_turns_come_in_order_for_any_text(sizes, headings, limit):
    found = [Passage("words", number in headings, size) for number, size in enumerate(sizes)]
    made = plan(found, limit)
    assert 0 < made.tunnel_at < made.interrupt_at < made.kill_at
    assert 0 <= made.passage < len(found)


def test_the_state_is_rebuilt_from_the_channel():
    import chanlog

    with chanlog.open() as log:
        agent = log.channel("w", sender="agent")
        assert State.rebuilt(agent.replay()) == State()
        agent.publish({"n": 0, "text": "a", "at": [0, 0]}, type="token")
        agent.publish({"n": 1, "text": "b", "at": [0, 1]}, type="token")
        heard = log.channel("w", sender="person").publish({}, type="interrupt")
        assert State.rebuilt(agent.replay()) == State(tokens=2, place=Place(0, 2))
        status = {"mood": "interrupted", "style": "plain", "place": [0, 2], "heard": heard}
        agent.publish(status, type="status")
        assert State.rebuilt(agent.replay()) == State(2, Place(0, 2), "plain", "interrupted", heard)
        status = {"mood": "streaming", "style": "capitals", "place": [5, 0], "heard": heard + 2}
        agent.publish(status, type="status")
        agent.publish({"n": 2, "text": "C", "at": [5, 0]}, type="token")
        assert State.rebuilt(agent.replay()) == State(
            3, Place(5, 1), "capitals", "streaming", heard + 2
        )

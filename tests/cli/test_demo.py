"""`chanlog demo`: the whole story with real processes, on texts of every kind, and with faults."""

from __future__ import annotations

import os
import re
import select
import signal

import pytest

import chanlog
from chanlog.cli import demo, main
from chanlog.cli.demo import account

from .processes import SECONDS_MAX, environment

FAST = ("demo", "--speed", "20")
CLEAN = "Clean: nothing lost, nothing doubled, nothing paid for twice."


def row(shown: str, title: str) -> list[str]:
    (line,) = [line for line in shown.splitlines() if line.startswith(f"  {title}  ")]
    return line.removeprefix(f"  {title}").split()


@pytest.fixture
def home(tmp_path):
    """An environment whose temporary directory can be seen to be empty afterwards."""
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp", environment(TMPDIR=str(tmp_path / "tmp"))


def test_the_default_text(run, home):
    temporary, env = home
    done = run(*FAST, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 100
    turns = ["drops in a tunnel", "is back", "Stop!", "kill -9", "starts again", "ends the channel"]
    places = [shown.index(turn) for turn in turns]
    assert places == sorted(places)
    assert "IT IS INTERESTING TO CONTEMPLATE AN ENTANGLED BANK" in shown
    published, _ = row(shown, "tokens published")
    assert int(published) > 400
    assert row(shown, "tokens delivered") == [published, published]
    for title in ("lost", "doubled", "out of order"):
        assert row(shown, title) == ["0", "0"]
    assert row(shown, "generated twice")[0] == "0"
    in_flight = int(row(shown, "in flight at the kill")[0])
    assert in_flight in (0, 1)
    assert int(row(shown, "generations paid for")[0]) == int(published) + in_flight
    assert CLEAN in shown
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        b"word",
        b"one two three",
        b"a paragraph\n\nand another\n",
        b"no newline at all, " * 200,
        b"\xff\xfe\x00\x1b[2J binary \x9b" * 50,
        "Ein Wört, 日本語のテキスト。\n\n".encode() * 40,
        b"A\n\n" * 300,
    ],
    ids=["word", "line", "paragraphs", "no newline", "binary", "wide", "headings"],
)
def test_any_text_from_stdin(text, run, home):
    temporary, env = home
    done = run(*FAST, "--file", "-", stdin=text, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert CLEAN in done.stdout
    assert "\x1b" not in done.stdout and "\x9b" not in done.stdout
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("text", [b"", b" \n\n\t\n"])
def test_a_text_without_words_is_an_error(text, run, tmp_path):
    (tmp_path / "text").write_bytes(text)
    for done in (
        run(*FAST, "--file", tmp_path / "text"),
        run(*FAST, "--file", "-", stdin=text),
    ):
        assert done.returncode == 1 and done.stdout == ""
        assert "there is nothing to stream" in done.stderr and done.stderr.count("\n") == 1


def test_a_file_that_cannot_be_read_is_an_error(run, tmp_path):
    for path, text in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file")):
        done = run(*FAST, "--file", path)
        assert done.returncode == 1 and text in done.stderr and done.stderr.count("\n") == 1


def test_a_long_text_is_cut_and_says_so_or_streamed_whole(run, tmp_path):
    path = tmp_path / "text"
    path.write_text("\n\n".join(f"Paragraph {n} has some words in it." for n in range(120)))
    cut = run("demo", "--speed", "50", "--file", path)
    assert row(cut.stdout, "tokens published") == ["600", "600"]
    assert "Stopped after 600 tokens, as the demo does; --all" in cut.stdout
    whole = run("demo", "--speed", "50", "--file", path, "--all")
    assert int(row(whole.stdout, "tokens published")[0]) > 600
    assert "Stopped" not in whole.stdout
    assert "PARAGRAPH 119 HAS SOME WORDS IN IT." in whole.stdout


def test_the_log_can_be_kept_and_looked_at(run, tmp_path):
    """The commands that the demo proposes are run as they stand, after a second demo there."""
    kept = tmp_path / "kept"
    for _ in range(2):
        done = run(*FAST, "--dir", kept)
        assert done.returncode == 0
    proposed = re.findall(r"^  chanlog (.*)$", done.stdout, re.MULTILINE)
    assert len(proposed) >= 4
    for command in proposed:
        shown = run(*command.split())
        assert shown.returncode == 0 and shown.stdout, command
    assert len(run("ls", kept).stdout.splitlines()) == 2
    with chanlog.open(kept, read_only=True) as log:
        (name,) = [name for name in log.channels() if name in done.stdout]
        info = log.channel(name).info()
    assert info.ended
    assert info.producers["agent"] == (2, int(row(done.stdout, "tokens published")[0]))
    assert info.cursors == {"dashboard": info.end_offset}


def test_a_directory_in_use_is_an_error(run, writer, tmp_path):
    writer(tmp_path / "log")
    done = run(*FAST, "--dir", tmp_path / "log")
    assert done.returncode == 1
    assert done.stderr.startswith("chanlog: ") and done.stderr.count("\n") == 1
    assert "process died" not in done.stderr  # the reason is said, not its consequence


class TestFaults:
    """Faults planted in what the ledger gets, in whole runs: each must end with status 1."""

    def play(self, monkeypatch, capsys, plant) -> str:
        balance = account.balance

        def planted(*arguments, **facts):
            plant(facts)
            return balance(*arguments, **facts)

        monkeypatch.setattr(demo.account, "balance", planted)
        assert main(["demo", "--speed", "50"]) == 1
        shown = capsys.readouterr().out
        assert CLEAN not in shown
        return shown

    def test_a_dropped_token(self, monkeypatch, capsys):
        shown = self.play(monkeypatch, capsys, lambda facts: facts["client"].pop(100))
        assert "NOT CLEAN: client: 1 message lost" in shown
        assert row(shown, "lost") == ["1", "0"]

    def test_a_doubled_token(self, monkeypatch, capsys):
        def plant(facts):
            facts["client"].insert(100, facts["client"][99])

        shown = self.play(monkeypatch, capsys, plant)
        assert "NOT CLEAN: client: 1 message doubled" in shown

    def test_a_token_paid_for_twice(self, monkeypatch, capsys):
        def plant(facts):
            with facts["paid"].open("a") as file:
                file.write("2 7\n")

        shown = self.play(monkeypatch, capsys, plant)
        assert "NOT CLEAN: 1 token generated twice" in shown

    def test_a_token_of_another_text(self, monkeypatch, capsys):
        def plant(facts):
            messages = facts["messages"]
            place = next(n for n, m in enumerate(messages) if m.type == "token")
            messages[place] = messages[place]._replace(data={**messages[place].data, "text": "x"})

        shown = self.play(monkeypatch, capsys, plant)
        assert "NOT CLEAN: 1 token not that of the text" in shown


class TestEndings:
    """However it ends, no process, no directory and no altered terminal are left behind."""

    @pytest.fixture
    def playing(self, spawn, home):
        temporary, env = home
        process = spawn("demo", "--speed", "4", env=env)
        line = process.line_with("and streams into")
        child = os.pidfd_open(int(re.search(r"pid (\d+)", line)[1]))
        yield process, child, temporary
        os.close(child)

    def gone(self, child: int) -> bool:
        poll = select.poll()
        poll.register(child, select.POLLIN)
        return bool(poll.poll(SECONDS_MAX * 1000))

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_interrupted(self, number, status, playing):
        process, child, temporary = playing
        process.line_with("drops in a tunnel")
        process.signal(number)
        ended, _, err = process.finish()
        assert (ended, err) == (status, "")
        assert self.gone(child)
        assert list(temporary.iterdir()) == []

    def test_killed(self, playing):
        """With the demo itself killed, nobody is left to end the agent: it ends by itself."""
        process, child, _ = playing
        process.signal(signal.SIGKILL)
        assert self.gone(child)

    def test_the_agent_dies_by_itself(self, playing):
        process, child, temporary = playing
        signal.pidfd_send_signal(child, signal.SIGKILL)
        status, _, err = process.finish()
        assert status == 1
        assert err.startswith("chanlog: the agent's process died") and err.count("\n") == 1
        assert list(temporary.iterdir()) == []

    def test_nobody_reads_it(self, playing):
        process, child, temporary = playing
        process.stdout.close()
        assert process.popen.wait(SECONDS_MAX) == 141
        assert process.stderr.read() == ""
        assert self.gone(child)
        assert list(temporary.iterdir()) == []


class TestTerminal:
    @pytest.mark.parametrize("size", [(24, 80), (40, 120), (10, 30), (3, 10)])
    def test_takes_the_screen_and_gives_it_back(self, size, terminal):
        env = environment(TERM="xterm-256color")
        shown = terminal("demo", "--speed", "50", env=env, size=size)
        assert shown.count("\x1b[?1049h") == shown.count("\x1b[?1049l") == 1
        assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1
        screen, after = shown.split("\x1b[?1049l")
        assert CLEAN in after and "\x1b" not in after
        for frame in re.findall(r"\x1b\[\?2026h\x1b\[H(.*?)\x1b\[\?2026l", screen, re.DOTALL):
            assert frame.count("\r\n") == size[0] - 1

    def test_without_color(self, terminal):
        env = environment(TERM="xterm-256color", NO_COLOR="1")
        shown = terminal("demo", "--speed", "50", env=env)
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", shown)
        assert "\x1b[?1049h" in shown

    def test_a_dumb_terminal_gets_lines(self, terminal):
        shown = terminal("demo", "--speed", "50", env=environment(TERM="dumb"))
        assert "\x1b" not in shown and CLEAN in shown

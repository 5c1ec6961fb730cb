"""pub, trim, rm, compact."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

import chanlog

from .processes import SECONDS_MAX, environment


def stored(path, channel: str = "c") -> list:
    with chanlog.open(path, read_only=True) as log:
        return list(log.channel(channel).replay().data())


class TestPub:
    def test_arguments(self, run, tmp_path):
        done = run("pub", tmp_path / "log", "c", "one", "zwei ü", "--", "-3")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "published 3 messages to c, offsets 0 to 2\n"
        assert stored(tmp_path / "log") == ["one", "zwei ü", "-3"]

    def test_everything_a_message_can_have(self, run, tmp_path):
        options = ["--type", "t", "--key", "k", "--sender", "s", "--header", "a=b=c"]
        done = run("pub", tmp_path / "log", "c", "x", *options, "--header", "d=", "--durable")
        assert done.stdout == "published 1 message to c, offset 0\n"
        with chanlog.open(tmp_path / "log", read_only=True) as log:
            (message,) = log.channel("c").replay()
        assert (message.type, message.key, message.sender) == ("t", "k", "s")
        assert message.headers == {"a": "b=c", "d": ""}

    @pytest.mark.parametrize(
        ("stdin", "messages"),
        [
            ("a\nb\n", ["a", "b"]),
            ("a\nb", ["a", "b"]),
            ("a\r\n\r\nb\r\n", ["a", "", "b"]),
            ("\n", [""]),
            ("", []),
            ("x" * 200_000 + "\ny\n", ["x" * 200_000, "y"]),
        ],
    )
    def test_lines_of_stdin(self, stdin, messages, run, tmp_path):
        done = run("pub", tmp_path / "log", "c", stdin=stdin)
        assert (done.returncode, done.stderr) == (0, "")
        assert stored(tmp_path / "log") == messages

    def test_many_lines(self, run, tmp_path):
        run("pub", tmp_path / "log", "c", stdin="".join(f"{n}\n" for n in range(50_000)))
        assert stored(tmp_path / "log") == [str(n) for n in range(50_000)]

    def test_a_line_is_published_as_it_comes(self, spawn, tmp_path):
        process = spawn("pub", tmp_path / "log", "c", "--json")
        assert json.loads(process.tell("1")) == {"channel": "c", "offset": 0}
        assert json.loads(process.tell("2")) == {"channel": "c", "offset": 1}
        process.signal(signal.SIGINT)
        assert process.finish()[0] == 130
        assert stored(tmp_path / "log") == [1, 2]

    def test_ctrl_c_tells_what_was_published(self, spawn, tmp_path):
        chanlog.open(tmp_path / "log").close()
        follower = spawn("tail", tmp_path / "log", "c", "-f", "--json")
        assert "waiting" in follower.stderr.readline()
        process = spawn("pub", tmp_path / "log", "c")
        process.stdin.write("x\n")
        process.stdin.flush()
        assert json.loads(follower.stdout.readline())["data"] == "x"
        process.signal(signal.SIGINT)
        assert process.finish() == (130, "published 1 message to c, offset 0\n", "")

    def test_json(self, run, tmp_path):
        lines = '{"a": [1, 2.5, null, true]}\n"text"\n{"$bytes": "/wA="}\n'
        done = run("pub", tmp_path / "log", "c", "--json", stdin=lines)
        assert [json.loads(line)["offset"] for line in done.stdout.splitlines()] == [0, 1, 2]
        assert stored(tmp_path / "log") == [{"a": [1, 2.5, None, True]}, "text", b"\xff\x00"]

    def test_what_tail_prints_can_be_published_again(self, run, directory, tmp_path):
        shown = run("tail", directory, "talk/1", "--json").stdout
        data = [json.dumps(json.loads(line)["data"]) for line in shown.splitlines()]
        run("pub", tmp_path / "copy", "c", "--json", stdin="\n".join(data))
        assert stored(tmp_path / "copy") == stored(directory, "talk/1")

    def test_bytes(self, run, tmp_path):
        run("pub", tmp_path / "log", "c", "--bytes", stdin=b"\xff\r\nok\n")
        assert stored(tmp_path / "log") == [b"\xff\r", b"ok"]

    @pytest.mark.parametrize(
        ("options", "stdin", "text"),
        [
            (["--json"], b"1\n2\n{bad\n4\n", "line 3: it is not JSON"),
            (["--json"], b"1\n2\nNaN\n", "line 3: it is not JSON"),
            (["--json"], b"1\n2\n\n", "line 3: it is not JSON"),
            (["--json"], b'1\n2\n{"$bytes": "?"}\n', "line 3: it is not JSON"),
            (["--json"], b"1\n2\n" + b"[" * 100_000 + b"\n", "line 3: "),
            (["--json"], b"1\n2\n" + b"[" * 5000 + b"]" * 5000 + b"\n4", "line 3: "),
            (["--json"], b"1\n2\n123456789012345678901234567890\n4\n", "line 3: "),
            (["--json"], b'1\n2\n"\\ud800"\n4\n', "line 3: "),
            ([], b"1\n2\n\xff\n4\n", "line 3: it is not UTF-8 at byte 0; use --bytes"),
        ],
    )
    def test_a_bad_line_is_named_and_what_came_before_is_told(
        self, options, stdin, text, run, tmp_path
    ):
        done = run("pub", tmp_path / "log", "c", *options, stdin=stdin)
        assert done.returncode == 1
        assert done.stderr.startswith(f"chanlog: {text}")
        assert done.stderr.count("\n") == 1
        told = [json.loads(line)["offset"] for line in done.stdout.splitlines()] if options else []
        assert told == [0, 1] or done.stdout == "published 2 messages to c, offsets 0 to 1\n"
        assert [str(item) for item in stored(tmp_path / "log")] == ["1", "2"]

    def test_a_line_without_end_is_refused(self, run, tmp_path):
        done = run("pub", tmp_path / "log", "c", stdin=b"x" * (17 << 20))
        assert done.returncode == 1 and "longer than" in done.stderr

    def test_a_bad_argument_is_named(self, run, tmp_path):
        done = run("pub", tmp_path / "log", "c", "--json", "1", "nope")
        assert done.returncode == 1
        assert done.stderr.startswith("chanlog: argument 2: it is not JSON")

    def test_an_ended_channel(self, run, directory):
        done = run("pub", directory, "over", "more")
        assert done.returncode == 1 and "over" in done.stderr
        assert done.stdout == "published nothing to over\n"

    def test_a_bad_name(self, run, tmp_path):
        done = run("pub", tmp_path / "log", "", "x")
        assert done.returncode == 1 and done.stderr.count("\n") == 1


class TestTrim:
    def test_forgets_and_says_so(self, run, directory):
        done = run("trim", directory, "talk/1", "--before", "2")
        assert done.stdout == "trimmed 2 messages; talk/1 now starts at 2\n"
        again = run("trim", directory, "talk/1", "--before", "1", "--json")
        assert json.loads(again.stdout) == {"channel": "talk/1", "start_offset": 2, "trimmed": 0}

    def test_beyond_the_end(self, run, directory):
        done = run("trim", directory, "talk/1", "--before", "9")
        assert done.returncode == 1 and done.stderr.count("\n") == 1

    def test_a_channel_that_is_not_there(self, run, directory):
        assert run("trim", directory, "nobody", "--before", "0").returncode == 1


class TestRm:
    def test_deletes(self, run, directory):
        done = run("rm", directory, "over", "talk/1", "--yes")
        assert done.stdout == "deleted over\ndeleted talk/1\n"
        assert run("ls", directory).stdout == ""

    def test_all_or_none(self, run, directory):
        done = run("rm", directory, "over", "nobody", "--yes")
        assert done.returncode == 1 and "'nobody'" in done.stderr
        assert run("ls", directory).stdout == "over\ntalk/1\n"

    def test_without_a_terminal_it_wants_yes(self, run, directory):
        done = run("rm", directory, "over")
        assert done.returncode == 2 and "--yes" in done.stderr
        assert "over" in run("ls", directory).stdout

    @pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("\n", 1)])
    def test_asks_on_a_terminal(self, answer, status, run, terminal, directory):
        env = environment(TERM="dumb")
        shown = terminal("rm", directory, "over", env=env, answer=answer, status=status)
        assert "delete over with 1 message? [y/N]" in shown
        assert run("ls", directory, "over").stdout == ("over\n" if status else "")


class TestCompact:
    def test_keeps_what_is_alive(self, run, directory):
        run("trim", directory, "talk/1", "--before", "1")
        done = run("compact", directory)
        assert done.returncode == 0 and "on disk before" in done.stdout
        one = json.loads(run("compact", directory, "--json").stdout)
        assert one["disk_bytes"] > 0
        assert stored(directory, "talk/1") == [{"n": 1}, b"\xff\x00"]
        assert run("verify", directory).returncode == 0


def test_closed_stdin_is_an_error_and_not_a_file(tmp_path):
    """With descriptor 0 closed, the log's own first file would get it and be read as input."""
    done = subprocess.run(
        ["bash", "-c", '"$0" -m chanlog pub "$1" c 0<&-', sys.executable, tmp_path / "log"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS_MAX,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "chanlog: stdin is closed\n")

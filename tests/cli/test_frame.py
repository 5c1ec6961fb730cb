"""What holds for every command: help, exit status, errors of one line, pipes, Ctrl-C, colour."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import chanlog
from chanlog.cli import main
from chanlog.cli.parser import build

from .processes import SECONDS_MAX, environment

COMMANDS = [
    "demo",
    "ls",
    "info",
    "pub",
    "tail",
    "cursors",
    "groups",
    "verify",
    "trim",
    "rm",
    "compact",
]


def test_help_names_every_command(run):
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for command in COMMANDS:
        assert f"\n    {command}" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command, run):
    done = run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"usage: chanlog {command}" in done.stdout


def test_every_option_has_help():
    actions = build()._subparsers._group_actions[0].choices
    assert sorted(actions) == sorted(COMMANDS)
    for parser in actions.values():
        assert parser.description.endswith(".")
        for action in parser._actions:
            assert action.help


def test_help_does_not_load_what_it_does_not_need():
    script = (
        "import sys; from chanlog.cli import main; main(['--help'])\n"
        "print([m for m in sys.modules if m.startswith(('rich', 'chanlog.cli'))], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert done.stderr.strip() == "['chanlog.cli', 'chanlog.cli.parser']"


def test_version(run):
    assert run("--version").stdout == f"chanlog {chanlog.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["ls"],
        ["trim", "d", "c"],
        ["tail", "d", "c", "--after", "-1"],
        ["tail", "d", "c", "--after", "1", "--last", "1"],
        ["pub", "d", "c", "--header", "novalue"],
        ["pub", "d", "c", "--json", "--bytes"],
        ["demo", "--speed", "0"],
        ["ls", "d", "--color", "blue"],
    ],
)
def test_wrong_usage_ends_with_2(arguments, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and "chanlog" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls"],
        ["info"],
        ["tail", "c"],
        ["cursors"],
        ["verify"],
        ["trim", "c", "--before", "0"],
        ["rm", "c", "--yes"],
        ["compact"],
    ],
)
def test_a_log_that_is_not_there_is_one_line_and_is_not_made(arguments, run, tmp_path):
    command, *rest = arguments
    done = run(command, tmp_path / "nothing", *rest)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("chanlog: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "nothing").exists()


def test_a_directory_that_is_somebody_elses_is_one_line(run, writer, tmp_path):
    writer(tmp_path / "log")
    done = run("pub", tmp_path / "log", "c", "x")
    assert done.returncode == 1
    assert done.stderr.startswith("chanlog: ") and done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_quiet(tmp_path):
    """`chanlog tail x y | head -1` used to be the way to see a BrokenPipeError traceback."""
    with chanlog.open(tmp_path / "log") as log:
        log.channel("c").publish_many(["x" * 100] * 5000)
    done = subprocess.run(
        [
            "bash",
            "-c",
            '"$0" -m chanlog tail "$1" c | head -1; echo "${PIPESTATUS[0]}"',
            sys.executable,
            str(tmp_path / "log"),
        ],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.stderr == ""
    line, status = done.stdout.splitlines()
    assert line.endswith("x" * 100)
    assert status == "141"


def test_a_reader_that_goes_away_is_noticed_while_waiting(spawn, directory):
    """A follower with nothing to write would otherwise wait for ever behind a closed pipe."""
    process = spawn("tail", directory, "talk/1", "-f")
    process.line_with("hello")
    process.stdout.close()
    process.stdin.close()
    assert process.popen.wait(SECONDS_MAX) == 141
    assert process.stderr.read() == ""


def test_ctrl_c_ends_with_130_and_says_nothing(spawn, directory):
    process = spawn("tail", directory, "talk/1", "-f")
    process.line_with("hello")
    process.signal(signal.SIGINT)
    status, _, err = process.finish()
    assert (status, err) == (130, "")


def test_a_terminal_without_utf8_does_not_crash(run, tmp_path):
    with chanlog.open(tmp_path / "log") as log:
        log.channel("c").publish("naïve, 日本")
    env = environment(PYTHONIOENCODING="ascii")
    assert "na\\xefve" in run("tail", tmp_path / "log", "c", env=env).stdout
    shown = run("tail", tmp_path / "log", "c", "--json", env=env).stdout
    assert json.loads(shown)["data"] == "naïve, 日本"


class TestColor:
    @pytest.fixture
    def without_rich(self, tmp_path) -> dict[str, str]:
        (tmp_path / "rich").mkdir()
        (tmp_path / "rich" / "__init__.py").write_text("raise ImportError('not installed')")
        path = environment()["PYTHONPATH"]
        return environment(PYTHONPATH=f"{tmp_path}{os.pathsep}{path}")

    def test_a_pipe_gets_none(self, run, directory):
        assert "\x1b" not in run("info", directory, "talk/1").stdout

    def test_always_means_always(self, run, directory):
        pytest.importorskip("rich")
        env = environment(NO_COLOR="1", TERM="xterm-256color")
        for place in (["--color", "always", "ls"], ["ls", "--color", "always"]):
            done = run(*place, directory, "-l", env=env)
            assert done.returncode == 0 and "\x1b[" in done.stdout

    def test_always_without_the_extra_says_how_to_get_it(self, run, directory, without_rich):
        done = run("info", directory, "talk/1", "--color", "always", env=without_rich)
        assert done.returncode == 2
        assert "pip install 'chanlog[color]'" in done.stderr

    def test_all_works_without_the_extra(self, run, directory, without_rich):
        plain = run("ls", directory, "-l", env=without_rich)
        assert plain.returncode == 0 and "talk/1" in plain.stdout

    @pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
    def test_a_terminal_can_say_no(self, variable, value, directory, terminal):
        env = environment(TERM="xterm-256color") | {variable: value}
        assert "\x1b[" not in terminal("info", directory, "talk/1", env=env)

    def test_a_terminal_gets_it(self, directory, terminal):
        pytest.importorskip("rich")
        shown = terminal("info", directory, "talk/1", env=environment(TERM="xterm-256color"))
        assert "\x1b[" in shown


def test_messages_cannot_move_the_cursor(run, tmp_path: Path):
    """What was published must not recolour or rewrite somebody's terminal."""
    evil = "\x1b[2Jgone\x9b31m\u2028\r"
    with chanlog.open(tmp_path / "log") as log:
        channel = log.channel("c", sender="s")
        channel.publish(evil, type=evil, key=evil, headers={evil: evil})
    done = run("tail", tmp_path / "log", "c")
    assert done.returncode == 0
    assert done.stdout.removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("pub d c --json 1 2", {"json": True, "data": ["1", "2"]}),
        ("pub d c 1 --type t 2 -- -3 --json", {"data": ["1", "2", "-3", "--json"], "json": False}),
        ("ls d -l pre", {"long": True, "prefix": "pre"}),
        ("info d --json c", {"json": True, "channel": "c"}),
        ("rm d a -y b", {"channel": ["a", "b"], "yes": True}),
        ("--color never cursors d", {"color": "never", "channel": None}),
        ("cursors --color never d c", {"color": "never", "channel": "c"}),
    ],
)
def test_options_stand_anywhere(line, found):
    """argparse gave DATA its empty value at the first option, and then refused the real one."""
    parsed = vars(build().parse_args(line.split()))
    assert {name: parsed.get(name) for name in found} == found

"""The commands that only read, on a closed directory and on one that is being written."""

from __future__ import annotations

import base64
import json
import signal
from datetime import UTC, datetime, timedelta

import pytest

import chanlog

from .processes import environment


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


class TestLs:
    def test_names_in_order(self, run, directory):
        assert run("ls", directory).stdout == "over\ntalk/1\n"

    def test_a_prefix_and_a_pattern(self, run, directory):
        assert run("ls", directory, "ta").stdout == "talk/1\n"
        assert run("ls", directory, "--pattern", "*ve?").stdout == "over\n"
        assert run("ls", directory, "none").stdout == ""

    def test_json(self, run, directory):
        assert objects(run("ls", directory, "--json").stdout) == [
            {"channel": "over"},
            {"channel": "talk/1"},
        ]

    def test_long(self, run, directory):
        title, over, talk = run("ls", directory, "-l").stdout.splitlines()
        assert title.split() == ["start", "end", "count", "last", "channel"]
        assert over.split()[:3] == ["0", "1", "1"] and over.split()[-2:] == ["ended", "over"]
        assert talk.split()[:3] == ["0", "3", "3"] and talk.split()[-1] == "talk/1"
        one = objects(run("ls", directory, "-l", "--json").stdout)[0]
        assert one["channel"] == "over" and one["ended"] is True


class TestInfo:
    def test_of_a_log(self, run, directory):
        shown = run("info", directory).stdout
        assert "channels       2" in shown
        one = objects(run("info", directory, "--json").stdout)[0]
        assert one["channels"] == 2 and one["clean"] is True and one["disk_bytes"] > 0

    def test_of_a_channel(self, run, directory):
        shown = run("info", directory, "talk/1").stdout
        assert "3, offsets 0 up to 3" in shown
        assert "billing at 1, lag 2" in shown
        one = objects(run("info", directory, "talk/1", "--json").stdout)[0]
        assert (one["start_offset"], one["end_offset"], one["count"]) == (0, 3, 3)
        assert one["cursors"] == {"billing": 1}
        assert one["ended"] is False and one["retention"] == {} and one["parent"] is None

    def test_shows_retention_fork_and_producer(self, run, tmp_path):
        with chanlog.open(tmp_path / "log") as log:
            channel = log.channel("a")
            channel.publish("x")
            channel.configure(chanlog.Retention(count=5, age=timedelta(days=1)))
            channel.fork("b", at=1)
            log.channel("b").producer("agent", epoch=3).publish("y")
        assert "age 1 day, 0:00:00, count 5" in run("info", tmp_path / "log", "a").stdout
        shown = run("info", tmp_path / "log", "b").stdout
        assert "a at 1" in shown
        assert "agent, epoch 3, next sequence 1" in shown

    def test_of_a_channel_that_is_not_there(self, run, directory):
        done = run("info", directory, "nobody")
        assert done.returncode == 1
        assert done.stderr.startswith("chanlog: there is no channel 'nobody'")


class TestCursors:
    def test_all_and_of_one_channel(self, run, directory):
        for more in ([], ["talk/1"]):
            _, row = run("cursors", directory, *more).stdout.splitlines()
            assert row.split() == ["1", "2", "billing", "talk/1"]
        assert objects(run("cursors", directory, "--json").stdout) == [
            {"channel": "talk/1", "cursor": "billing", "position": 1, "lag": 2}
        ]
        assert run("cursors", directory, "over", "--json").stdout == ""
        assert run("cursors", directory, "nobody").returncode == 1


class TestGroups:
    @pytest.fixture
    def shared(self, directory):
        """A group with one message done, one pending, one given back and one dead."""
        with chanlog.open(directory) as log:
            channel = log.channel("jobs")
            channel.publish_many("abcdef")
            group = channel.group("workers", deliveries_max=1)
            group.get().nak()
            group.get().ack()
            group.get()
            group.get().nak(3600)
            yield directory

    def test_all_and_of_one_channel(self, run, shared):
        for more in ([], ["jobs"]):
            _, row = run("groups", shared, *more).stdout.splitlines()
            assert row.split() == ["2", "1", "1", "2", "1", "workers", "jobs"]
        assert objects(run("groups", shared, "--json").stdout) == [
            {
                "channel": "jobs",
                "group": "workers",
                "position": 2,
                "pending": 1,
                "waiting": 1,
                "lag": 2,
                "dead": 1,
            }
        ]
        assert run("groups", shared, "over", "--json").stdout == ""
        assert run("groups", shared, "nobody").returncode == 1

    def test_info_shows_them(self, run, shared):
        shown = run("info", shared, "jobs").stdout
        assert "workers at 2, 1 pending, 1 waiting, lag 2, 1 dead" in shown
        one = objects(run("info", shared, "jobs", "--json").stdout)[0]
        assert one["groups"]["workers"]["pending"] == 1
        assert objects(run("info", shared, "--json").stdout)[0]["channels"] == 3

    def test_companions_do_not_show(self, run, shared):
        assert run("ls", shared).stdout == "jobs\nover\ntalk/1\n"


class TestTail:
    def test_prints_from_the_start(self, run, directory):
        first, second, third = run("tail", directory, "talk/1").stdout.splitlines()
        assert first.split()[0] == "0" and first.endswith("agent token  hello")
        assert second.endswith('agent status  [k] life=2 {"n": 1}')
        assert third.endswith("base64:/wA=")

    def test_json_carries_everything(self, run, directory):
        first, second, third = objects(run("tail", directory, "talk/1", "--json").stdout)
        assert first.pop("time_ns") > 0
        assert first == {"offset": 0, "type": "token", "sender": "agent", "data": "hello"}
        assert (second["key"], second["headers"]) == ("k", {"life": 2})
        assert third["data"] == {"$bytes": base64.b64encode(b"\xff\x00").decode()}

    @pytest.mark.parametrize(
        ("options", "offsets"),
        [
            (["--after", "0"], [1, 2]),
            (["--after", "2"], []),
            (["--last", "1"], [2]),
            (["--last", "0"], []),
            (["--last", "99"], [0, 1, 2]),
            (["--types", "status"], [1]),
            (["--types", "status, token"], [0, 1, 2]),
            (["--types", "none"], []),
            (["--last", "2", "--types", "token"], [2]),
            (["--since", "2000-01-01"], [0, 1, 2]),
        ],
    )
    def test_starts_where_it_is_told(self, options, offsets, run, directory):
        done = run("tail", directory, "talk/1", "--json", *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert [one["offset"] for one in objects(done.stdout)] == offsets

    def test_since_a_time_to_come_prints_nothing(self, run, directory):
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        assert run("tail", directory, "talk/1", "--since", later).stdout == ""

    @pytest.mark.parametrize(
        ("options", "status", "text"),
        [
            (["--after", "9"], 1, "lies in the future"),
            (["--since", "yesterday"], 2, "yesterday"),
            (["--types", ","], 2, "--types"),
        ],
    )
    def test_says_what_is_wrong(self, options, status, text, run, directory):
        done = run("tail", directory, "talk/1", *options)
        assert done.returncode == status and text in done.stderr
        assert done.stderr.startswith("chanlog: ") and done.stderr.count("\n") == 1

    def test_trimmed_messages_are_said_to_be_trimmed(self, run, directory):
        with chanlog.open(directory) as log:
            log.channel("talk/1").trim(2)
        done = run("tail", directory, "talk/1", "--after", "0")
        assert done.returncode == 1 and "talk/1" in done.stderr
        assert run("tail", directory, "talk/1").stdout.split()[0] == "2"

    def test_a_channel_that_is_not_there(self, run, directory):
        done = run("tail", directory, "nobody")
        assert done.returncode == 1 and "'nobody'" in done.stderr

    def test_following_ends_when_the_channel_has_ended(self, run, directory):
        done = run("tail", directory, "over", "-f", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert [one["data"] for one in objects(done.stdout)] == ["bye"]


class TestLive:
    def test_without_f_it_prints_what_is_there_now(self, run, writer, tmp_path):
        owner = writer(tmp_path / "log")
        owner.tell('["c", "t", 1]')
        done = run("tail", tmp_path / "log", "c", "--json")
        assert [one["data"] for one in objects(done.stdout)] == [1]
        assert run("ls", tmp_path / "log").stdout == "c\n"
        owner.tell('["d", "t", 1]')
        assert run("ls", tmp_path / "log").stdout == "c\nd\n"

    def test_follows_across_the_kill_of_the_writer(self, spawn, writer, tmp_path):
        """The follower outlives the process that owns the directory, and misses nothing."""
        owner = writer(tmp_path / "log")
        owner.tell('["c", "t", "first"]')
        follower = spawn("tail", tmp_path / "log", "c", "-f", "--json")
        assert json.loads(follower.stdout.readline())["data"] == "first"
        owner.tell('["c", "t", "second"]')
        assert json.loads(follower.stdout.readline())["data"] == "second"
        owner.signal(signal.SIGKILL)
        assert owner.popen.wait() == -signal.SIGKILL
        heir = writer(tmp_path / "log")
        assert heir.tell('["c", "t", "third"]') == "2\n"
        third = json.loads(follower.stdout.readline())
        assert (third["offset"], third["data"]) == (2, "third")
        heir.tell('["c", "end", null]')
        assert follower.finish() == (0, "", "")

    def test_waits_for_a_channel_that_is_not_there_yet(self, spawn, writer, tmp_path):
        owner = writer(tmp_path / "log")
        follower = spawn("tail", tmp_path / "log", "c", "-f", "--json", "--types", "good")
        assert follower.stderr.readline() == "chanlog: waiting for channel 'c'\n"
        owner.tell('["c", "bad", 1]')
        owner.tell('["c", "good", 2]')
        assert json.loads(follower.stdout.readline())["data"] == 2
        owner.tell('["c", "end", null]')
        assert follower.finish()[0] == 0


class TestGaps:
    @pytest.fixture
    def damaged(self, directory):
        with chanlog.open(directory) as log:
            for word in ("before", "damaged", "behind"):
                log.channel("words").publish(word, type="w", durable=True)
        flip(directory, b"damaged")
        return directory

    def test_damage_is_an_error_that_says_how_to_go_on(self, run, damaged):
        done = run("tail", damaged, "words")
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert done.stderr.endswith("(here: with --gaps)\n")

    def test_with_gaps_what_is_lost_is_shown(self, run, damaged):
        done = run("tail", damaged, "words", "--gaps")
        assert (done.returncode, done.stderr) == (0, "")
        before, gap, behind = done.stdout.splitlines()
        assert before.endswith("before") and behind.endswith("behind")
        assert gap.split(maxsplit=3)[0] == "1" and "1 message lost to damage" in gap

    def test_a_gap_passes_every_filter(self, run, damaged):
        done = run("tail", damaged, "words", "--gaps", "--types", "other", "--json")
        assert objects(done.stdout) == [{"offset": 1, "time_ns": 0, "gap": 1}]

    @pytest.mark.parametrize("command", [["ls"], ["info"], ["info", "words"], ["cursors"]])
    def test_all_that_read_can_go_on(self, command, run, damaged):
        name, *rest = command
        assert run(name, damaged, *rest, "--gaps").returncode == 0


class TestVerify:
    def test_a_sound_log(self, run, directory):
        done = run("verify", directory)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("all is well: ")
        one = objects(run("verify", directory, "--json").stdout)[-1]
        assert one["problems"] == 0 and one["messages"] == 4

    def test_a_damaged_one_says_where_and_ends_with_1(self, run, directory):
        with chanlog.open(directory) as log:
            log.channel("talk/1").publish("behind it", durable=True)
        place = flip(directory, b"hello")
        done = run("verify", directory)
        assert done.returncode == 1
        assert ".log, bytes " in done.stdout and " problem" in done.stdout.splitlines()[-1]
        *problems, last = objects(run("verify", directory, "--json").stdout)
        assert last["problems"] == len(problems) >= 1
        assert any(one["start"] <= place < one["stop"] for one in problems)

    def test_damage_to_the_last_messages_of_a_closed_log(self, run, directory):
        flip(directory, b"bye")
        assert run("verify", directory).returncode == 1

    def test_an_unfinished_write_is_told_and_is_no_damage(self, run, writer, directory):
        owner = writer(directory)
        owner.tell('["talk/1", "t", "not to be finished"]')
        owner.signal(signal.SIGKILL)
        owner.popen.wait()
        flip(directory, b"not to be finished")
        done = run("verify", directory)
        assert done.returncode == 0
        assert done.stdout.startswith("unfinished: ") and "\nall is well: " in done.stdout
        torn, summary = objects(run("verify", directory, "--json").stdout)
        assert torn["start"] < torn["stop"] and summary["torn"] == 1

    def test_of_a_live_log(self, run, writer, tmp_path):
        writer(tmp_path / "log").tell('["c", "t", "x"]')
        assert run("verify", tmp_path / "log").returncode == 0

    def test_shows_progress_on_a_terminal(self, terminal, directory):
        pytest.importorskip("rich")
        shown = terminal("verify", directory, env=environment(TERM="xterm-256color"))
        assert "all is well" in shown


def flip(directory, payload: bytes) -> int:
    """Damage one byte of ``payload`` where it is stored, and return its position."""
    found = []
    for path in directory.iterdir():
        if path.is_file() and payload in (content := path.read_bytes()):
            place = content.index(payload)
            damaged = bytes([content[place] ^ 1])
            path.write_bytes(content[:place] + damaged + content[place + 1 :])
            found.append(place)
    (place,) = found
    return place

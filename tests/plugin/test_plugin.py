"""The pytest plugin: its fixtures, and what it tells of tests that fail or leave things behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chanlog.testing.embedded import MemoryHarness
from chanlog.testing.watching import Watch, channel_name

from ..support import ROOT


def ran(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    """A run of pytest on ``source``, in which every warning is an error."""
    pytester.makepyfile(source)
    return pytester.runpytest_inprocess("-W", "error", *options)


def test_fixtures_are_there_without_an_import(pytester: pytest.Pytester) -> None:
    result = ran(
        pytester,
        """
        def test_a_message(chanlog_log, chanlog_channel, chanlog_backend):
            assert chanlog_channel.name == "test_a_message"
            chanlog_channel.publish("hello")
            assert list(chanlog_log.channels()) == ["test_a_message"]
            assert chanlog_backend.profile == "embedded in memory"
            assert chanlog_log.path is None

        def test_another_has_a_log_of_its_own(chanlog_log):
            assert list(chanlog_log.channels()) == []
        """,
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("backend", ["embedded", "disk"])
def test_each_test_has_an_empty_log(pytester: pytest.Pytester, backend: str) -> None:
    result = ran(
        pytester,
        """
        import pytest

        @pytest.mark.parametrize("turn", range(3))
        def test_empty(chanlog_log, chanlog_channel, turn):
            assert list(chanlog_log.channels()) == []
            chanlog_channel.publish(turn)
        """,
        f"--chanlog-backend={backend}",
    )
    result.assert_outcomes(passed=3)


def test_once_for_each_backend(pytester: pytest.Pytester) -> None:
    result = ran(
        pytester,
        """
        def test_log(chanlog_log):
            pass

        def test_restart(chanlog_backend, chanlog_log):
            if "restart" in chanlog_backend.can:
                chanlog_log.channel("a").publish(1)
                chanlog_backend.crash()
                assert list(chanlog_backend.open().channel("a").replay().data()) == [1]

        def test_without():
            pass
        """,
        "--chanlog-backend=embedded, disk",
        "-v",
    )
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines_random(
        [
            "*::test_log[[]embedded] PASSED*",
            "*::test_log[[]disk] PASSED*",
            "*::test_restart[[]disk] PASSED*",
            "*::test_without PASSED*",
        ]
    )


def test_one_backend_changes_no_name(pytester: pytest.Pytester) -> None:
    result = ran(pytester, "def test_log(chanlog_log): pass", "--chanlog-backend=disk", "-v")
    result.stdout.fnmatch_lines(["*::test_log PASSED*"])


def test_a_test_may_choose_its_backend(pytester: pytest.Pytester) -> None:
    result = ran(
        pytester,
        """
        import pytest

        @pytest.mark.parametrize("chanlog_backend", ["disk"], indirect=True)
        def test_log(chanlog_log):
            assert chanlog_log.path is not None
        """,
        "--chanlog-backend=embedded,disk",
    )
    result.assert_outcomes(passed=1)


def test_a_backend_of_ones_own(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        from chanlog.testing.embedded import MemoryHarness

        class Mine(MemoryHarness):
            profile = "mine"

        @pytest.fixture
        def chanlog_backend():
            return Mine()
        """
    )
    result = ran(
        pytester,
        """
        def test_log(chanlog_log, chanlog_backend):
            assert chanlog_backend.profile == "mine"
        """,
    )
    result.assert_outcomes(passed=1)


def test_an_unknown_backend(pytester: pytest.Pytester) -> None:
    result = ran(pytester, "def test(): pass", "--chanlog-backend=embedded,kafka")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*there is no backend 'kafka'; there are embedded, disk,*"])


@pytest.mark.parametrize(("ci", "outcome"), [("", "skipped"), ("true", "errors")])
def test_a_missing_server(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: str
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", str(pytester.path))
    result = ran(pytester, "def test_log(chanlog_log): pass", "--chanlog-backend=redis", "-rsE")
    result.assert_outcomes(**{outcome: 1})
    result.stdout.fnmatch_lines(["*redis-server is not installed*"])


FAILING = """
    def test_agent(chanlog_log, chanlog_channel):
        agent = chanlog_log.channel(chanlog_channel.name, sender="agent")
        agent.publish("first")
        agent.publish_many(range(4))
        agent.publish({"text": "x" * 1000}, type="token", key="k", headers={"h": 1})
        chanlog_log.channel("done").publish(b"bytes")
        chanlog_log.channel("done").end()
        held = chanlog_channel.subscribe()
        assert False
"""


def test_a_failure_shows_the_last_messages(pytester: pytest.Pytester) -> None:
    result = ran(pytester, FAILING)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- chanlog: last messages -*",
            "done: 1 message, ended",
            "    0 b'bytes'",
            "test_agent: 6 messages",
            "    1 0 sender='agent'",
            "    4 3 sender='agent'",
            "    5 {'text': 'xxx*xxx... (1,012 characters) type='token' key='k' sender='agent' "
            "headers={'h': 1}",
        ]
    )
    result.stdout.no_fnmatch_line("*first'*sender*")
    # What the traceback holds is no leak.
    result.stdout.no_fnmatch_line("*left behind*")


def test_how_many_messages_are_shown(pytester: pytest.Pytester) -> None:
    result = ran(pytester, FAILING, "--chanlog-last=1")
    result.stdout.fnmatch_lines(["test_agent: 6 messages", "    5 {'text'*"])
    result.stdout.no_fnmatch_line("    4 3 *")
    result = ran(pytester, FAILING, "--chanlog-last=0")
    result.stdout.no_fnmatch_line("*last messages*")


def test_a_failure_with_many_channels_or_none(pytester: pytest.Pytester) -> None:
    result = ran(
        pytester,
        """
        def test_many(chanlog_log):
            for number in range(30):
                chanlog_log.channel(f"c{number:02}").publish(number)
            assert False

        def test_none(chanlog_log):
            assert False

        def test_closed(chanlog_log):
            chanlog_log.close()
            assert False
        """,
    )
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        ["c19: 1 message", "and more channels", "there are no channels", "cannot be read: *closed*"]
    )
    result.stdout.no_fnmatch_line("c20: *")


LEAKING = """
    held = []

    def test_leaks(chanlog_channel):
        held.append(chanlog_channel.subscribe())

    def test_closes(chanlog_channel):
        with chanlog_channel.subscribe() as reader:
            held.append(reader)
        chanlog_channel.subscribe()
        local = chanlog_channel.subscribe()
        try:
            raise LookupError
        except LookupError as caught:
            cycle = caught
"""


def test_what_is_left_open_is_told(pytester: pytest.Pytester) -> None:
    result = ran(pytester, LEAKING)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*= chanlog: left behind =*",
            "*::test_leaks",
            "    a subscription to 'test_leaks', opened at test_what_is_left_open_is_told.py:4, "
            "is still held and not closed",
        ]
    )
    result.stdout.no_fnmatch_line("*::test_closes")


def test_strictly_it_is_an_error(pytester: pytest.Pytester) -> None:
    result = ran(pytester, LEAKING, "--chanlog-strict")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["the test left behind:", "a subscription to 'test_leaks', *"])
    result.stdout.no_fnmatch_line("*= chanlog: left behind =*")


def test_a_thread_that_waits_still_is_told(pytester: pytest.Pytester) -> None:
    result = ran(
        pytester,
        """
        import threading
        import chanlog

        def wait(reader):
            try:
                reader.get()
            except chanlog.LogClosed:
                pass

        def test_waits(chanlog_channel):
            thread = threading.Thread(target=wait, args=(chanlog_channel.subscribe(),))
            thread.start()
        """,
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["    a subscription to 'test_waits', opened at *"])


class _Group:
    """As much of a group as the watch looks at."""

    def __init__(self, name: str) -> None:
        self.name = name

    def close(self) -> None:
        """It has nothing."""


def test_unacknowledged_messages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import chanlog

    harness = MemoryHarness()
    log = harness.open()
    kind = type(log.channel("orders"))
    monkeypatch.setattr(kind, "group", lambda channel, name, **_: _Group(name))
    snapshot = kind.info
    pending = {"workers": 2, "others": 1, "idle": 0, "unused": 5}
    groups = {
        name: chanlog.GroupInfo(name=name, position=0, pending=count, waiting=0, lag=0, dead=0)
        for name, count in pending.items()
    }

    def info(channel: chanlog.Channel) -> chanlog.ChannelInfo:
        from dataclasses import replace

        return replace(snapshot(channel), groups=groups)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "info", info)
    with Watch(harness, log) as watch:
        for name in ("workers", "others", "idle"):
            log.channel("orders").group(name).close()
        assert watch.look() == [
            "1 unacknowledged message of the group 'others' of 'orders'",
            "2 unacknowledged messages of the group 'workers' of 'orders'",
        ]
    harness.close()


def test_the_watch_leaves_everything_as_it_was() -> None:
    harness = MemoryHarness()
    log = harness.open()
    channel, reader = log.channel("a"), log.channel("a").subscribe()
    kinds = [type(channel), type(reader)]
    before = [dict(vars(kind)) for kind in kinds]
    with Watch(harness, log):
        log.channel("a").subscribe().close()
        assert [dict(vars(kind)) for kind in kinds] != before
    assert [dict(vars(kind)) for kind in kinds] == before
    harness.close()


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("test_a[b-1]", "test_a[b-1]"),
        ("test_a[line\nend]", "test_a[line?end]"),
        ("ü" * 600, "ü" * 256),
    ],
)
def test_any_test_can_name_a_channel(test: str, name: str) -> None:
    assert channel_name(test) == name


def test_loading_it_imports_nothing_of_chanlog(tmp_path: Path) -> None:
    """Every run of pytest on this machine loads it, whether chanlog is used there or not."""
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass")
    source = (
        "import pytest, sys\n"
        "class Late:\n"
        "    def pytest_sessionfinish(self):\n"
        "        print('imported:', [name for name in sys.modules if 'chanlog' in name])\n"
        "pytest.main(['-p', 'no:cacheprovider'], plugins=[Late()])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "imported: ['_chanlog_pytest']" in done.stdout
    assert "1 passed" in done.stdout

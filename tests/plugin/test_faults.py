"""The fixtures of the plugin for time and faults."""

from __future__ import annotations

import pytest

from .test_plugin import ran


@pytest.mark.parametrize("backend", ["embedded", "disk"])
def test_time_passes_by_hand(pytester: pytest.Pytester, backend: str) -> None:
    result = ran(
        pytester,
        """
        import chanlog

        def test_age(chanlog_clock, chanlog_log, chanlog_channel):
            chanlog_channel.configure(chanlog.Retention(age=3600))
            chanlog_channel.publish("old")
            chanlog_clock.advance(3601)
            chanlog_clock.settle()
            assert list(chanlog_channel.replay()) == []

        def test_now(chanlog_channel):
            chanlog_channel.publish("now")
            (message,) = chanlog_channel.replay()
            assert message.time_ns > 1_750_000_000 * 10**9

        def test_another_begins_anew(chanlog_channel, chanlog_clock, chanlog_backend):
            chanlog_channel.publish("then")
            chanlog_backend.advance(5)
            chanlog_channel.publish("later")
            times = [message.time_ns for message in chanlog_channel.replay()]
            assert times == [1_700_000_000 * 10**9, 1_700_000_005 * 10**9]
        """,
        f"--chanlog-backend={backend}",
    )
    result.assert_outcomes(passed=3)


LOSING = """
    import pytest
    import chanlog

    def test_a_lost_acknowledgement(chanlog_faults, chanlog_log, chanlog_channel):
        chanlog_faults.on("publish", nth=2).lose_ack()
        chanlog_channel.publish("first")
        with pytest.raises(chanlog.Disconnected):
            chanlog_channel.publish("second")
        assert list(chanlog_channel.replay().data()) == ["first"]
"""


def test_a_failure_shows_the_seed_and_what_happened(pytester: pytest.Pytester) -> None:
    result = ran(pytester, LOSING, "--chanlog-seed=17", "--chanlog-profile=nats")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- chanlog: last messages -*",
            "test_a_lost_acknowledgement: 2 messages",
            "    1 'second'",
            "*- chanlog: faults -*",
            "profile='nats', seed=17: * operations, 1 faults",
            "*publish*lose_ack*",
        ]
    )


def test_a_seed_is_chosen_and_told(pytester: pytest.Pytester) -> None:
    result = ran(pytester, LOSING)
    result.stdout.re_match_lines([r"profile='redis', seed=\d+: .*"])


def test_a_long_trace_shows_its_end(pytester: pytest.Pytester) -> None:
    result = ran(
        pytester,
        """
        def test_long(chanlog_faults, chanlog_channel):
            for number in range(100):
                chanlog_channel.publish(number)
            assert False
        """,
    )
    result.stdout.fnmatch_lines(["profile=*: 100 operations, 0 faults", "(40 before these)"])


@pytest.mark.parametrize("backend", ["embedded", "disk"])
def test_a_crash_and_what_is_left_behind(pytester: pytest.Pytester, backend: str) -> None:
    result = ran(
        pytester,
        """
        held = []

        def test_crash(chanlog_faults, chanlog_channel):
            chanlog_channel.publish("first")
            chanlog_faults.crash()
            chanlog_channel.publish("second")
            assert list(chanlog_channel.replay().data()) == ["first", "second"]
            held.append(chanlog_channel.subscribe())
        """,
        f"--chanlog-backend={backend}",
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["    a subscription to 'test_crash', opened at *"])


def test_a_backend_with_a_time_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        from chanlog.testing.embedded import MemoryHarness

        @pytest.fixture
        def chanlog_backend(monkeypatch):
            harness = MemoryHarness()
            monkeypatch.setattr(harness, "can", frozenset())
            return harness
        """
    )
    result = ran(pytester, "def test_time(chanlog_clock, chanlog_log): pass", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(['SKIPPED*has no "clock" in harness.can*'])

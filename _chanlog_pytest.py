"""The pytest plugin of chanlog: options and fixtures that are there once chanlog is installed.

It stands beside the package, not in it, because pytest imports it in every run of every project:
to import a module of a package is to import the package, a tenth of a second, before anybody has
asked for a log and before a measurement of coverage has begun. What it does is in
``chanlog.testing``, which is imported with the first fixture.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from chanlog import Channel, Log
    from chanlog.testing.clock import VirtualClock
    from chanlog.testing.faults import Faults
    from chanlog.testing.harness import Harness
    from chanlog.testing.watching import Watch

BACKENDS = ("embedded", "disk", "redis", "nats")

LAST = "chanlog: last messages"
LEFT = "chanlog: left behind"
TRACE = "chanlog: faults"

_watches: pytest.StashKey[Watch] = pytest.StashKey()

# So that a scenario that fails shows its values, also where chanlog is installed for development.
pytest.register_assert_rewrite("chanlog.testing.conformance")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chanlog", "chanlog: logs, channels, and the engines below them")
    group.addoption(
        "--chanlog-backend",
        default="embedded",
        metavar="NAMES",
        help="run tests that use chanlog_backend, or a log of it, once for each of these: "
        f"{', '.join(BACKENDS)} (with commas between; default: embedded, which is in memory)",
    )
    group.addoption(
        "--chanlog-profile",
        choices=("redis", "nats", "kafka"),
        default="redis",
        help="which engine chanlog_faults imitates on the embedded log (default: redis)",
    )
    group.addoption(
        "--chanlog-seed",
        type=int,
        metavar="SEED",
        help="the seed of chanlog_faults, which a failure prints, to see the same faults again",
    )
    group.addoption(
        "--chanlog-strict",
        action="store_true",
        help="a test that leaves subscriptions open or messages of a group unacknowledged fails",
    )
    group.addoption(
        "--chanlog-last",
        type=int,
        default=5,
        metavar="COUNT",
        help="how many messages of each channel are shown when a test fails (default: 5; 0: none)",
    )


def _names(config: pytest.Config) -> list[str]:
    given = str(config.getoption("--chanlog-backend"))
    return list(dict.fromkeys(name.strip() for name in given.split(",")))


def pytest_configure(config: pytest.Config) -> None:
    for name in _names(config):
        if name not in BACKENDS:
            raise pytest.UsageError(
                f"--chanlog-backend: there is no backend {name!r}; there are {', '.join(BACKENDS)}"
            )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "chanlog_backend" not in metafunc.fixturenames:
        return
    names = _names(metafunc.config)
    chosen = any(
        "chanlog_backend" in str(mark.args[:1])
        for mark in metafunc.definition.iter_markers("parametrize")
    )
    # One alone is no reason to change the names of the tests.
    if len(names) > 1 and not chosen:
        metafunc.parametrize("chanlog_backend", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def chanlog_backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    """The backend below the logs of these tests, a ``chanlog.testing.harness.Harness``: it opens
    more handles, restarts, crashes, cuts the network, where the backend has such a thing."""
    from chanlog.testing.backends import start

    name = getattr(request, "param", None) or _names(request.config)[0]
    harness = start(name, lambda: tmp_path_factory.mktemp(f"chanlog-{name}"))
    yield harness
    harness.close()


@pytest.fixture
def chanlog_clock() -> VirtualClock:
    """The time of ``chanlog_log``, which passes in ``advance`` only. A test that uses it on an
    engine with a clock of its own is skipped."""
    from chanlog.testing.clock import VirtualClock

    return VirtualClock()


@pytest.fixture
def _chanlog_opened(chanlog_backend: Harness, request: pytest.FixtureRequest) -> Iterator[Log]:
    """The log below ``chanlog_log``."""
    if "chanlog_clock" in request.fixturenames:
        if reason := chanlog_backend.lacks("clock"):
            pytest.skip(reason)
        chanlog_backend.clock = request.getfixturevalue("chanlog_clock")
    try:
        chanlog_backend.reset()
        yield chanlog_backend.open()
        chanlog_backend.close_handles()
    finally:
        chanlog_backend.clock = None


@pytest.fixture
def chanlog_faults(
    _chanlog_opened: Log, chanlog_backend: Harness, request: pytest.FixtureRequest
) -> Iterator[Faults]:
    """What goes wrong in ``chanlog_log``: nothing, until the test says what
    (``chanlog_faults.on("publish", nth=3).lose_ack()``), or asks for a mix by chance."""
    from chanlog.testing.backends import with_faults

    option = request.config.getoption
    faults = with_faults(
        chanlog_backend, _chanlog_opened, option("--chanlog-profile"), option("--chanlog-seed")
    )
    yield faults
    # After a crash it is another log than the one that was opened.
    faults.inner.close()


@pytest.fixture
def chanlog_log(
    _chanlog_opened: Log, chanlog_backend: Harness, request: pytest.FixtureRequest
) -> Iterator[Log]:
    """An empty log, closed behind the test; in memory unless ``--chanlog-backend`` says else. It
    takes its time from ``chanlog_clock`` and fails as ``chanlog_faults`` says in a test that uses
    these, too."""
    from chanlog.testing.watching import Watch

    faults: Faults | None = None
    if "chanlog_faults" in request.fixturenames:
        faults = request.getfixturevalue("chanlog_faults")
    log = _chanlog_opened if faults is None else faults.log
    with Watch(chanlog_backend, log, faults) as watch:
        request.node.stash[_watches] = watch
        yield log
        left = watch.look()
    if left and request.config.getoption("--chanlog-strict"):
        pytest.fail("\n".join(["the test left behind:", *left]), pytrace=False)


@pytest.fixture
def chanlog_channel(chanlog_log: Log, request: pytest.FixtureRequest) -> Channel:
    """A channel of ``chanlog_log`` named after the test; it comes into being when it is used."""
    from chanlog.testing.watching import channel_name

    return chanlog_log.channel(channel_name(request.node.name))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    watch = item.stash.get(_watches, None)
    if watch is None:
        return report
    if report.when == "teardown":
        if watch.left:
            report.sections.append((LEFT, "\n".join(watch.left)))
        # What was kept of the log goes with the test.
        del item.stash[_watches]
    elif report.failed:
        # The traceback holds what the test had in its hands, which is no leak.
        watch.failed = True
        count = item.config.getoption("--chanlog-last")
        if count > 0:
            report.sections.append((LAST, watch.last_messages(count)))
        if watch.faults is not None:
            report.sections.append((TRACE, watch.trace()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = [
        (report.nodeid, text)
        for reports in terminalreporter.stats.values()
        for report in reports
        for title, text in getattr(report, "sections", ())
        if title == LEFT and not report.failed
    ]
    if found:
        terminalreporter.section(LEFT, yellow=True)
        for place, text in found:
            terminalreporter.line(place)
            for line in text.splitlines():
                terminalreporter.line(f"    {line}")

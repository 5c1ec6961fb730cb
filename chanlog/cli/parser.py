"""Every command and option with its help: the text that ``--help`` prints and the docs quote."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

__all__ = ["build", "usage_error"]


class usage_error(Exception):
    """Wrong usage found after parsing; ends with status 2, as argparse does."""


Run = Callable[[argparse.Namespace], int]


def _lazily(module: str, name: str) -> Run:
    # A command's module is imported when the command runs, so that --help stays quick.
    def run(arguments: argparse.Namespace) -> int:
        from importlib import import_module

        command: Run = getattr(import_module(f"chanlog.cli.{module}"), name)
        return command(arguments)

    return run


def _offset(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _speed(text: str) -> float:
    value = float(text)
    if not 0.01 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not a speed from 0.01 to 1000")
    return value


def _header(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form key=value")
    return key, value


# argparse puts the function's name into "invalid ... value".
_offset.__name__ = "offset"
_count.__name__ = "count"
_speed.__name__ = "speed"


class _Intermixed(argparse.ArgumentParser):
    """A parser that lets options stand between arguments: ``pub DIR CHANNEL --json DATA``.

    argparse gives an optional argument its (empty) value at the first option it meets.
    """

    _inside = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._inside:
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False


def build() -> argparse.ArgumentParser:
    """The parser of the whole command line; ``run`` of its result is the command to call."""
    # Accepted before and behind the command; SUPPRESS keeps the one from undoing the other.
    common = _Intermixed(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        help="colour, tables and progress bars: auto (the default) when stdout is a terminal and "
        "NO_COLOR is not set; needs chanlog[color]",
    )
    parser = argparse.ArgumentParser(
        prog="chanlog",
        description="Look at, feed and tidy up a chanlog directory: an append-only log with "
        "named two-way channels.",
        epilog="Commands that only read work on a directory that another process is writing. "
        "'chanlog demo' shows the whole idea in half a minute.",
        parents=[common],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Intermixed
    )

    def command(name: str, module: str, summary: str, more: str = "") -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.{' ' + more if more else ''}",
            parents=[common],
            allow_abbrev=False,
        )
        made.set_defaults(run=_lazily(module, name))
        return made

    _demo(command("demo", "demo", *_DEMO))
    _ls(command("ls", "reading", *_LS))
    _info(command("info", "reading", *_INFO))
    _pub(command("pub", "writing", *_PUB))
    _tail(command("tail", "reading", *_TAIL))
    _cursors(command("cursors", "reading", *_CURSORS))
    _groups(command("groups", "reading", *_GROUPS))
    _verify(command("verify", "reading", *_VERIFY))
    _trim(command("trim", "writing", *_TRIM))
    _rm(command("rm", "writing", *_RM))
    _compact(command("compact", "writing", *_COMPACT))
    return parser


def _version() -> str:
    import chanlog

    return f"chanlog {chanlog.__version__}"


def _directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", help="the directory of the log")


def _channel(parser: argparse.ArgumentParser, **options: Any) -> None:
    parser.add_argument("channel", metavar="CHANNEL", **options)


def _gaps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gaps",
        action="store_true",
        help="go on where the log is damaged; what is lost shows as a gap",
    )


def _json(parser: argparse.ArgumentParser, text: str = "print one JSON object a line") -> None:
    parser.add_argument("--json", action="store_true", help=text)


_DEMO = (
    "see an agent, its client, a tunnel, an interruption and a kill -9 in one terminal",
    "An agent streams a text as tokens into the channel named after its workflow. A client "
    "follows, drops in a tunnel and comes back; the person interrupts and redirects the agent; "
    "the agent's process is killed with SIGKILL and started again, and goes on where it was. A "
    "ledger at the end counts what was published, delivered, lost, doubled and paid for twice; "
    "the exit status is 1 if it is not clean.",
)


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--file",
        metavar="FILE",
        help="the text to stream, or - for stdin (default: a text that comes with chanlog)",
    )
    parser.add_argument(
        "--speed", type=_speed, default=1.0, metavar="N", help="the pace; 1 is a reader's"
    )
    parser.add_argument(
        "--dir", metavar="DIR", help="keep the log there (default: a temporary directory)"
    )
    parser.add_argument(
        "--all", action="store_true", help="stream all of a long text, not only 600 tokens"
    )


_LS = ("list the channels, in order, one a line",)


def _ls(parser: argparse.ArgumentParser) -> None:
    _directory(parser)
    parser.add_argument(
        "prefix", metavar="PREFIX", nargs="?", default="", help="only names that begin with this"
    )
    parser.add_argument(
        "--pattern", metavar="PATTERN", help="only names that match, with *, ? and [...]"
    )
    parser.add_argument(
        "-l", "--long", action="store_true", help="with offsets, count and time of the last message"
    )
    _gaps(parser)
    _json(parser)


_INFO = (
    "show the state of the log, or of one channel",
    "Of a log: what it holds, and what opening it found. Of a channel: offsets, times, retention, "
    "cursors, producers and consumer groups.",
)


def _info(parser: argparse.ArgumentParser) -> None:
    _directory(parser)
    _channel(parser, nargs="?", help="the channel (default: the log as a whole)")
    _gaps(parser)
    _json(parser)


_PUB = (
    "publish messages",
    "Each DATA is a message; without DATA each line of stdin is one, published as it comes. The "
    "directory is made if it is not there. It must not be open in another process: one process "
    "owns a directory. DATA that begins with a dash goes behind --.",
)


def _pub(parser: argparse.ArgumentParser) -> None:
    _directory(parser)
    _channel(parser, help="the channel; the first message makes it")
    parser.add_argument("data", metavar="DATA", nargs="*", help="the messages, as text")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--json",
        action="store_true",
        help='DATA or lines are JSON ({"$bytes": "<base64>"} makes bytes); print one JSON object '
        "for each message",
    )
    kind.add_argument("--bytes", action="store_true", help="DATA or lines are bytes, not text")
    parser.add_argument("--type", metavar="TYPE", help="the type of the messages")
    parser.add_argument("--key", metavar="KEY", help="the key of the messages")
    parser.add_argument("--sender", metavar="NAME", help="who sends them")
    parser.add_argument(
        "--header",
        metavar="K=V",
        type=_header,
        action="append",
        help="a header of the messages; may be given more than once",
    )
    parser.add_argument(
        "--durable", action="store_true", help="wait until they are on stable storage"
    )


_TAIL = (
    "print the messages of a channel, and follow it",
    "Prints from the first message on, as subscribe() does; --after, --last and --since start "
    "elsewhere. Works while another process writes.",
)


def _tail(parser: argparse.ArgumentParser) -> None:
    _directory(parser)
    _channel(parser, help="the channel")
    parser.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="wait for more, until the channel ends or Ctrl-C; waits for a channel that is not "
        "there yet",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--after", metavar="N", type=_offset, help="start exactly behind this offset"
    )
    start.add_argument(
        "--last", metavar="N", type=_offset, help="start so many messages before the end"
    )
    start.add_argument(
        "--since",
        metavar="TIME",
        help="start at this time, such as 2026-01-31T12:00:00+01:00 (UTC where no zone is given)",
    )
    parser.add_argument(
        "--types", metavar="A,B", help="only messages of these types, separated by commas"
    )
    _gaps(parser)
    _json(
        parser,
        'print one JSON object a line; bytes are {"$bytes": "<base64>"}',
    )


_CURSORS = ("list the cursors with their positions and lags",)


def _cursors(parser: argparse.ArgumentParser) -> None:
    _directory(parser)
    _channel(parser, nargs="?", help="only of this channel")
    _gaps(parser)
    _json(parser)


_GROUPS = (
    "list the consumer groups, and what they are at",
    "All messages below the position are done with. Pending are being worked on, waiting are to be "
    "delivered again, lag were never delivered, dead were given up.",
)


def _groups(parser: argparse.ArgumentParser) -> None:
    _directory(parser)
    _channel(parser, nargs="?", help="only of this channel")
    _gaps(parser)
    _json(parser)


_VERIFY = (
    "walk every batch and check it",
    "Reads the whole directory and changes nothing. The exit status is 0 if all is well and 1 if "
    "anything is damaged; each damaged range is printed.",
)


def _verify(parser: argparse.ArgumentParser) -> None:
    _directory(parser)
    _json(parser)


_TRIM = (
    "forget the oldest messages of a channel",
    "Offsets do not change; reading below the new start says that it was trimmed.",
)


def _trim(parser: argparse.ArgumentParser) -> None:
    _directory(parser)
    _channel(parser, help="the channel")
    parser.add_argument(
        "--before",
        metavar="N",
        type=_offset,
        required=True,
        help="forget all messages below this offset",
    )
    _json(parser)


_RM = (
    "delete channels, with their cursors, producers and groups",
    "If one of the channels does not exist, none is deleted.",
)


def _rm(parser: argparse.ArgumentParser) -> None:
    _directory(parser)
    _channel(parser, nargs="+", help="the channels")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    _json(parser)


_COMPACT = (
    "apply retention and give back the space of what is dead",
    "Rewrites sealed segments so that each channel's messages lie together.",
)


def _compact(parser: argparse.ArgumentParser) -> None:
    _directory(parser)
    _json(parser)

"""The command line: ``chanlog``, also ``python -m chanlog``.

Exit status: 0 done, 1 an error (one line on stderr says which) or a verification that found
damage, 2 wrong usage, 130 interrupted with Ctrl-C, 141 the reader of a pipe went away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["main"]

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. ``argv`` defaults to ``sys.argv[1:]``."""
    # Everything else is imported late: `chanlog --help` answers before the engine is looked at.
    from chanlog.errors import ChanlogError, CorruptionError

    from .parser import build, usage_error

    # A terminal that cannot show a character gets an escape, never a traceback.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = build().parse_args(argv)
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except SystemExit as exit_:  # argparse: 0 after --help, 2 after a usage error
        return exit_.code if isinstance(exit_.code, int) else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return BROKEN_PIPE
    except usage_error as error:
        _complain(f"{error}")
        return 2
    except CorruptionError as error:
        has_gaps = hasattr(arguments, "gaps")
        _complain(_one_line(error) + (" (here: with --gaps)" if has_gaps else ""))
        return 1
    except (ChanlogError, OSError) as error:
        _complain(_one_line(error))
        return 1
    return status


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror is not None:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split())


def _complain(text: str) -> None:
    # What was printed before the error stays before it, wherever the two streams go.
    try:
        sys.stdout.flush()
    except OSError:
        _forget_stdout()
    with suppress(OSError):
        print(f"chanlog: {text}", file=sys.stderr)


def _forget_stdout() -> None:
    # The interpreter flushes stdout once more on its way out, and would complain there.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

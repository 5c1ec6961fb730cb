"""The process: what happens at a fork and at the end of the interpreter."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

__all__ = ["after_fork_in_child", "before_exit"]


def after_fork_in_child(run: Callable[[], None]) -> None:
    """Call ``run`` in every child that ``os.fork`` makes from now on."""
    os.register_at_fork(after_in_child=run)


def before_exit(run: Callable[[], None]) -> None:
    """Call ``run`` when the interpreter begins to exit, before it waits for its threads.

    ``atexit`` is too late: a thread that waits on a subscription would never be woken, and the
    interpreter waits for it first. The same hook lets ``concurrent.futures`` end its workers.
    """
    register = getattr(threading, "_register_atexit", None)
    if register is None:
        import atexit

        register = atexit.register
    register(run)

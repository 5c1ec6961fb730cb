"""Backends that need a server or a client: skipped in plain sight where it is missing."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from .harness import Harness, MissingServer

__all__ = ["present"]


def present(make: Callable[[], Harness]) -> Harness:
    """What ``make`` makes; without its server or client the tests that ask are skipped, visibly.
    Where the environment variable ``CI`` is ``true`` they fail: there nothing may be missing."""
    try:
        return make()
    except (MissingServer, ModuleNotFoundError) as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{error}, and CI=true says that it has to be there")
        pytest.skip(str(error))

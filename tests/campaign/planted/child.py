"""What runs in a planted copy: a day in its life, then a test or a campaign.

One process for both, because most of what a short test takes is the start of Python.
"""

from __future__ import annotations

import sys
import traceback

from .detecting import BROKEN, FAILED

__all__ = ["main"]

# Hypothesis' own plugin takes longer to load than most tests take to run, and tests with ``given``
# do without it.
_OPTIONS = ("-q", "-x", "-rfE", "--tb=no", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")


def main(arguments: list[str]) -> int:
    """Run what ``arguments`` name: ``pytest`` and names of tests, or a campaign and its options."""
    try:
        # Here, for what is broken may not even be imported.
        from .everyday import live_everywhere

        live_everywhere()
    except Exception:
        traceback.print_exc()
        return BROKEN
    if arguments[0] != "pytest":
        # Here, for it lists the campaigns of this package too.
        from ..__main__ import main as run_campaigns

        return FAILED if run_campaigns(arguments) else 0
    import pytest

    return int(pytest.main([*_OPTIONS, *arguments[1:]]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

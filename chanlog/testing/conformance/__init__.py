"""The contract: named scenarios that every backend of chanlog is held to.

Inherit :class:`Contract` (or some of its parts), and say with a fixture what is to be held to it::

    from chanlog.testing.conformance import Contract

    class TestMine(Contract):
        @pytest.fixture
        def harness(self):
            harness = MyHarness()
            yield harness
            harness.close()

Each scenario's docstring says what a user is promised. One that the backend cannot have is skipped,
and the reason names the capability that is missing.
"""

from __future__ import annotations

from .base import Face, Scenarios, needs
from .order import Order

__all__ = ["Contract", "Face", "Order", "Scenarios", "needs"]


class Contract(Order):
    """All scenarios."""

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
from .cursors import Cursors
from .ending import Deleting, Ending, Trimming
from .expecting import Expecting
from .forks import Forks
from .groups import Groups
from .groups_kept import GroupsByKey, GroupsKept
from .keeping import Keeping
from .late import LateJoin
from .listing import Listing
from .order import Order
from .payloads import Payloads
from .producers import Producers
from .survival import CutNetwork, Survival
from .talking import TwoWay
from .together import Frames, Many
from .waiting import Waiting

__all__ = [
    "Contract",
    "Cursors",
    "CutNetwork",
    "Deleting",
    "Ending",
    "Expecting",
    "Face",
    "Forks",
    "Frames",
    "Groups",
    "GroupsByKey",
    "GroupsKept",
    "Keeping",
    "LateJoin",
    "Listing",
    "Many",
    "Order",
    "Payloads",
    "Producers",
    "Scenarios",
    "Survival",
    "Trimming",
    "TwoWay",
    "Waiting",
    "needs",
]


class Contract(
    Order,
    Payloads,
    Many,
    Frames,
    LateJoin,
    Waiting,
    TwoWay,
    Ending,
    Trimming,
    Deleting,
    Cursors,
    Producers,
    Expecting,
    Groups,
    GroupsByKey,
    GroupsKept,
    Listing,
    Keeping,
    Forks,
    Survival,
    CutNetwork,
):
    """All scenarios."""

"""For tests of code that uses chanlog: time that passes when told to, and faults on purpose; and,
to be imported from where they are, the contract that every backend is held to
(:mod:`chanlog.testing.conformance`) and real servers to hold it against. The pytest plugin is
there by itself.
"""

from .clock import NotSettled, VirtualClock
from .faults import FAULTS, PROFILES, Faults, Profile

__all__ = ["FAULTS", "PROFILES", "Faults", "NotSettled", "Profile", "VirtualClock"]

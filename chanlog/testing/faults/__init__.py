"""Faults on purpose, such as the imitated engine permits."""

from .choosing import Rule
from .faults import Faults
from .kinds import FAULTS, OPERATIONS
from .profiles import PROFILES, Profile

__all__ = ["FAULTS", "OPERATIONS", "PROFILES", "Faults", "Profile", "Rule"]

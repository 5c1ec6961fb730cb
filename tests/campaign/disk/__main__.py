"""``python -m tests.campaign.disk``: one state again, as a failure names it.

LIFE SEED STEP CUT for a state of power-states, LIFE SEED CHAIN for a chain of power-recovery.
"""

from __future__ import annotations

import sys
from collections import Counter

from .running import chain, try_again
from .scenarios import World

if __name__ == "__main__":
    numbers = [*map(int, sys.argv[1:])]
    if len(numbers) == 4:
        print(try_again(*numbers))
    elif len(numbers) == 3:
        print(chain(World(*numbers[:2]), numbers[2], Counter()), "states are right")
    else:
        sys.exit(__doc__)

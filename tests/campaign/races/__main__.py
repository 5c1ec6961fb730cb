"""``python -m tests.campaign.races SCENARIO STEP:THREAD ...``: one schedule once more."""

from __future__ import annotations

import sys

from .scenarios import SCENARIOS
from .schedules import again

if len(sys.argv) < 2:
    print("\n".join(SCENARIOS))
else:
    raise SystemExit(0 if again(sys.argv[1], sys.argv[2:]) else 1)

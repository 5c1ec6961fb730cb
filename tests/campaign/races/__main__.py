"""``python -m tests.campaign.races SCENARIO STEP:THREAD ...``: one schedule once more; or
``python -m tests.campaign.races signal OPERATION PLACE``: one interrupt; or
``python -m tests.campaign.races workload SEED``: one workload."""

from __future__ import annotations

import sys

from .operations import OPERATIONS
from .scenarios import SCENARIOS
from .schedules import again
from .signals import allowed_after, interrupt
from .switching import SWITCH_SECONDS, one

if len(sys.argv) < 2:
    print("\n".join(SCENARIOS))
elif sys.argv[1] == "workload":
    sys.setswitchinterval(SWITCH_SECONDS)
    print("\n".join(one(int(sys.argv[2]))) or "nothing is wrong")
elif sys.argv[1] == "signal":
    operation = OPERATIONS[sys.argv[2]]
    print(interrupt(operation, int(sys.argv[3]), allowed_after(operation)))
else:
    raise SystemExit(0 if again(sys.argv[1], sys.argv[2:]) else 1)

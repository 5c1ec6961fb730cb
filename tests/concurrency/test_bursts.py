"""Many tasks of one event loop are woken by one call into it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from chanlog.channels.waking import LoopHub

from ..support import run


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_one_that_was_cancelled_does_not_keep_the_others_asleep():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        hub = LoopHub()
        futures = [loop.create_future() for _ in range(3)]
        for future in futures:
            hub.wake(future)
        futures[1].cancel()
        await turns(3)
        assert [future.done() for future in futures] == [True, True, True]
        late = loop.create_future()
        hub.wake(late)
        await turns(3)
        assert late.done()

    run(main())


class Pending(deque):
    """The last that was to be woken is gone, and just then somebody wakes one more."""

    late: Any = None

    def __bool__(self) -> bool:
        found = len(self) > 0
        if not found and self.late is not None:
            late, self.late = self.late, None
            late()
        return found


def test_one_that_comes_as_the_burst_ends():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        hub = LoopHub()
        first, second = loop.create_future(), loop.create_future()
        pending = hub._pending = Pending()
        pending.late = lambda: hub.wake(second)
        hub.wake(first)
        await turns(5)
        assert first.done()
        assert second.done()

    run(main())

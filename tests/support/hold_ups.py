"""How long a shared machine held everybody up while something was timed: that is not the product's."""

import asyncio
import time

_STEP_S = 0.005
_COUNTS_FROM_S = 0.1


class HoldUps:
    """`async with HoldUps() as held:` ... This process ran nothing else of weight and woke up late: `total_s` in all,
    `worst_s` at most at a time."""

    def __init__(self) -> None:
        self.total_s = self.worst_s = 0.0

    async def __aenter__(self) -> "HoldUps":
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(_STEP_S)
            late_s = time.monotonic() - before - _STEP_S
            self.worst_s = max(self.worst_s, late_s)
            if late_s >= _COUNTS_FROM_S:
                self.total_s += late_s

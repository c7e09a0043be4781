"""Work that takes seconds of a core: done one after the other in one child process, so that no socket waits for it."""

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType
from typing import ParamSpec, TypeVar

from server.logs import logger

MOST_WAITING = 8
LONGEST_S = 300.0

P = ParamSpec("P")
T = TypeVar("T")


class HeavyBusy(Exception):
    """Too much waits already, or the child ended over the work."""


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Heavy:
    """Use as `async with`. The child is started when first needed."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._pool: ProcessPoolExecutor | None = None

    async def __aenter__(self) -> "Heavy":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The outcome of a module's function on arguments that can be pickled. Raises `HeavyBusy`.

        The function must not raise: what it has to say travels as its outcome.
        """
        if self._waiting >= MOST_WAITING:
            raise HeavyBusy
        self._waiting += 1
        try:
            async with self._turn:
                return await self._in_child(work, *args, **kwargs)
        finally:
            self._waiting -= 1

    async def _in_child(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_ignore_interrupts)
        future = self._pool.submit(work, *args, **kwargs)
        try:
            async with asyncio.timeout(LONGEST_S):
                return await asyncio.wrap_future(future)
        except (BrokenProcessPool, TimeoutError) as error:
            logger(part="heavy").error("heavy_work_failed", work=work.__name__, error=type(error).__name__)
            await self._end()
            raise HeavyBusy from error

    async def _end(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        for process in list(pool._processes.values()):
            process.kill()
        await asyncio.to_thread(pool.shutdown, True, cancel_futures=True)

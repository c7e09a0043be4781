"""Halls leave a node that is to be stopped, a few at a time, and none is without a picture on the way.

The page is told the epoch of another node and makes a second connection there; the one that it has goes on until the
new one shows pictures, and then the page ends it. If it forgets, it is ended here.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from media import control
from server.logs import logger
from server.media_node import MediaDown, MediaNode
from server.media_placement import Endpoint, Placement

AT_ONCE = 4
ARRIVE_S = 10.0
OVERLAP_S = 5.0
LOOK_S = 1.0


class Moves:
    """`has_line`: the endpoint's page is connected to this process. `tell` has pages told where they belong."""

    def __init__(self, placement: Placement[MediaNode], nodes: Callable[[], Sequence[MediaNode]]) -> None:
        self.has_line: Callable[[str, str], bool] = lambda group, endpoint: False
        self.tell: Callable[[], None] = lambda: None
        self._placement = placement
        self._nodes = nodes
        self._wake = asyncio.Event()
        self._waiting: dict[Endpoint, asyncio.Event] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._logger = logger(part="media")

    def look(self) -> None:
        """A node is to be left from now on."""
        self._wake.set()

    def arrived(self, node: MediaNode, endpoint: Endpoint) -> None:
        """It is connected there."""
        waiting = self._waiting.get(endpoint)
        if waiting is not None and self._placement.placed_at(endpoint) is node:
            waiting.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            while self._draining():
                for node in self._draining():
                    await self._empty(node)
                await asyncio.sleep(LOOK_S)
            self._wake.clear()

    def _draining(self) -> list[MediaNode]:
        return [node for node in self._nodes() if node.draining and node.up]

    async def _empty(self, node: MediaNode) -> None:
        here = sorted(key for key in self._placement.on(node) if self.has_line(*key))
        few = asyncio.Semaphore(AT_ONCE)

        async def one(key: Endpoint) -> None:
            async with few:
                await self._move(key, node)

        async with asyncio.TaskGroup() as tasks:
            for key in here:
                tasks.create_task(one(key), name=f"move {key[1]}")

    async def _move(self, key: Endpoint, old: MediaNode) -> None:
        target = self._placement.best(*key, self._nodes())
        if target is None or target is old or target.draining or not target.up or not self.has_line(*key):
            return
        self._waiting[key] = asyncio.Event()
        self._placement.move(key, target)
        self.tell()
        try:
            async with asyncio.timeout(ARRIVE_S):
                await self._waiting[key].wait()
        except TimeoutError:
            self._logger.warning("move_takes_long", meeting=key[0], endpoint=key[1], node=target.name)
        else:
            self._logger.info("moved", meeting=key[0], endpoint=key[1], node=target.name)
            leaving = asyncio.create_task(self._leave(key, old), name=f"leave {key[1]}")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        finally:
            del self._waiting[key]
            self._placement.moved(key)

    async def _leave(self, key: Endpoint, old: MediaNode) -> None:
        """End what the page left behind."""
        await asyncio.sleep(OVERLAP_S)
        if self._placement.connected_at(key) is not old:
            with contextlib.suppress(MediaDown):
                await old.request(control.CloseEndpoint(group=key[0], endpoint=key[1]))

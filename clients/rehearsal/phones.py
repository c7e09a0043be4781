"""Thousands of synthetic phones in one event loop, and what they do together."""

import asyncio
import gc
import random
import resource
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from ipaddress import IPv4Network
from typing import Any
from urllib.parse import urlsplit

from clients.rehearsal.line import upgrade_request
from clients.rehearsal.phone import LOOPBACK_SOURCES, Phone, Place, Records, Seat, Tally, Waves

MOST_PHONES = 18_000
"""What file descriptors allow here beside everything else; the loop carries more."""
KEEP = 500
_LOOK_S = 0.02


def allow_open_files() -> None:
    """As many as the system lets this process and its children have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Phones:
    """`keep`: how many of them, spread over all, keep a replica to be compared at the end.

    `others`: further servers of the cluster, by address and port: each time a phone takes one of all.
    `sources`: see `Place`; of a server on this machine's loopback, addresses of the loopback.
    """

    def __init__(
        self,
        url: str,
        seats: Sequence[Seat],
        keep: int = KEEP,
        seed: int = 1,
        others: Sequence[tuple[str, int]] = (),
        sources: IPv4Network | None = None,
    ) -> None:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
        self.tally, self.waves = Tally(), Waves()
        self.dice = random.Random(seed)
        if host == "localhost" or host.startswith("127."):
            sources = LOOPBACK_SOURCES
        head = upgrade_request(parts.netloc)
        self._place = Place(((host, port), *others), head, sources, self.dice, self.tally, self.waves)
        every = max(1, len(seats) // keep) if keep else 0
        self.all = [Phone(self._place, seat, bool(keep) and n % every == 0) for n, seat in enumerate(seats)]

    async def come(self, phones: Sequence[Phone], at_once: int, limit_s: float) -> bool:
        """So many at once. Whether all are in within the time."""
        gate = asyncio.Semaphore(at_once)

        async def come(phone: Phone) -> None:
            async with gate:
                await phone.come()

        return await self._in_time(map(come, phones), phones, limit_s)

    async def storm(self, seconds: float, limit_s: float) -> bool:
        """All of them, each at its own moment of these seconds."""

        async def come(phone: Phone) -> None:
            await asyncio.sleep(self.dice.uniform(0.0, seconds))
            await phone.come()

        return await self._in_time(map(come, self.all), self.all, limit_s)

    async def _in_time(
        self, works: Iterable[Coroutine[Any, Any, None]], phones: Sequence[Phone], limit_s: float
    ) -> bool:
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.gather(*works)
        except TimeoutError:
            return False
        return all(phone.online for phone in phones)

    def settle(self) -> None:
        """What is here stays: the collector need not look at it, which would hold up the reading of what comes."""
        gc.collect()
        gc.freeze()

    async def until(self, met: Callable[[], bool], limit_s: float) -> bool:
        """Whether it came to pass in time."""
        end = time.monotonic() + limit_s
        while not met():
            if time.monotonic() > end:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    async def burst(self, phones: Sequence[Phone], seconds: float, act: Callable[[Phone], None]) -> None:
        """Each acts once, evenly over the time in a random order."""
        order = list(phones)
        self.dice.shuffle(order)
        began, done = time.monotonic(), 0
        while done < len(order):
            due = min(len(order), 1 + int(len(order) * (time.monotonic() - began) / seconds))
            for phone in order[done:due]:
                act(phone)
            done = due
            await asyncio.sleep(seconds / len(order))

    @property
    def waiting(self) -> int:
        """Commands without an answer."""
        return sum(phone.waits for phone in self.all)

    def missing(self, number: int) -> int:
        """How many have not got the host's marked change of this number."""
        return sum(phone.wave < number for phone in self.all)

    async def differing(self, within_s: float = 5.0) -> tuple[int, int]:
        """How many replicas were compared with a fresh welcome, and how many differ from it after this time."""
        kept = [phone for phone in self.all if phone.replica is not None and not phone.gone]
        fresh = [Phone(self._place, phone.seat, True) for phone in kept]
        gate = asyncio.Semaphore(16)

        async def compare(kept: Phone, fresh: Phone) -> bool:
            async with gate:
                await fresh.come()
                same = await self.until(lambda: fresh.replica == kept.replica, within_s)
                fresh.leave()
                return same

        same = await asyncio.gather(*(compare(*pair) for pair in zip(kept, fresh, strict=True)))
        return len(same), len(same) - sum(same)

    def replica(self) -> Records:
        """One of those kept."""
        return next(phone.replica for phone in self.all if phone.replica is not None)

    async def leave(self) -> None:
        for phone in self.all:
            phone.leave()
        await asyncio.sleep(0.1)

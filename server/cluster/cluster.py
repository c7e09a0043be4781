"""The processes together: what one of them tells goes to the part of the others that it concerns."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from rooms.ids import MeetingId
from server.cluster.bus import Bus, Exchange
from server.cluster.lease import Leases, OwnLeases
from server.cluster.messages import AnyBody, MeetingBody, Tried
from server.cluster.neighbours import Neighbours
from server.cluster.redis_bus import RedisBus
from server.cluster.redis_lease import RedisLeases
from server.limits import Attempts

LAST_WORDS_S = 0.1


class Part(Protocol):
    """A meeting at this process. Nothing here may block or raise."""

    def told(self, process: str, body: MeetingBody) -> None:
        """Another process said this about the meeting."""

    def everything(self) -> Iterable[MeetingBody]:
        """All that others should know, for one that has missed something."""

    def gone(self, process: str) -> None:
        """That process has ended."""


class Cluster:
    """`shared` says whether there may be other processes at all. `leases` are for what one does for all."""

    def __init__(self, neighbours: Neighbours, leases: Leases, *, shared: bool) -> None:
        self.neighbours = neighbours
        self.leases = leases
        self.shared = shared
        self._parts: dict[MeetingId, Part] = {}
        self._limits: dict[str, Attempts] = {}
        neighbours.on_body = self._told
        neighbours.on_gone = self._gone
        neighbours.on_asked = self._tell_everything

    @property
    def process(self) -> str:
        """This process's name among the others."""
        return self.neighbours.process

    def send(self, body: AnyBody) -> None:
        """Tell all others, some time soon or never. Returns at once."""
        if self.shared:
            self.neighbours.send(body)

    def join(self, meeting: MeetingId, part: Part) -> None:
        """From now on it hears what is said about its meeting; first, what there is to say."""
        self._parts[meeting] = part
        if self.shared:
            self.neighbours.ask()

    def share(self, **limits: Attempts) -> None:
        """Count failed attempts for all processes together. While the bus is away each counts its own."""
        self._limits |= limits
        for name, attempts in limits.items():
            attempts.on_failed = partial(self._tried, name)

    def _tried(self, limit: str, key: str) -> None:
        self.send(Tried(limit, key))

    def _told(self, process: str, body: AnyBody) -> None:
        if isinstance(body, Tried):
            if body.limit in self._limits:
                self._limits[body.limit].count(body.key)
        elif isinstance(body, MeetingBody) and body.meeting in self._parts:
            self._parts[body.meeting].told(process, body)

    def _gone(self, process: str) -> None:
        for part in self._parts.values():
            part.gone(process)

    def _tell_everything(self) -> None:
        for part in self._parts.values():
            for body in part.everything():
                self.send(body)  # type: ignore[arg-type]


def deployment(secret: bytes) -> str:
    """What separates one deployment's words from another's on the same Redis: its servers share a signing secret."""
    return "diemcau:" + hashlib.blake2b(secret, digest_size=8, person=b"diemcau cluster").hexdigest()


@asynccontextmanager
async def cluster_of(redis_url: str, secret: bytes, first_token: int) -> AsyncIterator[Cluster]:
    """The cluster through the Redis at this URL, without one this process alone. Raises `ValueError` for a bad URL.

    It starts whether Redis is there or not. `first_token` is for the leases of a process that is alone.
    """
    if not redis_url:
        yield Cluster(Neighbours(Exchange().bus()), OwnLeases(first_token), shared=False)
        return
    prefix = deployment(secret)
    key = hashlib.blake2b(secret, person=b"diemcau bus").digest()
    bus: Bus = RedisBus(redis_url, f"{prefix}:bus", key)
    neighbours = Neighbours(bus)
    leases = RedisLeases(redis_url, prefix, neighbours.process)
    try:
        async with asyncio.TaskGroup() as tasks:
            carrying = tasks.create_task(bus.run(), name="bus")
            living = tasks.create_task(neighbours.run(), name="neighbours")
            try:
                yield Cluster(neighbours, leases, shared=True)
            finally:
                living.cancel()
                await asyncio.sleep(LAST_WORDS_S)
                carrying.cancel()
    finally:
        await leases.close()

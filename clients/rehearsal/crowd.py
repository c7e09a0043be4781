"""Many endpoints in one event loop: one epoll for all sockets, one timer for all that is to be sent."""

import asyncio
import heapq
import itertools
import select
import time
from collections.abc import Callable

from clients.rehearsal.batch import Batch
from clients.rehearsal.endpoint import Endpoint
from clients.rehearsal.sending import Outgoing
from clients.rehearsal.transport import TransportFailed

_TICK_S = 0.05
_SLICES = 5
_LOOK_S = 0.01


class Crowd:
    """Runs its endpoints while the context is entered; leaving it closes them. `failed` counts those that ended."""

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []
        self.failed: list[str] = []
        self._by_descriptor: dict[int, Endpoint] = {}
        self._epoll = select.epoll()
        self._batch = Batch()
        self._due: list[tuple[float, int, Endpoint, Outgoing]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._slice = 0

    async def __aenter__(self) -> "Crowd":
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._readable)
        self._ticking = self._loop.create_task(self._tick(), name="crowd")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ticking.cancel()
        await asyncio.gather(self._ticking, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        for endpoint in self.endpoints:
            endpoint.close()
        self._epoll.close()

    def add(self, endpoint: Endpoint) -> Endpoint:
        self.endpoints.append(endpoint)
        self._by_descriptor[endpoint.transport.descriptor] = endpoint
        self._epoll.register(endpoint.transport.descriptor, select.EPOLLIN)
        return endpoint

    def remove(self, endpoint: Endpoint) -> None:
        """It goes, with a goodbye."""
        if endpoint in self.endpoints:
            self.endpoints.remove(endpoint)
            self._forget(endpoint)

    def _forget(self, endpoint: Endpoint) -> None:
        del self._by_descriptor[endpoint.transport.descriptor]
        self._epoll.unregister(endpoint.transport.descriptor)
        endpoint.close()

    async def until(self, met: Callable[[], bool], limit_s: float) -> bool:
        """Whether it came to pass in time."""
        end = time.monotonic() + limit_s
        while not met():
            if time.monotonic() > end:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    # -- reading -------------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        now = time.monotonic()
        for descriptor, _ in self._epoll.poll(0):
            endpoint = self._by_descriptor.get(descriptor)
            if endpoint is not None:
                self._guarded(endpoint, endpoint.read, self._batch, now)

    def _guarded(self, endpoint: Endpoint, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except TransportFailed as error:
            self.failed.append(str(error))
            self.remove(endpoint)

    # -- sending -------------------------------------------------------------------------------------------------------

    def start(self, endpoint: Endpoint, stream: Outgoing) -> None:
        """The stream goes out from now on, until it is stopped; an entry of an earlier time has another `due`."""
        if stream.active:
            return
        stream.start(time.monotonic())
        heapq.heappush(self._due, (stream.due, next(self._order), endpoint, stream))
        self._pump()

    def _pump(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            due, _, endpoint, stream = heapq.heappop(self._due)
            if stream.active and due == stream.due and endpoint.transport.descriptor in self._by_descriptor:
                endpoint.send_frame(stream, now)
                if stream.active:
                    heapq.heappush(self._due, (stream.due, next(self._order), endpoint, stream))
        if self._due:
            self._timer = self._loop.call_later(max(0.0, self._due[0][0] - time.monotonic()), self._pump)

    # -- time ----------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        """Every endpoint some twenty times a second, a fifth of them at a time."""
        while True:
            self._slice = (self._slice + 1) % _SLICES
            now = time.monotonic()
            for endpoint in self.endpoints[self._slice :: _SLICES]:
                self._guarded(endpoint, endpoint.tick, now)
            await asyncio.sleep(_TICK_S / _SLICES)

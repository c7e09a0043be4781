"""What `bench sockets` measures: a server that many phones talk with; and ours, the product as it is run."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from clients.bench.subject import SubjectFailed
from clients.rehearsal.delegates import SEATS, enrol
from clients.rehearsal.desk import Desk, Site, command, desk
from clients.rehearsal.phone import Seat
from clients.rehearsal.phones import Phones
from clients.rehearsal.product import own_product
from clients.rehearsal.wire import Socket

TITLE = "Đo kết nối (bench)"
_LAG = re.compile(r'diemcau_loop_lag_seconds_bucket\{le="([\d.]+)"\} ([\d.e+]+)')
_LAG_MAX = re.compile(r"diemcau_loop_lag_max_seconds ([\d.e+-]+)")


@dataclass(frozen=True, slots=True)
class Example:
    """A welcome of ours and the record that is changed, so that others send the same."""

    welcome: dict[str, Any]
    record: dict[str, Any]


class TalkingSubject(Protocol):
    """A running server. `pid`: the process that is measured."""

    name: str
    pid: int
    url: str
    seats: tuple[Seat, ...]
    example: Example

    async def change(self, title: str) -> None:
        """Something public changes; returns when the server has answered."""

    async def begin_lag(self) -> None: ...

    async def lag_max_ms(self) -> float:
        """The greatest lateness of its event loop since `begin_lag`."""

    async def check(self, phones: Phones) -> None:
        """Every phone has checked in: whether the server knows that. Raises SubjectFailed."""


class Diemcau:
    name = "diemcau"

    def __init__(self, site: Site, meeting: str, pid: int, host: Desk, item: str, seats: tuple[Seat, ...]) -> None:
        self.pid, self.url, self.seats = pid, site.url, seats
        self.example = Example({}, {})
        self._site, self._meeting, self._host, self._item = site, meeting, host, item
        self._lag: tuple[dict[float, float], float] = ({}, 0.0)

    async def change(self, title: str) -> None:
        await self._host.give("agenda.edit", item=self._item, title=title)

    async def begin_lag(self) -> None:
        self._lag = await self._read_lag()

    async def _read_lag(self) -> tuple[dict[float, float], float]:
        text = await self._site.metrics()
        found = _LAG_MAX.search(text)
        return {float(edge): float(count) for edge, count in _LAG.findall(text)}, float(found[1]) if found else 0.0

    async def lag_max_ms(self) -> float:
        """Exact if it was the greatest since the start, else the upper edge of its bucket in the histogram."""
        (before, most_before), (after, most) = self._lag, await self._read_lag()
        if most > most_before:
            return round(1e3 * most, 1)
        grown = {edge: count - before.get(edge, 0.0) for edge, count in after.items()}
        total = max(grown.values(), default=0.0)
        return round(1e3 * min((edge for edge, count in grown.items() if count >= total), default=most), 1)

    async def check(self, phones: Phones) -> None:
        page = await self._site.request("GET", f"/api/meetings/{self._meeting}/delegates?state=present")
        if page["total"] != len(self.seats):
            raise SubjectFailed(f"{page['total']} of {len(self.seats)} who checked in are present")
        compared, differing = await phones.differing()
        if differing or not compared:
            raise SubjectFailed(f"{differing} of {compared} replicas are not what a fresh welcome says")


@contextlib.asynccontextmanager
async def running_diemcau(clients: int, tasks: asyncio.TaskGroup) -> AsyncIterator[Diemcau]:
    """A throw-away server with an open meeting and so many delegates who have their links."""
    async with own_product() as product:
        site = product.site
        assert product.server is not None
        meeting = await site.new_meeting(TITLE)
        async with desk(site, await site.staff_token(meeting), tasks) as host:
            seats = await enrol(site, meeting, host, clients, -(-clients // SEATS))
            await host.give("meeting.open")
            added = command("agenda.add", title="Diemcau wave 0")
            await host.socket.call("command", added)
            subject = Diemcau(site, meeting, product.server, host, added["id"], seats)
            subject.example = await _example(site, seats[0])
            yield subject


async def _example(site: Site, seat: Seat) -> Example:
    socket = Socket(lambda event, body: None)
    await socket.open(site.http, site.url)
    reading = asyncio.create_task(socket.read())
    try:
        welcome = await socket.hello(seat.token)
    finally:
        reading.cancel()
        await socket.close()
    return Example(welcome, next(record for record in welcome["put"] if record["kind"] == "item"))

"""What `bench sockets` measures: a server that many phones talk with; and ours, the product as it is run."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from clients.bench.subject import SubjectFailed
from clients.rehearsal.delegates import SEATS, enrol, seats_of
from clients.rehearsal.desk import Desk, Site, command, desk
from clients.rehearsal.lag import LoopLag
from clients.rehearsal.phone import MARK, Seat
from clients.rehearsal.phones import Phones
from clients.rehearsal.process import cpu_s
from clients.rehearsal.product import Product, host_http, product_in
from clients.rehearsal.wire import Socket

_QUIET_S = 1.0
TITLE = "Đo kết nối (bench)"


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
        self._lag = LoopLag(site)

    async def change(self, title: str) -> None:
        await self._host.give("agenda.edit", item=self._item, title=title)

    async def begin_lag(self) -> None:
        await self._lag.begin()

    async def lag_max_ms(self) -> float:
        return await self._lag.max_ms()

    async def check(self, phones: Phones) -> None:
        page = await self._site.request("GET", f"/api/meetings/{self._meeting}/delegates?state=present")
        if page["total"] != len(self.seats):
            raise SubjectFailed(f"{page['total']} of {len(self.seats)} who checked in are present")
        compared, differing = await phones.differing()
        if differing or not compared:
            raise SubjectFailed(f"{differing} of {compared} replicas are not what a fresh welcome says")


@contextlib.asynccontextmanager
async def running_diemcau(folder: Path, clients: int, say: Callable[[str], None]) -> AsyncIterator[Diemcau]:
    """A throw-away server with an open meeting and so many delegates who have their links.

    It is started anew behind that, so that memory and lateness are those of the phones, not of the import.
    """
    async with host_http() as http, asyncio.TaskGroup() as tasks:
        async with product_in(folder, http) as product:
            meeting = await product.site.new_meeting(TITLE)
            async with desk(product.site, await product.site.staff_token(meeting), tasks) as host:
                seats, item = await _fill(product, meeting, host, clients, say)
        async with product_in(folder, http) as product:
            site = product.site
            assert product.server is not None
            async with desk(site, await site.staff_token(meeting), tasks) as host:
                subject = Diemcau(site, meeting, product.server, host, item, seats)
                subject.example = await _example(site, seats[0])
                await asyncio.sleep(_QUIET_S)
                yield subject


async def _fill(
    product: Product, meeting: str, host: Desk, clients: int, say: Callable[[str], None]
) -> tuple[tuple[Seat, ...], str]:
    """The list, the links, and the item of the agenda that will be changed."""
    assert product.server is not None
    began = time.monotonic()
    halls = -(-clients // SEATS)
    await enrol(product.site, meeting, clients, halls)
    await host.until_known(halls)
    enrolled, used = time.monotonic(), cpu_s(product.server)
    seats = await seats_of(product.site, meeting, host.halls)
    if len(seats) != clients:
        raise SubjectFailed(f"{len(seats)} of {clients} delegates have a link")
    token_us = 1e6 * (cpu_s(product.server) - used) / clients
    say(
        f"{clients} delegates on the list in {enrolled - began:.1f} s, all with a token after"
        f" {time.monotonic() - enrolled:.1f} s more, {token_us:.0f} µs CPU each"
    )
    await host.give("meeting.open")
    added = command("agenda.add", title=f"{MARK.decode()}0")
    await host.socket.call("command", added)
    return seats, added["id"]


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

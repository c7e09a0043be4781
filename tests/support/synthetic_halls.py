"""Synthetic halls at a server of the tests, and how long each of them is without a picture."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from clients.rehearsal.arrivals import Arrivals
from clients.rehearsal.crowd import Crowd
from clients.rehearsal.desk import Invited
from clients.rehearsal.endpoint import Setting
from clients.rehearsal.hall import Hall
from clients.rehearsal.recording import Studio, Wanted
from rooms.actor import SERVER
from rooms.enrolment import HallLine, ImportRoster
from rooms.floor import GiveFloor
from rooms.ids import HallId
from rooms.roster import Hall as HallRecord
from server.http.join import hall_token
from tests.support.live import Live
from tests.support.meetings import HOST, make

LAYERS = (Wanted(160, 90, 100_000, 15), Wanted(320, 180, 300_000, 25), Wanted(640, 360, 600_000, 25))


class Pictures:
    """How long each hall is without a picture. Their setting is `timed`."""

    def __init__(self, halls: Sequence[Hall]) -> None:
        self.halls = halls
        self.begin()

    def begin(self) -> None:
        """Measure from here on."""
        for arrivals in self._arrivals().values():
            arrivals.begin(time.time_ns())

    def _arrivals(self) -> dict[str, Arrivals]:
        return {hall.id: hall.arrivals for hall in self.halls if hall.arrivals is not None}

    def blind(self) -> set[str]:
        """Those that have not got any picture yet."""
        tracks = {hall.id: hall.endpoint.track_of("stage.0") for hall in self.halls}
        return {id for id, track in tracks.items() if track is None or not track.packets}

    def worst_s(self) -> dict[str, float]:
        """The longest time without a packet of the stage, by hall; one that lasts counts as long as it lasts."""
        return {id: arrivals.longest_gap_s(time.time_ns()) for id, arrivals in self._arrivals().items()}


async def invite(server: Live, count: int, units: Sequence[str] = ("",), *, floor: int = 0) -> list[Invited]:
    """So many new halls, of these units in turn; one of them has the floor."""
    lines = tuple(HallLine(name=f"Tổng hợp {n}", unit=units[n % len(units)]) for n in range(count))
    await server.runner.submit(SERVER, make(ImportRoster, halls=lines, delegates=()))
    records = [hall for hall in server.runner.meeting.select(HallRecord) if hall.name.startswith("Tổng hợp")]
    records.sort(key=lambda hall: hall.order)
    await server.runner.submit(HOST, make(GiveFloor, hall=HallId(records[floor].id)))
    return [Invited(record.id, hall_token(server.service, server.meeting, record), False) for record in records]


@asynccontextmanager
async def halls_in(
    urls: Sequence[str], invited: Sequence[Invited], host: str = "127.0.0.1", others: tuple[str, ...] = ()
) -> AsyncIterator[list[Hall]]:
    """These halls, at several servers in turn."""
    studio = Studio()
    camera, tone = tuple(studio.record(layer) for layer in LAYERS), studio.record_tone()
    setting = Setting(studio, marked=False, host=host, others=others, timed=True)
    async with aiohttp.ClientSession() as http, Crowd() as crowd, asyncio.TaskGroup() as tasks:
        halls = [Hall(crowd, setting, n, one, camera, tone, low=False) for n, one in enumerate(invited, 1)]
        for number, hall in enumerate(halls):
            await hall.join(http, urls[number % len(urls)], tasks)
        try:
            yield halls
        finally:
            for hall in halls:
                await hall.socket.close()


@asynccontextmanager
async def watched(halls: Sequence[Hall]) -> AsyncIterator[Pictures]:
    """From the moment on when all of them have a picture."""
    pictures = Pictures(halls)
    async with asyncio.timeout(20):
        while pictures.blind():
            await asyncio.sleep(0.05)
    pictures.begin()
    yield pictures


@asynccontextmanager
async def synthetic_halls(server: Live, count: int) -> AsyncIterator[tuple[list[Hall], Pictures]]:
    """So many halls; the first one is on stage, the others are watched."""
    async with halls_in((server.url,), await invite(server, count)) as halls, watched(halls[1:]) as pictures:
        yield halls, pictures

"""Synthetic halls at a server of the tests, and how long each of them is without a picture."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

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
    """Looks every few milliseconds what each hall's stage shows."""

    def __init__(self, halls: Sequence[Hall]) -> None:
        self.halls = halls
        self._last: dict[str, tuple[int, float]] = {}
        self._worst: dict[str, float] = {}

    def begin(self) -> None:
        """Measure from here on."""
        now = time.monotonic()
        self._last = {hall.id: (self._count(hall), now) for hall in self.halls}
        self._worst = dict.fromkeys(self._last, 0.0)

    @staticmethod
    def _count(hall: Hall) -> int:
        track = hall.endpoint.track_of("stage.0")
        return 0 if track is None else track.packets

    async def run(self) -> None:
        while True:
            now = time.monotonic()
            for hall in self.halls:
                count, (before, at) = self._count(hall), self._last[hall.id]
                if count != before:
                    self._worst[hall.id] = max(self._worst[hall.id], now - at)
                    self._last[hall.id] = count, now
            await asyncio.sleep(0.005)

    def worst_s(self) -> dict[str, float]:
        """The longest time without a packet of the stage, by hall; one that lasts counts as long as it lasts."""
        now = time.monotonic()
        return {id: max(worst, now - self._last[id][1]) for id, worst in self._worst.items()}


@asynccontextmanager
async def synthetic_halls(
    server: Live, count: int, urls: Sequence[str] = (), host: str = "127.0.0.1"
) -> AsyncIterator[tuple[list[Hall], Pictures]]:
    """So many halls, all in, the first one on stage; at several servers in turn."""
    lines = tuple(HallLine(name=f"Tổng hợp {n}", unit=f"Huyện {n % 4}", phone="") for n in range(count))
    await server.runner.submit(SERVER, make(ImportRoster, halls=lines, delegates=()))
    records = [hall for hall in server.runner.meeting.select(HallRecord) if hall.name.startswith("Tổng hợp")]
    records.sort(key=lambda hall: hall.order)
    studio = Studio()
    camera, tone = tuple(studio.record(layer) for layer in LAYERS), studio.record_tone()
    setting = Setting(studio, marked=False, host=host)
    await server.runner.submit(HOST, make(GiveFloor, hall=HallId(records[0].id)))
    async with aiohttp.ClientSession() as http, Crowd() as crowd, asyncio.TaskGroup() as tasks:
        halls = []
        for number, record in enumerate(records, 1):
            invited = Invited(record.id, hall_token(server.service, server.meeting, record), False)
            hall = Hall(crowd, setting, number, invited, camera, tone, low=False)
            await hall.join(http, (urls or (server.url,))[number % max(1, len(urls))], tasks)
            halls.append(hall)
        pictures = Pictures(halls)
        pictures.begin()
        looking = tasks.create_task(pictures.run())
        seen = await crowd.until(lambda: all(pictures._count(hall) > 0 for hall in halls[1:]), 20)
        assert seen, [hall.id for hall in halls if pictures._count(hall) == 0]
        pictures.begin()
        try:
            yield halls, pictures
        finally:
            looking.cancel()
            for hall in halls:
                await hall.socket.close()
